"""Which thumbnail size, threshold and guard fit a folder, measured on copies of its own pictures."""

import datetime as dt
from typing import Annotated, Any

from prefect import flow
from prefect.runtime import flow_run
from pydantic import Field

from imagetwins.config.folders import allowed_roots, check_local_folder, check_writable, resolve_store, shorten_folder
from imagetwins.config.roots import check_roots
from imagetwins.orientation import Orientations
from imagetwins.runtime.observer import observer
from imagetwins.settings import count_cores
from imagetwins.storage import storage_of
from tasks.calibrate import calibrate_folder


def name_run() -> str:
    """Name a flow run by its folder."""
    return f"calibrate {shorten_folder(flow_run.parameters['folder'])}"


@flow(name="calibrate-images", flow_run_name=name_run, persist_result=False)
def calibrate(
    folder: str,
    pictures: Annotated[int, Field(ge=2, le=2000)] = 120,
    orientations: Orientations = "same",
    seed: Annotated[int, Field(ge=0)] = 0,
    exclude: list[str] = [],  # noqa: B006 - Prefect shows the default in its form; it is never changed.
    store: str | None = None,
) -> dict[str, Any]:
    """Measure which thumbnail size, threshold and guard find the most copies without a false pair. Nothing moves.

    A sample of the folder's pictures is copied in nine ways (halved, doubled, recompressed, brightened, grey, cropped,
    rotated, watermarked; with the orientations "all" also turned and mirrored), in memory; what finds those copies again
    is what is recommended.

    Args:
        folder: The folder of pictures to calibrate for.
        pictures: How many of its pictures to sample (2 to 2000).
        orientations: same or all, as for a run: whether pictures are compared turned and mirrored, too.
        seed: Decides which pictures are sampled and how they are changed.
        exclude: Patterns, as in a .gitignore, of files and sub-folders to leave out besides the default ones.
        store: Folder of the tables and journals. Default: IMAGETWINS_STORE, else ~/imagetwins-data/store (in a checkout: data/store).

    Returns:
        The recommended size, threshold and guard, the reason, the command to run with them, and the page that shows why.

    Raises:
        ParameterError: the folder does not exist, or holds fewer than two readable pictures.
    """
    pictured = check_local_folder("folder", folder)
    check_roots([pictured], allowed_roots())
    home = resolve_store(store)
    check_writable(home)
    directory = storage_of(home).local_directory(home) / "calibrations" / f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}"
    return calibrate_folder(
        pictured,
        directory,
        exclude=exclude,
        pictures=pictures,
        orientations=orientations,
        seed=seed,
        workers=count_cores(),
        progress=observer.get().progressed,
    )
