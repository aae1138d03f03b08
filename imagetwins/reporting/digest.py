"""What a person wants to hear of a run in one sentence: what moved, what waits for them, what was remembered."""

from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from imagetwins import settings
from imagetwins.moving.refusals import find_refused
from imagetwins.storage import storage_of
from imagetwins.store.record import RunKind, RunRecord
from imagetwins.store.runs import Run, list_runs
from imagetwins.store.schemas import DECISIONS, Action
from imagetwins.store.tables import read_table
from imagetwins.text import format_command

SHOWN = ["FullPath", "kept_path"]
"""What names a match from one run to the next: ids of images are a run's own."""


@dataclass(frozen=True)
class Digest:
    """What became of the pictures of a run.

    Attributes:
        moved: files that moved.
        not_moved: files that should have moved and did not.
        would_move: files that would move: it was a dry run, or it waits.
        review: matches that a person has to settle.
        new: those of them that the run before did not have.
        remembered: pairs that were kept apart because somebody had said so.
    """

    moved: int
    not_moved: int
    would_move: int
    review: int
    new: int
    remembered: int

    @property
    def is_news(self) -> bool:
        """Whether it is worth a message: what waits since yesterday, or was remembered again, is none."""
        return bool(self.moved or self.would_move or self.new)

    def __str__(self) -> str:
        parts = [f"{self.moved:,} moved"]
        if self.not_moved:
            parts.append(f"{self.not_moved:,} not moved")
        if self.would_move:
            parts.append(f"{self.would_move:,} would move")
        parts.append(f"{self.review:,} for review{f' ({self.new:,} new)' if 0 < self.new < self.review else ''}")
        if self.remembered:
            parts.append(f"{self.remembered:,} kept apart as remembered")
        return ", ".join(parts)

    def to_plain(self) -> dict[str, Any]:
        """Return the numbers by their names."""
        return asdict(self)


def make_digest(run: Run, decisions: pd.DataFrame) -> Digest:
    """Return the digest of `run`, which decided `decisions`."""
    actions = decisions["action"].value_counts()
    waiting = _matches_for_review(decisions)
    before = find_run_before(run) if waiting else None
    return Digest(
        moved=int(actions.get(Action.MOVED, 0)),
        not_moved=int(find_refused(decisions).sum()),
        would_move=int(actions.get(Action.WOULD_MOVE, 0)),
        review=int(actions.get(Action.REVIEW, 0)),
        new=len(waiting - (_matches_for_review(read_table(before.decisions, DECISIONS)) if before else set())),
        remembered=run.read_record().counts["remembered"],
    )


def find_run_before(run: Run) -> Run | None:
    """Return the last run that went through all its stages before `run` that looked through the same folders and still has its decisions."""
    folders = {*run.read_record().parameters.layout.folders}
    for earlier in reversed(list_runs(run.store)):
        record = earlier.read_record() if earlier.run_id < run.run_id else None
        if (
            record
            and record.kind is RunKind.DEDUPLICATE
            and record.is_whole
            and {*record.parameters.layout.folders} == folders
            and storage_of(run.store).glob(earlier.decisions, "*.parquet")
        ):
            return earlier
    return None


def _matches_for_review(decisions: pd.DataFrame) -> set[tuple[str, str]]:
    waiting = decisions.loc[decisions["action"] == Action.REVIEW, SHOWN]
    return set(waiting.itertuples(index=False, name=None))


def explain_desk(record: RunRecord) -> str:
    """Return how to settle what a run found, in a sentence: by the address of its desk, or by the command that opens it."""
    if url := settings.desk_url(record.run_id):
        return f"To look at them: {url}"
    return f"To look at them: {format_command('review', record.run_id, record.parameters.store)}"
