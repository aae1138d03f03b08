"""What the header of a JPEG XL says: its plugin for Pillow decodes all of it before it tells the size, and knows no animations.

Source: ISO/IEC 18181-1:2024, D.2 (size header) and D.3 (image metadata), 18181-2 (boxes).
"""

from collections.abc import Iterator
from typing import NamedTuple

from imagetwins.decoding.model import UndecodableError

CODESTREAM = b"\xff\x0a"
CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"

_SIZES = ((9, 1), (13, 1), (18, 1), (30, 1))
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_MAX_HEADER_BYTES = 64


class JxlHeader(NamedTuple):
    """The size as stored, whether it is an animation, and the Exif data: a TIFF header and what follows, empty if there is none."""

    width_px: int
    height_px: int
    is_animation: bool
    exif: bytes


class _Bits:
    """The bits of a codestream, from the least significant one of each byte on."""

    def __init__(self, content: bytes) -> None:
        self._bits = int.from_bytes(content, "little")
        self._left = 8 * len(content)

    def read(self, count: int) -> int:
        if count > self._left:
            raise UndecodableError("truncated: the JPEG XL breaks off in its header")
        value = self._bits & ((1 << count) - 1)
        self._bits >>= count
        self._left -= count
        return value

    def read_side(self, *, is_multiple: int) -> int:
        if is_multiple:
            return 8 * (1 + self.read(5))
        count, least = _SIZES[self.read(2)]
        return least + self.read(count)

    def read_size(self) -> tuple[int, int]:
        """Return width and height."""
        is_multiple = self.read(1)
        height = self.read_side(is_multiple=is_multiple)
        ratio = self.read(3)
        if not ratio:
            return self.read_side(is_multiple=is_multiple), height
        numerator, denominator = _RATIOS[ratio - 1]
        return height * numerator // denominator, height


def is_jxl(content: bytes) -> bool:
    """Whether a file with this content is a JPEG XL, with or without boxes around it."""
    return content.startswith((CODESTREAM, CONTAINER))


def read_jxl_header(content: bytes) -> JxlHeader:
    """Return what the header of a JPEG XL says.

    Raises:
        UndecodableError: it is damaged, or of a kind that no encoder is known to write.
    """
    start, exif = (content[:_MAX_HEADER_BYTES], b"") if content.startswith(CODESTREAM) else _read_boxes(content)
    if not start.startswith(CODESTREAM):
        raise UndecodableError("damaged header: a JPEG XL without a picture")
    bits = _Bits(start[len(CODESTREAM) : _MAX_HEADER_BYTES])
    width, height = bits.read_size()
    is_animation = 0
    all_default = bits.read(1)
    if not all_default and bits.read(1):
        bits.read(3)  # The orientation, which the decoder applies.
        if bits.read(1):
            bits.read_size()
        if bits.read(1):
            raise UndecodableError("a JPEG XL with a preview frame, which is not read")
        is_animation = bits.read(1)
    return JxlHeader(width, height, bool(is_animation), exif)


def _read_boxes(content: bytes) -> tuple[bytes, bytes]:
    """Return the beginning of the codestream, and the Exif data."""
    start, exif = b"", b""
    for kind, first, end in _iter_boxes(content):
        if kind == b"jxlc":
            start = start or content[first : min(end, first + _MAX_HEADER_BYTES)]
        elif kind == b"jxlp" and len(start) < _MAX_HEADER_BYTES:
            # Behind the number of the part; one that is too short for the header goes on in the next.
            start += content[first + 4 : min(end, first + 4 + _MAX_HEADER_BYTES)]
        elif kind == b"Exif":
            exif = exif or content[first + 4 + int.from_bytes(content[first : first + 4]) : end]
    return start, exif


def _iter_boxes(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type of each box, and where what it holds begins and ends."""
    offset = 0
    while offset + 8 <= len(content):
        size, first = int.from_bytes(content[offset : offset + 4]), offset + 8
        if size == 1:
            size, first = int.from_bytes(content[first : first + 8]), first + 8
        end = offset + size if size else len(content)
        if end < first:
            raise UndecodableError("damaged header: a box that ends before it begins")
        yield content[offset + 4 : offset + 8], first, min(end, len(content))
        offset = end
