"""The one stage of a look at a past run at another threshold."""

from typing import Any

from prefect import task
from prefect.artifacts import create_table_artifact

from imagetwins.reporting.answers import to_plain
from imagetwins.reporting.outcomes import MAX_ROWS
from imagetwins.reporting.thresholds import audit_threshold
from imagetwins.runtime.task_options import STAGE
from imagetwins.store.runs import Run


@task(name="publish-threshold", **STAGE)
def publish_threshold(run: Run, threshold: float) -> dict[str, Any]:
    """Publish the files that change state at `threshold`, and return the counts."""
    audit = audit_threshold(run, threshold)
    create_table_artifact(
        to_plain(audit.table.head(MAX_ROWS)),
        key="imagetwins-rethreshold",
        description=f"Run {run.run_id} at {threshold:g} instead of {audit.threshold_before:g}: what changes",
    )
    return {"run_id": run.run_id, "before": audit.counts_before, "now": audit.counts, "changed": len(audit.table)}
