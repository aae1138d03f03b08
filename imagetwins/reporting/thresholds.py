"""A past run at another threshold: what the rules that decide a run (`matching.decisions`) would have decided then."""

from dataclasses import dataclass

import pandas as pd
import pyarrow.compute as pc

from imagetwins.errors import ParameterError, StoreError
from imagetwins.matching.decisions import decide
from imagetwins.reporting.runs import file_states
from imagetwins.store.memory import read_memory
from imagetwins.store.runs import Run
from imagetwins.store.schemas import COMPARISONS, DECISIONS, IMAGES
from imagetwins.store.tables import read_table


@dataclass(frozen=True)
class ThresholdAudit:
    """A past run at another threshold: how many files are in each state, and `table` of the files that change state."""

    run_id: str
    threshold_before: float
    threshold: float
    counts_before: dict[str, int]
    counts: dict[str, int]
    table: pd.DataFrame
    decisions: pd.DataFrame


def audit_threshold(run: Run, threshold: float) -> ThresholdAudit:
    """Return what `run` would have decided at `threshold`, and which files change state; nothing is computed again.

    Raises:
        StoreError: `threshold` is below the run's floor, or the comparisons were pruned.
    """
    before = run.read_record().parameters
    decisions = decide_again(run, threshold)
    past = read_table(run.decisions, DECISIONS)
    both = pd.DataFrame(
        {
            "FullPath": past["FullPath"],
            "was": file_states(past),
            "becomes": file_states(decisions),
            "kept_path_was": past["kept_path"],
            "kept_path": decisions["kept_path"],
            "ssim": decisions["ssim"].fillna(past["ssim"]),
            "detail_ssim": decisions["detail_ssim"].fillna(past["detail_ssim"]),
            "local_ssim": decisions["local_ssim"].fillna(past["local_ssim"]),
            "orientation": decisions["orientation"].fillna(past["orientation"]),
            "reason": decisions["reason"],
        }
    )
    changed = both[
        (both["was"] != both["becomes"]) | (both["kept_path_was"].fillna("") != both["kept_path"].fillna(""))
    ]
    return ThresholdAudit(
        run.run_id,
        before.threshold,
        threshold,
        _count(both["was"]),
        _count(both["becomes"]),
        changed.sort_values(["becomes", "was", "ssim"], ascending=[True, True, False]).reset_index(drop=True),
        decisions,
    )


def decide_again(run: Run, threshold: float) -> pd.DataFrame:
    """Return the decisions (`schemas.DECISIONS`) of a past run at another threshold, before anything moves.

    Raises:
        StoreError: `threshold` is below the run's floor, or the comparisons were pruned.
    """
    parameters = run.read_record().parameters
    check_floor(run, threshold)
    pairs = read_table(run.comparisons, COMPARISONS, where=pc.field("ssim") >= threshold)
    again = parameters.model_copy(update={"threshold": threshold, "audit_floor": parameters.floor})
    return decide(read_table(run.images, IMAGES), pairs, again, read_memory(run.store))


def check_floor(run: Run, threshold: float) -> None:
    """Refuse a threshold that is none, or below the floor of a past run.

    Raises:
        ParameterError: no SSIM can reach it, or it is no number.
        StoreError: what scores less was not stored.
    """
    if not -1 <= threshold <= 1:
        raise ParameterError(f"threshold={threshold:g}: an SSIM lies between -1 and 1. Give a threshold in between.")
    floor = run.read_record().parameters.floor
    if threshold < floor:
        raise StoreError(
            f"threshold {threshold:g} is below the floor {floor:g} of run {run.run_id}: pairs that score less "
            f"were proven to, but not stored. Ask for {floor:g} or more, or run again with "
            f"--audit-floor {threshold:g}."
        )


def _count(states: pd.Series) -> dict[str, int]:
    return {name: int((states == name).sum()) for name in ("duplicate", "review", "kept", "unreadable")}
