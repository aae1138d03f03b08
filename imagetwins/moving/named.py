"""Which of the pictures that a run moved a person means by a name."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from imagetwins.errors import ParameterError
from imagetwins.moving.journal import read_journal
from imagetwins.storage import Location, is_url, parse_location, storage_of
from imagetwins.storage.location import name_to_columns, to_columns
from imagetwins.store.runs import Run
from imagetwins.text import pluralize

MAX_NAMES = 5
"""Names of files that an error has room for."""


def find_images(run: Run, names: Sequence[str]) -> list[int]:
    """Return the pictures of `run` that `names` mean, of those that it moved; a file that belongs to one means that.

    A name is where the file came from, or where it was moved to: whole, as it is shown, relative to the current folder or to one
    of the run's, or its last parts as long as they name one picture.

    Raises:
        ParameterError: a name means none of them, or several.
        StoreError: the journal is damaged.
    """
    layout = run.read_record().parameters.layout
    moved = [one for one in read_journal(run.journal) if (one.state, one.direction) == ("done", "out")]
    images: dict[str, set[int]] = defaultdict(set)
    for transfer in moved:
        for location in (transfer.source, transfer.target):
            path = to_columns(location)[0]
            for spelling in {path, layout.shorten(path)}:
                images[spelling].add(transfer.image)
    found = [_find_named(images, name, layout.folders) for name in names]
    for name, meant in zip(names, found, strict=True):
        if len(meant) != 1:
            paths = {to_columns(one.source)[0] for one in moved if one.image in meant or not meant}
            some = sorted(map(layout.shorten, paths))
            raise ParameterError(_explain_unknown(run.run_id, name, some, is_several=bool(meant)))
    return list(dict.fromkeys(image for meant in found for image in meant))


def _find_named(images: Mapping[str, Collection[int]], name: str, folders: Sequence[Location]) -> set[int]:
    """Return which of `images`, by the names that tables have for their files, may be meant by `name`."""
    if is_url(name):
        spellings = {name}
    else:
        here = parse_location(name)
        inside = [folder / name.removeprefix("./") for folder in folders]
        places = (storage_of(here).absolute(here), storage_of(here).resolve(here), *inside)
        spellings = {name, *(to_columns(place)[0] for place in places)}
    whole = {image for spelling in spellings for image in images.get(spelling, ())}
    tail = f"/{name_to_columns(name)[0].removeprefix('./').lstrip('/')}"
    return whole or {image for path, of_path in images.items() if path.endswith(tail) for image in of_path}


def _explain_unknown(run_id: str, name: str, paths: Sequence[str], *, is_several: bool) -> str:
    some = ", ".join(map(repr, paths[:MAX_NAMES])) + (" ..." if len(paths) > MAX_NAMES else "")
    if is_several:
        return f"{name!r} may be any of {len(paths)} files that run {run_id} moved: {some}. Give more of its path."
    if not paths:
        return f"{name!r}: run {run_id} moved no file. `imagetwins audit` lists the runs, and how many each moved."
    return (
        f"{name!r} is none of the {pluralize(len(paths), 'file')} that run {run_id} moved: {some}. Nothing was restored. Give the "
        "path that it had or has now; `imagetwins audit --file PATH` finds the run that moved it."
    )
