"""Objects of a bucket as files of this machine, for as long as a decoder needs them, fetched ahead of it.

Decoders are given files: they have neither a network nor credentials, and a damaged picture is recognised by the same
code wherever it lies.
"""

import functools
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from imagetwins.storage.base import Fetched
from imagetwins.storage.location import Location
from imagetwins.storage.objects import filesystem, key_of, reaching

AHEAD = 8
"""Objects that are fetched at once: together they take the time of one. As many, already used, are still on the disk."""


@contextmanager
def fetching(locations: Sequence[Location]) -> Iterator[Fetched]:
    """Provide objects of a bucket as local files; each is to be asked for at most AHEAD after the one that is still needed."""
    with tempfile.TemporaryDirectory(prefix="imagetwins-") as directory, ThreadPoolExecutor(AHEAD) as pool:
        fetcher = _Fetcher(locations, Path(directory), pool)
        try:
            yield Fetched([functools.partial(fetcher.file, index) for index in range(len(locations))], fetcher.errors)
        finally:
            pool.shutdown(cancel_futures=True)


class _Fetcher:
    def __init__(self, locations: Sequence[Location], directory: Path, pool: ThreadPoolExecutor) -> None:
        self.errors: dict[int, str] = {}
        self._locations = locations
        self._directory = directory
        self._pool = pool
        self._files: dict[int, Future[Path]] = {}

    def file(self, index: int) -> Path:
        for ahead in range(index, min(index + AHEAD, len(self._locations))):
            if ahead not in self._files:
                self._files[ahead] = self._pool.submit(self._fetch, ahead)
        if index - AHEAD in self._files:
            self._files.pop(index - AHEAD).result().unlink(missing_ok=True)
        return self._files[index].result()

    def _fetch(self, index: int) -> Path:
        location = self._locations[index]
        # Under its own suffix: only that tells a camera's raw file from a TIFF.
        file = self._directory / f"{index}{location.suffix}"
        try:
            with reaching(location):
                filesystem(location).get_file(key_of(location), str(file))
        except FileNotFoundError:
            self.errors[index] = "no longer there"
        except OSError as error:
            # The file is missing then, and what the decoder says of that is replaced by this.
            self.errors[index] = error.strerror or str(error)
        return file
