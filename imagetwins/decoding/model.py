"""What the decoder process and its parent share: settings, results and limits.

Plain values: whoever only names them does not load OpenCV.
"""

from dataclasses import dataclass, fields
from typing import Literal

DECODER_VERSION = 1
"""To be raised whenever the thumbnail of any file may change: thumbnails and scores stored under another one are not reused."""

MAX_PIXELS = 200_000_000
"""Larger pictures are refused before decoding. With four 16-bit channels, one of this size took 3.1 GB."""

MAX_BYTES = 1 << 30
"""Larger files are refused before reading."""

MAX_SECONDS = 60
"""A file that takes longer is given up, and its decoder process with it."""

MAX_IDLE_SECONDS = 20
"""A decoder process without work for so long ends; starting another takes a fraction of a second."""

UNRESERVED_BYTES = 16 << 20
"""Memory that a decoder process may use without reserving it: JPEGs of up to 2.8 megapixels never wait for others."""

MAX_ADDRESS_SPACE = 6 << 30
"""Bytes of address space of a decoder process: an allocation that only a lying header asks for fails in that process."""

Resampling = Literal["area", "linear"]
"""How a picture is resized: "area" averages all its pixels, "linear" is OpenCV's plain resize."""

Decoding = Literal["full", "reduced"]
"""Whether every pixel is decoded, or large JPEGs at a half, a quarter or an eighth of their sides."""


@dataclass(frozen=True)
class DecodeSettings:
    """Everything except a file's content that decides what its thumbnail is; a cache of thumbnails is keyed by it.

    Attributes:
        size: side of the square thumbnail, in pixels.
    """

    size: int
    resampling: Resampling = "area"
    decoding: Decoding = "full"


@dataclass(frozen=True)
class Decoded:
    """What decoding a file found out about it; the tables' columns of these names are made from this class.

    Attributes:
        digest: SHA-256 of the content, in hexadecimal; None if the file could not be read.
        width_px: as displayed, that is, with the orientation applied; as stored where there is an error. None if unknown.
        height_px: as `width_px`.
        format: a name from `formats.FORMATS`; None if unknown.
        error: why there is no thumbnail; None exactly when there is one.
    """

    digest: str | None
    width_px: int | None
    height_px: int | None
    format: str | None
    error: str | None


DECODED_FIELDS = tuple(field.name for field in fields(Decoded))
"""The names of these facts, in the order in which tables hold them."""
