"""What a person may want to do about a run, with the commands that do it."""

from dataclasses import dataclass

import pandas as pd

from imagetwins.config.keep import split_keep
from imagetwins.config.parameters import Parameters, Rule
from imagetwins.decoding.formats import name_not_read
from imagetwins.reasons import ReasonCode
from imagetwins.storage.location import suffix_of
from imagetwins.store.record import RunRecord, RunStatus
from imagetwins.text import as_argument, format_command, format_words, pluralize

RULES: dict[Rule, str] = {
    "careful": "A match that a score alone cannot vouch for is for review, and stays.",
    "plain": "By the plain rule, of two pictures that match the one listed later is a duplicate: no guard held any back.",
}
"""What each rule means, for whoever reads what a run decided."""


def describe_orientations(record: RunRecord) -> str:
    """Return what came of comparing pictures turned and mirrored, too; "" of a run that did not."""
    if record.parameters.orientations == "same":
        return ""
    turned = record.counts["turned_duplicates"]
    found = f"{turned:,} of the duplicates {'is' if turned == 1 else 'are'}" if turned else "no duplicate is"
    return f"Pictures were compared turned and mirrored, too: {found} turned or mirrored."


def describe_restriction(record: RunRecord) -> str:
    """Return which pairs alone could match, and how many others would have; "" of a run in which all could."""
    excluded = pluralize(record.counts["excluded"], "other pair")
    would = f"{excluded} would match, too, and {'does' if record.counts['excluded'] == 1 else 'do'} not count."
    if record.parameters.across:
        return f"Copies count only in different folders, not inside one: {would}"
    if record.parameters.within == "folder":
        return f"Copies count only inside one sub-folder: {would}"
    return ""


def describe_shots(record: RunRecord) -> str:
    """Return how many matches are none because their EXIF says that they are two shots; "" of a run that does not keep those."""
    if not record.parameters.keeps_shots:
        return ""
    count = record.counts["other_shots"]
    return f"{pluralize(count, 'pair')} would match, but {'is' if count == 1 else 'are'} two shots by EXIF, and kept (burst keep)."


def describe_small(record: RunRecord) -> str:
    """Return how many pictures were too small to be compared; "" if none were."""
    count = record.counts["too_small"]
    were = "was" if count == 1 else "were"
    limit = f"the shorter side has fewer than {record.parameters.min_side:,} pixels (min_side)"
    return f"{pluralize(count, 'picture')} {were} not compared: {limit}." if count else ""


def describe_not_read(decisions: pd.DataFrame) -> str:
    """Return how many pictures are of formats that are not read, by format; "" if none are.

    `decisions` are `schemas.DECISIONS`, or some of its rows.
    """
    names = decisions.loc[decisions["reason_code"] == ReasonCode.FORMAT_NOT_READ, "FileName"]
    if names.empty:
        return ""
    suffixes = names.map(lambda name: suffix_of(name).lower()).value_counts()
    by_name = suffixes.groupby(suffixes.index.map(name_not_read)).sum().sort_values(ascending=False, kind="stable")
    told = ", ".join(f"{count:,} {name}" for name, count in by_name.items())
    leave = f"--exclude '*{suffixes.index[0]}'"
    return f"Not read: {told}. Convert them, to PNG say, to have them compared; {leave}, or --formats, leaves them out."


def describe_remembered(record: RunRecord) -> str:
    """Return what the run left as it was because of what persons said before; "" if nothing."""
    apart, review = record.counts["remembered"], record.counts["remembered_review"]
    told = []
    if apart:
        told.append(f"{pluralize(apart, 'match')} kept apart")
    if review:
        told.append(f"{pluralize(review, 'picture')} for review instead of moved")
    return f"Remembered of what was said before: {', '.join(told)}." if told else ""


@dataclass(frozen=True)
class Advice:
    """A sentence, and the commands that follow it."""

    text: str
    commands: list[str]


def advise_keep(record: RunRecord) -> Advice | None:
    """Return what to do where copies with fewer pixels were kept than were moved; None if there is nothing to do."""
    larger, parameters = record.counts["larger_duplicates"], record.parameters
    if not larger or "resolution" in parameters.ranking:
        return None
    keep = ",".join(["resolution", *(word for word in split_keep(parameters.keep) if word != "first")])
    commands = [format_run(parameters.model_copy(update={"keep": keep, "rule": "careful"}))]
    if record.counts["moved"] and record.status is not RunStatus.RESTORED:
        # Restored for another run to move them, so that run must not remember them as put back.
        commands.insert(0, format_command("restore", record.run_id, parameters.store, options=("--move-again",)))
    have = "duplicate has" if larger == 1 else "duplicates have"
    return Advice(
        f"{larger:,} {have} more pixels than the copy that stays. To keep the largest copies instead:", commands
    )


def format_run(parameters: Parameters) -> str:
    """Return the shell command that runs with `parameters`; what is the default is left out."""
    words = ["imagetwins", "run", *map(as_argument, parameters.folders)]
    changed = {name: value for name, value in parameters.changed.items() if name != "more_folders"}
    for name, value in changed.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        else:
            words += [
                word for one in (value if isinstance(value, list) else [value]) for word in (f"--{option}", str(one))
            ]
    return format_words(*words)


def count_open(record: RunRecord) -> int:
    """Return how many pictures a run leaves for a person to decide about."""
    if record.status is not RunStatus.WAITING and not record.is_whole:
        return 0
    proposed = record.parameters.dry_run or record.status is RunStatus.WAITING
    return record.counts["review"] + (record.counts["duplicates"] if proposed else 0)
