"""A calibration as one HTML file: the recommended setting, why, and the pictures that a person should look at."""

import shlex
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from imagetwins.calibration.distortions import EDITS, kinds_to_plant
from imagetwins.calibration.evaluation import (
    ALIKE,
    ALIKE_SIZE,
    EDITS_A_COPY,
    FLOOR,
    WRONG_MOVE,
    Calibration,
    Setting,
    is_held_back,
    recommend_by_size,
)
from imagetwins.calibration.sample import COPIES
from imagetwins.decoding.model import DecodeSettings
from imagetwins.orientation import Orientations
from imagetwins.reporting.html import render_page, to_webp
from imagetwins.reporting.plots import plot_bars, plot_lines
from imagetwins.scanning.thumbnails import read_square
from imagetwins.storage import storage_of
from imagetwins.text import shorten_path

SHOWN_PAIRS = 24
PICTURE_SIDE = 180


def build_calibration_page(calibration: Calibration, folder: Path, target: Path, *, version: str) -> None:
    """Write the page of `calibration`, whole or not at all.

    Args:
        calibration: what `imagetwins.calibration` measured.
        folder: the folder that it was measured for.
        target: the HTML file.
        version: of imagetwins, for the page's foot.
    """
    best = calibration.recommended
    cost = calibration.costs.set_index("size")
    page = render_page(
        "calibration.html.j2",
        version=version,
        name=folder.name or str(folder),
        folder=str(folder),
        best=best,
        reason=calibration.reason,
        command=plan_command(best, folder, calibration.orientations),
        pictures=len(calibration.pictures),
        copies=len(calibration.pictures) * COPIES,
        per_picture=COPIES,
        kind_names=kinds_to_plant(calibration.orientations),
        orientations=calibration.orientations,
        edit_names=EDITS,
        edits_a_copy=EDITS_A_COPY,
        different=calibration.different_pairs,
        alike=_count_alike(calibration),
        alike_score=ALIKE,
        alike_size=ALIKE_SIZE,
        floor=FLOOR,
        margin=calibration.scale.margin,
        weight=WRONG_MOVE,
        files=calibration.scale.files,
        tradeoff=_plot_tradeoff(calibration),
        thresholds=_plot_thresholds(calibration),
        kinds=_markup(plot_bars(calibration.by_kind, x_label="recall")),
        costs=_plot_costs(calibration),
        joined={name: int(cost.loc[best.size, name]) for name in ("images", "pairs")},
        rows=[
            (row, float(cost.loc[row.size, ["prepare_seconds", "join_seconds"]].sum()))
            for row in recommend_by_size(calibration.outcomes, calibration.scale)
        ],
        closest=_plan_closest(calibration, folder),
    )
    with storage_of(target).writing(target) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="replace")


def plan_command(setting: Setting, folder: Path, orientations: Orientations = "same") -> str:
    """Return the command that tries `setting` on `folder`."""
    options = {
        "size": setting.size,
        "threshold": setting.threshold,
        "min-detail-ssim": setting.min_detail_ssim,
        "min-local-ssim": setting.min_local_ssim,
    }
    given = " ".join(f"--{name} {value:g}" for name, value in options.items())
    if orientations != "same":
        given += f" --orientations {orientations}"
    return f"imagetwins run {shlex.quote(str(folder))} {given} --dry-run"


def _count_alike(calibration: Calibration) -> int:
    alike = calibration.unplanted[calibration.unplanted["alike"]]
    return len(alike[["path1", "path2"]].drop_duplicates())


def _markup(drawn: str) -> Markup:
    return Markup(drawn)  # noqa: S704 - drawn by matplotlib from numbers and our own words


def _plot_tradeoff(calibration: Calibration) -> Markup:
    """Recall against false pairs, one line a size, with the recommended guards."""
    best = calibration.recommended
    guarded = _with_guards(calibration.outcomes, best.min_detail_ssim, best.min_local_ssim)
    series = {
        f"{size} px": (rows["false_pairs"].tolist(), rows["recall"].tolist()) for size, rows in guarded.groupby("size")
    }
    return _markup(plot_lines(series, x_label="false pairs", y_label="recall", percent=True, log_x=True))


def _with_guards(outcomes: pd.DataFrame, detail: float, local: float) -> pd.DataFrame:
    return outcomes[(outcomes["min_detail_ssim"] == detail) & (outcomes["min_local_ssim"] == local)]


def _plot_thresholds(calibration: Calibration) -> Markup:
    """Recall and the share of the most false pairs against the threshold, at the recommended size."""
    best = calibration.recommended
    outcomes = calibration.outcomes[calibration.outcomes["size"] == best.size]
    guards = {"with guards": (best.min_detail_ssim, best.min_local_ssim), "without": (-1.0, -1.0)}
    by_guard = {words: _with_guards(outcomes, *limits) for words, limits in guards.items()}
    series = {
        f"recall {words}": (rows["threshold"].tolist(), rows["recall"].tolist()) for words, rows in by_guard.items()
    }
    for words, rows in by_guard.items():
        share = rows["false_pairs"] / max(1, calibration.different_pairs)
        series[f"false pairs {words}"] = (rows["threshold"].tolist(), share.tolist())
    return _markup(plot_lines(series, x_label="threshold", y_label="share", percent=True))


def _plot_costs(calibration: Calibration) -> Markup:
    costs = calibration.costs
    sizes = costs["size"].tolist()
    series = {
        "comparing": (sizes, costs["join_seconds"].tolist()),
        "preparing": (sizes, costs["prepare_seconds"].tolist()),
    }
    return _markup(plot_lines(series, x_label="thumbnail size in pixels", y_label="CPU seconds"))


def _plan_closest(calibration: Calibration, folder: Path) -> list[dict[str, Any]]:
    """Return the most similar pairs that were not planted, with their pictures and whether they count as false."""
    best = calibration.recommended
    pairs = calibration.unplanted[calibration.unplanted["size"] == best.size]
    # What the guards let through comes first: those may be matches.
    held_back = is_held_back(pairs, best.min_detail_ssim, best.min_local_ssim)
    ordered = pairs.assign(held_back=held_back).sort_values(
        ["held_back", "ssim"], ascending=[True, False], kind="stable"
    )
    closest = ordered.drop_duplicates(["path1", "path2"])
    return [_plan_pair(row, best, folder) for row in closest.head(SHOWN_PAIRS).to_dict("records")]


def _plan_pair(row: dict[Any, Any], best: Setting, folder: Path) -> dict[str, Any]:
    if row["alike"]:
        kind, badge = "kept", "alike"
    elif row["ssim"] < best.threshold:
        kind, badge = "near", "no match"
    else:
        kind, badge = ("review", "held back") if row["held_back"] else ("", "false")
    paths = [Path(row[name]) for name in ("path1", "path2")]
    return {
        "ssim": row["ssim"],
        "detail": row["detail"],
        "local": row["local"],
        "kind": kind,
        "badge": badge,
        "pictures": [(shorten_path(str(path), str(folder)), _encode(path)) for path in paths],
    }


def _encode(path: Path) -> str | None:
    pixels = read_square(path, DecodeSettings(PICTURE_SIDE))
    return None if pixels is None else to_webp(pixels)
