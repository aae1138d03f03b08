"""Which folders and stores a run may use, checked before anything happens in them."""

import os
import shlex
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from imagetwins import settings
from imagetwins.config.layout import Layout
from imagetwins.config.roots import check_roots, parse_roots
from imagetwins.decoding.formats import picture_suffixes
from imagetwins.errors import ParameterError, StoreError
from imagetwins.storage import MARKER, Location, can_be_written, is_inside, is_path, parse_location, storage_of

_CREDENTIALS = (
    "Credentials are taken from where the command line of the bucket's provider takes them: the environment, a profile, or "
    "the machine's role."
)


def check_folder(parameter: str, name: str) -> Location:
    """Return the existing folder `name`, a path or a URL, without symbolic links.

    Raises:
        ParameterError: there is no such folder, it cannot be reached, or it is one that duplicates are moved to.
    """
    location = parse_location(name)
    try:
        folder = storage_of(location).find_folder(location)
        marker = _find_marker(folder)
    except FileNotFoundError as error:
        raise ParameterError(f"{parameter} {name!r} does not exist: {error.strerror}.") from None
    except NotADirectoryError:
        raise ParameterError(
            f"{parameter} {name!r} is not a folder. Give the folder that holds the pictures."
        ) from None
    except OSError as error:
        raise _not_listed(parameter, location, error) from None
    if marker:
        raise ParameterError(
            f"{parameter} {name!r} holds duplicates that were put aside: those are never compared. Name another folder; or, if "
            f"the pictures in it are to be looked through all the same, remove {str(marker)!r}."
        )
    return folder


def _find_marker(folder: Location) -> Location | None:
    """Return the marker of the `Duplicates` that `folder` is or lies in; None if there is none."""
    storage = storage_of(folder)
    for above in (folder, *folder.parents):
        marker: Location = above / MARKER
        # Where we may not look, nothing was moved by us.
        with suppress(PermissionError):
            if storage.stat(marker):
                return marker
    return None


def find_pair(names: Sequence[str]) -> tuple[str, str] | None:
    """Return the two files that were named in place of folders; None if no file was named.

    Raises:
        ParameterError: files were named, and not two of them alone.
    """
    files = [name for name in names if _is_file(name)]
    if not files:
        return None
    if len(files) == len(names) == 2:
        return files[0], files[1]
    raise ParameterError(
        f"{files[0]!r} is a file. Name folders, to find the duplicates in them, or two files alone, to compare them."
    )


def _is_file(name: str) -> bool:
    location = parse_location(name)
    # A bucket is not asked for what is called like a folder.
    if not is_path(location) and not name.lower().endswith(tuple(picture_suffixes())):
        return False
    # What cannot be asked for, whoever checks the folder says.
    with suppress(OSError):
        return storage_of(location).stat(storage_of(location).absolute(location)) is not None
    return False


def check_into(name: str, folders: Sequence[Location], references: Sequence[Location]) -> Location:
    """Return the folder `name`, which need not exist yet, as an absolute path or as its URL, if duplicates can go there.

    Args:
        name: a path, or a URL.
        folders: those that duplicates come from; the folder may lie in one of them.
        references: those that nothing may move out of or to.

    Raises:
        ParameterError: nothing can be put there, it is elsewhere than the folders, or what lies in it would never be looked
            through again.
    """
    named = parse_location(name)
    into = storage_of(named).resolve(named)
    for folder in folders:
        if _protocol(folder) != _protocol(into):
            raise ParameterError(
                f"into {str(into)!r} and the folder {str(folder)!r} are in two kinds of places: files are moved on disks, or inside "
                "a bucket. Name a folder where the pictures are."
            )
        if is_inside(folder, into):
            raise ParameterError(
                f"into {str(into)!r} holds the folder {str(folder)!r}, and what is in it is never looked through. Name another folder."
            )
    for reference in references:
        check_apart(into, reference, f"the reference {str(reference)!r}")
    _check_usable(into)
    return into


def _check_usable(into: Location) -> None:
    """Refuse a folder that duplicates cannot go to, or that holds files which are no duplicates.

    Raises:
        ParameterError: naming it and the remedy.
    """
    _check_new_folder("into", into, "Name another.")
    storage = storage_of(into)
    try:
        if is_path(into):
            storage.find_folder(into.parent)
        is_own = storage.stat(into / MARKER) is None and _holds_files(into)
    except FileNotFoundError:
        raise ParameterError(
            f"into {str(into)!r} cannot be made: there is no folder {str(into.parent)!r}. Make it, or connect its drive."
        ) from None
    except OSError as error:
        raise _not_listed("into", into, error) from None
    if is_own:
        raise ParameterError(
            f"into {str(into)!r} holds other files, which would never be looked through again. Name a new folder, or an empty one."
        )


def find_obstacle(layout: Layout) -> tuple[str, str] | None:
    """Return what lies where a run would make its `Duplicates`, so that nothing is moved there, and what to do; None if nothing does."""
    for aside in layout.asides:
        if not is_path(aside) or aside == layout.into:
            continue
        # Where there is nothing, or we may not look, each move will tell.
        with suppress(OSError):
            kind = aside.lstat().st_mode
            if stat.S_ISLNK(kind):
                what = f"{str(aside)!r} is a symbolic link, and files are never moved over one: it may lead out of the folder"
                target = shlex.quote(os.path.realpath(aside))
                return what, f"To move them to where it leads, add --into {target}; or rename the link."
            if not stat.S_ISDIR(kind):
                what = f"{str(aside)!r} is a file, and duplicates are moved to a folder of this name"
                return what, "Rename the file, or name another folder for them with --into FOLDER."
    return None


def check_obstacle(layout: Layout) -> None:
    """Refuse a run that could move nothing, for what lies where its `Duplicates` would be.

    Raises:
        ParameterError: naming it and the remedy.
    """
    if obstacle := find_obstacle(layout):
        raise ParameterError(". ".join(obstacle))


def check_apart(into: Location, other: Location, what: str) -> None:
    """Refuse to move duplicates to a folder that is, holds or lies in another, which is called `what`.

    Raises:
        ParameterError: naming both.
    """
    if is_inside(into, other) or is_inside(other, into):
        raise ParameterError(
            f"into {str(into)!r} is, holds or lies in {what}, which nothing may be moved to. Name another folder."
        )


def _protocol(location: Location) -> str:
    return "file" if is_path(location) else str(location).partition("://")[0]


def _holds_files(folder: Location) -> bool:
    """Whether there is a file below `folder`, hidden ones aside, which systems make by themselves."""
    files = storage_of(folder).walk(folder, recursive=True, is_excluded=_is_hidden, never=[], seen=set())
    return any(file.path != str(folder) for file in files)


def _is_hidden(name: str) -> bool:
    return name.rstrip("/").rpartition("/")[2].startswith(".")


def check_still_there(layout: Layout) -> None:
    """Refuse to undo a run whose folders are gone, all of them.

    Raises:
        StoreError: naming the folder and the remedy.
    """
    if not any(map(is_there, layout.folders)):
        raise StoreError(
            f"the run's folder {str(layout.folders[0])!r} is no longer there. Put it back where it was, or connect its drive, and "
            "restore again."
        )


def is_there(folder: Location) -> bool:
    """Whether the folder exists."""
    try:
        storage_of(folder).find_folder(folder)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def check_local_folder(parameter: str, name: str) -> Path:
    """Return the existing folder `name` of this machine, without symbolic links.

    Raises:
        ParameterError: there is no such folder, or it is in a bucket.
    """
    folder = parse_location(name)
    if is_path(folder):
        folder = check_folder(parameter, name)
    if not is_path(folder):
        raise ParameterError(
            f"{parameter} {name!r} is in a bucket. Copy some hundred of its pictures, and name their folder."
        )
    return folder


def resolve_store(store: str | Location | None) -> Location:
    """Return the store's folder, which need not exist yet, as an absolute path or as its URL.

    Without a name it is IMAGETWINS_STORE, else as `settings.data_directory` says.

    Raises:
        ParameterError: it is outside the allowed roots, a file is in its way, or it is in a bucket that cannot be reached.
    """
    named = parse_location(store or settings.store_name())
    location = storage_of(named).absolute(named)
    check_roots([location], allowed_roots())
    _check_new_folder("store", location, "Name another with --store or IMAGETWINS_STORE.")
    return location


def check_writable(store: Location) -> None:
    """Refuse a store, which need not exist yet, that a run could not write its tables to.

    Raises:
        ParameterError: naming it and the remedy.
    """
    if is_path(store) and not can_be_written(store):
        raise ParameterError(
            f"store {str(store)!r} cannot be written. Name another with --store or IMAGETWINS_STORE: what undoes a run is in it."
        )


def _check_new_folder(parameter: str, location: Location, remedy: str) -> None:
    """Refuse a folder, which need not exist yet, that cannot be one.

    Raises:
        ParameterError: naming it and the remedy.
    """
    try:
        storage_of(location).check_new_folder(location)
    except NotADirectoryError as error:
        raise ParameterError(f"{parameter} {str(location)!r} cannot be a folder: {error.strerror}. {remedy}") from None
    except ValueError as error:
        raise ParameterError(f"{parameter} {str(location)!r} cannot be used: {error}. {remedy}") from None
    except OSError as error:
        raise _not_listed(parameter, location, error) from None


def _not_listed(parameter: str, location: Location, error: OSError) -> ParameterError:
    return ParameterError(f"{parameter} {str(location)!r} cannot be listed: {error}. {_CREDENTIALS}")


def shorten_folder(folder: str) -> str:
    """Return the last part of the name of `folder`, which nobody has checked yet: no part of a user or password in it."""
    return folder.rstrip("/").rpartition("/")[2].rpartition("@")[2]


def allowed_roots() -> list[Location]:
    """Return the folders of IMAGETWINS_ROOTS; none means that every folder is allowed.

    Raises:
        ParameterError: a URL among them cannot be used.
    """
    return parse_roots(settings.roots_setting())
