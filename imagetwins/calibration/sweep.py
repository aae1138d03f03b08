"""Which thumbnail size, threshold and guard fit a folder: measured on copies planted among the folder's own pictures.

A sample of the folder's pictures is copied in the ways of `imagetwins.planted`, everything is joined at several
thumbnail sizes, and each setting is judged by two numbers:

- *Recall*: the share of the planted copies that match their picture. Known, because we planted them.
- *False pairs*: pairs of two different pictures of the sample that match, themselves or through a copy of one.

A sample has far fewer pairs than its folder, and the folder's most similar strangers are more similar than the sample's. So
a setting is recommended for the false pairs that it would have at a threshold lower by a margin, which grows with the
folder; and one picture moved wrongly weighs as much as WRONG_MOVE copies that are not found.

Which pictures of a folder are different is not known to us, and a folder that is calibrated is likely to hold duplicates.
Two pictures are taken for duplicates that were there before, and count neither way, if they or any copies of them score
at least ALIKE, both over all and where they have detail, at JUDGED_SIZE. Every other match that was not planted counts as
false. Both kinds are shown, the most similar first, for a person to judge.
"""

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imagetwins import ssim
from imagetwins.calibration.distortions import KINDS, Image, plant_copy
from imagetwins.decoding import decoder
from imagetwins.decoding.model import DecodeSettings, Resampling
from imagetwins.decoding.pool import decode_files, memory_budget
from imagetwins.errors import ParameterError
from imagetwins.matching.decisions import BLANK_TOLERANCE
from imagetwins.store.schemas import COSTS, OUTCOMES, PLANTED, UNPLANTED
from imagetwins.store.tables import as_frame, write_table

SIZES = (50, 100, 200, 400)
LEAST_SIZE, LARGEST_SIZE = 16, 400
"""Limits of the sizes taken from the folder's own pictures. Larger thumbnails cost more and find less: SSIM's window stays
7 pixels wide, and a crop or a rotation that it bridges at 50 pixels is out of its reach at 400."""

FLOOR = 0.65
"""Down to here all pairs are scored."""

MARGIN = 0.05
"""Below the threshold of a folder as large as the sample; and as much again for every factor of ten beyond."""

MAX_MARGIN = 0.3

WRONG_MOVE = 5.0
"""Copies that may be missed to spare one picture from being moved wrongly."""

THRESHOLDS = tuple(round(0.7 + 0.01 * step, 2) for step in range(30))
GUARDS = (-1.0, 0.5, 0.6, 0.7, 0.8, 0.9)
DEFAULT_SIZE, DEFAULT_THRESHOLD, DEFAULT_GUARD = 200, 0.9, 0.7

COPIES = 3
"""Copies planted of each picture; the kinds take turns, so that each kind gets a third of the pictures."""

FAMILY = 1 + COPIES

ALIKE = 0.85
JUDGED_SIZE = 100
"""Of the sample folder's duplicates all score 0.85 or more at 100 pixels, cropped, rotated, grey and brightened ones too; two
pages of text 0.80; photographs that differ less than 0.65; charts up to 0.76, and more only where they differ in a legend
or a label."""

TOLERANCE = 0.01
"""Worth that may be given up for a cheaper size, a higher threshold or a stricter guard."""

TIMED_IMAGES = 64
MAX_SIDE = 2048
"""Larger pictures are reduced to this before copies are made: thumbnails are far smaller, and time is short."""

Progress = Callable[[str, int, int], None]
"""Called with a stage, the steps done, and the steps in all."""


@dataclass(frozen=True)
class Scale:
    """How many pictures the sample has, and how many files its folder."""

    pictures: int
    files: int

    @property
    def margin(self) -> float:
        """What the threshold should keep above the best score of two different pictures of the sample."""
        return min(MAX_MARGIN, MARGIN * (1 + math.log10(max(1.0, self.files / self.pictures))))

    def wrong_moves(self, pairs: int) -> float:
        """Return the share of the folder's pictures that are moved wrongly if `pairs` false pairs are in the sample.

        Pairs grow with the square of the pictures: (files / pictures)^2 * pairs of them, over `files`.
        """
        return pairs * max(self.files, self.pictures) / self.pictures**2


@dataclass(frozen=True)
class Setting:
    """A thumbnail size, a threshold and a guard, with what they do to the sample."""

    size: int
    threshold: float
    min_detail_ssim: float
    recall: float
    false_pairs: int
    close_pairs: int


@dataclass(frozen=True)
class Calibration:
    """What was measured, and what follows from it.

    Attributes:
        pictures: the sample, in order.
        planted: `schemas.PLANTED`.
        unplanted: `schemas.UNPLANTED`.
        outcomes: `schemas.OUTCOMES`.
        costs: `schemas.COSTS`.
        by_kind: at the recommended setting, the recall of each kind of copy.
        different_pairs: pairs of two different pictures among which false pairs were looked for.
        scale: how large the sample and its folder are.
    """

    pictures: list[Path]
    planted: pd.DataFrame
    unplanted: pd.DataFrame
    outcomes: pd.DataFrame
    costs: pd.DataFrame
    recommended: Setting
    default: Setting
    reason: str
    by_kind: dict[str, float]
    different_pairs: int
    scale: "Scale"


def calibrate(
    paths: Sequence[Path],
    workspace: Path,
    *,
    pictures: int = 120,
    sizes: Sequence[int] | None = None,
    resampling: Resampling = "area",
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
        seed: decides the sample and the copies.
        workers: threads.
        progress: told how far each stage is.

    Raises:
        ParameterError: fewer than two of the files can be read.
    """
    sample = choose_sample(paths, pictures, seed, progress)
    tried = sorted({*sizes} if sizes else {*SIZES, JUDGED_SIZE, *measure_sides(sample)})
    _plant(sample, workspace, tried, resampling, seed, workers, progress)
    scores, costs = _join_sizes(workspace, tried, len(sample), workers, progress)
    return conclude(sample, len(paths), scores, costs, seed)


# -- the sample ------------------------------------------------------------------------------------------------------


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
    headers = [decoder.read_header(decoder.read_content(path)) for path in sample]
    sides = sorted(min(header.width_px, header.height_px) for header in headers)
    return [int(np.clip(side, LEAST_SIZE, LARGEST_SIZE)) for side in (sides[0], sides[len(sides) // 2], sides[-1])]


def kinds_of(picture: int, seed: int) -> list[str]:
    """Return the kinds of copies that the sample's picture number `picture` gets."""
    order = np.random.default_rng(seed).permutation(len(KINDS))
    return [KINDS[order[(picture * COPIES + copy) % len(KINDS)]] for copy in range(COPIES)]


def _plant(
    sample: list[Path],
    workspace: Path,
    sizes: list[int],
    resampling: Resampling,
    seed: int,
    workers: int,
    progress: Progress,
) -> None:
    """Fill one join workspace a size: rows FAMILY * i ... are picture i of the sample and its copies."""
    for size in sizes:
        ssim.create_workspace(workspace / str(size), FAMILY * len(sample), size)

    def plant(picture: int) -> None:
        original = _read_picture(sample[picture])
        rng = np.random.default_rng((seed, picture))
        family = [original, *(plant_copy(original, kind, rng) for kind in kinds_of(picture, seed))]
        for size in sizes:
            thumbnails = np.stack([decoder.to_thumbnail(image, DecodeSettings(size, resampling)) for image in family])
            ssim.prepare_images(workspace / str(size), FAMILY * picture + np.arange(FAMILY), thumbnails)

    with ThreadPoolExecutor(workers) as pool:
        for done, _ in enumerate(pool.map(plant, range(len(sample))), 1):
            progress("plant", done, len(sample))


def _read_picture(path: Path) -> Image:
    """Return the picture as displayed, (height, width, 3) BGR, reduced to MAX_SIDE."""
    content = decoder.read_content(path)
    header = decoder.read_header(content)
    with memory_budget().reserved(decoder.estimate_memory(header, 1)):
        pixels = decoder.to_displayed(decoder.decode_content(content), header)
        colour = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR) if pixels.ndim == 2 else pixels
        scale = MAX_SIDE / max(colour.shape[:2])
        if scale < 1:
            colour = cv2.resize(colour, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        return np.asarray(colour, np.uint8)


# -- the scores ------------------------------------------------------------------------------------------------------


def _join_sizes(
    workspace: Path, sizes: list[int], n_pictures: int, workers: int, progress: Progress
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return all scores at or above FLOOR (size, image1, image2, ssim, detail), and `schemas.COSTS`."""
    images = FAMILY * n_pictures
    _join(workspace / str(sizes[0]), images, workers)  # Compiles the kernels, which is no cost of a size.
    scores, costs = [], []
    for done, size in enumerate(sizes):
        progress("score", done, len(sizes))
        directory = workspace / str(size)
        plan, timed = _join(directory, images, workers)
        scores += [_to_scores(size, result) for result, _ in timed]
        join_seconds = sum(seconds for _, seconds in timed)
        costs.append(
            (size, _time_preparation(directory, size, plan.n_images), join_seconds, plan.n_images, plan.n_pairs)
        )
    progress("score", len(sizes), len(sizes))
    columns = [list(column) for column in zip(*costs, strict=True)]
    return pd.concat(scores, ignore_index=True), as_frame(dict(zip(COSTS.names, columns, strict=True)), COSTS)


def _join(directory: Path, images: int, workers: int) -> tuple[ssim.JoinPlan, list[tuple[ssim.JoinResult, float]]]:
    """Join the images of a workspace; return its plan, and each batch's result and CPU seconds."""

    def join(batch: list[ssim.Tile]) -> tuple[ssim.JoinResult, float]:
        start = time.thread_time()
        result = ssim.join_batch(directory / "plan", batch)
        return result, time.thread_time() - start

    plan = ssim.plan_join(directory, directory / "plan", np.arange(images), threshold=FLOOR, floor=FLOOR)
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
    columns = {"image1": result.image1, "image2": result.image2, "ssim": result.ssim, "detail": detail}
    return pd.DataFrame({"size": size, **columns})


# -- what follows ----------------------------------------------------------------------------------------------------


def conclude(sample: list[Path], files: int, scores: pd.DataFrame, costs: pd.DataFrame, seed: int) -> Calibration:
    """Judge every setting by the scores, and recommend one.

    Args:
        sample: the pictures; rows FAMILY * i ... of the scores are picture i and its copies.
        files: how many files the folder has.
        scores: size, image1, image2, ssim, detail of every pair at or above FLOOR.
        costs: `schemas.COSTS`.
        seed: the one that the copies were planted with.
    """
    sizes = costs["size"].astype(int).tolist()
    planted = _select_planted(sample, scores, sizes, seed)
    unplanted, alike = _select_unplanted(sample, scores, sizes)
    scale = Scale(len(sample), files)
    outcomes = judge_settings(planted, unplanted, sizes, scale.margin)
    recommended = recommend(outcomes, scale)
    default = min(_settings(outcomes), key=_distance_from_default)
    different = math.comb(len(sample), 2) - alike
    return Calibration(
        sample,
        planted,
        unplanted,
        outcomes,
        costs,
        recommended,
        default,
        _give_reason(recommended, default, different),
        _recall_by_kind(planted, recommended),
        different,
        scale,
    )


def _select_planted(sample: list[Path], scores: pd.DataFrame, sizes: list[int], seed: int) -> pd.DataFrame:
    """Return `schemas.PLANTED`: each copy with its picture, with null scores where the pair is below the floor."""
    copies = [(picture, copy) for picture in range(len(sample)) for copy in range(COPIES)]
    expected = pd.DataFrame(
        {
            "image1": [FAMILY * picture for picture, _ in copies],
            "image2": [FAMILY * picture + 1 + copy for picture, copy in copies],
            "path": [str(sample[picture]) for picture, _ in copies],
            "kind": [kinds_of(picture, seed)[copy] for picture, copy in copies],
        }
    )
    every = expected.merge(pd.DataFrame({"size": sizes}), how="cross")
    found = every.merge(scores, on=["size", "image1", "image2"], how="left")
    return as_frame({name: pd.array(found[name]) for name in PLANTED.names}, PLANTED)


def _select_unplanted(sample: list[Path], scores: pd.DataFrame, sizes: list[int]) -> tuple[pd.DataFrame, int]:
    """Return `schemas.UNPLANTED`, and how many pairs of pictures of the sample are alike."""
    pictures = scores.assign(first=scores["image1"] // FAMILY, second=scores["image2"] // FAMILY)
    pairs = pictures[pictures["first"] != pictures["second"]]
    judge = min(sizes, key=lambda size: abs(size - JUDGED_SIZE))
    similar = (pairs["size"] == judge) & (pairs["ssim"] >= ALIKE) & (pairs["detail"] >= ALIKE)
    alike = pairs.loc[similar, ["first", "second"]].drop_duplicates()
    marked = pairs.merge(alike.assign(alike=True), on=["first", "second"], how="left")
    names = np.array([str(path) for path in sample], dtype=object)
    columns = {
        **{name: marked[name].to_numpy() for name in ("size", "ssim", "detail")},
        "path1": names[marked["first"].to_numpy(np.intp)],
        "path2": names[marked["second"].to_numpy(np.intp)],
        "alike": marked["alike"].notna().to_numpy(),
    }
    return as_frame(columns, UNPLANTED), len(alike)


def judge_settings(planted: pd.DataFrame, unplanted: pd.DataFrame, sizes: Sequence[int], margin: float) -> pd.DataFrame:
    """Return `schemas.OUTCOMES`: recall, false pairs, and those within `margin`, of every size, guard and threshold."""
    rows = []
    different = unplanted[~unplanted["alike"]]
    for size in sizes:
        copies, others = planted[planted["size"] == size], different[different["size"] == size]
        for guard in GUARDS:
            found = np.sort(_guarded(copies, guard))
            passed = others.assign(ssim=_guarded(others, guard))
            best = np.sort(passed.groupby(["path1", "path2"])["ssim"].max().to_numpy(np.float64))
            for threshold in THRESHOLDS:
                recall = 1 - np.searchsorted(found, threshold) / len(found)
                false, close = (len(best) - int(np.searchsorted(best, t)) for t in (threshold, threshold - margin))
                rows.append((size, threshold, guard, recall, false, close))
    columns = [list(column) for column in zip(*rows, strict=True)]
    return as_frame(dict(zip(OUTCOMES.names, columns, strict=True)), OUTCOMES)


def _guarded(pairs: pd.DataFrame, guard: float) -> NDArray[np.float64]:
    """Return the scores, -2 where there is none or the guard doubts it: no threshold lets that through."""
    score, detail = (pairs[name].to_numpy(np.float64, na_value=np.nan) for name in ("ssim", "detail"))
    doubted = np.isnan(score) | (detail < guard if guard > -1 else False)
    return np.where(doubted, -2.0, score)


def _settings(outcomes: pd.DataFrame) -> list[Setting]:
    return [
        Setting(
            int(row.size),
            float(row.threshold),
            float(row.min_detail_ssim),
            float(row.recall),
            int(row.false_pairs),
            int(row.close_pairs),
        )
        for row in outcomes.itertuples(index=False)
    ]


def recommend(outcomes: pd.DataFrame, scale: Scale) -> Setting:
    """Return the setting to use: that of the smallest size whose best worth is within TOLERANCE of the best of all."""
    best = _best_by_size(outcomes, scale)
    worth = max(worth for worth, _ in best)
    return next(setting for of_size, setting in best if of_size >= worth - TOLERANCE)


def recommend_by_size(outcomes: pd.DataFrame, scale: Scale) -> list[Setting]:
    """Return the setting that `recommend` would name if there were no other size, for each size."""
    return [setting for _, setting in _best_by_size(outcomes, scale)]


def _best_by_size(outcomes: pd.DataFrame, scale: Scale) -> list[tuple[float, Setting]]:
    """Return the best worth of each size, the smallest first, and its setting: within TOLERANCE of that worth the highest
    threshold, then the strictest guard. Worth is recall less WRONG_MOVE times the share of pictures moved wrongly.

    Thresholds that have not the margin to FLOOR are passed over: what they match in a larger folder is unknown.
    """
    by_size = []
    for _, of_size in outcomes.groupby("size"):
        known = [setting for setting in _settings(of_size) if setting.threshold >= FLOOR + scale.margin]
        worths = {setting: setting.recall - WRONG_MOVE * scale.wrong_moves(setting.close_pairs) for setting in known}
        best = max(worths.values())
        good = [setting for setting, worth in worths.items() if worth >= best - TOLERANCE]
        by_size.append((best, max(good, key=lambda setting: (setting.threshold, setting.min_detail_ssim))))
    return by_size


def _distance_from_default(setting: Setting) -> tuple[float, float, float]:
    return (
        abs(setting.size - DEFAULT_SIZE),
        abs(setting.threshold - DEFAULT_THRESHOLD),
        abs(setting.min_detail_ssim - DEFAULT_GUARD),
    )


def _give_reason(recommended: Setting, default: Setting, different: int) -> str:
    return (
        f"At {recommended.size} pixels, threshold {recommended.threshold:g} and guard {recommended.min_detail_ssim:g} find "
        f"{100 * recommended.recall:.1f} % of the planted copies and match {_count_pairs(recommended.false_pairs)} of {different:,} pairs "
        f"of different pictures; {default.size} pixels, {default.threshold:g} and {default.min_detail_ssim:g} (the defaults) "
        f"find {100 * default.recall:.1f} % and match {_count_pairs(default.false_pairs)}."
    )


def _count_pairs(count: int) -> str:
    return f"{count:,}" if count else "none"


def _recall_by_kind(planted: pd.DataFrame, setting: Setting) -> dict[str, float]:
    copies = planted[planted["size"] == setting.size]
    found = pd.Series(_guarded(copies, setting.min_detail_ssim) >= setting.threshold, index=copies.index)
    shares = found.groupby(copies["kind"]).mean()
    return {kind: float(shares[kind]) for kind in KINDS if kind in shares}


def write_calibration(calibration: Calibration, directory: Path) -> None:
    """Write the four tables as Parquet: planted, unplanted, outcomes and costs."""
    for name, schema in (("planted", PLANTED), ("unplanted", UNPLANTED), ("outcomes", OUTCOMES), ("costs", COSTS)):
        write_table(getattr(calibration, name), schema, directory / f"{name}.parquet")
