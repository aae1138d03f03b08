"""Matches that a person has to look at, of which it is known what that person should say: for `benchmarks.review`.

Each is a pair of pictures of a scene of its own. A program cannot tell the kinds of copies from the kinds of look-alikes: both differ
in one place, or have other dates.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image as Picture

from benchmarks.labelled.drawing import BOLD, NAMES, Sheet, encode, exif, font, to_array, to_picture

WIDTH, HEIGHT = 480, 320
SEED = 15

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Match:
    """Two files by their names, the second of which is a copy of the first, or another picture."""

    first: str
    second: str
    contents: tuple[bytes, bytes]
    is_copy: bool


def iter_matches(count: int) -> Iterator[Match]:
    """Yield `count` matches, of the kinds in turn, the same on every call."""
    kinds = list(MATCHES.values())
    for number in range(count):
        rng = np.random.default_rng([SEED, number])
        make, is_copy = kinds[number % len(kinds)]
        scene = _draw_scene(rng)
        month = f"2026-{1 + number * 12 // count:02}"
        first, second = f"{month}/IMG_{number:04}.jpg", f"{month}/IMG_{number:04} (1).jpg"
        yield Match(first, second, make(scene, number, rng), is_copy)


def _draw_scene(rng: np.random.Generator) -> Pixels:
    """Return a picture like no other: light and shade of all sizes, and things in front of it."""
    scene = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for cells, contrast in ((2, 70), (5, 40), (16, 26), (60, 16)):
        noise = rng.normal(0, contrast, (cells * 2 // 3 + 1, cells, 3)).astype(np.float32)
        scene += cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    sheet = Sheet(WIDTH, HEIGHT)
    sheet.picture.paste(to_picture(scene + 128))
    for _ in range(14):
        colour = tuple(int(part) for part in rng.integers(20, 236, 3))
        x, y, radius = rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT), rng.uniform(8, 46)
        sheet.disc(x, y, radius, colour, "#222222", 2)
        sheet.line([(x, y), (x + rng.uniform(-90, 90), y + rng.uniform(-90, 90))], colour, 4)
    return to_array(sheet.picture)


def _jpeg(picture: Picture, quality: int, taken: str = "") -> bytes:
    return encode(picture, "JPEG", quality=quality, exif=exif(taken) if taken else b"")


def _write_at(scene: Pixels, text: str, size: int, x: float, y: float) -> Picture:
    sheet = Sheet(WIDTH, HEIGHT)
    sheet.picture.paste(to_picture(scene))
    sheet.box((x - 5, y - 3, x + font(size, BOLD).getlength(text) + 5, y + size + 5), fill="white")
    sheet.write(x, y, text, size, face=BOLD)
    return sheet.picture


def _dated(scene: Pixels, number: int, _rng: np.random.Generator) -> tuple[bytes, bytes]:
    """A copy that a program gave the date of its export."""
    smaller = to_picture(scene).resize((WIDTH * 2 // 3, HEIGHT * 2 // 3))
    return _jpeg(to_picture(scene), 92, _moment(number, 0)), _jpeg(smaller, 85, _moment(number, 3))


def _marked(scene: Pixels, _number: int, rng: np.random.Generator) -> tuple[bytes, bytes]:
    """A copy with a watermark."""
    x, y = rng.uniform(20, 250), rng.uniform(20, 270)
    return _jpeg(to_picture(scene), 92), _jpeg(_write_at(scene, "example.org", 22, x, y), 85)


def _burst(scene: Pixels, number: int, rng: np.random.Generator) -> tuple[bytes, bytes]:
    """Two shots of a camera, seconds apart: something small has moved."""
    frames = []
    x, y = rng.uniform(60, 380), rng.uniform(60, 240)
    for step in range(2):
        sheet = Sheet(WIDTH, HEIGHT)
        sheet.picture.paste(to_picture(scene + rng.normal(0, 1.5, scene.shape)))
        sheet.disc(x + 14 * step, y, 9, "#e8d0b0", "#222222", 2)
        frames.append(sheet.picture)
    first, second = (_jpeg(frame, 92, _moment(number, step)) for step, frame in enumerate(frames))
    return first, second


def _named(scene: Pixels, _number: int, rng: np.random.Generator) -> tuple[bytes, bytes]:
    """The same card for two people."""
    x, y = rng.uniform(20, 200), rng.uniform(20, 270)
    names = rng.choice(NAMES, 2, replace=False)
    first, second = (_jpeg(_write_at(scene, str(name), 26, x, y), 92) for name in names)
    return first, second


def _moment(number: int, later: int) -> str:
    return f"2026:{1 + number // 28 % 12:02}:{1 + number % 28:02} 12:00:{later:02}"


MATCHES: dict[str, tuple[Callable[[Pixels, int, np.random.Generator], tuple[bytes, bytes]], bool]] = {
    "dated anew": (_dated, True),
    "other name": (_named, False),
    "watermark": (_marked, True),
    "burst": (_burst, False),
}
"""How the two are made, and whether the second is a copy of the first."""
