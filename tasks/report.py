"""Stage 8: show what was found: the report, and artifacts for Prefect's UI; and tell whoever wants to hear of it."""

from typing import Any, cast
from uuid import UUID

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.events import emit_event

from imagetwins.reporting.digest import Digest, explain_desk, make_digest
from imagetwins.reporting.gallery import draw_gallery, draw_summary, escape, link_desk
from imagetwins.reporting.links import find_dangling
from imagetwins.reporting.outcomes import describe_outcomes, tabulate_outcomes
from imagetwins.reporting.run_page import read_tables, write_report
from imagetwins.runtime.flow_context import current_flow_run
from imagetwins.runtime.observer import progress_of
from imagetwins.runtime.publishing import publish
from imagetwins.runtime.task_options import STAGE
from imagetwins.scanning.thumbnails import RunThumbnails
from imagetwins.store.record import RunRecord, RunStatus, Stage
from imagetwins.store.runs import Run

DIGEST_EVENT = "imagetwins.digest"
"""What automations wait for to tell a person of a run: once a run, and only where there is news."""


@task(name="publish-run", **STAGE)
def publish_run(run: Run) -> UUID | None:
    """Write the report; publish the summary, the gallery and the table of what is not simply kept.

    Returns the id of the gallery; None if Prefect's server, where it would be shown, is gone.
    """
    tables = read_tables(run)
    record, decisions = tables.record, tables.decisions
    thumbnails = RunThumbnails(run, tables.parameters, tables.images, decisions)
    report = write_report(run, tables, thumbnails, progress=progress_of(Stage.REPORT, "picture"))
    digest = make_digest(run, decisions)
    layout = record.parameters.layout
    publish(
        create_markdown_artifact,
        draw_summary(record, digest, str(report), find_dangling(run)),
        key="imagetwins-summary",
        description=escape(layout.path),
    )
    gallery: Any = publish(
        create_markdown_artifact,
        draw_gallery(decisions, tables.images, thumbnails.load, layout),
        key="imagetwins-gallery",
        description="Kept and duplicate, most doubtful first",
    )
    publish(
        create_table_artifact,
        tabulate_outcomes(decisions, layout),
        key="imagetwins-decisions",
        description=f"{describe_outcomes(decisions)} {link_desk(record)}",
    )
    _announce(record, digest)
    return cast(UUID | None, gallery)


def _announce(record: RunRecord, digest: Digest) -> None:
    """Tell Prefect, whose automations may notify somebody, what the run of a deployment did: once, and only where there is news.

    Whoever started a run in a terminal looks at it, and who approved one knows what moves. It is told of nothing new: not of
    matches that wait since the run before, nor of pairs that are kept apart once more.
    """
    flow_run = current_flow_run()
    if not flow_run.deployment_id or record.status is RunStatus.WAITING or record.approval or not digest.is_news:
        return
    desk = explain_desk(record)
    emit_event(
        DIGEST_EVENT,
        resource={"prefect.resource.id": f"prefect.flow-run.{flow_run.id}"},
        related=[{"prefect.resource.id": "prefect.tag.imagetwins", "prefect.resource.role": "tag"}],
        payload={"said": f"{digest}. {desk}", "desk": desk, "run_id": record.run_id, **digest.to_plain()},
    )
