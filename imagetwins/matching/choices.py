"""What a person chose about the matches of a run: which pictures go, each as a duplicate of one that stays, and which pairs are none.

The report's page makes a `Choices`, `imagetwins apply --choices`, an approval and the desk's server take it. It is text from outside:
nothing in it is believed before `check_choices` has compared it with the run's tables.
"""

from collections.abc import Iterator
from typing import Annotated, Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imagetwins.config.layout import Layout
from imagetwins.errors import ParameterError
from imagetwins.storage import storage_of
from imagetwins.store.runs import Run
from imagetwins.store.schemas import IMAGES
from imagetwins.store.tables import read_table

ImageId = Annotated[int, Field(ge=0, strict=True, description="A picture's id in the run's tables.")]

AGAIN = "Choose again in the run's report, and save the choices anew."
"""The remedy for choices that do not fit the run."""


class Choice(BaseModel):
    """Something about a picture and the one that it was held against.

    Attributes:
        image, path: the picture: its id, and its path as the page shows it, without the run's folder.
        kept, kept_path: the other one, likewise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: ImageId
    path: str
    kept: ImageId
    kept_path: str

    @property
    def pair(self) -> frozenset[int]:
        """The two pictures, in no order."""
        return frozenset((self.image, self.kept))


class Choices(BaseModel):
    """What was chosen about the matches of one run. Whatever is in neither list is undecided.

    Attributes:
        run_id: the run.
        move: `image` goes to `Duplicates`, as a duplicate of `kept`, which stays.
        not_duplicates: the two are no duplicates of each other: both stay, and it is remembered.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    run_id: str
    move: tuple[Choice, ...] = ()
    not_duplicates: tuple[Choice, ...] = ()

    @property
    def moving(self) -> dict[int, int]:
        """The pictures that are to go, each with the one that stays."""
        return {choice.image: choice.kept for choice in self.move}

    @property
    def apart(self) -> list[tuple[int, int]]:
        """The pairs that are no duplicates, (image, kept), each once."""
        return list(dict.fromkeys((choice.image, choice.kept) for choice in self.not_duplicates))

    @property
    def staying(self) -> list[int]:
        """The pictures that are to be where the run found them, in the order of their ids."""
        named = {choice.kept for choice in self.move}.union(*(choice.pair for choice in self.not_duplicates))
        return sorted(named - self.moving.keys())


SAVED = "what the desk keeps of the choices"
"""What messages call a run's own `choices.json`."""


def read_choices(run: Run, text: str | bytes | None = None, source: str = "what was given") -> Choices:
    """Return the choices about `run` that `text` holds, parsed and checked, as `parse_choices` and `check_choices` do.

    Without a text they are those that the desk keeps of the run.

    Raises:
        ParameterError: they are none, or do not fit the run.
        StoreError: the run has no table of its images.
    """
    if text is None:
        text, source = _read_saved(run), SAVED
    choices = parse_choices(text, source)
    check_choices(choices, run.run_id, read_table(run.images, IMAGES), run.read_record().parameters.layout, source)
    return choices


def _read_saved(run: Run) -> bytes:
    try:
        return storage_of(run.choices).read_bytes(run.choices)
    except FileNotFoundError:
        raise ParameterError(
            f"the desk keeps no choices about run {run.run_id}. Choose first: `imagetwins review {run.run_id}`; or give choices.json."
        ) from None


def parse_choices(text: str | bytes, source: str) -> Choices:
    """Return the choices that `text`, JSON, holds.

    Args:
        text: the content of a file, a form's field or a request.
        source: what messages call that.

    Raises:
        ParameterError: it holds no choices; names the source, where in it, the value and the remedy.
    """
    try:
        return Choices.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ParameterError(f"{source}: these are no choices: {_describe(first)}. {AGAIN}") from None


def _describe(problem: Any) -> str:
    where = ".".join(map(str, problem["loc"]))
    if not where:
        return str(problem["msg"])
    given = "" if problem["type"] == "missing" else f" ({problem['input']!r})"
    return f"{where}{given}: {problem['msg']}"


def check_choices(choices: Choices, run_id: str, images: pd.DataFrame, layout: Layout, source: str) -> None:
    """Refuse choices that are not about `run_id`, do not fit its tables, or contradict each other.

    Args:
        choices: as a person, or whoever wrote the file, gave them.
        run_id: the run that they are to be applied to.
        images: its table `schemas.IMAGES`; row i is image i.
        layout: its folders.
        source: what messages call the choices.

    Raises:
        ParameterError: names the source, what is wrong, and the remedy.
    """
    if choices.run_id != run_id:
        raise ParameterError(
            f"{source}: the choices are about run {choices.run_id!r}, not {run_id!r}. Name that run, or choose in the report of this one."
        )
    for problem in _iter_problems(choices, images, layout):
        raise ParameterError(f"{source}: {problem}. {AGAIN}")


def _iter_problems(choices: Choices, images: pd.DataFrame, layout: Layout) -> Iterator[str]:
    """Yield what is wrong with `choices`, most fundamental first: what follows may rely on what precedes it."""
    for name, choice in _iter_named(choices):
        yield from _iter_unknown(name, choice, images, layout)
    for name, choice in _iter_named(choices):
        yield from _iter_unusable(name, choice, images)
    yield from _iter_contradictions(choices)


def _iter_named(choices: Choices) -> Iterator[tuple[str, Choice]]:
    for name in ("move", "not_duplicates"):
        for number, choice in enumerate(getattr(choices, name)):
            yield f"{name}.{number}", choice


def _iter_unknown(name: str, choice: Choice, images: pd.DataFrame, layout: Layout) -> Iterator[str]:
    """Yield what of a choice is not in the tables: an id, or the path that goes with it."""
    for image, path in ((choice.image, choice.path), (choice.kept, choice.kept_path)):
        if image >= len(images):
            yield f"{name} names image {image}, and the run has {len(images)}, from 0 on"
            return
        listed = images["path"].iat[image]
        if path not in (layout.shorten(listed), listed):
            yield f"{name} calls image {image} {path!r}, and in the run it is {layout.shorten(listed)!r}"
    if choice.image == choice.kept:
        yield f"{name} names {choice.path!r} as its own duplicate"


def _iter_unusable(name: str, choice: Choice, images: pd.DataFrame) -> Iterator[str]:
    """Yield why nothing can be done with a picture of a choice."""
    for image, path in ((choice.image, choice.path), (choice.kept, choice.kept_path)):
        if pd.notna(images["error"].iat[image]):
            yield f"{name} names {path!r}, which could not be read, and so was compared with nothing"
    if name.startswith("move") and images["is_reference"].iat[choice.image]:
        yield f"{name} moves {choice.path!r}, which lies in a reference folder: those pictures never move"


def _iter_contradictions(choices: Choices) -> Iterator[str]:
    moving: set[int] = set()
    for choice in choices.move:
        if choice.image in moving:
            yield f"{choice.path!r} moves twice"
        moving.add(choice.image)
    for choice in choices.move:
        if choice.kept in moving:
            yield f"{choice.kept_path!r} moves, and is to stay for {choice.path!r}"
    moves = {choice.pair for choice in choices.move}
    for choice in choices.not_duplicates:
        if choice.pair in moves:
            yield f"{choice.path!r} and {choice.kept_path!r} are duplicates in `move`, and none in `not_duplicates`"
