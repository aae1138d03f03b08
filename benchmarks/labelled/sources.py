"""The pictures that the labelled corpus is made of: scikit-image's photographs and drawn charts, or a folder's."""

import importlib.resources
import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps
from PIL.Image import Image as Picture

from benchmarks.labelled.drawing import to_picture
from imagetwins import demo

PHOTOS, CHARTS = 16, 8
"""How many photographs and charts are copied; twice as many photographs are made look-alikes of."""

LONG_SIDE = 720
"""Pixels: large enough that halving costs detail, small enough that a thousand files are read in seconds."""

_SHIPPED = (
    *("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "hubble_deep_field.jpg"),
    *("retina.jpg", "ihc.png", "camera.png", "coins.png", "moon.png", "brick.png", "grass.png", "gravel.png"),
    *("page.png", "color.png"),
)
# left, top, right, bottom as shares: parts that show something else than the whole does.
_PARTS = ((0.0, 0.0, 0.62, 0.62), (0.38, 0.3, 1.0, 0.95))


@dataclass(frozen=True)
class Sources:
    """RGB pictures; `originals` are copied, of `others` look-alikes are made. All are different pictures."""

    photos: list[Picture]
    charts: list[Picture]
    others: list[Picture]


def read_sources(corpus: Path | None = None) -> Sources:
    """Return what the sub-folders `photos` and `charts` of `corpus` hold; without one, what installed packages ship."""
    if corpus is None:
        return _shipped_sources()
    photos, charts = _read_folder(corpus / "photos", 3 * PHOTOS), _read_folder(corpus / "charts", CHARTS)
    return Sources(photos[:PHOTOS], charts, photos[PHOTOS:])


def _read_folder(folder: Path, count: int) -> list[Picture]:
    files = sorted(folder.iterdir())[:count]
    if len(files) < count:
        raise SystemExit(f"{folder} has {len(files)} pictures, {count} are needed: leave out --corpus, or add some.")
    return [_fit(read_picture(file.read_bytes())) for file in files]


def shipped(name: str) -> Picture:
    """Return one of scikit-image's pictures as RGB."""
    return read_picture(importlib.resources.files("skimage.data").joinpath(name).read_bytes())


def shipped_faces() -> list[Picture]:
    """Return the 100 grey faces, of 25 x 25 pixels, that scikit-image ships."""
    content = importlib.resources.files("skimage.data").joinpath("lfw_subset.npy").read_bytes()
    return [to_picture(255 * face) for face in np.load(io.BytesIO(content))[:100]]


def read_picture(content: bytes) -> Picture:
    return ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")


def _shipped_sources() -> Sources:
    photos = [_fit(shipped(name)) for name in _SHIPPED[:PHOTOS]]
    charts = [
        Image.fromarray(cv2.cvtColor(demo.chart(kind, seed)(), cv2.COLOR_BGR2RGB))
        for kind in ("lines", "bars", "points", "pie")
        for seed in range(CHARTS // 4)
    ]
    return Sources(photos, charts, [_part(shipped(name), part) for part in _PARTS for name in _SHIPPED[:PHOTOS]])


def _fit(picture: Picture) -> Picture:
    scale = min(1, LONG_SIDE / max(picture.size))
    return picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)


def _part(picture: Picture, part: tuple[float, float, float, float]) -> Picture:
    """Return a part of a picture, mirrored, as large as a whole one."""
    left, top, right, bottom = part
    width, height = picture.size
    cut = picture.crop((round(left * width), round(top * height), round(right * width), round(bottom * height)))
    scale = LONG_SIDE / max(cut.size)
    size = round(cut.width * scale), round(cut.height * scale)
    return ImageOps.mirror(cut.resize(size, Image.Resampling.LANCZOS))
