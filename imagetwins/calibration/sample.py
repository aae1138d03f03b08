"""The sample of a folder's pictures, and the distorted copies that are planted among them."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from imagetwins import ssim
from imagetwins.calibration.distortions import EDITS, Image, kinds_to_plant, plant_copy, plant_edit
from imagetwins.decoding import decoder, headers
from imagetwins.decoding.model import DecodeSettings, Resampling
from imagetwins.decoding.pool import decode_files, memory_budget
from imagetwins.errors import ParameterError
from imagetwins.orientation import Orientations

LEAST_SIZE, LARGEST_SIZE = 16, 400
"""Limits of the sizes taken from the folder's own pictures. Larger thumbnails cost more and find less: SSIM's window stays
7 pixels wide, and a crop or a rotation that it bridges at 50 pixels is out of its reach at 400."""

COPIES = 3
"""Copies planted of each picture; the kinds take turns, so that each of the nine gets a third of the pictures."""

FAMILY = 1 + COPIES + 1
"""A picture, its copies, and one edit of it, which is no copy; the kinds of edits take turns as well."""

MAX_SIDE = 2048
"""Larger pictures are reduced to this before copies are made: thumbnails are far smaller, and time is short."""

Progress = Callable[[str, int, int], None]
"""Called with a stage, the steps done, and the steps in all."""


def choose_sample(paths: Sequence[Path], count: int, seed: int, progress: Progress) -> list[Path]:
    """Return up to `count` readable files of different content, drawn evenly, in the order of `paths`.

    Raises:
        ParameterError: there are fewer than two.
    """
    order = np.random.default_rng(seed).permutation(len(paths))
    chosen: dict[str, int] = {}
    for start in range(0, len(order), count):
        tried = order[start : start + count]
        unused = np.empty((len(tried), LEAST_SIZE, LEAST_SIZE, 3), np.uint8)
        # In a process of its own: what it survives is safe to be decoded in this one.
        found = decode_files([paths[i] for i in tried], DecodeSettings(LEAST_SIZE), unused)
        for number, decoded in zip(tried, found, strict=True):
            if decoded.error is None and decoded.digest and len(chosen) < count:
                chosen.setdefault(decoded.digest, int(number))
        progress("sample", len(chosen), count)
        if len(chosen) == count:
            break
    if len(chosen) < 2:
        raise ParameterError(
            f"{len(chosen)} of {len(paths)} files can be read; calibration needs two different pictures or more, and 50 to "
            "say anything. Check the folder."
        )
    return [paths[number] for number in sorted(chosen.values())]


def measure_sides(sample: Sequence[Path]) -> list[int]:
    """Return the shorter side of the least, the median and the largest picture, in pixels, within a thumbnail's limits."""
    found = [headers.read_picture(decoder.read_content(path), path.suffix)[0] for path in sample]
    sides = sorted(min(header.width_px, header.height_px) for header in found)
    return [int(np.clip(side, LEAST_SIZE, LARGEST_SIZE)) for side in (sides[0], sides[len(sides) // 2], sides[-1])]


def kinds_of(picture: int, seed: int, orientations: Orientations = "same") -> list[str]:
    """Return the kinds of copies that the sample's picture number `picture` gets."""
    kinds = kinds_to_plant(orientations)
    order = np.random.default_rng(seed).permutation(len(kinds))
    return [kinds[order[(picture * COPIES + copy) % len(kinds)]] for copy in range(COPIES)]


def edit_of(picture: int, seed: int) -> str:
    """Return the kind of edit that the sample's picture number `picture` gets."""
    return EDITS[(picture + seed) % len(EDITS)]


def plant_copies(
    sample: list[Path],
    workspace: Path,
    sizes: list[int],
    resampling: Resampling,
    orientations: Orientations,
    seed: int,
    workers: int,
    progress: Progress,
) -> None:
    """Fill one join workspace a size: rows FAMILY * i ... are picture i of the sample, its copies and its edit."""
    for size in sizes:
        ssim.create_workspace(workspace / str(size), FAMILY * len(sample), size)

    def plant(picture: int) -> None:
        original = _read_picture(sample[picture])
        rng = np.random.default_rng((seed, picture))
        copies = [plant_copy(original, kind, rng) for kind in kinds_of(picture, seed, orientations)]
        family = [original, *copies, plant_edit(original, edit_of(picture, seed), rng)]
        for size in sizes:
            thumbnails = np.stack([decoder.to_thumbnail(image, DecodeSettings(size, resampling)) for image in family])
            ssim.prepare_images(workspace / str(size), FAMILY * picture + np.arange(FAMILY), thumbnails)

    with ThreadPoolExecutor(workers) as pool:
        for done, _ in enumerate(pool.map(plant, range(len(sample))), 1):
            progress("plant", done, len(sample))


def _read_picture(path: Path) -> Image:
    """Return the picture as displayed, (height, width, 3) BGR, reduced to MAX_SIDE."""
    header, content = headers.read_picture(decoder.read_content(path), path.suffix)
    with memory_budget().reserved(decoder.estimate_memory(header, 1)):
        pixels = decoder.to_displayed(decoder.decode_content(content, header), header)
        colour = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR) if pixels.ndim == 2 else pixels
        scale = MAX_SIDE / max(colour.shape[:2])
        if scale < 1:
            colour = cv2.resize(colour, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        return np.asarray(colour, np.uint8)
