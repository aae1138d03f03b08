"""Decode files to thumbnails in other processes: a decoder that crashes or hangs costs one file's row, not the run.

Decoders are C code that is fed with files from anywhere. They run in child processes (`program`) that live as long as this
one, or until they were idle for a while; each thread that decodes borrows one, which may have been started before it was
needed. A child answers requests in their order, so when it dies, the first file without an answer is the one it died of. That
file gets one more try, alone in a fresh child, before it gets an error. Before a child decodes a large picture it reserves the
memory, of which all children share a budget.
"""

import atexit
import functools
import itertools
import json
import mmap
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from imagetwins.decoding.model import MAX_SECONDS, Decoded, DecodeSettings
from imagetwins.decoding.shared import AHEAD, SHARED_BYTES, SLOT_BYTES, Band, Shrink, plan_bands, probe, slot_of
from imagetwins.errors import ImagetwinsError

# -P: nothing is imported from the directory in which this process happens to have been started.
DECODER_COMMAND = [sys.executable, "-P", "-m", "imagetwins.decoding.program"]
"""What starts a decoder process; two file descriptors follow, see `program`."""

DECODER_ENVIRONMENT = {
    # NumPy's BLAS, of which a decoder needs nothing, starts a thread for each core otherwise: half of the time that starting takes.
    "OPENBLAS_NUM_THREADS": "1",
    # glibc would give the memory of each picture back, and have the system map and clear it anew for the next one: a sixth of
    # the time of decoding. What a decoder keeps so is at most the second of these.
    "MALLOC_MMAP_THRESHOLD_": str(2 * SLOT_BYTES),
    "MALLOC_TRIM_THRESHOLD_": str(4 * SLOT_BYTES),
}
"""What is added to the environment of a decoder process."""

MAX_DECODING_BYTES = 1 << 30
"""Memory that this process and its decoders together may use for pictures; one that needs more is decoded alone.

That is seven JPEGs of 24 megapixels at once, or one of 100; and `model.UNRESERVED_BYTES` a child beside it, for smaller ones.
"""


class DecoderError(ImagetwinsError):
    """The decoder process does not start; no file is to blame."""


class _Task(NamedTuple):
    """What is to be done with files: the arguments of `decode_files`, or None for `digest_files`."""

    settings: DecodeSettings | None = None
    thumbnails_out: NDArray[np.uint8] | None = None
    shrink: Shrink | None = None


def decode_files(
    files: Iterable[Path],
    settings: DecodeSettings,
    thumbnails_out: NDArray[np.uint8],
    shrink: Shrink | None = None,
) -> list[Decoded]:
    """Decode `files` in order in a child process, each to a thumbnail; may be called from several threads at once.

    Args:
        files: files of this machine. An iterator may make each file when it is asked for it, and remove it again when it is
            asked for the second one after it.
        settings: how thumbnails are made.
        thumbnails_out: (number of files, size, size, 3) uint8, C-contiguous, BGR; row i is written where file i has no
            error, and left alone where it has.
        shrink: resizes by area in this process, where OpenCV would take its general path: see `shared`. Not used if it does
            not do so to the bit as the child's OpenCV does.

    Returns:
        What each file is. Never raises for a bad file: what is wrong with it is in its `Decoded.error`.

    Raises:
        DecoderError: no decoder process can be started.
    """
    return _decode_all(iter(files), _Task(settings, thumbnails_out, shrink))


def digest_files(files: Iterable[Path]) -> list[Decoded]:
    """Return what each of `files` is, with the digest of its pixels (`Decoded.pixels_digest`); otherwise as `decode_files`.

    Raises:
        DecoderError: no decoder process can be started.
    """
    return _decode_all(iter(files), _Task())


def _decode_all(remaining: Iterator[Path], task: _Task) -> list[Decoded]:
    unanswered: deque[Path] = deque()
    answers: list[Decoded] = []
    while True:
        unanswered.extend(itertools.islice(remaining, AHEAD - len(unanswered)))
        if not unanswered:
            return answers
        _decode_until_death(unanswered, remaining, task, answers)
        if unanswered:
            suspect = deque([unanswered.popleft()])
            death = _decode_until_death(suspect, iter(()), task, answers, fresh=True)
            if death:
                answers.append(Decoded(error=death))


def _decode_until_death(
    unanswered: deque[Path],
    remaining: Iterator[Path],
    task: _Task,
    answers: list[Decoded],
    *,
    fresh: bool = False,
) -> str:
    """Have one child decode the `unanswered` files, at most `AHEAD`, and then the `remaining` ones.

    Each file goes from `remaining` to `unanswered` when the child is sent it, and from there when its answer is appended to
    `answers`. Returns how the child died; "" if it did not, and then no file is left.
    """
    with _borrowed_child(fresh=fresh) as child:
        try:
            for file in unanswered:
                child.send(file, task)
            while unanswered:
                answers.append(child.receive(task, len(answers)))
                unanswered.popleft()
                for file in itertools.islice(remaining, 1):
                    unanswered.append(file)
                    child.send(file, task)
        except _ChildDeathError:
            return child.describe_death()
    return ""


class _ChildDeathError(Exception):
    """A child ended in the middle of its work."""


class _Child:
    """One decoder process, the pipes to it, and the memory through which it returns pixels, in `AHEAD` slots."""

    def __init__(self) -> None:
        """Start the process, and do not wait for it.

        Raises:
            DecoderError: the system does not let it.
        """
        self.n_sent = self.n_received = 0
        self.probed = ""
        try:
            with ExitStack() as childs, ExitStack() as own:
                shared = _open_unnamed_file()
                childs.callback(os.close, shared)
                os.ftruncate(shared, SHARED_BYTES)
                self.memory = np.frombuffer(mmap.mmap(shared, SHARED_BYTES), np.uint8)
                grants, self.grants = os.pipe()
                childs.callback(os.close, grants)
                own.callback(os.close, self.grants)
                self.process = _start_process(shared, grants)
                own.pop_all()
        except OSError as error:
            raise DecoderError(
                f"no decoder process can be started: {error.strerror}. "
                "Check how many processes and open files the system allows, and that memory is free."
            ) from error
        self.requests = cast("BinaryIO", self.process.stdin)
        self.answers = cast("BinaryIO", self.process.stdout)

    def wait_until_ready(self) -> None:
        """Return once the process answers requests.

        Raises:
            DecoderError: it does not start.
        """
        stderr = cast("BinaryIO", self.process.stderr)
        if stderr.closed:
            return
        is_ready = bool(line := self.answers.readline())
        message = b"" if is_ready else stderr.read()
        stderr.close()
        if not is_ready:
            raise DecoderError(
                f"the decoder process does not start: {message.decode(errors='replace').strip()[-500:]}. "
                f"Check that {sys.executable} has imagetwins, numpy, OpenCV and Pillow installed, and that memory is free."
            )
        self.probed = json.loads(line)["ready"]

    def send(self, file: Path, task: _Task) -> None:
        """Request the thumbnail of `file`, or its digest; the answer to the request `AHEAD` before it must have been received."""
        request = {
            "path": os.fspath(file),
            "settings": vars(task.settings) if task.settings else None,
            "offset": self.n_sent % AHEAD * SLOT_BYTES,
            "shrinks": task.shrink is not None and _probe_once(task.shrink) == self.probed,
        }
        self.n_sent += 1
        try:
            self.requests.write(json.dumps(request).encode() + b"\n")
            self.requests.flush()
        except OSError as error:
            raise _ChildDeathError from error
        _read_ahead(file)

    def receive(self, task: _Task, index: int) -> Decoded:
        """Wait for the next answer, granting the memory that it takes, and put its thumbnail, if any, in the row `index`."""
        answer = self._read_line()
        if "needs" not in answer:
            return self._take(answer, task, index)
        with memory_budget().reserved(answer["needs"]):
            self._grant()
            return self._take(self._read_line(), task, index)

    def _take(self, answer: dict[str, Any], task: _Task, index: int) -> Decoded:
        shape, offset = answer.pop("shape"), self.n_received % AHEAD * SLOT_BYTES
        self.n_received += 1
        if shape is not None and task.settings is not None and task.thumbnails_out is not None:
            thumbnail_out, bands = task.thumbnails_out[index], plan_bands(tuple(shape), task.settings.size)
            if task.shrink is None or not bands:
                thumbnail_out[:] = slot_of(self.memory, offset, thumbnail_out.shape)
            else:
                self._shrink_bands(task.shrink, bands, shape, offset, thumbnail_out)
        return Decoded(**answer)

    def _shrink_bands(
        self, shrink: Shrink, bands: list[Band], shape: list[int], offset: int, thumbnail_out: NDArray[np.uint8]
    ) -> None:
        """Resize a picture of this shape, of which the first band is there, and the others come one by one."""
        height, *line = shape
        for number, band in enumerate(bands):
            if number:
                self._grant()
                self._read_line()
            pixels = slot_of(self.memory, offset, (band.bottom - band.top, *line))
            shrink(pixels, thumbnail_out, height, band.top, (band.first, band.last))

    def _grant(self) -> None:
        """Let the child go on that waits for it."""
        with suppress(OSError):
            os.write(self.grants, b"\n")

    def _read_line(self) -> dict[str, Any]:
        line = self.answers.readline()
        if not line.endswith(b"\n"):
            raise _ChildDeathError
        return cast("dict[str, Any]", json.loads(line))

    def describe_death(self) -> str:
        """Return how the process ended; waits for it, if it is about to."""
        status = self.close()
        if status == -signal.SIGALRM:
            return f"decoding took longer than {MAX_SECONDS} seconds"
        if status < 0:
            return f"the decoder crashed ({signal.Signals(-status).name})"
        return f"the decoder ended (exit status {status})"

    def close(self) -> int:
        """Let the process end, which it does when it has no more requests, and return its exit status."""
        with suppress(OSError):
            self.requests.close()
        self.answers.close()
        cast("BinaryIO", self.process.stderr).close()
        os.close(self.grants)
        return self.process.wait()


def _start_process(shared: int, grants: int) -> subprocess.Popen[bytes]:
    # A process group of its own: Ctrl-C in the terminal is for the parent, which decides what happens.
    return subprocess.Popen(  # noqa: S603
        [*DECODER_COMMAND, str(shared), str(grants)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[shared, grants],
        process_group=0,
        env=os.environ | DECODER_ENVIRONMENT,
    )


@functools.cache
def _probe_once(shrink: Shrink) -> str:
    return probe(shrink)


def _read_ahead(file: Path) -> None:
    """Have the system load `file` while the child is at the one before it: disk and decoder work at the same time."""
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError), open(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", 0) as opened:  # noqa: PTH123
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)


def _open_unnamed_file() -> int:
    """Return the descriptor of a file without a name, in memory where the system has such files; a child can inherit it."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("imagetwins")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class _MemoryBudget:
    """MAX_DECODING_BYTES, reserved in the order of the requests: a large picture is not overtaken for ever by small ones."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._reserved = 0
        self._waiting: deque[object] = deque()

    @contextmanager
    def reserved(self, count: int) -> Iterator[None]:
        """Wait until `count` bytes are free, or all are, and reserve them for the length of the context."""
        turn = object()
        with self._changed:
            self._waiting.append(turn)
            try:
                self._changed.wait_for(lambda: self._waiting[0] is turn and self._has_room(count))
                self._reserved += count
            finally:
                self._waiting.remove(turn)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._reserved -= count
                self._changed.notify_all()

    def _has_room(self, count: int) -> bool:
        return self._reserved == 0 or self._reserved + count <= MAX_DECODING_BYTES


# By process: after a fork, what belongs to the parent is not the child's.
_budgets: dict[int, _MemoryBudget] = {}
_idle: dict[int, list[_Child]] = {}
"""The children that wait for work."""


def start_decoders(count: int) -> None:
    """Have at least `count` idle decoder processes, and do not wait for them: they start while this process does other work."""
    idle = _idle.setdefault(os.getpid(), [])
    alive = sum(child.process.poll() is None for child in tuple(idle))
    # What keeps one from starting is said by the call that decodes.
    with suppress(DecoderError):
        idle.extend(_Child() for _ in range(count - alive))


def memory_budget() -> _MemoryBudget:
    """Return the budget from which a large picture's memory is reserved, whether this process or a child decodes it."""
    return _budgets.setdefault(os.getpid(), _MemoryBudget())


@contextmanager
def _borrowed_child(*, fresh: bool) -> Iterator[_Child]:
    idle = _idle.setdefault(os.getpid(), [])
    try:
        # One call, not a test and a call: other threads borrow too.
        child = _Child() if fresh else idle.pop()
    except IndexError:
        child = _Child()
    try:
        child.wait_until_ready()
        yield child
    except BaseException:
        # Interrupted between a request and its answer: the child's next answer would be taken for that of another request.
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
