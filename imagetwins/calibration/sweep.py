"""The sweep over thumbnail sizes: a sample with planted copies is joined at each, which gives the scores to evaluate."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from imagetwins import ssim
from imagetwins.calibration.evaluation import ALIKE_SIZE, FLOOR, Calibration, evaluate
from imagetwins.calibration.sample import FAMILY, Progress, choose_sample, measure_sides, plant_copies
from imagetwins.decoding.model import Resampling
from imagetwins.orientation import Orientations
from imagetwins.store.schemas import COSTS, OUTCOMES, PLANTED, UNPLANTED
from imagetwins.store.tables import as_frame, write_table

SIZES = (50, 100, 200, 400)
TIMED_IMAGES = 64

BLANK_TOLERANCE = 8
"""Two pictures without structure in any window are taken for copies if no two pixels differ by more levels than this."""


def calibrate(
    paths: Sequence[Path],
    workspace: Path,
    *,
    pictures: int = 120,
    sizes: Sequence[int] | None = None,
    resampling: Resampling = "area",
    orientations: Orientations = "same",
    seed: int = 0,
    workers: int = 2,
    progress: Progress = lambda _stage, _done, _all: None,
) -> Calibration:
    """Measure every setting on copies planted among a sample of `paths`.

    Args:
        paths: files of the folder, decodable or not.
        workspace: an empty directory for the thumbnails; about 3 MB a picture at the default sizes.
        pictures: how many pictures to sample.
        sizes: thumbnail sizes to try; by default SIZES and the shorter sides of the sample's least, median and largest picture.
        resampling: how thumbnails are made.
        orientations: how pictures are compared; with "all", turned and mirrored copies are planted too.
        seed: decides the sample and the copies.
        workers: threads.
        progress: called as each stage goes on.

    Raises:
        ParameterError: fewer than two of the files can be read.
    """
    sample = choose_sample(paths, pictures, seed, progress)
    tried = sorted({*sizes} if sizes else {*SIZES, ALIKE_SIZE, *measure_sides(sample)})
    plant_copies(sample, workspace, tried, resampling, orientations, seed, workers, progress)
    scores, costs = _join_sizes(workspace, tried, len(sample), orientations, workers, progress)
    return evaluate(sample, len(paths), scores, costs, seed, orientations)


def _join_sizes(
    workspace: Path, sizes: list[int], n_pictures: int, orientations: Orientations, workers: int, progress: Progress
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return all scores at or above FLOOR (size, image1, image2, ssim, detail, local), and `schemas.COSTS`."""
    images = FAMILY * n_pictures
    _join(workspace / str(sizes[0]), images, orientations, workers)  # Compiles the kernels, which is no cost of a size.
    scores, costs = [], []
    for done, size in enumerate(sizes):
        progress("score", done, len(sizes))
        directory = workspace / str(size)
        plan, timed = _join(directory, images, orientations, workers)
        scores += [_to_scores(size, result) for result, _ in timed]
        join_seconds = sum(seconds for _, seconds in timed)
        costs.append(
            (size, _time_preparation(directory, size, plan.n_images), join_seconds, plan.n_images, plan.n_pairs)
        )
    progress("score", len(sizes), len(sizes))
    columns = [list(column) for column in zip(*costs, strict=True)]
    return pd.concat(scores, ignore_index=True), as_frame(dict(zip(COSTS.names, columns, strict=True)), COSTS)


def _join(
    directory: Path, images: int, orientations: Orientations, workers: int
) -> tuple[ssim.JoinPlan, list[tuple[ssim.JoinResult, float]]]:
    """Join the images of a workspace; return its plan, and each batch's result and CPU seconds."""

    def join(batch: list[ssim.Tile]) -> tuple[ssim.JoinResult, float]:
        start = time.thread_time()
        result = ssim.join_batch(directory / "plan", batch)
        return result, time.thread_time() - start

    plan = ssim.plan_join(
        directory,
        directory / "plan",
        np.arange(images),
        threshold=FLOOR,
        floor=FLOOR,
        orientations=orientations,
    )
    with ThreadPoolExecutor(workers) as pool:
        return plan, list(pool.map(join, plan.batches))


def _time_preparation(directory: Path, size: int, images: int) -> float:
    """Return the CPU seconds that preparing `images` thumbnails takes, from preparing some again elsewhere."""
    some = min(images, TIMED_IMAGES)
    thumbnails = np.stack([ssim.load_thumbnail(directory, image) for image in range(some)])
    elsewhere = directory / "timing"
    ssim.create_workspace(elsewhere, some, size)
    start = time.thread_time()
    ssim.prepare_images(elsewhere, np.arange(some), thumbnails)
    return (time.thread_time() - start) * images / some


def _to_scores(size: int, result: ssim.JoinResult) -> pd.DataFrame:
    """Return the pairs of a batch, with the detail SSIM as `schemas.PLANTED` has it."""
    blank = np.where(result.max_difference <= BLANK_TOLERANCE, 1.0, -1.0)
    detail = np.where(np.isnan(result.detail_ssim), blank, result.detail_ssim)
    columns = {"image1": result.image1, "image2": result.image2, "ssim": result.ssim}
    return pd.DataFrame({"size": size, **columns, "detail": detail, "local": result.local_ssim})


def write_calibration(calibration: Calibration, directory: Path) -> None:
    """Write the four tables as Parquet: planted, unplanted, outcomes and costs."""
    for name, schema in (("planted", PLANTED), ("unplanted", UNPLANTED), ("outcomes", OUTCOMES), ("costs", COSTS)):
        write_table(getattr(calibration, name), schema, directory / f"{name}.parquet")
