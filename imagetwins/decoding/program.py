"""Decode one picture file to one thumbnail; as a program, do so for a parent process that must survive the decoders.

The program reads one JSON request a line from its standard input, and answers each with one JSON line on its standard
output once the thumbnail is in the memory that it shares with its parent. It is run by its file name and imports nothing of
imagetwins, so it starts wherever numpy, OpenCV and Pillow do. `images.py` is the parent.

OpenCV decodes. Pillow reads headers only: the format by content, the dimensions before anything is decoded, and the
orientation, which OpenCV ignores when it is asked for alpha or 16 bits.
"""

import hashlib
import io
import json
import os
import resource
import signal
import stat
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

MAX_PIXELS = 200_000_000
"""Larger pictures are refused before decoding. With four 16-bit channels, one of this size took 3.1 GB."""

MAX_BYTES = 1 << 30
"""Larger files are refused before reading."""

MAX_SECONDS = 60
"""A file that takes longer is given up, and its decoder process with it."""

MAX_IDLE_SECONDS = 20
"""A decoder process without work for so long ends; starting another takes a fraction of a second."""

UNASKED_BYTES = 16 << 20
"""What a decoder process may take without asking: JPEGs of up to 2.8 megapixels wait for nobody."""

MAX_MEMORY = 6 << 30
"""Address space of a decoder process: what a lying header makes a decoder ask for fails instead of starving others."""

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "JPEG2000", "AVIF", "PPM")
"""What is decoded, by Pillow's names. Pillow's MPO is a JPEG with more pictures after the first."""

Pixels = NDArray[Any]
"""8-bit pixels, BGR or grey; OpenCV's own annotations know no element type."""
Resampling = Literal["area", "linear"]
Decoding = Literal["full", "reduced"]

_REDUCED = {
    8: cv2.IMREAD_REDUCED_COLOR_8 | cv2.IMREAD_IGNORE_ORIENTATION,
    4: cv2.IMREAD_REDUCED_COLOR_4 | cv2.IMREAD_IGNORE_ORIENTATION,
    2: cv2.IMREAD_REDUCED_COLOR_2 | cv2.IMREAD_IGNORE_ORIENTATION,
    1: cv2.IMREAD_UNCHANGED,
}
"""How OpenCV is asked for a picture of one side in so many; the largest first."""

LEAST_REDUCED = 2
"""A picture is not reduced while it is decoded to less than this many times its thumbnail."""

_INTERPOLATION = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR}

_ORIENTATIONS: dict[int, Callable[[Any], Any]] = {
    2: lambda pixels: cv2.flip(pixels, 1),
    3: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_180),
    4: lambda pixels: cv2.flip(pixels, 0),
    5: cv2.transpose,
    6: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE),
    7: lambda pixels: cv2.rotate(cv2.transpose(pixels), cv2.ROTATE_180),
    8: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
"""How pixels become what is displayed, by EXIF orientation (EXIF 2.32, tag 0x0112)."""


@dataclass(frozen=True)
class DecodeSettings:
    """All that decides, beside a file's content, what its thumbnail is: the part of a cache's key that is not content."""

    size: int
    resampling: Resampling = "area"
    decoding: Decoding = "full"


@dataclass(frozen=True)
class Decoded:
    """What reading one file told. `error` is None exactly when its thumbnail was written."""

    digest: str | None
    width_px: int | None
    height_px: int | None
    format: str | None
    error: str | None


@dataclass(frozen=True)
class Header:
    """What a picture says of itself before it is decoded; dimensions as stored."""

    format: str
    width_px: int
    height_px: int
    orientation: int
    is_progressive: bool


class Undecodable(Exception):  # noqa: N818 - not the program's error but the file's
    """Why a file is no picture that can be compared."""


def decode(
    path: Path, settings: DecodeSettings, reserve: Callable[[int], None] = lambda _bytes: None
) -> tuple[Decoded, Pixels | None]:
    """Return what the file `path` is, and its (size, size, 3) BGR thumbnail, or None beside the error.

    `reserve` is called with the bytes that decoding will take, and returns when it may begin. Never raises for a bad file; but a decoder may crash, hang, or write to the standard error.
    """
    digest: str | None = None
    header: Header | None = None
    try:
        content = read_content(path)
        digest = hashlib.sha256(content).hexdigest()
        header = read_header(content)
        check_size(header)
        check_whole(content, header)
        reduction = plan_reduction(header, settings)
        reserve(estimate_memory(header, reduction))
        pixels = displayed(decode_content(content, reduction), header)
        height, width = (reduction * side for side in pixels.shape[:2])
        return Decoded(digest, width, height, header.format, None), thumbnail(pixels, settings)
    except (Undecodable, OSError, MemoryError, cv2.error) as problem:
        width, height = (header.width_px, header.height_px) if header else (None, None)
        return Decoded(digest, width, height, header.format if header else None, describe(problem)), None


def describe(problem: Exception) -> str:
    """Return one line on `problem`, without the file's name: that is in the row."""
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror
    if isinstance(problem, cv2.error):
        return f"OpenCV: {problem.err or problem}"
    return str(problem) or type(problem).__name__


def read_content(path: Path) -> bytes:
    """Return the bytes of the regular file `path`; nothing else is opened for reading, nor waited for.

    Raises:
        Undecodable: it is not a regular file, is empty or is larger than MAX_BYTES.
        OSError: it cannot be read.
    """
    # O_NONBLOCK: should a FIFO have taken the file's place since the listing, opening it must not wait for a writer.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise Undecodable("not a regular file")
        if status.st_size > MAX_BYTES:
            raise Undecodable(f"{status.st_size} bytes, more than the {MAX_BYTES} that are read")
        content = file.read()
    if not content:
        raise Undecodable("empty file")
    return content


def read_header(content: bytes) -> Header:
    """Return what the picture `content` says of itself.

    Raises:
        Undecodable: its format is unknown, or its header is damaged.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            width, height = picture.size
            kind = str(picture.format).replace("MPO", "JPEG")
            # To look for EXIF behind the pixels of a PNG, Pillow would decode it.
            is_progressive = "progressive" in picture.info
            has_exif = kind != "PNG" or b"eXIf" in content
            orientation = picture.getexif().get(0x0112, 1) if has_exif else 1
    except UnidentifiedImageError:
        raise Undecodable(f"not a picture of a known format: {', '.join(FORMATS)}") from None
    except Exception as problem:  # noqa: BLE001 - a damaged header raises anything in Pillow's parsers
        raise Undecodable(f"damaged header: {problem}") from None
    return Header(kind, width, height, orientation if orientation in _ORIENTATIONS else 1, is_progressive)


def check_size(header: Header) -> None:
    """Refuse a picture that would fill the memory: a small file can hold a very large one.

    Raises:
        Undecodable: it has more than MAX_PIXELS.
    """
    if header.width_px * header.height_px > MAX_PIXELS:
        size = f"{header.width_px} x {header.height_px}"
        raise Undecodable(f"{size} pixels, more than the {MAX_PIXELS} that are decoded")


def check_whole(content: bytes, header: Header) -> None:
    """Refuse a JPEG that breaks off: OpenCV decodes its beginning and says nothing.

    Raises:
        Undecodable: there is no end-of-image marker after the picture's data.
    """
    # In entropy-coded data FF is followed by 00 or a restart marker, so FF D9 ends a picture. One before the start of
    # scan belongs to the EXIF thumbnail; what follows the end may be anything.
    if header.format == "JPEG" and content.rfind(b"\xff\xd9", _scan_start(content)) < 0:
        raise Undecodable("truncated: the JPEG breaks off before its end")


def _scan_start(content: bytes) -> int:
    """Return where the entropy-coded data of a JPEG begin: its segments each tell where the next one is."""
    at = 2
    while at + 4 <= len(content) and content[at + 1] != 0xDA:
        at += 1 if content[at + 1] == 0xFF else 2 + int.from_bytes(content[at + 2 : at + 4])
    return at


def plan_reduction(header: Header, settings: DecodeSettings) -> int:
    """Return by how much a picture's sides are reduced while it is decoded: 8, 4, 2, or 1 for not at all.

    libjpeg can leave out the high frequencies of each block of 8 x 8, which saves most of its work. Only sides that divide
    evenly are reduced: of others, the last pixel reaches beyond the edge and the picture is stretched by as much. Reduced by
    4, a picture of 4000 x 3000 scored 0.9997 with itself, and one of 3997 x 2997 only 0.989 (benchmarks/large_photos.py).
    """
    if (header.format, settings.decoding, settings.resampling) != ("JPEG", "reduced", "area"):
        return 1
    sides = (header.width_px, header.height_px)
    least = LEAST_REDUCED * settings.size
    return next(by for by in _REDUCED if by == 1 or all(side % by == 0 and side // by >= least for side in sides))


def estimate_memory(header: Header, reduction: int) -> int:
    """Return how many bytes decoding takes at its peak, beside the file itself: measured, at the most of each format."""
    pixels = header.width_px * header.height_px
    if header.format != "JPEG":
        # Alpha is laid on white in 16 bytes a pixel, an AVIF is decoded in 18; 16-bit colours take 12, plain ones 6.
        return 20 * pixels
    # OpenCV decodes, and copies what it decoded; of a progressive JPEG libjpeg holds all coefficients, 2 bytes each.
    return 6 * pixels // reduction**2 + (6 * pixels if header.is_progressive else 0)


def decode_content(content: bytes, reduction: int = 1) -> NDArray[Any]:
    """Return the stored pixels of the first frame: with alpha and 16 bits where there are; if reduced, BGR.

    Raises:
        Undecodable: OpenCV does not decode it.
    """
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), _REDUCED[reduction])
    if pixels is None:
        raise Undecodable("damaged: OpenCV does not decode it")
    return pixels


def displayed(pixels: NDArray[Any], header: Header) -> Pixels:
    """Return what a viewer shows on a white page: 8 bits, upright, without alpha; (h, w) if grey, else (h, w, 3) BGR.

    Raises:
        Undecodable: the pixels are floating-point or 32-bit numbers, which say nothing about black and white.
    """
    # OpenCV has libtiff decode 8-bit TIFFs, which multiplies colours by alpha; all others are as stored.
    premultiplied = header.format == "TIFF" and pixels.dtype == np.uint8
    if pixels.dtype == np.uint16:
        pixels = cv2.convertScaleAbs(pixels, alpha=1 / 257)
    if pixels.dtype != np.uint8:
        raise Undecodable(f"pixels are {pixels.dtype}, only 8-bit and 16-bit ones are compared")
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels = _on_white(pixels, premultiplied=premultiplied)
    # OpenCV turns TIFFs by itself, whatever it was asked for.
    turn = _ORIENTATIONS.get(header.orientation) if header.format != "TIFF" else None
    return turn(pixels) if turn else pixels


def _on_white(pixels: Pixels, *, premultiplied: bool) -> Pixels:
    alpha = cv2.cvtColor(cv2.extractChannel(pixels, 3), cv2.COLOR_GRAY2BGR)
    colours = cv2.cvtColor(pixels, cv2.COLOR_BGRA2BGR)
    if premultiplied:
        return cv2.add(colours, cv2.bitwise_not(alpha))
    return cv2.bitwise_not(cv2.multiply(cv2.bitwise_not(colours), alpha, scale=1 / 255))


def thumbnail(pixels: Pixels, settings: DecodeSettings) -> Pixels:
    """Return `pixels` resized to (size, size, 3); grey as three equal channels."""
    shape = (settings.size, settings.size)
    small = cv2.resize(pixels, shape, interpolation=_INTERPOLATION[settings.resampling])
    return cv2.cvtColor(small, cv2.COLOR_GRAY2BGR) if small.ndim == 2 else small


def main() -> None:
    """Answer requests until the standard input ends, which it does when the parent dies, however it dies."""
    answers, complaints = _take_over_streams()
    _limit()
    shared, grants = int(sys.argv[1]), os.fdopen(int(sys.argv[2]), "rb")
    _send(answers, {"ready": os.getpid()})
    for line in sys.stdin.buffer:
        request = json.loads(line)
        # SIGALRM ends this process even inside a decoder that hangs; the parent sees which file it was.
        signal.alarm(MAX_SECONDS)
        settings = DecodeSettings(**request["settings"])
        decoded, pixels = decode(Path(request["path"]), settings, lambda count: _reserve(answers, grants, count))
        # It also ends one that nobody wants anything of: an idle process holds 20 MB of its own.
        signal.alarm(MAX_IDLE_SECONDS)
        complaint = _read_complaints(complaints)
        if decoded.error is None and complaint:
            decoded, pixels = Decoded(**vars(decoded) | {"error": f"damaged: {complaint}"}), None
        if pixels is not None:
            os.pwrite(shared, np.ascontiguousarray(pixels).data, request["offset"])
        _send(answers, vars(decoded))


def _reserve(answers: BinaryIO, grants: BinaryIO, count: int) -> None:
    """Wait until the parent has `count` bytes to spare, without the time being held against the file."""
    if count <= UNASKED_BYTES:
        return
    signal.alarm(0)
    _send(answers, {"needs": count})
    if not grants.readline():
        sys.exit("the parent died")
    signal.alarm(MAX_SECONDS)


def _take_over_streams() -> tuple[BinaryIO, BinaryIO]:
    """Keep the standard output for answers alone, and collect what the decoders' C code writes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    complaints = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
    os.dup2(complaints.fileno(), 1)
    os.dup2(complaints.fileno(), 2)
    return answers, complaints


def _limit() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    warnings.simplefilter("ignore")
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    Image.MAX_IMAGE_PIXELS = None
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY if hard < 0 else min(MAX_MEMORY, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


_HARMLESS = (
    b"libpng warning",
    b"extraneous bytes before marker 0xd9",
    b"Invalid SOS parameters",
    b"Unknown Adobe color transform",
    b"unknown JFIF revision",
)
"""Complaints of libpng and libjpeg about pictures that every viewer shows whole."""


def _read_complaints(complaints: BinaryIO) -> str:
    """Return what the C libraries wrote since the last call: libjpeg's only way to say that data is damaged."""
    if not os.fstat(complaints.fileno()).st_size:
        return ""
    complaints.seek(0)
    lines = [line.strip() for line in complaints.read().splitlines()]
    complaints.seek(0)
    complaints.truncate()
    serious = [line for line in lines if line and not any(harmless in line for harmless in _HARMLESS)]
    return serious[0].decode("utf-8", "backslashreplace") if serious else ""


def _send(answers: BinaryIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


if __name__ == "__main__":
    main()
