"""Which file goes where: planned from tables, without touching a file."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from imagetwins.config.layout import Layout
from imagetwins.storage import Listed, Location, Route
from imagetwins.storage.location import from_columns


@dataclass(frozen=True)
class PlannedCompanion:
    """A file that follows the pictures it belongs to, once all of them have moved, under the new name of the first.

    Attributes:
        image: the first of them.
        source: where the file was listed.
        pictures: where they were listed.
    """

    image: int
    source: Location
    pictures: tuple[Location, ...]


@dataclass(frozen=True)
class PlannedMove:
    """A duplicate to move, as it was when it was listed, the kept file that must still be there, and what follows it.

    `route` says between which folders it goes, where that is not to the `Duplicates` of its folder.
    """

    image: int
    source: Location
    target: Location
    size_bytes: int
    mtime_ns: int
    digest: str
    kept: Location
    companions: tuple[PlannedCompanion, ...] = ()
    route: Route | None = None

    @property
    def way(self) -> Route:
        """Between which folders it goes."""
        return self.route or Route.between(self.source, self.target)

    @property
    def listed(self) -> Listed:
        """What the file must still be."""
        return Listed(self.source, self.size_bytes, self.mtime_ns, self.digest)


def plan_moves(
    layout: Layout,
    images: pd.DataFrame,
    duplicates: Sequence[tuple[int, int]],
    companions: pd.DataFrame | None = None,
) -> list[PlannedMove]:
    """Plan the move of each duplicate to its relative path under `<its folder>/Duplicates`, or `into`, and what follows it.

    Args:
        layout: the user's folders.
        images: has the columns of `schemas.IMAGES`.
        duplicates: pairs of ids (duplicate, the image kept for it), in the order to move them.
        companions: has the columns of `schemas.COMPANIONS`; None if nothing follows.
    """
    rows = images.set_index("image")
    names = zip(rows.index, rows["path"], rows["path_bytes"], strict=True)
    locations = {image: from_columns(path, path_bytes) for image, path, path_bytes in names}
    following = {} if companions is None else _plan_companions(locations, duplicates, companions)
    targets = {image: layout.plan_target(locations[image]) for image, _ in duplicates}
    return [
        PlannedMove(
            image=image,
            source=locations[image],
            target=targets[image][1],
            size_bytes=int(rows.loc[image, "size_bytes"]),
            mtime_ns=int(rows.loc[image, "mtime_ns"]),
            digest=str(rows.loc[image, "digest"]),
            kept=locations[kept],
            companions=tuple(following.get(image, ())),
            route=None if layout.into is None else Route.into(targets[image][0], layout.into),
        )
        for image, kept in duplicates
    ]


def _plan_companions(
    locations: Mapping[int, Location], duplicates: Sequence[tuple[int, int]], companions: pd.DataFrame
) -> dict[int, list[PlannedCompanion]]:
    """Return what follows each duplicate: the companions of which it is the last picture to move.

    One that is an image of the run itself is decided about as such, too: it does not follow if it moves anyway, nor if another
    file moves because it stays.
    """
    images = {location: image for image, location in locations.items()}
    owners: dict[Location, list[int]] = defaultdict(list)
    for image, path, path_bytes in companions[["image", "path", "path_bytes"]].itertuples(index=False):
        owners[from_columns(path, path_bytes)].append(int(image))
    # The duplicate with which, or after which, each image moves.
    leaders = {image: image for image, _ in duplicates}
    order = {image: number for number, (image, _) in enumerate(duplicates)}
    needed = {kept for _, kept in duplicates}
    following: dict[int, list[PlannedCompanion]] = defaultdict(list)
    for companion in sorted(owners, key=lambda companion: companion not in images):
        image, pictures = images.get(companion), owners[companion]
        if image in leaders or image in needed or not all(picture in leaders for picture in pictures):
            continue
        last = max((leaders[picture] for picture in pictures), key=lambda leader: order[leader])
        moving = tuple(locations[picture] for picture in pictures)
        following[last].append(PlannedCompanion(pictures[0], companion, moving))
        if image is not None:
            # What belongs to a raw file as well as to the picture beside it follows both.
            leaders[image] = last
    return following
