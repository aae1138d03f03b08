"""Why a file moves or stays, and why earlier work is or is not used: as data, and put into words here alone.

A `Reason` is a code and its details. Tables store both forms: `reason_code` to group by, `reason` to read.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from imagetwins.errors import ImagetwinsError
from imagetwins.text import describe_os_error, pluralize


class ReasonCode(StrEnum):
    """What a reason says, apart from its details. The values are stored in tables: rename none."""

    # Decisions
    NO_MATCH = "no-match"
    HAS_DUPLICATES = "has-duplicates"
    DUPLICATE = "duplicate"
    ASPECT_DIFFERS = "aspect-differs"
    LOW_DETAIL_SSIM = "low-detail-ssim"
    LOW_LOCAL_SSIM = "low-local-ssim"
    ONE_PLACE_DIFFERS = "one-place-differs"
    COLOUR_DIFFERS = "colour-differs"
    OTHER_MOMENT = "other-moment"
    OTHER_EXPOSURE = "other-exposure"
    BETWEEN_SHOTS = "between-shots"
    OTHER_SHOT = "other-shot"
    FILM_LOST = "film-lost"
    FILMS_DIFFER = "films-differ"
    BLANK = "blank"  # Of runs with decoder 1
    NOTHING_TO_SEE = "nothing-to-see"
    FRAMES_DIFFER = "frames-differ"
    FRAMES_UNEQUAL = "frames-unequal"
    RAW_PREVIEW = "raw-preview"
    TOO_MANY_MOVES = "too-many-moves"
    UNREADABLE = "unreadable"
    FORMAT_NOT_READ = "format-not-read"
    TOO_SMALL = "too-small"
    # What persons said before
    KEPT_APART = "kept-apart"
    PUT_BACK = "put-back"
    KEPT_APART_BEFORE = "kept-apart-before"
    MATCHES_BOTH = "matches-both"
    # Approval
    APPROVED = "approved"
    NOT_APPROVED = "not-approved"
    LEFT_ALONE = "left-alone"
    # What a person chose
    CHOSEN = "chosen"
    CHOSEN_APART = "chosen-apart"
    UNDECIDED = "undecided"
    MOVED_BEFORE = "moved-before"
    KEPT_UNUSABLE = "kept-unusable"
    NOT_PUT_BACK = "not-put-back"
    # Moves that are not made
    SOURCE_MISSING = "source-missing"
    SOURCE_CHANGED = "source-changed"
    CHANGED_WHILE_COPIED = "changed-while-copied"
    KEPT_MISSING = "kept-missing"
    UNRECOVERED = "unrecovered"
    RUN_STOPPED = "run-stopped"
    RESTORED_BEFORE = "restored-before"
    RESTORED = "restored"
    FOLLOWED = "followed"
    PICTURE_STAYS = "picture-stays"
    KEPT_FOR_OTHERS = "kept-for-others"
    OS_ERROR = "os-error"
    # Restores
    NAME_TAKEN = "name-taken"
    NOT_WHERE_MOVED = "not-where-moved"
    REPLACED = "replaced"
    BACK_ALREADY = "back-already"
    # Files that a past run's scores no longer hold for
    MISSING_SINCE_RUN = "missing-since-run"
    SIZE_CHANGED = "size-changed"
    MODIFIED = "modified"
    CONTENT_CHANGED = "content-changed"
    # Reuse of an earlier run's pairs
    PAIRS_REUSED = "pairs-reused"
    NO_EARLIER_RUN = "no-earlier-run"
    SETTINGS_DIFFER = "settings-differ"
    FLOOR_TOO_HIGH = "floor-too-high"
    TABLES_INCOMPLETE = "tables-incomplete"
    SCORES_OF_RUN = "scores-of-run"
    # Workers of a cluster that must not take part
    STORE_NOT_SEEN = "store-not-seen"
    CACHE_NOT_SEEN = "cache-not-seen"
    VERSIONS_DIFFER = "versions-differ"
    ROOTS_REFUSE = "roots-refuse"
    FILES_NOT_SEEN = "files-not-seen"
    SERVER_NOT_REACHED = "server-not-reached"


@dataclass(frozen=True)
class Reason:
    """A code with the details that its sentence needs; `str()` puts it into words."""

    code: ReasonCode
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, code: ReasonCode, **details: Any) -> "Reason":
        return cls(code, details)

    @classmethod
    def of_os_error(cls, error: OSError) -> "Reason":
        """Return the reason that an error of the file system or the bucket gives."""
        return cls(ReasonCode.OS_ERROR, {"error": describe_os_error(error)})

    def __str__(self) -> str:
        sentence = _SENTENCES[self.code]
        return sentence(self.details) if callable(sentence) else sentence.format(**self.details)


class RefusedError(ImagetwinsError):
    """A file is left where it is, and `reason` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(str(reason))
        self.reason = reason


def _too_many(details: Mapping[str, Any]) -> str:
    return (
        f"{details['moves']} of {details['movable']} pictures would move, more than max_move_share {details['limit']:g}; "
        "run again with a larger share to move them"
    )


def _with_comment(sentence: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda details: f"{sentence}: {details['comment']}" if details.get("comment") else sentence


def _as_said(sentence: str) -> Callable[[Mapping[str, Any]], str]:
    """Return a sentence that ends with who said so, when, where and why."""
    return lambda details: f"{sentence.format(**details)}, {describe_saying(details)}"


def describe_put_back(details: Mapping[str, Any]) -> str:
    """Return who put a picture back, when, where and why, of a row of `schemas.NOT_DUPLICATES`."""
    return f"{details['moved']} had moved as a duplicate of {details['kept']}, and was put back by {details['who']} {_describe_act(details)}"


def describe_saying(details: Mapping[str, Any]) -> str:
    """Return who said something, when, where and why, of a row of `schemas.NOT_DUPLICATES`."""
    return f"as {details['who']} said {_describe_act(details)}"


def _describe_act(details: Mapping[str, Any]) -> str:
    time = str(details["decided"])[:16].replace("T", " ")
    # In tables, what is missing may be NaN.
    run = f", run {details['run_id']}" if isinstance(details.get("run_id"), str) else ""
    why = f": {details['why']}" if details.get("why") else ""
    return f"on {time} UTC ({details['source']}{run}){why}"


def _kept_apart(details: Mapping[str, Any]) -> str:
    others = f" and {pluralize(details['more'], 'other')}" if details["more"] else ""
    return f"kept: no duplicate of {details['other']}{others}, {describe_saying(details)}"


def _other_shot(details: Mapping[str, Any]) -> str:
    others = f" and {pluralize(details['more'], 'other')}" if details["more"] else ""
    return f"kept: another shot than {details['other']}{others}: {details['why']}"


_CHANGED = "changed since the run: "

_SENTENCES: dict[ReasonCode, str | Callable[[Mapping[str, Any]], str]] = {
    ReasonCode.NO_MATCH: "kept: nothing like it before it",
    ReasonCode.HAS_DUPLICATES: lambda details: f"kept: {pluralize(details['count'], 'duplicate')} of it found",
    ReasonCode.DUPLICATE: "matches {kept}, which is kept before it",
    ReasonCode.ASPECT_DIFFERS: "the aspect ratios differ ({first} and {second}), which square thumbnails hide",
    ReasonCode.LOW_DETAIL_SSIM: "where the pictures have detail their SSIM is {detail:.3f}, below {limit:g}",
    ReasonCode.LOW_LOCAL_SSIM: (
        "one place differs: there their SSIM is {local:.3f}, below {limit:.3f}, and {detail:.3f} on average"
    ),
    ReasonCode.ONE_PLACE_DIFFERS: "one place differs {difference:.1f} times as much as most others, more than {limit:g} times",
    ReasonCode.COLOUR_DIFFERS: "the colour of one place differs by {difference:.0f} levels, more than {limit:g}",
    ReasonCode.OTHER_MOMENT: "they were taken at different times, {first} and {second}",
    ReasonCode.OTHER_EXPOSURE: "they were exposed differently, {first} and {second}",
    ReasonCode.BETWEEN_SHOTS: "what would stay may as well be a copy of {other}, which is another shot than this one",
    ReasonCode.OTHER_SHOT: _other_shot,
    ReasonCode.FILM_LOST: "a film is behind it (a motion photo), and none behind what would stay",
    ReasonCode.FILMS_DIFFER: "the films behind them are not the same (motion photos)",
    ReasonCode.BLANK: "both pictures are blank, and differ by {difference} levels (limit {limit})",
    ReasonCode.NOTHING_TO_SEE: "neither picture has any structure at this size, and not all of their pixels are known to be equal",
    ReasonCode.FRAMES_DIFFER: "they have {first} and {second} frames or pages, and only the first ones are compared",
    ReasonCode.FRAMES_UNEQUAL: (
        "they have {count} frames or pages each, only the first ones are compared, and not all are known to be equal"
    ),
    ReasonCode.RAW_PREVIEW: "of a camera's raw file only the preview is compared, and the files are not the same",
    ReasonCode.TOO_MANY_MOVES: _too_many,
    ReasonCode.UNREADABLE: "{error}",
    ReasonCode.FORMAT_NOT_READ: "{format} is not read; convert it to PNG to have it compared",
    ReasonCode.TOO_SMALL: "kept, not compared: its shorter side of {side} px is below min_side {limit}",
    ReasonCode.KEPT_APART: _kept_apart,
    ReasonCode.PUT_BACK: describe_put_back,
    ReasonCode.KEPT_APART_BEFORE: _as_said("{first} and {second} are no duplicates"),
    ReasonCode.MATCHES_BOTH: _as_said("it may be a copy of {first} or of {second}, which are no duplicates"),
    ReasonCode.APPROVED: "matches {kept}, which is kept before it; approved",
    ReasonCode.NOT_APPROVED: _with_comment("not approved"),
    ReasonCode.LEFT_ALONE: _with_comment("left alone by the person asked"),
    ReasonCode.CHOSEN: "a person chose: {kept} stays",
    ReasonCode.CHOSEN_APART: "kept: a person chose that it is no duplicate of {other}",
    ReasonCode.UNDECIDED: "nobody has decided about it yet: {before}",
    ReasonCode.MOVED_BEFORE: "it lies in Duplicates already, where run {run_id} put it",
    ReasonCode.KEPT_UNUSABLE: "{kept}, which is to stay for it, is not what it was in the run: {why}",
    ReasonCode.NOT_PUT_BACK: "it could not be put back: {why}",
    ReasonCode.SOURCE_MISSING: "it is no longer there",
    ReasonCode.SOURCE_CHANGED: "it changed since it was listed",
    ReasonCode.CHANGED_WHILE_COPIED: "it changed while it was copied",
    ReasonCode.KEPT_MISSING: "the file kept for it is no longer there: {kept}",
    ReasonCode.UNRECOVERED: "an interrupted move of it cannot be recovered now: its disk is full, read-only or away",
    ReasonCode.RUN_STOPPED: "the run was stopped before this file",
    ReasonCode.RESTORED_BEFORE: "this run was undone: it was restored before",
    ReasonCode.RESTORED: "moved, and restored",
    ReasonCode.FOLLOWED: "belongs to {picture}, which moved",
    ReasonCode.PICTURE_STAYS: "a picture that it belongs to stays where it is: {picture}",
    ReasonCode.KEPT_FOR_OTHERS: "it is a picture itself, and kept for others that move",
    ReasonCode.OS_ERROR: "{error}",
    ReasonCode.NAME_TAKEN: "another file has its name now",
    ReasonCode.NOT_WHERE_MOVED: "it is no longer where it was moved to",
    ReasonCode.REPLACED: "it is not the file that was moved there: it was replaced or changed since",
    ReasonCode.BACK_ALREADY: "it was back already",
    ReasonCode.MISSING_SINCE_RUN: lambda details: (
        f"not where it was in the run: {details['error']}" if details.get("error") else "not where it was in the run"
    ),
    ReasonCode.SIZE_CHANGED: _CHANGED + "{now} bytes now, {then} then",
    ReasonCode.MODIFIED: _CHANGED + "modified later",
    ReasonCode.CONTENT_CHANGED: _CHANGED + "other content",
    ReasonCode.PAIRS_REUSED: "The pairs that run {run_id} compared are taken over.",
    ReasonCode.NO_EARLIER_RUN: "All pairs are computed: no run on this folder is complete.",
    ReasonCode.SETTINGS_DIFFER: "All pairs are computed: in run {run_id}, {changes}.",
    ReasonCode.FLOOR_TOO_HIGH: "All pairs are computed: in run {run_id}, the floor was {then:g}, above the {now:g} of this one.",
    ReasonCode.TABLES_INCOMPLETE: "All pairs are computed: in run {run_id}, the tables were pruned, or are damaged.",
    ReasonCode.SCORES_OF_RUN: "All scores are those of run {run_id}.",
    ReasonCode.STORE_NOT_SEEN: (
        "{worker} does not see the store {store}, or sees another. Mount the run's store at the same path there."
    ),
    ReasonCode.CACHE_NOT_SEEN: (
        "{worker} does not see {directory}. Set IMAGETWINS_CACHE, on every machine, to a folder that all of them share."
    ),
    ReasonCode.VERSIONS_DIFFER: (
        "{worker} has {there}, and the run has {here}. Install the same versions in both places."
    ),
    ReasonCode.ROOTS_REFUSE: "{worker} refuses: {error}",
    ReasonCode.FILES_NOT_SEEN: (
        "{worker} sees none of {count} listed files that were tried as they were listed, among them {example!r}. "
        "Mount the folder of pictures at the same path there."
    ),
    ReasonCode.SERVER_NOT_REACHED: (
        "{worker} does not reach Prefect's server at {server} ({error}). Start the server with `imagetwins serve --host "
        "ADDRESS`, and set PREFECT_API_URL to http://ADDRESS:4200/api where the run is started."
    ),
}

HINTS: dict[str, str] = {
    ReasonCode.ASPECT_DIFFERS: "One of them is wider for its height: something may be cut off, or stretched.",
    ReasonCode.LOW_DETAIL_SSIM: "They agree mostly where there is nothing to see. Look at the lines, the letters, the numbers.",
    ReasonCode.LOW_LOCAL_SSIM: (
        "They are alike but for one place. It may be another name, number or face; or only a watermark or a date stamp. "
        "The difference shows where."
    ),
    ReasonCode.ONE_PLACE_DIFFERS: (
        "They are alike but for one small place. It may be another name, number or face; or only a watermark or a date stamp. "
        "The difference shows where."
    ),
    ReasonCode.COLOUR_DIFFERS: "One place has another colour: it may be another product, or the same one retouched.",
    ReasonCode.OTHER_MOMENT: "The camera says that they were taken at different times: two shots of a burst, or one shot with another date.",
    ReasonCode.OTHER_EXPOSURE: "The camera says that they were exposed differently: two shots of a bracket, as for an HDR picture.",
    ReasonCode.BETWEEN_SHOTS: (
        "The one that would stay does not say when it was taken, and is like several shots of a burst: of which it is a copy, a score "
        "cannot tell."
    ),
    ReasonCode.FILM_LOST: "This file holds some seconds of film as well, which the other has lost. Keep this one, if you want the film.",
    ReasonCode.FILMS_DIFFER: "Both files hold some seconds of film as well, and not the same.",
    ReasonCode.NOTHING_TO_SEE: "Made small, there is nothing to see on either of them, so that being alike says little. Zoom in.",
    ReasonCode.FRAMES_DIFFER: "They are films or documents of different lengths, of which only the beginnings were compared.",
    ReasonCode.FRAMES_UNEQUAL: "They are films or documents, of which only the beginnings were compared.",
    ReasonCode.RAW_PREVIEW: "One of them is a camera's raw file, of which only the preview was compared.",
    ReasonCode.TOO_MANY_MOVES: "Nothing speaks against this match, but so many files would move that a person should agree.",
}
"""Of reasons for which a person looks at a match, in plain words, what it may mean and what to look at."""
