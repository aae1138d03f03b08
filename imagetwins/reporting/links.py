"""The symbolic links that lead nowhere since a run moved what they led to, and what to do about them."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imagetwins.config.layout import Layout
from imagetwins.moving.journal import find_last
from imagetwins.storage.location import to_columns
from imagetwins.store.record import RunRecord, RunStatus
from imagetwins.store.runs import Run
from imagetwins.store.schemas import COMPANIONS, DECISIONS, LINKS, Action
from imagetwins.store.tables import read_table, read_table_if_any
from imagetwins.text import pluralize

MAX_NAMED = 5
"""Links that are named where there is little room; the report and `--json` have all."""


@dataclass(frozen=True)
class DanglingLink:
    """A symbolic link whose target a run has moved, or would move.

    Attributes:
        link: where it is.
        says: what it says itself: a path, which may be relative to where it is.
        target: where the file was that it leads to.
        moved_to: where that file is now, or would be.
        kept: the picture that stays for it; None of what is no duplicate.
    """

    link: str
    says: str
    target: str
    moved_to: str
    kept: str | None

    @property
    def command(self) -> str | None:
        """The shell command that has the link lead to the picture that stays; None where there is none, or names cannot be typed."""
        if self.kept is None or not all(name.isprintable() and "\\x" not in name for name in (self.kept, self.link)):
            return None
        # A folder that is carried elsewhere with its links is so still.
        says = self.kept if Path(self.says).is_absolute() else os.path.relpath(self.kept, Path(self.link).parent)
        return shlex.join(["ln", "-sfn", "--", says, self.link])


def find_dangling(run: Run) -> list[DanglingLink]:
    """Return the symbolic links of `run`, by name, that its moves have left without what they lead to, or would.

    Those of files that `restore` has put back work again. Links that were made, or changed, after the run are not known.
    """
    links = read_table_if_any(run.links, LINKS)
    # Few folders have links: of the others nothing more is read.
    if links.empty or (record := run.read_record()).status is RunStatus.RESTORED:
        return []
    moves = _read_moves(run, record.parameters.layout)
    dangling = links[links["target"].isin(list(moves))].sort_values("path", kind="stable")
    names = zip(dangling["path"], dangling["says"], dangling["target"], strict=True)
    return [DanglingLink(link, says, target, *moves[target]) for link, says, target in names]


def _read_moves(run: Run, layout: Layout) -> dict[str, tuple[str, str | None]]:
    """Return where each file that has moved, or would, is then, and the picture that stays for it."""
    decisions = read_table(run.decisions, DECISIONS)
    going = decisions[decisions["action"].isin([Action.MOVED, Action.WOULD_MOVE])]
    paths = dict(zip(going["FullPath"], going["kept_path"], strict=True))
    new = dict(zip(going["FullPath"], going["NewPath"], strict=True))
    companions = read_table_if_any(run.companions, COMPANIONS)
    followed = companions[companions["new_path"] != companions["path"]]
    new |= dict(zip(followed["path"], followed["new_path"], strict=True))
    back = {to_columns(origin)[0] for origin, last in find_last(run.journal).items() if last.direction == "back"}
    return {
        path: (
            now if now != path else layout.plan_name(path),
            kept if isinstance(kept := paths.get(path), str) and kept not in new else None,
        )
        for path, now in new.items()
        if path not in back
    }


def describe_dangling(links: Sequence[DanglingLink], record: RunRecord) -> str:
    """Return how many links the run of `record` has left dangling, or would, in a sentence; "" if none."""
    if not links:
        return ""
    is_one = len(links) == 1
    leads, dangles = ("what it leads to", "dangles now") if is_one else ("what they lead to", "dangle now")
    said = f"{dangles}: {leads} was moved" if record.counts["moved"] else f"would dangle: {leads} would be moved"
    return f"{pluralize(len(links), 'symbolic link')} {said}."
