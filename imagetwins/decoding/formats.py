"""Every picture format that is known, in one table: listing, decoding and the command line's help read it.

A new format is one entry in `FORMATS`.
"""

from dataclasses import dataclass
from typing import Literal

from imagetwins.decoding.jxl import CODESTREAM, CONTAINER


@dataclass(frozen=True)
class Format:
    """A picture format.

    Attributes:
        name: Pillow's name for it, where Pillow knows it.
        suffixes: lower case, with the dot. A file with one of them is listed, whatever its content is.
        magic: (offset, bytes) of what a file of the format begins with; one of them suffices. A file that has it is listed,
            whatever its name is. Empty if first bytes are no evidence.
        decoder: what decodes it.
        plugin: the module that adds the format to Pillow, where Pillow itself does not know it; it is imported when a file
            has the format's magic.
    """

    name: str
    suffixes: tuple[str, ...]
    magic: tuple[tuple[int, bytes], ...] = ()
    decoder: Literal["opencv", "pillow", "rawpy"] = "opencv"
    plugin: str | None = None

    def has_magic(self, start: bytes) -> bool:
        """Whether a file that begins with `start` is of this format, as far as the magic tells."""
        return any(start.startswith(magic, offset) for offset, magic in self.magic)


RAW = Format(
    "RAW",
    (
        *(
            ".3fr",
            ".arw",
            ".cr2",
            ".cr3",
            ".crw",
            ".dcr",
            ".dng",
            ".erf",
            ".fff",
            ".iiq",
            ".kdc",
            ".mef",
            ".mos",
            ".mrw",
        ),
        *(".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
    ),
    (
        *((0, b"FUJIFILMCCD-RAW"), (4, b"ftypcrx "), (8, b"CR\2\0"), (0, b"IIRO"), (0, b"IIRS"), (0, b"MMOR")),
        *((0, b"IIU\0\x18"), (0, b"FOVb"), (0, b"\0MRM")),
    ),
    decoder="rawpy",
)
"""The raw files of all cameras. Most begin like a TIFF, and only their suffix tells them from one."""

# Pillow, which tells the format by content, tries those with a decoder in this order.
FORMATS = (
    # Pillow's MPO is a JPEG with more pictures after the first.
    Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), ((0, b"\xff\xd8\xff"),)),
    Format("PNG", (".png", ".apng"), ((0, b"\x89PNG\r\n\x1a\n"),)),
    Format("GIF", (".gif",), ((0, b"GIF87a"), (0, b"GIF89a"))),
    Format("WEBP", (".webp",), ((8, b"WEBP"),)),
    # No magic: the first bytes are two letters.
    Format("BMP", (".bmp", ".dib")),
    # No magic: most cameras' raw files begin with the same bytes. Without their suffix, the preview in such a file would be
    # taken for a copy of the JPEG that the camera wrote beside it.
    Format("TIFF", (".tif", ".tiff")),
    Format("JPEG2000", (".jp2", ".j2k"), ((0, b"\0\0\0\x0cjP  "), (0, b"\xff\x4f\xff\x51"))),
    Format("AVIF", (".avif",), ((4, b"ftypavif"), (4, b"ftypavis"))),
    # No magic: a letter and a digit.
    Format("PPM", (".ppm", ".pgm", ".pbm", ".pnm")),
    Format(
        "HEIF",
        (".heic", ".heif", ".hif"),
        tuple(
            (4, b"ftyp" + brand.encode())
            for brand in ["heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs", "mif1", "msf1"]
        ),
        decoder="pillow",
        plugin="pillow_heif.HeifImagePlugin",
    ),
    Format(
        "JXL", (".jxl",), ((0, CODESTREAM), (0, CONTAINER)), decoder="pillow", plugin="pillow_jxl.JpegXLImagePlugin"
    ),
    # Its composite, as all layers together show it.
    Format("PSD", (".psd",), ((0, b"8BPS"),), decoder="pillow"),
    RAW,
)


def decoded_formats() -> tuple[str, ...]:
    """Return the names of all formats."""
    return tuple(known.name for known in FORMATS)


def known_format(name: str) -> Format:
    """Return the format of this name.

    Raises:
        KeyError: there is none.
    """
    return {known.name: known for known in FORMATS}[name]


def picture_suffixes() -> frozenset[str]:
    """Return the suffixes of pictures, in lower case, each with its dot."""
    return frozenset(suffix for known in FORMATS for suffix in known.suffixes)


def has_picture_magic(start: bytes) -> bool:
    """Whether a file that begins with `start`, its first `magic_length()` bytes or all if it has fewer, is a picture."""
    return any(known.has_magic(start) for known in FORMATS)


def magic_length() -> int:
    """Return how many of a file's first bytes `has_picture_magic` needs."""
    return max(offset + len(magic) for known in FORMATS for offset, magic in known.magic)
