"""Stage 7: move the duplicates. Never retried: the journal, and not Prefect, knows what is done."""

import itertools
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
from prefect import task

from imagetwins.config.parameters import Parameters
from imagetwins.matching.decisions import count_decisions, set_decisions
from imagetwins.moving.execute import MoveOutcome, apply_moves
from imagetwins.moving.links import write_current_links
from imagetwins.moving.plan import PlannedMove, plan_moves
from imagetwins.moving.recover import note_companions
from imagetwins.moving.refusals import find_refused
from imagetwins.progress import Progress
from imagetwins.runtime.observer import progress_of
from imagetwins.runtime.task_options import STAGE
from imagetwins.storage import Location
from imagetwins.storage.location import to_columns
from imagetwins.store.record import Stage
from imagetwins.store.runs import Run
from imagetwins.store.schemas import COMPANIONS, DECISIONS, IMAGES, Action
from imagetwins.store.tables import read_table, read_table_if_any, write_table


@task(name="move-duplicates", **STAGE)
def move_duplicates(run: Run, parameters: Parameters) -> dict[str, int]:
    """Move the files whose action is "would move", and what belongs to them; write what became of each into the tables."""
    decisions = read_table(run.decisions, DECISIONS)
    waiting = decisions.loc[decisions["action"] == Action.WOULD_MOVE, ["image", "kept_image"]]
    duplicates = [(int(image), int(kept)) for image, kept in waiting.itertuples(index=False)]
    companions = read_table_if_any(run.companions, COMPANIONS) if parameters.sidecars == "move" else None
    moves = plan_moves(parameters.layout, read_table(run.images, IMAGES), duplicates, companions)
    outcomes = _apply_until_stopped(moves, run.journal, progress_of(Stage.MOVE, "file"))
    followed = [companion for outcome in outcomes for companion in outcome.companions]
    noted = note_companions(
        run,
        _note_outcomes(decisions, outcomes),
        {companion.source: companion.new_path for companion in followed if companion.moved},
        {companion.source: companion.reason for companion in followed if companion.reason},
    )
    write_table(noted, DECISIONS, run.decisions / "part-0.parquet")
    # A run may have waited for days since it listed them.
    write_current_links(run.links, run.links)
    moved = sum(outcome.moved for outcome in outcomes)
    return {
        "moved": moved,
        "not_moved": int(find_refused(noted).sum()),
        "companions": sum(companion.moved for companion in followed),
        "companions_not_moved": sum(not companion.moved for companion in followed),
        # A raw file that was for review may have followed its picture.
        "review": count_decisions(noted)["review"] - count_decisions(decisions)["review"],
    }


def _apply_until_stopped(moves: Sequence[PlannedMove], journal: Location, progress: Progress) -> list[MoveOutcome]:
    """Move the files in a thread of their own, so that Ctrl-C and Cancel, which end the main one, stop between two."""
    stop, done = threading.Event(), itertools.count(1)
    with ThreadPoolExecutor(1) as mover:
        outcomes = mover.submit(
            apply_moves, moves, journal, stop=stop.is_set, on_move=lambda _: progress(next(done), len(moves))
        )
        try:
            return outcomes.result()
        except BaseException:
            stop.set()
            raise


def _note_outcomes(decisions: pd.DataFrame, outcomes: Sequence[MoveOutcome]) -> pd.DataFrame:
    """Return `decisions` with what became of each file that was to move. One that moved keeps the reason why."""
    changed = decisions.set_index("image", drop=False)
    moved = [outcome for outcome in outcomes if outcome.moved]
    refused = {outcome.image: outcome.reason for outcome in outcomes if outcome.reason}
    images = [outcome.image for outcome in moved]
    changed.loc[images, "NewPath"] = [to_columns(outcome.new_path)[0] for outcome in moved]
    changed.loc[images, "action"] = Action.MOVED.value
    set_decisions(changed, list(refused), Action.NOT_MOVED, list(refused.values()))
    return changed
