"""Stage 8: show what was found: the report, and artifacts for Prefect's UI."""

from typing import Any, cast
from uuid import UUID

import pandas as pd
from prefect import task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.context import TaskRunContext
from prefect.events import emit_event

from imagetwins.reporting.answers import to_plain
from imagetwins.reporting.gallery import draw_gallery, draw_summary
from imagetwins.reporting.run_page import read_tables, write_report
from imagetwins.runtime.observer import progress_of
from imagetwins.runtime.publishing import publish
from imagetwins.runtime.task_options import MAX_ARTIFACT_ROWS, STAGE
from imagetwins.scanning.thumbnails import RunThumbnails
from imagetwins.storage import storage_of
from imagetwins.store.record import RunStatus, Stage
from imagetwins.store.runs import Run
from imagetwins.store.schemas import Action

REVIEW_EVENT = "imagetwins.review"


@task(name="publish-run", **STAGE)
def publish_run(run: Run) -> UUID | None:
    """Write the report; publish a link to it, the summary, the gallery and the table of what is not simply kept.

    Returns the id of the gallery; None if Prefect's server, where it would be shown, is gone.
    """
    tables = read_tables(run)
    record, decisions = tables.record, tables.decisions
    thumbnails = RunThumbnails(run, tables.parameters, tables.images, decisions)
    report = write_report(run, tables, thumbnails, progress=progress_of(Stage.REPORT, "picture"))
    publish(
        create_link_artifact,
        storage_of(report).to_uri(report),
        key="imagetwins-report",
        # Browsers do not follow a page of the server to a file: the link is there to be copied.
        description="The report: copy the link into a browser on the machine that ran this.",
    )
    layout = record.parameters.layout
    publish(create_markdown_artifact, draw_summary(record), key="imagetwins-summary", description=layout.path)
    gallery: Any = publish(
        create_markdown_artifact,
        draw_gallery(decisions, tables.images, thumbnails.load, layout),
        key="imagetwins-gallery",
        description="Kept and duplicate, most doubtful first",
    )
    publish(
        create_table_artifact,
        to_plain(order_decisions(decisions).head(MAX_ARTIFACT_ROWS)),
        key="imagetwins-decisions",
        description="Every file that is not simply kept, those for review first",
    )
    if record.status is not RunStatus.WAITING and record.counts["review"]:
        _announce_review(run, record.counts["review"])
    return cast(UUID | None, gallery)


def _announce_review(run: Run, count: int) -> None:
    """Tell Prefect, whose automations may notify somebody, that matches are for review."""
    context = TaskRunContext.get()
    if context is None:
        return
    emit_event(
        REVIEW_EVENT,
        resource={"prefect.resource.id": f"prefect.flow-run.{context.task_run.flow_run_id}"},
        related=[{"prefect.resource.id": "prefect.tag.imagetwins", "prefect.resource.role": "tag"}],
        payload={"said": f"{count} for review (run {run.run_id})"},
    )


def order_decisions(decisions: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that a person may want to see, those for review first."""
    columns = [
        "action",
        "FullPath",
        "NewPath",
        "kept_path",
        "ssim",
        "detail_ssim",
        "local_ssim",
        "orientation",
        "reason",
    ]
    shown = decisions.loc[decisions["action"] != Action.KEPT, columns]
    return shown.sort_values("action", key=lambda action: action != Action.REVIEW, kind="stable")
