"""Stage 6: apply the threshold and decide the duplicates."""

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from imagetwins.config.parameters import Parameters
from imagetwins.matching.decisions import Decider, count_decisions, count_larger, count_turned, count_unasked
from imagetwins.matching.restriction import find_excluded
from imagetwins.matching.verification import decide_verified, store_verified
from imagetwins.progress import Progress, no_progress
from imagetwins.scanning.thumbnails import cached_thumbnails
from imagetwins.store.memory import read_memory
from imagetwins.store.runs import Run
from imagetwins.store.schemas import COMPARISONS, DECISIONS, IMAGES, VERIFIED
from imagetwins.store.tables import read_table, write_table

IS_VERIFIED = pa.schema([COMPARISONS.field("verified")])
"""The one column that is needed to count what is verified: a table may hold millions of pairs."""


def decide_duplicates(
    run: Run, parameters: Parameters, workers: int, progress: Progress = no_progress
) -> dict[str, int]:
    """Decide about every image, each decision resting on scikit-image's own score; return the counts.

    "verified" counts the stored pairs that have such a score by now.
    """
    images = read_table(run.images, IMAGES)
    matches = read_table(run.comparisons, COMPARISONS, where=pc.field("ssim") >= parameters.threshold)
    decider = Decider(images, matches, parameters, read_memory(run.store))
    decisions, verified = decide_verified(
        decider,
        cached_thumbnails(run),
        workers,
        known=read_table(run.verified, VERIFIED),
        progress=progress,
    )
    store_verified(run.comparisons, verified, workers)
    write_table(decisions, DECISIONS, run.decisions / "part-0.parquet")
    verified_by_now = read_table(run.comparisons, IS_VERIFIED, where=pc.field("verified"))
    counts = count_matches(matches, images, decider, parameters) | {"verified": len(verified_by_now)}
    return counts | count_all(decisions, images, parameters, len(decider.apart))


def count_matches(
    pairs: pd.DataFrame, images: pd.DataFrame, decider: Decider, parameters: Parameters
) -> dict[str, int]:
    """Return how many pairs at the threshold or above it are matches, and how many are none by the run's parameters: restricted, or two shots."""
    excluded = int(find_excluded(pairs, images, parameters).sum())
    counts = {"matches": len(pairs) - excluded - len(decider.apart) - len(decider.shots)}
    counts |= {"other_shots": len(decider.shots)} if parameters.keeps_shots else {}
    return counts | ({"excluded": excluded} if excluded else {})


def count_all(decisions: pd.DataFrame, images: pd.DataFrame, parameters: Parameters, apart: int) -> dict[str, int]:
    """Return the counts of what was decided, where `apart` pairs are kept apart by what persons said."""
    counts = count_decisions(decisions) | {
        "larger_duplicates": count_larger(decisions, images),
        "remembered": apart,
        "remembered_review": count_unasked(decisions),
    }
    return counts if parameters.orientations == "same" else counts | {"turned_duplicates": count_turned(decisions)}
