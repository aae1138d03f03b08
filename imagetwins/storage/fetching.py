"""Objects of a bucket as files of this machine, for as long as a decoder needs them, fetched ahead of it.

Decoders are handed files: they have neither a network nor credentials, and what is wrong with a picture is found by the same
code wherever it lies.
"""

import functools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from imagetwins.storage.location import address, filesystem, is_remote, reaching

AHEAD = 8
"""Objects that are fetched at once: together they take the time of one. As many, already decoded, are still on the disk."""

Files = list[Callable[[], Path]]
"""One function a place, in their order: it waits for the file, and has those after it fetched."""


@contextmanager
def fetched(places: Sequence[Path]) -> Iterator[tuple[Files, dict[int, str]]]:
    """Yield `places`, of which all or none are in a bucket, as files, and why some cannot be had, by position.

    The files are to be asked for in their order, each at most `AHEAD` after the one that is still needed.
    """
    if not any(map(is_remote, places)):
        yield [functools.partial(Path, place) for place in places], {}
        return
    with tempfile.TemporaryDirectory(prefix="imagetwins-") as directory, ThreadPoolExecutor(AHEAD) as pool:
        fetcher = _Fetcher(places, Path(directory), pool)
        try:
            yield [functools.partial(fetcher.file, index) for index in range(len(places))], fetcher.errors
        finally:
            pool.shutdown(cancel_futures=True)


class _Fetcher:
    def __init__(self, places: Sequence[Path], directory: Path, pool: ThreadPoolExecutor) -> None:
        self.errors: dict[int, str] = {}
        self._places = places
        self._directory = directory
        self._pool = pool
        self._files: dict[int, Future[Path]] = {}

    def file(self, index: int) -> Path:
        for ahead in range(index, min(index + AHEAD, len(self._places))):
            if ahead not in self._files:
                self._files[ahead] = self._pool.submit(self._fetch, ahead)
        if index - AHEAD in self._files:
            self._files.pop(index - AHEAD).result().unlink(missing_ok=True)
        return self._files[index].result()

    def _fetch(self, index: int) -> Path:
        place, file = self._places[index], self._directory / str(index)
        try:
            with reaching(place):
                filesystem(place).get_file(address(place), str(file))
        except FileNotFoundError:
            self.errors[index] = "no longer there"
        except OSError as error:
            # Where there is no file, the decoder has nothing to say.
            self.errors[index] = error.strerror or str(error)
        return file
