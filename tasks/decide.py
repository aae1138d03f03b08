"""Stage 5: apply the threshold and decide the duplicates."""

import pyarrow as pa
import pyarrow.compute as pc
from prefect import task

from imagetwins.config.parameters import Parameters
from imagetwins.matching.decisions import count_decisions, decide
from imagetwins.matching.verification import decide_verified, store_verified
from imagetwins.scanning.cache import cached_thumbnails
from imagetwins.store.runs import Run
from imagetwins.store.tables import COMPARISONS, DECISIONS, IMAGES, VERIFIED, read_table, write_table
from tasks import STAGE

IS_VERIFIED = pa.schema([COMPARISONS.field("verified")])
"""The one column that is needed to count what is verified: a table may hold millions of pairs."""


@task(name="decide-duplicates", **STAGE)
def decide_duplicates(run: Run, parameters: Parameters, workers: int) -> dict[str, int]:
    """Decide about every image, each decision resting on scikit-image's own score; return the counts.

    "verified" counts the stored pairs that have such a score by now.
    """
    images = read_table(run.images, IMAGES)
    matches = read_table(run.comparisons, COMPARISONS, where=pc.field("ssim") >= parameters.threshold)
    decisions, verified = decide_verified(
        lambda found: decide(images, found, parameters),
        matches,
        cached_thumbnails(run),
        workers,
        known=read_table(run.verified, VERIFIED),
    )
    store_verified(run.comparisons, verified)
    write_table(decisions, DECISIONS, run.decisions / "part-0.parquet")
    verified_by_now = read_table(run.comparisons, IS_VERIFIED, where=pc.field("verified"))
    return {"matches": len(matches), "verified": len(verified_by_now)} | count_decisions(decisions)
