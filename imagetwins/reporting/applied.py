"""What became of a person's choices: the answer of the desk, and of `apply --choices`."""

from typing import Any

from imagetwins.matching.choices import Choices
from imagetwins.reasons import ReasonCode
from imagetwins.store.runs import Run
from imagetwins.store.schemas import DECISIONS, Action
from imagetwins.store.tables import read_table
from imagetwins.text import format_command


def summarise_applied(run: Run, choices: Choices) -> dict[str, Any]:
    """Return what `run`, which applied `choices`, has done: counts, what it did not do and why, and the command that undoes it.

    What had been moved before is where it should be, and so none of what was not done. Of a dry run the counts are of what would be
    done.
    """
    record = run.read_record()
    names = {"moved": "moved", "put_back": "put_back", "remembered": "remembered_now"}
    counts = {name: record.counts[count] for name, count in names.items()}
    decisions = read_table(run.decisions, DECISIONS)
    chosen = decisions["image"].isin([*choices.moving, *choices.staying])
    refused = chosen & (decisions["action"] == Action.NOT_MOVED)
    rows = decisions[refused & (decisions["reason_code"] != ReasonCode.MOVED_BEFORE)]
    if record.parameters.dry_run:
        counts |= {"moved": int((decisions["action"] == Action.WOULD_MOVE).sum()), "remembered": len(choices.apart)}
    return {
        "run_id": run.run_id,
        **counts,
        "not_done": [
            {"path": record.parameters.layout.shorten(path), "reason": reason}
            for path, reason in zip(rows["FullPath"], rows["reason"], strict=True)
        ],
        "undo": format_command("restore", run.run_id, record.parameters.store),
    }
