"""Which file goes where: planned from tables, without touching a file."""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from imagetwins.storage import DUPLICATES, Listed, Location, storage_of
from imagetwins.storage.location import from_columns


@dataclass(frozen=True)
class PlannedMove:
    """A duplicate to move, as it was when it was listed, and the kept file that must still be there."""

    image: int
    source: Location
    target: Location
    size_bytes: int
    mtime_ns: int
    digest: str
    kept: Location

    @property
    def listed(self) -> Listed:
        """What the file must still be."""
        return Listed(self.source, self.size_bytes, self.mtime_ns, self.digest)


def plan_moves(folder: Location, images: pd.DataFrame, duplicates: Iterable[tuple[int, int]]) -> list[PlannedMove]:
    """Plan the move of each duplicate to its relative path under `<folder>/Duplicates`.

    Args:
        folder: the user's folder.
        images: has the columns of `schemas.IMAGES`.
        duplicates: pairs of ids (duplicate, the image kept for it), in the order to move them.
    """
    rows = images.set_index("image")
    names = zip(rows.index, rows["path"], rows["path_bytes"], strict=True)
    locations = {image: from_columns(path, path_bytes) for image, path, path_bytes in names}
    relative_name = storage_of(folder).relative_name
    return [
        PlannedMove(
            image=image,
            source=locations[image],
            target=folder / DUPLICATES / relative_name(locations[image], folder),
            size_bytes=int(rows.loc[image, "size_bytes"]),
            mtime_ns=int(rows.loc[image, "mtime_ns"]),
            digest=str(rows.loc[image, "digest"]),
            kept=locations[kept],
        )
        for image, kept in duplicates
    ]
