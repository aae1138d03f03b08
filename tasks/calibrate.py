"""Measure which thumbnail size, threshold and guard fit a folder."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact

from imagetwins import __version__
from imagetwins.calibration.sweep import calibrate, write_calibration
from imagetwins.orientation import Orientations
from imagetwins.reporting.calibration_page import build_calibration_page, plan_command
from imagetwins.reporting.gallery import escape
from imagetwins.runtime.task_options import READING
from imagetwins.scanning.candidates import list_candidates
from imagetwins.storage import is_path


@task(name="calibrate-folder", **READING)
def calibrate_folder(
    folder: Path,
    directory: Path,
    *,
    exclude: Sequence[str],
    pictures: int,
    orientations: Orientations,
    seed: int,
    workers: int,
    progress: Callable[[str, int, int], None],
) -> dict[str, Any]:
    """Write the tables and the page of a calibration into `directory`; return what it recommends, and why."""
    skip = [directory.parent.parent]
    listed = list_candidates(folder, recursive=True, exclude=exclude, reference=[], skip=skip)
    paths = [file.location for file in listed if file.error is None and is_path(file.location)]
    workspace = directory / "workspace"
    try:
        measured = calibrate(
            paths,
            workspace,
            pictures=pictures,
            orientations=orientations,
            seed=seed,
            workers=workers,
            progress=progress,
        )
    finally:
        shutil.rmtree(workspace, ignore_errors=True)
    write_calibration(measured, directory)
    page = directory / "calibration.html"
    build_calibration_page(measured, folder, page, version=__version__)
    command = plan_command(measured.recommended, folder, orientations)
    create_markdown_artifact(
        f"# {escape(measured.reason)}\n\n```\n{command}\n```\n\nThe evidence: `{page}`",
        key="imagetwins-calibration",
        description=str(folder),
    )
    recommended = {name: value for name, value in asdict(measured.recommended).items() if name != "close_pairs"}
    return {
        **recommended,
        "orientations": orientations,
        "reason": measured.reason,
        "command": command,
        "page": str(page),
    }
