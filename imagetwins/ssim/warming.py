"""Kernels before they are needed: compiled once for all runs, or numba made ready for those of this one.

python -m imagetwins.ssim.warming        # compiles what is not kept yet: 15 s, and a second where all is
"""

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imagetwins.orientation import Orientations
from imagetwins.ssim.area import shrink_area
from imagetwins.ssim.join import join_batch
from imagetwins.ssim.peaks import measure_differences
from imagetwins.ssim.pixels import load_thumbnail, settle_pixels
from imagetwins.ssim.plan import plan_join
from imagetwins.ssim.reference import reference_ssim
from imagetwins.ssim.windows import allocate_pixels, is_grey, plan_layout
from imagetwins.ssim.workspace import create_workspace, prepare_images

SIZE = 48
"""Side of the thumbnails that the kernels are tried on, in pixels. The kernels of all sizes are the same."""

KINDS_OF_JOINS: tuple[tuple[float, Orientations], ...] = (
    (0.8, "same"),
    (0.8, "all"),
    (0.05, "all"),
    (0.05, "same"),
    (-1.0, "same"),
)
"""Floors and orientations that between them need every kernel."""

SIDE = 6
"""Squares along one side of them."""


def warm_up() -> None:
    """Call the smallest kernel: the first one of a process waits 0.2 s for numba, all others some milliseconds."""
    layout = plan_layout(SIZE, 3)
    is_grey(allocate_pixels(layout), layout.segments)


def compile_kernels() -> None:
    """Compile every kernel that is not kept yet, by resizing a thumbnail, joining a few and verifying a pair."""
    thumbnails = draw_thumbnails()
    shrink_area(thumbnails[0], np.empty((SIDE, SIDE, 3), np.uint8))
    rows = np.arange(len(thumbnails))
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        create_workspace(directory, len(rows), SIZE)
        prepare_images(directory, rows, thumbnails)
        # With all bounds and their refinement, turned or not; with that by cells alone; and without any.
        for floor, orientations in KINDS_OF_JOINS:
            plan = plan_join(directory, directory / "plan", rows, threshold=0.9, floor=floor, orientations=orientations)
            for batch in plan.batches:
                join_batch(directory / "plan", batch)
        settle_pixels(directory, keep=True, workers=1)
        load_thumbnail(directory, 0)
    for measure in (reference_ssim, measure_differences):
        measure(thumbnails[0], thumbnails[1])


def draw_thumbnails() -> NDArray[np.uint8]:
    """Return (n, SIZE, SIZE, 3) uint8: patterns of squares, most of them unlike each other, in colour, grey and blank."""
    rng = np.random.default_rng(0)
    squares = rng.integers(0, 2, (24, SIDE, SIDE, 3)) * rng.integers(100, 255, (24, 1, 1, 3))
    unlike = squares.repeat(SIZE // SIDE, axis=1).repeat(SIZE // SIDE, axis=2)
    grey = unlike[:4, ..., :1].repeat(3, axis=3)
    blank = np.full((3, SIZE, SIZE, 3), [[[[200]]], [[[201]]], [[[202]]]])
    noise = rng.integers(-2, 3, (len(unlike) + len(grey), SIZE, SIZE, 1))
    drawn = np.concatenate([unlike, grey])
    return np.concatenate([drawn, drawn + noise, blank]).clip(0, 255).astype(np.uint8)


if __name__ == "__main__":
    compile_kernels()
