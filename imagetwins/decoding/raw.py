"""Cameras' raw files, by LibRaw: the preview that the camera put in, or, where there is none, the picture at half its size."""

import importlib
import io
from contextlib import suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import cv2
from numpy.typing import NDArray
from PIL import Image

from imagetwins.decoding.model import UndecodableError

_ORIENTATIONS = {0: 1, 3: 3, 5: 8, 6: 6}
"""EXIF's orientation, by LibRaw's `flip`."""


_WRITTEN = 2048
"""LibRaw puts EXIF data of at most so many bytes before a preview that has none."""


@dataclass(frozen=True)
class Raw:
    """What a raw file says.

    Attributes:
        width_px, height_px: of the developed picture as displayed.
        orientation: EXIF's, of the stored picture.
        preview: a JPEG, None if there is none.
        exif: empty where it is not that of a TIFF.
    """

    width_px: int
    height_px: int
    orientation: int
    preview: bytes | None
    exif: Image.Exif

    @property
    def is_wide(self) -> bool:
        """Whether the displayed picture is wider than it is high."""
        return self.width_px > self.height_px


def import_library(name: str, kind: str) -> ModuleType:
    """Import a library that not every machine has.

    Raises:
        UndecodableError: it is not there.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0].replace("_", "-")
        raise UndecodableError(f"{kind} files are read by {package}, which is not installed here: {error}") from None


def _open(content: bytes) -> Any:
    rawpy = import_library("rawpy", "RAW")
    try:
        return rawpy.imread(io.BytesIO(content))
    except rawpy.LibRawError as error:
        raise UndecodableError(f"damaged, or a raw file of an unknown kind: {_describe(error)}") from None


def _describe(error: Exception) -> str:
    said = error.args[0] if error.args else ""
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)


def read_raw(content: bytes) -> Raw:
    """Return what the raw file with this content says, without developing it.

    Raises:
        UndecodableError: LibRaw does not know it, or is not installed.
    """
    rawpy = import_library("rawpy", "RAW")
    with _open(content) as raw:
        sizes = raw.sizes
        try:
            preview = raw.extract_thumb()
        except rawpy.LibRawError:
            preview = None
    orientation = _ORIENTATIONS.get(sizes.flip, 1)
    width, height = sizes.width, sizes.height
    is_jpeg = preview is not None and preview.format == rawpy.ThumbFormat.JPEG and _is_part_of(preview.data, content)
    exif = Image.Exif()
    if content.startswith((b"II*\0", b"MM\0*")):
        # Of damaged EXIF data nothing is needed.
        with suppress(Exception):
            exif.load(b"Exif\0\0" + content)
    return Raw(
        *((width, height) if orientation < 5 else (height, width)), orientation, preview.data if is_jpeg else None, exif
    )


def _is_part_of(preview: bytes, content: bytes) -> bool:
    """Whether the end of a preview is in the file; its first bytes LibRaw may have written.

    Of a file that breaks off before its preview, LibRaw returns what lay in memory: that of another file, perhaps.
    """
    end = preview[-min(max(len(preview) - _WRITTEN, 64), 4096) :]
    return end in content


def develop(content: bytes) -> NDArray[Any]:
    """Return (h, w, 3) uint8 BGR, the stored picture of a raw file at half its size.

    Raises:
        UndecodableError: it is damaged.
    """
    rawpy = import_library("rawpy", "RAW")
    with _open(content) as raw:
        try:
            developed = raw.postprocess(half_size=True, use_camera_wb=True, user_flip=0)
        except rawpy.LibRawError as error:
            raise UndecodableError(f"damaged: {_describe(error)}") from None
    bgr: NDArray[Any] = cv2.cvtColor(developed, cv2.COLOR_RGB2BGR)
    return bgr
