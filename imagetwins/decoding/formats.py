"""Every picture format that is known, in one table: listing, decoding and the command line's help read it.

A new format is one entry in `FORMATS`.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Format:
    """A picture format.

    Attributes:
        name: Pillow's name for it, where Pillow knows it.
        suffixes: lower case, with the dot. A file with one of them is listed, whatever its content is.
        magic: (offset, bytes) of what a file of the format begins with; one of them suffices. A file that has it is listed,
            whatever its name is. Empty if first bytes are no evidence.
        decoder: what decodes it. None: nothing does, but it is a picture to whoever looks at the folder, so that its files
            are listed, with an error that says so.
    """

    name: str
    suffixes: tuple[str, ...]
    magic: tuple[tuple[int, bytes], ...] = ()
    decoder: Literal["opencv"] | None = "opencv"


RAW = "RAW"
"""The name of all cameras' raw formats."""

# Pillow, which tells the format by content, tries those with a decoder in this order.
FORMATS = (
    # Pillow's MPO is a JPEG with more pictures after the first.
    Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), ((0, b"\xff\xd8\xff"),)),
    Format("PNG", (".png", ".apng"), ((0, b"\x89PNG\r\n\x1a\n"),)),
    Format("GIF", (".gif",), ((0, b"GIF87a"), (0, b"GIF89a"))),
    Format("WEBP", (".webp",), ((8, b"WEBP"),)),
    # No magic: the first bytes are two letters.
    Format("BMP", (".bmp", ".dib")),
    # No magic: most cameras' raw files begin with the same bytes. The picture in such a file is a preview, so that it would
    # be taken for a copy of the JPEG that the camera wrote beside it.
    Format("TIFF", (".tif", ".tiff")),
    Format("JPEG2000", (".jp2", ".j2k"), ((0, b"\0\0\0\x0cjP  "), (0, b"\xff\x4f\xff\x51"))),
    Format("AVIF", (".avif",), ((4, b"ftypavif"), (4, b"ftypavis"))),
    # No magic: a letter and a digit.
    Format("PPM", (".ppm", ".pgm", ".pbm", ".pnm")),
    Format("HEIC", (".heic", ".heif"), decoder=None),
    Format("JXL", (".jxl",), decoder=None),
    Format("PSD", (".psd",), decoder=None),
)


def decoded_formats() -> tuple[str, ...]:
    """Return the names of the formats that are decoded."""
    return tuple(known.name for known in FORMATS if known.decoder)


def undecoded_formats() -> tuple[str, ...]:
    """Return the names of the formats that are listed as pictures, but not decoded."""
    return tuple(known.name for known in FORMATS if not known.decoder)


def has_picture_suffix(suffix: str) -> bool:
    """Whether `suffix`, with its dot, is that of a picture; upper and lower case are alike."""
    return any(suffix.lower() in known.suffixes for known in FORMATS)


def has_picture_magic(start: bytes) -> bool:
    """Whether a file that begins with `start`, its first `magic_length()` bytes or all if it has fewer, is a picture."""
    return any(start.startswith(magic, offset) for known in FORMATS for offset, magic in known.magic)


def magic_length() -> int:
    """Return how many of a file's first bytes `has_picture_magic` needs."""
    return max(offset + len(magic) for known in FORMATS for offset, magic in known.magic)
