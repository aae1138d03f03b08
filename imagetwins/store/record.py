"""What a run says of itself in `run.json`: typed, versioned, and read back from every older version."""

import datetime as dt
import json
from collections import Counter
from enum import StrEnum
from typing import Annotated, Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, ValidationError, computed_field, model_validator

from imagetwins.config.parameters import Parameters
from imagetwins.errors import StoreError

RECORD_VERSION = 1
"""Raise it when the meaning of an entry changes, and translate older records in `_upgrade`."""


class RunKind(StrEnum):
    """What a run was started to do."""

    DEDUPLICATE = "deduplicate"
    APPLY = "apply"


class RunStatus(StrEnum):
    """Where a run stands."""

    RUNNING = "running"
    WAITING = "waiting"
    """It is suspended until a person answers."""
    COMPLETED = "completed"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    """It was killed, cancelled or stopped with Ctrl-C."""
    CANCELLED = "cancelled"
    """It was cancelled while it waited."""
    EXPIRED = "expired"
    """Nobody answered in time."""
    SUPERSEDED = "superseded"
    """It waited, and a later run on the folder took its place."""
    RESTORED = "restored"
    """It was completed, and all its files were moved back."""

    @property
    def is_unfinished(self) -> bool:
        """Whether the run still needs its tables."""
        return self in {RunStatus.RUNNING, RunStatus.WAITING}


class Stage(StrEnum):
    """The stages of a run, in their order: the flow, the progress bars, the report and the README follow it."""

    LIST = "list"
    LOOKUP = "lookup"
    LOAD = "load"
    PLAN = "plan"
    SCORE = "score"
    DECIDE = "decide"
    MOVE = "move"
    REPORT = "report"

    @property
    def label(self) -> str:
        """What a run does in this stage, for people."""
        return _LABELS[self]


_LABELS = {
    Stage.LIST: "Listing files",
    Stage.LOOKUP: "Looking up what is known",
    Stage.LOAD: "Loading pictures",
    Stage.PLAN: "Planning the comparison",
    Stage.SCORE: "Comparing pairs",
    Stage.DECIDE: "Deciding",
    Stage.MOVE: "Moving duplicates",
    Stage.REPORT: "Writing the report",
}


def now() -> dt.datetime:
    """Return the time in UTC, in whole seconds, as records hold it."""
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


Time = Annotated[dt.datetime, PlainSerializer(lambda time: time.isoformat(timespec="seconds"), return_type=str)]


class Ending(NamedTuple):
    """What ended a run that waited for approval, and the words for it."""

    status: RunStatus
    error: str


class ApprovalRecord(BaseModel):
    """What the person said who was asked whether files may move."""

    approve: bool
    leave_alone: list[str]
    comment: str
    answered: Time
    not_duplicates: list[str] = []
    by_choices: bool = False
    """Whether what moves was chosen picture by picture: `applied-choices.json` of the run."""


class RunRecord(BaseModel):
    """The content of `run.json`.

    Attributes:
        record_version: of this format.
        run_id: sorts by time.
        created, finished: when, in UTC.
        flow_run_id, flow_run_name: Prefect's.
        version: of imagetwins.
        versions: of everything installed that may change a score or a table, see provenance.py.
        kernels: which of the engine's kernels for integers the process that started the run used, see ssim/processor.py; records
            of older versions name none.
        parameters: what the run was asked to do; `floor`, the score down to which its comparison table is complete, follows.
        finished_stages: in the order in which they were finished.
        seconds: by stage.
        counts: of images, pairs, matches, duplicates, moves ...; 0 for what was not counted.
        not_moved_why: of what should have moved and did not, see `moving/refusals.py`: each reason, with how many files it holds of.
        funnel: of pairs by the stage of the join that took them.
        left_out: how many folders and files the listing left out: folders by their name and a slash, files by the pattern, the
            format (`formats`) or the limit (`min_bytes`).
        error: what ended a run that failed, or no longer waits.
        waits_until: when a waiting run expires.
        approval: what the person asked said.
        pairs_from, pairs_from_why: the run whose pairs were taken over, if any, and why that one or none.
        scores_depend_on: what another run must have in common with this one to take over its scores.
    """

    # What a later version of imagetwins adds is passed over; what it changes has another `record_version`.
    model_config = ConfigDict(extra="ignore", validate_assignment=True)

    record_version: int = RECORD_VERSION
    run_id: str
    kind: RunKind = RunKind.DEDUPLICATE
    status: RunStatus = RunStatus.RUNNING
    created: Time
    finished: Time | None = None
    flow_run_id: str | None = None
    flow_run_name: str | None = None
    version: str = ""
    versions: dict[str, str] = {}
    kernels: str | None = None
    parameters: Parameters
    finished_stages: list[Stage] = []
    seconds: dict[Stage, float] = {}
    counts: Counter[str] = Field(default_factory=Counter)
    not_moved_why: dict[str, int] = {}
    funnel: Counter[str] = Field(default_factory=Counter)
    left_out: Counter[str] = Field(default_factory=Counter)
    error: str | None = None
    waits_until: Time | None = None
    approval: ApprovalRecord | None = None
    pairs_from: str | None = None
    pairs_from_why: str | None = None
    scores_depend_on: dict[str, Any] = {}

    @computed_field  # type: ignore[prop-decorator]
    @property
    def floor(self) -> float:
        """The score down to which the comparison table is complete."""
        return self.parameters.floor

    @classmethod
    def parse(cls, text: str | bytes) -> Self:
        """Return the record that `text`, the content of a `run.json`, holds.

        Raises:
            StoreError: it is no record, or one of a later version.
        """
        try:
            content = json.loads(text)
            return cls.model_validate(_upgrade(content))
        except (ValueError, ValidationError, TypeError, AttributeError) as error:
            raise StoreError(f"not a record of a run: {error}") from error

    def to_json(self) -> str:
        """Return the text of `run.json`."""
        return json.dumps(self.to_plain(), indent=2) + "\n"

    def to_plain(self) -> dict[str, Any]:
        """Return the record as what JSON can hold; entries that have no value are left out."""
        return {name: value for name, value in self.model_dump(mode="json").items() if value is not None}

    def with_ending(self, ending: "Ending | None") -> "RunRecord":
        """Return the record of a run that ended while it waited; this one if `ending` is None."""
        if ending is None:
            return self
        return self.model_copy(update={"status": ending.status, "error": ending.error})

    def has_finished(self, stage: Stage) -> bool:
        """Whether the run finished `stage`."""
        return stage in self.finished_stages

    @property
    def is_whole(self) -> bool:
        """Whether the run went through all its stages, and its tables say all of it. It may have failed to move anything."""
        if self.status is RunStatus.FAILED:
            return self.has_finished(Stage.REPORT)
        return self.status is RunStatus.COMPLETED

    @model_validator(mode="after")
    def _check_version(self) -> Self:
        if self.record_version > RECORD_VERSION:
            raise ValueError(
                f"run {self.run_id} was recorded in format {self.record_version}, and this version of imagetwins reads up to "
                f"{RECORD_VERSION}. Update imagetwins."
            )
        return self


def _upgrade(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a `run.json` of any older version as that of this one.

    Version 0, of imagetwins 0.1, had no number: a stage was finished when it had its seconds, and the stage "lookup" and its
    count "cached" had other names.
    """
    if "record_version" in content:
        return content
    names = {"recall": "lookup", "recalled": "cached"}
    renamed = {
        entry: {names.get(name, name): value for name, value in content.get(entry, {}).items()}
        for entry in ("seconds", "counts")
    }
    return content | renamed | {"record_version": RECORD_VERSION, "finished_stages": list(renamed["seconds"])}
