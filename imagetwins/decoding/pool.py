"""Decode files to thumbnails in processes of their own: a decoder that crashes or hangs costs one row, not the run.

Decoders are C code fed with files from anywhere. They run in child processes (`decoder.py`) that live as long as this
one, or until they were idle for a while; each thread that decodes borrows one. A child answers its files in order, so when
it dies the first unanswered file is the one it died of. That file gets one more try in a fresh child, alone, before it gets
the error. Before a child decodes a large picture it asks for the memory, which all children share.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from imagetwins.decoding import program as decoder
from imagetwins.decoding.program import FORMATS, MAX_BYTES, MAX_PIXELS, MAX_SECONDS, Decoded, DecodeSettings, Pixels
from imagetwins.errors import ImagetwinsError
from imagetwins.storage.fetching import Files, fetched

__all__ = [
    "FORMATS",
    "MAX_BYTES",
    "MAX_PIXELS",
    "MAX_SECONDS",
    "DecodeSettings",
    "Decoded",
    "DecoderError",
    "close_decoders",
    "decode_file",
    "decode_files",
    "shared_memory",
]

_AHEAD = 2
"""Requests that a child has before it answers the first: it never waits for its parent between two files."""


MAX_DECODING_BYTES = 1 << 30
"""Memory that a process and its decoders together may take for pictures; one that needs more is decoded alone.

That is seven JPEGs of 24 megapixels at once, or one of 100; and UNASKED_BYTES a child beside it, for smaller ones.
"""


class DecoderError(ImagetwinsError):
    """The decoder process does not start; no file is to blame."""


def decode_file(path: Path, settings: DecodeSettings, thumbnail_out: Pixels) -> Decoded:
    """Decode one file; as `decode_files` of one. `thumbnail_out` is (size, size, 3) uint8, BGR."""
    return decode_files([path], settings, thumbnail_out[None])[0]


def decode_files(paths: Sequence[Path], settings: DecodeSettings, thumbnails_out: Pixels) -> list[Decoded]:
    """Decode `paths` in order in a child process, each to a thumbnail; may be called from several threads at once.

    All of them are files, or all objects of a bucket.

    `thumbnails_out` is (len(paths), size, size, 3) uint8, C-contiguous, BGR; row i is written where `paths[i]` has no
    error, and left alone where it has. Never raises for a bad file: what it was is in its `Decoded.error`.

    Raises:
        DecoderError: no decoder process can be started.
    """
    answers: list[Decoded] = []
    with fetched(paths) as (files, errors):
        while len(answers) < len(files):
            first = len(answers)
            _decode_until_death(files[first:], settings, thumbnails_out[first:], answers)
            suspect = slice(len(answers), len(answers) + 1)
            death = _decode_until_death(files[suspect], settings, thumbnails_out[suspect], answers, fresh=True)
            if death:
                answers.append(Decoded(None, None, None, None, death))
    return [replace(answer, error=errors.get(index, answer.error)) for index, answer in enumerate(answers)]


def _decode_until_death(
    files: Files,
    settings: DecodeSettings,
    thumbnails_out: Pixels,
    answers: list[Decoded],
    *,
    fresh: bool = False,
) -> str:
    """Append the answers of one child to `answers`; return how the child died, "" if it did not."""
    if not files:
        return ""
    with _borrowed_child(fresh=fresh) as child:
        try:
            for slot, file in enumerate(files[:_AHEAD]):
                child.ask(file(), settings, slot)
            for index in range(len(files)):
                answers.append(child.answer(thumbnails_out[index], index % _AHEAD))
                for file in files[index + _AHEAD : index + _AHEAD + 1]:
                    child.ask(file(), settings, index % _AHEAD)
        except _ChildDeathError:
            return child.death()
    return ""


class _ChildDeathError(Exception):
    """A child ended in the middle of its work."""


class _Child:
    """One decoder process and the three pipes to it."""

    def __init__(self) -> None:
        self.thumbnails = _open_shared()
        grants, self.grants = os.pipe()
        command = [sys.executable, "-P", str(Path(decoder.__file__)), str(self.thumbnails), str(grants)]
        # A process group of its own: Ctrl-C in the terminal is for the parent, which decides what happens.
        self.process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[self.thumbnails, grants],
            process_group=0,
        )
        os.close(grants)
        self.requests = cast("BinaryIO", self.process.stdin)
        self.answers = cast("BinaryIO", self.process.stdout)
        self._check_started()

    def _check_started(self) -> None:
        complaints = cast("BinaryIO", self.process.stderr)
        started = self.answers.readline()
        said = b"" if started else complaints.read()
        complaints.close()
        if not started:
            self.close()
            raise DecoderError(
                f"the decoder process does not start: {said.decode(errors='replace').strip()[-500:]}. "
                "Check that numpy, OpenCV and Pillow are installed, and that memory is free."
            )

    def ask(self, path: Path, settings: DecodeSettings, slot: int) -> None:
        """Hand `path` to the child, which writes the thumbnail to place `slot` of the shared memory."""
        offset = slot * settings.size * settings.size * 3
        request = {"path": os.fspath(path), "settings": vars(settings), "offset": offset}
        try:
            self.requests.write(json.dumps(request).encode() + b"\n")
            self.requests.flush()
        except OSError as error:
            raise _ChildDeathError from error
        _read_ahead(path)

    def answer(self, thumbnail_out: Pixels, slot: int) -> Decoded:
        """Wait for the next answer, granting the memory that it takes, and fetch its thumbnail."""
        answer = self._read_line()
        if "needs" in answer:
            with shared_memory().granted(answer["needs"]):
                with suppress(OSError):
                    os.write(self.grants, b"\n")
                answer = self._read_line()
        decoded = Decoded(**answer)
        if decoded.error is None:
            os.preadv(self.thumbnails, [thumbnail_out.data], slot * thumbnail_out.nbytes)
        return decoded

    def _read_line(self) -> dict[str, Any]:
        line = self.answers.readline()
        if not line.endswith(b"\n"):
            raise _ChildDeathError
        return cast("dict[str, Any]", json.loads(line))

    def death(self) -> str:
        """Wait for the end that has come, and say what it was."""
        status = self.close()
        if status == -signal.SIGALRM:
            return f"decoding took longer than {MAX_SECONDS} seconds"
        if status < 0:
            return f"the decoder crashed ({signal.Signals(-status).name})"
        return f"the decoder ended (exit status {status})"

    def close(self) -> int:
        with suppress(OSError):
            self.requests.close()
        self.answers.close()
        os.close(self.thumbnails)
        os.close(self.grants)
        return self.process.wait()


def _read_ahead(path: Path) -> None:
    """Have the system fetch `path` while the child is at the file before it: disk and decoder work at the same time."""
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError), open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", 0) as file:  # noqa: PTH123
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)


def _open_shared() -> int:
    """Return a file without a name, in memory where the system has such, that a child can share."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("imagetwins")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class _SharedMemory:
    """The bytes that children may take, granted in the order in which they are asked for: a large picture's turn comes."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken = 0
        self._waiting: deque[object] = deque()

    @contextmanager
    def granted(self, count: int) -> Iterator[None]:
        """Wait until `count` bytes are free, or all are, and take them for the length of the context."""
        turn = object()
        with self._changed:
            self._waiting.append(turn)
            try:
                self._changed.wait_for(lambda: self._waiting[0] is turn and self._has_room(count))
                self._taken += count
            finally:
                self._waiting.remove(turn)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._taken -= count
                self._changed.notify_all()

    def _has_room(self, count: int) -> bool:
        return self._taken == 0 or self._taken + count <= MAX_DECODING_BYTES


_memory: dict[int, _SharedMemory] = {}
_idle: dict[int, list[_Child]] = {}
"""The children that wait for work, by the process that started them: after a fork, the parent's are not ours."""


def shared_memory() -> _SharedMemory:
    """Return what whoever decodes a large picture in this process, or for it, takes its memory from."""
    return _memory.setdefault(os.getpid(), _SharedMemory())


@contextmanager
def _borrowed_child(*, fresh: bool) -> Iterator[_Child]:
    idle = _idle.setdefault(os.getpid(), [])
    try:
        # One call, not a test and a call: other threads borrow too.
        child = _Child() if fresh else idle.pop()
    except IndexError:
        child = _Child()
    try:
        yield child
    except BaseException:
        # Interrupted between a question and its answer: what this child says next is not to be trusted.
        child.process.kill()
        child.close()
        raise
    if child.process.returncode is None:
        idle.append(child)


def close_decoders() -> None:
    """End the idle decoder processes; the next call that decodes starts new ones."""
    idle = _idle.get(os.getpid(), [])
    while idle:
        idle.pop().close()


atexit.register(close_decoders)
