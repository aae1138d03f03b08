"""Folders of pictures to measure on: real ones, grown by seeded cropping and perturbing, with copies planted among them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from imagetwins import demo as samples

Picture = NDArray[np.uint8]

PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")
COPIES = ("halved", "doubled", "jpeg 30", "jpeg 60", "brightened", "grey")
SHARE_OF_COPIES = 0.1


@dataclass(frozen=True)
class Corpus:
    """Picture files, and which of them are copies: (original, copy) as positions in `files`."""

    kind: str
    files: list[Path]
    planted: list[tuple[int, int]]


def read_pictures(kind: str, corpus: Path | None) -> list[Picture]:
    """Return the pictures of the sub-folder `kind` of `corpus`; without one, scikit-image's photos or drawn charts."""
    if corpus is not None:
        read = (cv2.imread(str(file), cv2.IMREAD_COLOR) for file in sorted((corpus / kind).iterdir()))
        return [picture for picture in read if picture is not None]
    if kind == "photos":
        return [np.asarray(samples.photo(name)()) for name in PHOTOGRAPHS]
    return [np.asarray(samples.chart(chart, seed)()) for chart in ("lines", "bars", "points") for seed in range(10)]


def iter_grown(pictures: list[Picture], count: int, seed: int = 0) -> Iterator[tuple[Picture, int | None]]:
    """Yield `count` pictures, each with the position of its original if it is a planted copy.

    The given pictures come first; then copies of what came before, and crops of the given ones that are new pictures.
    """
    rng = np.random.default_rng(seed)
    originals = []
    for position in range(count):
        if position < len(pictures):
            grown = pictures[position]
        elif rng.random() < SHARE_OF_COPIES:
            place, original = originals[rng.integers(len(originals))]
            yield copy_picture(original, COPIES[rng.integers(len(COPIES))]), place
            continue
        else:
            grown = crop_picture(pictures[rng.integers(len(pictures))], rng)
        if len(originals) < 4 * len(pictures):
            originals.append((position, grown))
        yield grown, None


def write_corpus(kind: str, pictures: list[Picture], count: int, folder: Path) -> Corpus:
    """Write a grown corpus to `folder`: photos as JPEG, anything else as PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    files, planted = [], []
    for position, (picture, original) in enumerate(iter_grown(pictures, count)):
        files.append(folder / f"{position:06}.{'jpg' if kind == 'photos' else 'png'}")
        cv2.imwrite(str(files[-1]), picture)
        if original is not None:
            planted.append((original, position))
    return Corpus(kind, files, planted)


def to_thumbnails(pictures: Iterator[Picture], size: int) -> NDArray[np.uint8]:
    """Return (n, size, size, 3) thumbnails."""
    return np.array([cv2.resize(p, (size, size), interpolation=cv2.INTER_AREA) for p in pictures], np.uint8)


def crop_picture(picture: Picture, rng: np.random.Generator) -> Picture:
    """Return a part of a picture, perhaps mirrored, its channels permuted; not a blank part of a chart.

    Brightness is left alone: a brighter chart is a whiter one, and white ones are all alike.
    """
    height, width = picture.shape[:2]
    while True:
        h, w = (int(side * rng.uniform(0.6, 0.95)) for side in (height, width))
        y, x = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
        part = picture[y : y + h, x : x + w]
        if part.std() >= 0.5 * picture.std():
            break
    return np.ascontiguousarray(part[:, :: rng.choice([-1, 1])][..., rng.permutation(3)])


def copy_picture(picture: Picture, kind: str) -> Picture:
    """Return a copy of a picture, of one of the kinds in COPIES."""
    if kind in {"halved", "doubled"}:
        scale = 0.5 if kind == "halved" else 2
        return cv2.resize(
            picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        )
    if kind == "brightened":
        return cv2.convertScaleAbs(picture, alpha=1.05, beta=5)
    if kind == "grey":
        return cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    _, content = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(kind.split()[1])])
    return cv2.imdecode(content, cv2.IMREAD_COLOR)
