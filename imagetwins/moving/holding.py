"""All folders of a run are held before anything begins: those that files may leave, and the one that they may go to."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from imagetwins.config.folders import is_there
from imagetwins.config.layout import Layout
from imagetwins.storage import MARKER, Location, is_inside, storage_of


@contextmanager
def hold_folders(layout: Layout, holder: str, *, moves: bool = True) -> Iterator[None]:
    """Hold the folders of `layout` for one run, which may move files if `moves`; then the one that they go to is made, too.

    Of folders that lie in each other the outermost is held, which is what excludes others from all in it. Folders are held in
    the order of their names, so that of two runs that want the same ones, one gets all.

    Raises:
        FolderBusyError: another run holds one of them, or one above or below it; names which.
        OSError: a folder cannot be opened, or that for the duplicates cannot be made.
    """
    with ExitStack() as held:
        if moves and layout.into is not None:
            held.enter_context(_making(layout.into))
        places = layout.places if moves else list(layout.folders)
        held.enter_context(_hold(places, holder))
        yield


@contextmanager
def hold_others(places: Sequence[Location], held: Sequence[Location], holder: str) -> Iterator[None]:
    """Hold those of `places` that are there and that are not in folders which are `held` by this run already.

    Raises:
        FolderBusyError: another run holds one of them, or one above or below it.
    """
    others = [place for place in places if is_there(place) and not any(is_inside(place, folder) for folder in held)]
    with _hold(others, holder):
        yield


@contextmanager
def _hold(places: Sequence[Location], holder: str) -> Iterator[None]:
    outermost = [place for place in {*places} if not any(is_inside(place, other) for other in places if other != place)]
    with ExitStack() as held:
        for place in sorted(outermost, key=str):
            held.enter_context(storage_of(place).lock(place, holder))
        yield


@contextmanager
def _making(folder: Location) -> Iterator[None]:
    """Make `folder`, whose parent exists, if it does not exist; remove it again if nothing was put there."""
    if is_there(folder):
        yield
        return
    mover, inside = storage_of(folder).mover, folder / MARKER
    with mover.making_directories(inside, folder.parent):
        yield
    mover.remove_emptied(inside, folder.parent)
