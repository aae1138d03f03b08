"""The decoder process: it makes thumbnails for a parent process, `pool`, that must survive when a decoder crashes.

Run as `python -P -m imagetwins.decoding.program SHARED GRANTS`, with the file descriptors of a memory that it shares with its
parent and of a pipe from it. Parent and process exchange lines of JSON over standard input and output:

    process: {"ready": ...}                                      once, at the start: what OpenCV makes of `shared.probe`
    parent:  {"path": ..., "settings": {...}, "offset": ..., "shrinks": ...}
                                                                 a file to decode, where in SHARED its thumbnail belongs, and
                                                                 whether the parent resizes where there are `plan_bands`;
                                                                 with "settings": null, its pixels are to be digested
    process: {"needs": bytes}                                    of a large picture: it waits until a line comes from GRANTS
    process: {"digest": ..., ..., "error": ..., "shape": [...]}  the fields of `Decoded`; and the shape of what is in SHARED,
                                                                 the thumbnail or the picture, null if there is an error;
                                                                 of a picture, its first band
    process: {"band": number}                                    for each other band, when a line has come from GRANTS

Requests are answered in their order.
"""

import functools
import json
import mmap
import os
import resource
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from PIL import Image

from imagetwins.decoding.decoder import decode, to_thumbnail
from imagetwins.decoding.model import (
    MAX_ADDRESS_SPACE,
    MAX_IDLE_SECONDS,
    MAX_SECONDS,
    UNRESERVED_BYTES,
    Decoded,
    DecodeSettings,
)
from imagetwins.decoding.pixels import Pixels
from imagetwins.decoding.shared import SHARED_BYTES, plan_bands, probe, slot_of


def main() -> None:
    """Answer requests until the standard input ends, as it does when the parent ends, in whatever way."""
    shared = np.frombuffer(mmap.mmap(int(sys.argv[1]), SHARED_BYTES), np.uint8)
    grants = os.fdopen(int(sys.argv[2]), "rb")
    answers, stderr = _redirect_streams()
    _limit_process()
    reserve = functools.partial(_reserve, answers, grants)
    # Perhaps it was started in advance, and is not needed.
    _end_after(MAX_IDLE_SECONDS)
    _send(answers, {"ready": probe(_resize_by_area)})
    for line in sys.stdin.buffer:
        request = json.loads(line)
        decoded, pixels = _decode(request, stderr, reserve)
        shape = None if pixels is None else pixels.shape
        parts = [] if pixels is None else _cut(pixels, request["settings"]["size"])
        for part in parts[:1]:
            np.copyto(slot_of(shared, request["offset"], part.shape), part)
        _send(answers, vars(decoded) | {"shape": shape})
        for number, part in enumerate(parts[1:], 1):
            _wait_for_parent(grants)
            np.copyto(slot_of(shared, request["offset"], part.shape), part)
            _send(answers, {"band": number})
        # It also ends a process that gets no more requests: an idle one holds 50 MB of its own.
        _end_after(MAX_IDLE_SECONDS)


def _cut(pixels: Pixels, size: int) -> list[Pixels]:
    """Return a thumbnail itself, the bands of a picture."""
    return [pixels[band.top : band.bottom] for band in plan_bands(pixels.shape, size)] or [pixels]


def _redirect_streams() -> tuple[BinaryIO, BinaryIO]:
    """Return standard output, for answers alone, and a file that collects what C code writes to output and error."""
    answers = os.fdopen(os.dup(1), "wb")
    stderr = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
    os.dup2(stderr.fileno(), 1)
    os.dup2(stderr.fileno(), 2)
    return answers, stderr


def _limit_process() -> None:
    """Ignore Ctrl-C, which is for the parent; use one thread, write nothing for people to read, and take limited memory."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    warnings.simplefilter("ignore")
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    Image.MAX_IMAGE_PIXELS = None
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESS_SPACE if hard < 0 else min(MAX_ADDRESS_SPACE, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _decode(request: dict[str, Any], stderr: BinaryIO, reserve: Callable[[int], None]) -> tuple[Decoded, Pixels | None]:
    # The signal ends this process even inside a decoder that hangs; the parent sees which file it was.
    _end_after(MAX_SECONDS)
    settings = DecodeSettings(**request["settings"]) if request["settings"] else None
    finish = _leave_to_parent if request["shrinks"] else to_thumbnail
    decoded, pixels = decode(Path(request["path"]), settings, reserve, finish)
    _end_after(0)
    warning = _read_warning(stderr)
    if decoded.error is None and warning:
        return replace(decoded, error=f"damaged: {warning}"), None
    return decoded, pixels


def _leave_to_parent(pixels: Pixels, settings: DecodeSettings) -> Pixels:
    """Return the picture itself, where the parent makes the thumbnail faster, else the thumbnail."""
    is_left = settings.resampling == "area" and plan_bands(pixels.shape, settings.size)
    return pixels if is_left else to_thumbnail(pixels, settings)


def _resize_by_area(pixels: Pixels, thumbnail_out: Pixels) -> None:
    thumbnail_out[:] = to_thumbnail(pixels, DecodeSettings(len(thumbnail_out)))


def _end_after(seconds: float) -> None:
    """Let SIGALRM end this process after so much time, unless this is called again before; 0 is never."""
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _reserve(answers: BinaryIO, grants: BinaryIO, count: int) -> None:
    """Wait until the parent has `count` bytes of memory to spare; the waiting does not count as the file's time."""
    if count <= UNRESERVED_BYTES:
        return
    _end_after(0)
    _send(answers, {"needs": count})
    _wait_for_parent(grants)
    _end_after(MAX_SECONDS)


def _wait_for_parent(grants: BinaryIO) -> None:
    if not grants.readline():
        sys.exit("the parent died")


_HARMLESS = (
    b"libpng warning",
    b"extraneous bytes before marker 0xd9",
)
"""Parts of warnings that libpng and libjpeg write about pictures that every viewer shows whole.

libjpeg writes only the first one of a picture: of its warnings, none but the last possible may be here. What it warns of in
headers is put right before it decodes (`jpeg`).
"""


def _read_warning(stderr: BinaryIO) -> str:
    """Return the first serious line that C code wrote since the last call: libjpeg reports damaged data in no other way."""
    if not os.fstat(stderr.fileno()).st_size:
        return ""
    stderr.seek(0)
    lines = [line.strip() for line in stderr.read().splitlines()]
    stderr.seek(0)
    stderr.truncate()
    serious = [line for line in lines if line and not any(harmless in line for harmless in _HARMLESS)]
    return serious[0].decode("utf-8", "backslashreplace") if serious else ""


def _send(answers: BinaryIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


if __name__ == "__main__":
    # The parent has closed its end: it needs no more answers, and perhaps none at all of a process that it started in advance.
    with suppress(BrokenPipeError):
        main()
