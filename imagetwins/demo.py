"""The sample folder: photographs that scikit-image ships in its wheel, charts and text pages, and planted copies.

Everything is made on this machine, the same on every call: distinct pictures in `album`, `charts` and `scans`, copies of
some of them in `backup` and `downloads`, near misses that are no duplicates, and one file that cannot be decoded.
"""

import functools
import importlib.resources
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imagetwins.calibration.distortions import Image, plant_copy
from imagetwins.storage import DUPLICATES, storage_of

SEED = 6
JPEG_QUALITY = 90


def build_samples(target: Path) -> int:
    """Make the sample folder complete and return its number of files.

    Files that are there are left alone; one that an earlier run moved to `Duplicates` comes back from there.
    """
    for sample in SAMPLES:
        file = target / sample.path
        if not file.exists():
            _put(file, sample.encode(), moved=target / DUPLICATES / sample.path)
    return len(SAMPLES)


def _put(file: Path, content: bytes, moved: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if moved.is_file() and moved.read_bytes() == content:
        moved.replace(file)
        return
    with storage_of(file).writing(file) as temporary:
        temporary.write_bytes(content)


@dataclass(frozen=True)
class Sample:
    """One file of the sample folder: a picture, possibly changed, in the format of the path's suffix."""

    path: str
    picture: Callable[[], Image]
    change: str | None = None

    def encode(self) -> bytes:
        image = self.picture()
        if self.change:
            image = plant_copy(image, self.change, np.random.default_rng(SEED))
        suffix = Path(self.path).suffix
        options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if suffix == ".jpg" else []
        _, encoded = cv2.imencode(suffix, image, options)
        return encoded.tobytes()


@dataclass(frozen=True)
class Corrupt(Sample):
    """A file that begins like a JPEG and holds no picture: a download that broke off."""

    def encode(self) -> bytes:
        return super().encode()[:400]


def photo(name: str, box: tuple[float, float, float, float] = (0, 0, 1, 1), width: int = 640) -> Callable[[], Image]:
    """Return the maker of one of scikit-image's photographs, or of a part of it.

    Args:
        name: file name in scikit-image's data folder.
        box: left, top, right and bottom of the part, as shares of the photograph.
        width: of the picture made, in pixels.
    """

    def make() -> Image:
        whole = _read_photo(name)
        height_px, width_px = whole.shape[:2]
        left, top, right, bottom = box
        part = whole[
            round(top * height_px) : round(bottom * height_px), round(left * width_px) : round(right * width_px)
        ]
        size = (width, round(width * part.shape[0] / part.shape[1]))
        shrinks = width < part.shape[1]
        return np.asarray(
            cv2.resize(part, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC), np.uint8
        )

    return make


@functools.cache
def _read_photo(name: str) -> Image:
    content = importlib.resources.files("skimage.data").joinpath(name).read_bytes()
    return np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def chart(kind: str, seed: int) -> Callable[[], Image]:
    """Return the maker of a chart of made-up figures: `kind` is lines, bars, points or pie."""

    def make() -> Image:
        figure = Figure(figsize=(6.4, 4.4), dpi=100, layout="constrained")
        axes = figure.add_subplot()
        _DRAWINGS[kind](axes, np.random.default_rng(seed))
        axes.set_title(f"{kind.capitalize()} of series {seed}")
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png")
        return np.asarray(cv2.imdecode(np.frombuffer(drawn.getvalue(), np.uint8), cv2.IMREAD_COLOR), np.uint8)

    return make


def _draw_lines(axes: Axes, rng: np.random.Generator) -> None:
    axes.plot(rng.normal(size=(60, 4)).cumsum(axis=0))
    axes.grid(visible=True)


def _draw_bars(axes: Axes, rng: np.random.Generator) -> None:
    axes.bar(range(12), rng.uniform(10, 100, 12), color="tab:orange")


def _draw_points(axes: Axes, rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(2, 150))
    axes.scatter(x, y, c=rng.uniform(size=150), s=rng.uniform(10, 160, 150))


def _draw_pie(axes: Axes, rng: np.random.Generator) -> None:
    axes.pie(rng.uniform(1, 5, 5), labels=[*"ABCDE"])


_DRAWINGS = {"lines": _draw_lines, "bars": _draw_bars, "points": _draw_points, "pie": _draw_pie}

_SENTENCES = (
    "a picture is worth what can be found in it again",
    "the window slides over both and compares their means",
    "two pages of text differ in every word and look alike",
    "structure is what remains when light is taken away",
    "noise has no structure and halves nobody misses it",
    "what was moved by night can be put back by day",
)


def text_page(seed: int) -> Callable[[], Image]:
    """Return the maker of a page of black words on white. Two of them differ in every word, yet score above 0.9."""

    def make() -> Image:
        rng = np.random.default_rng(seed)
        page = np.full((1100, 850, 3), 255, np.uint8)
        for line in range(6):
            words = " ".join(rng.permutation(" ".join(rng.choice(_SENTENCES, 3)).split()))[:38]
            cv2.putText(page, words, (80, 120 + 60 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (0, 0, 0), 1, cv2.LINE_AA)
        return page

    return make


_ORIGINALS = {
    "album/astronaut.jpg": photo("astronaut.png"),
    "album/cat.jpg": photo("chelsea.png"),
    "album/café.jpg": photo("coffee.png", width=800),
    "album/camera.png": photo("camera.png", width=512),
    "album/coins.jpg": photo("coins.png", width=600),
    "album/deep field.jpg": photo("hubble_deep_field.jpg", width=900),
    "album/moon.jpg": photo("moon.png", width=512),
    "album/retina.jpg": photo("retina.jpg", width=700),
    "album/rocket.jpg": photo("rocket.jpg"),
    "album/rocket, the tip.jpg": photo("rocket.jpg", (0.3, 0.0, 0.75, 0.6), 560),
    "album/portrait.jpg": photo("astronaut.png", (0.2, 0.0, 0.75, 0.6), 480),
    "album/space shuttle.jpg": photo("astronaut.png", (0.55, 0.0, 1.0, 0.6), 480),
    "album/cat, the eyes.jpg": photo("chelsea.png", (0.2, 0.1, 0.75, 0.65), 560),
    "album/spoon.jpg": photo("coffee.png", (0.5, 0.2, 1.0, 1.0), 500),
    "album/galaxies north.jpg": photo("hubble_deep_field.jpg", (0.0, 0.0, 0.5, 0.45), 600),
    "album/galaxies south.jpg": photo("hubble_deep_field.jpg", (0.45, 0.5, 1.0, 1.0), 600),
    "album/motorcycle left eye.jpg": photo("motorcycle_left.png", width=720),
    "album/motorcycle right eye.jpg": photo("motorcycle_right.png", width=720),
    "album/motorcycle, the wheel.jpg": photo("motorcycle_left.png", (0.55, 0.35, 1.0, 1.0), 520),
    "album/textures/brick.jpg": photo("brick.png", width=512),
    "album/textures/grass.jpg": photo("grass.png", width=512),
    "album/textures/gravel.jpg": photo("gravel.png", width=512),
    "charts/bars 1.png": chart("bars", 1),
    "charts/bars 2.png": chart("bars", 2),
    "charts/lines 1.png": chart("lines", 1),
    "charts/lines 2.png": chart("lines", 2),
    "charts/pie.png": chart("pie", 3),
    "charts/points.png": chart("points", 4),
    "scans/page 1.png": text_page(1),
    "scans/page 2.png": text_page(2),
    "scans/blackboard.png": photo("text.png", width=760),
}

_COPIES = (
    ("backup/astronaut.jpg", "album/astronaut.jpg", "jpeg60"),
    ("backup/astronaut (2).png", "album/astronaut.jpg", "halved"),
    ("backup/astronaut, grey.jpg", "album/astronaut.jpg", "grey"),
    ("backup/café [small].jpg", "album/café.jpg", "halved"),
    ("backup/café.webp", "album/café.jpg", None),
    ("backup/camera.bmp", "album/camera.png", None),
    ("backup/cat, large.jpg", "album/cat.jpg", "doubled"),
    ("backup/coins.png", "album/coins.jpg", None),
    ("backup/deep field.jpg", "album/deep field.jpg", "halved"),
    ("backup/moon.jpg", "album/moon.jpg", "jpeg30"),
    ("backup/rocket.jpg", "album/rocket.jpg", "jpeg30"),
    ("backup/textures/brick.jpg", "album/textures/brick.jpg", "jpeg60"),
    ("downloads/IMG_0001.jpg", "album/cat.jpg", "brightened"),
    ("downloads/IMG_0002.jpg", "album/astronaut.jpg", "brightened"),
    ("downloads/IMG_0003.webp", "album/rocket.jpg", "halved"),
    ("downloads/IMG_0004.jpg", "album/moon.jpg", "cropped"),
    ("downloads/IMG_0005.jpg", "album/portrait.jpg", "rotated"),
    ("downloads/IMG_0006.jpg", "album/café.jpg", "watermarked"),
    ("downloads/IMG_0007.jpg", "album/coins.jpg", "rotated"),
    ("scans/page 1_copy.jpg", "scans/page 1.png", "jpeg60"),
    ("downloads/chart.jpg", "charts/lines 1.png", "jpeg60"),
    ("downloads/chart small.png", "charts/bars 1.png", "halved"),
    ("downloads/pie.webp", "charts/pie.png", None),
)

SAMPLES = (
    *(Sample(path, picture) for path, picture in _ORIGINALS.items()),
    *(Sample(path, _ORIGINALS[original], change) for path, original, change in _COPIES),
    Corrupt("downloads/broken off.jpg", _ORIGINALS["album/rocket.jpg"]),
)
"""Every file of the sample folder."""
