"""Every picture format that is known, in one table: listing, decoding and the command line's help read it.

A new format is one entry in `FORMATS`; one that is only called by its name, because it is not read, in `NOT_READ`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from imagetwins.decoding.jxl import CODESTREAM, CONTAINER


@dataclass(frozen=True)
class Kind:
    """What people call a picture, whether it is read or not.

    Attributes:
        name: Pillow's name for it, where Pillow knows it.
        suffixes: lower case, with the dot.
        magic: (offset, bytes) of what a file of the format begins with; one of them suffices. Empty if first bytes are no
            evidence.
    """

    name: str
    suffixes: tuple[str, ...]
    magic: tuple[tuple[int, bytes], ...] = ()

    def has_magic(self, start: bytes) -> bool:
        """Whether a file that begins with `start` is of this format, as far as the magic tells."""
        return any(start.startswith(magic, offset) for offset, magic in self.magic)


@dataclass(frozen=True)
class Format(Kind):
    """A picture format that is read: a file with one of its suffixes is listed whatever its content is, one with its magic whatever
    its name is.

    Attributes:
        decoder: what decodes it.
        plugin: the module that adds the format to Pillow, where Pillow itself does not know it; it is imported when a file
            has the format's magic.
    """

    decoder: Literal["opencv", "pillow", "rawpy"] = "opencv"
    plugin: str | None = None


AnyKind = TypeVar("AnyKind", bound=Kind)

RAW = Format(
    "RAW",
    (
        *(".3fr", ".arw", ".bay", ".cr2", ".cr3", ".crw", ".cs1", ".dcr", ".dcs", ".dng", ".drf", ".erf"),
        *(".fff", ".gpr", ".iiq", ".k25", ".kc2", ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf"),
        *(".ori", ".pef", ".pxn", ".qtk", ".raf", ".rw2", ".rwl", ".rwz", ".sr2", ".srf", ".srw", ".x3f"),
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
    Format("PSD", (".psd",), ((0, b"8BPS\0\1"),), decoder="pillow"),
    RAW,
)

NOT_READ = (
    Kind("ICO", (".ico", ".cur")),
    Kind("ICNS", (".icns",)),
    Kind("TGA", (".tga",)),
    Kind("PCX", (".pcx",)),
    Kind("DDS", (".dds",)),
    Kind("SGI", (".sgi",)),
    Kind("XPM", (".xpm",)),
    Kind("QOI", (".qoi",)),
    Kind("PAM", (".pam",)),
    Kind("JPEG XR", (".jxr", ".wdp", ".hdp")),
    # Light in floating-point numbers. Fonts, and data about the earth, have two of these suffixes, too.
    Kind("EXR", (".exr",)),
    Kind("HDR", (".hdr",), ((0, b"#?RADIANCE"), (0, b"#?RGBE"))),
    Kind("PFM", (".pfm",), ((0, b"PF\n"), (0, b"Pf\n"))),
    # Of astronomers and physicians. Sports watches have a suffix of the first, too.
    Kind("FITS", (".fits", ".fit", ".fts"), ((0, b"SIMPLE  ="),)),
    Kind("DICOM", (".dcm",)),
    # Drawings
    Kind("SVG", (".svg", ".svgz")),
    Kind("EPS", (".eps",)),
    Kind("WMF", (".wmf", ".emf")),
    # Of programs that paint
    Kind("PSB", (".psb",)),
    Kind("XCF", (".xcf",)),
    Kind("KRA", (".kra",)),
    Kind("OpenRaster", (".ora",)),
    Kind("PaintShop Pro", (".pspimage",)),
    Kind("Affinity", (".afphoto",)),
)
"""What is a picture to a person, and listed by its suffix (and magic, where it has one) with an error that says that it is not
read. Where the content is that of a picture that is read, as in most icons of web sites, it is one of `FORMATS`."""


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
    """Return the suffixes of pictures that are read, in lower case, each with its dot."""
    return frozenset(_by_suffix(FORMATS))


def find_format(word: str) -> Format | None:
    """Return the format that a person calls `word`, its name or a suffix with or without the dot; None if there is none."""
    lower = word.lower().removeprefix(".")
    by_name = {known.name.lower(): known for known in FORMATS}
    return by_name.get(lower) or _by_suffix(FORMATS).get(f".{lower}")


def kind_finder() -> Callable[[str, bytes], Kind | None]:
    """Return a function that finds what picture a file is: by its suffix, and by its first `magic_length()` bytes or all if it has fewer.

    What it finds is read if it is a `Format`; it finds None if the file is no picture.
    """
    by_suffix, not_read = _by_suffix(FORMATS), _by_suffix(NOT_READ)

    def find_kind(suffix: str, start: bytes) -> Kind | None:
        if named := by_suffix.get(suffix.lower()):
            return named
        if found := next((known for known in FORMATS if known.has_magic(start)), None):
            return found
        called = not_read.get(suffix.lower())
        return called if called and (not called.magic or called.has_magic(start)) else None

    return find_kind


def name_not_read(suffix: str) -> str | None:
    """Return the name of the format in `NOT_READ` with this suffix; None if there is none."""
    called = _by_suffix(NOT_READ).get(suffix.lower())
    return called.name if called else None


def magic_length() -> int:
    """Return how many of a file's first bytes `kind_finder` needs."""
    return max(offset + len(magic) for known in (*FORMATS, *NOT_READ) for offset, magic in known.magic)


def _by_suffix(kinds: Sequence[AnyKind]) -> dict[str, AnyKind]:
    return {suffix: one for one in kinds for suffix in one.suffixes}
