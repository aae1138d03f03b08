"""Stage 7: show what was found: the report, and artifacts for Prefect's UI."""

import functools
from typing import Any, cast
from uuid import UUID

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from prefect import task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.context import TaskRunContext
from prefect.events import emit_event

from imagetwins.config.parameters import Parameters
from imagetwins.errors import StoreError
from imagetwins.reporting.audit import to_plain
from imagetwins.reporting.gallery import Thumbnail, draw_gallery, draw_summary
from imagetwins.reporting.run_page import build_report
from imagetwins.scanning.cache import cached_thumbnails
from imagetwins.scanning.thumbnails import find_place, thumbnail_reader
from imagetwins.store.runs import Run
from imagetwins.store.tables import DECISIONS, IMAGES, read_table
from tasks import MAX_TABLE_ROWS, STAGE

REVIEW_EVENT = "imagetwins.review"


@task(name="publish-run", **STAGE)
def publish_run(run: Run) -> UUID:
    """Write the report; publish a link to it, the summary, the gallery and the table of what is not simply kept.

    Returns the id of the gallery.
    """
    create_link_artifact(
        build_report(run).as_uri(),
        key="imagetwins-report",
        # Browsers do not follow a page of the server to a file: the link is there to be copied.
        description="The report: copy the link into a browser on the machine that ran this.",
    )
    record, images, decisions = run.read_record(), read_table(run.images, IMAGES), read_table(run.decisions, DECISIONS)
    folder = record["parameters"]["folder"]
    create_markdown_artifact(draw_summary(record), key="imagetwins-summary", description=folder)
    thumbnails = _thumbnails(run, record, images, decisions)
    gallery: Any = create_markdown_artifact(
        draw_gallery(decisions, images, thumbnails, folder),
        key="imagetwins-gallery",
        description="Kept and duplicate, most doubtful first",
    )
    create_table_artifact(
        to_plain(order_decisions(decisions).head(MAX_TABLE_ROWS)),
        key="imagetwins-decisions",
        description="Every file that is not simply kept, those for review first",
    )
    if record["status"] != "waiting" and record["counts"].get("review"):
        _announce_review(run, record["counts"]["review"])
    return cast(UUID, gallery)


def _announce_review(run: Run, count: int) -> None:
    """Tell Prefect, whose automations may tell somebody, that matches are for review."""
    emit_event(
        REVIEW_EVENT,
        resource={"prefect.resource.id": f"prefect.flow-run.{TaskRunContext.get().task_run.flow_run_id}"},
        related=[{"prefect.resource.id": "prefect.tag.imagetwins", "prefect.resource.role": "tag"}],
        payload={"said": f"{count} for review (run {run.run_id})"},
    )


def order_decisions(decisions: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that a person may want to see, those for review first."""
    columns = ["action", "FullPath", "NewPath", "kept_path", "ssim", "detail_ssim", "reason"]
    shown = decisions.loc[decisions["action"] != "kept", columns]
    return shown.sort_values("action", key=lambda action: action != "review", kind="stable")


def _thumbnails(run: Run, record: dict[str, Any], images: pd.DataFrame, decisions: pd.DataFrame) -> Thumbnail:
    """Return where pictures come from: what the run compared, or, where it compared none, the files again."""
    if run.loaded.exists():
        return cached_thumbnails(run)
    settings = Parameters(**record["parameters"]).decode_settings
    read = thumbnail_reader(functools.partial(find_place, images, decisions), settings)

    def read_or_black(image: int) -> NDArray[np.uint8]:
        try:
            return read(image)
        except StoreError:
            return np.zeros((settings.size, settings.size, 3), np.uint8)

    return read_or_black
