"""The file of a picture as a browser can show it: as it is, or, of a format that browsers do not know, decoded here."""

from typing import NamedTuple

import cv2
import numpy as np

from imagetwins.decoding.model import DecodeSettings
from imagetwins.errors import StoreError
from imagetwins.moving.asides import note_asides
from imagetwins.scanning.thumbnails import FilePlaces, read_square
from imagetwins.storage import Location, storage_of
from imagetwins.store.runs import Run
from imagetwins.store.schemas import DECISIONS, IMAGES
from imagetwins.store.tables import read_table

MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "GIF": "image/gif",
    "WEBP": "image/webp",
    "BMP": "image/bmp",
    "AVIF": "image/avif",
}
"""The formats that all browsers show, by their names in `decoding.formats`."""

PREVIEW_SIDE = 1024
"""The longer side of what is decoded here, in pixels."""

PREVIEW_QUALITY = 90


class Original(NamedTuple):
    """A picture to hand to a browser."""

    media_type: str
    content: bytes


def read_original(run: Run, image: int) -> Original:
    """Return the picture `image` of `run`, wherever the run or a person has put its file since.

    Raises:
        StoreError: the run has no such picture, or its file is gone or has another size now.
        OSError: it cannot be read.
    """
    images = read_table(run.images, IMAGES)
    if image >= len(images) or not isinstance(images["format"].iat[image], str):
        raise StoreError(f"run {run.run_id} has no picture {image} that could be read.")
    row = images.iloc[image]
    decisions = read_table(run.decisions, DECISIONS)
    if FilePlaces(images, decisions).find_name(image) is None:
        decisions = note_asides(run.store, images, decisions, [image])
    location = _find_file(FilePlaces(images, decisions), image, int(row["size_bytes"]))
    if media_type := MEDIA_TYPES.get(row["format"]):
        return Original(media_type, storage_of(location).read_bytes(location))
    return _decode(location, int(row["width_px"]), int(row["height_px"]))


def _find_file(places: FilePlaces, image: int, size_bytes: int) -> Location:
    name = places.find_name(image)
    if name is None:
        raise StoreError(f"{places.original_name(image)!r} is no longer there.")
    location = places.locate(image, name)
    # What has come in its place is not shown as if it were what was compared.
    stamp = storage_of(location).stat(location)
    if stamp is None or stamp.size_bytes != size_bytes:
        raise StoreError(f"{name!r} has changed since the run.")
    return location


def _decode(location: Location, width_px: int, height_px: int) -> Original:
    """Return the picture at `location`, decoded in a process of its own as for a run, in the shape that it is displayed in."""
    square = read_square(location, DecodeSettings(PREVIEW_SIDE))
    if square is None:
        raise StoreError(f"{str(location)!r} cannot be decoded any more.")
    scale = min(1.0, PREVIEW_SIDE / max(width_px, height_px))
    shape = max(1, round(width_px * scale)), max(1, round(height_px * scale))
    pixels = cv2.resize(square, shape, interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, PREVIEW_QUALITY])
    return Original("image/jpeg", np.asarray(encoded).tobytes())
