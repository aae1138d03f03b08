"""What the decoder process and its parent share: settings, results and limits.

Plain values: whoever only names them does not load OpenCV.
"""

from dataclasses import dataclass, fields
from typing import Literal

DECODER_VERSION = 3
"""To be raised whenever the thumbnail of any file may change, or what a guard must know of it: thumbnails and scores stored under
another one are not reused."""

MAX_PIXELS = 200_000_000
"""Larger pictures are refused before decoding. With four 16-bit channels, one of this size took 3.1 GB."""

MAX_FRAMES = 2**31 - 1
"""More frames than a table can count are counted as so many: a header may say anything."""

MIN_FRAME_PIXELS = 10_000
"""When the pixels of all frames of a file are counted, a smaller frame counts as so many: each takes its time."""

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
        frames: how many frames or pages the file has; the thumbnail is of the first. 1 for a single picture.
        extras: what is in the file beside its picture, and is not compared: the pictures and the film behind that of a JPEG
            (MPO, gain maps, motion photos), the maps and the film of a HEIF, the layers of a PSD.
        film_digest: SHA-256 of the film behind the picture, in hexadecimal; None if there is none.
        taken: EXIF's DateTimeOriginal with its fractions of a second, ISO 8601 local time: "2019-05-01T12:00:00.25".
        exposure: EXIF's ExposureTime, FNumber, PhotographicSensitivity and ExposureBiasValue, those that there are:
            "0.008 s, f/2.8, ISO 100, -1 EV".
        camera: EXIF's Make and Model, "NIKON D750" and not "NIKON CORPORATION NIKON D750"; see `headers.name_camera`.
        pixels_digest: SHA-256 of all that the file shows, in hexadecimal; see `decoder.digest_pixels`. None where nobody
            asked for it, or where it would not be exact.
    """

    digest: str | None = None
    width_px: int | None = None
    height_px: int | None = None
    format: str | None = None
    error: str | None = None
    frames: int | None = None
    extras: int | None = None
    film_digest: str | None = None
    taken: str | None = None
    exposure: str | None = None
    camera: str | None = None
    pixels_digest: str | None = None


class UndecodableError(Exception):
    """The file is no picture that can be compared; the message says why. It becomes the file's `Decoded.error`."""


DECODED_FIELDS = tuple(field.name for field in fields(Decoded))
"""The names of these facts, in the order in which tables hold them."""
