"""Where a file is: a path on this machine, or the URL of an object in a bucket, behind the one interface of pathlib.

A name becomes a place here, and nowhere else: `Path` for what is local (`file://` too), else universal-pathlib's
`UPath`, which speaks to the bucket through fsspec. Both are typed as `Path`: what they are asked for, both have. Objects
are asked for more by `objects.py`.
"""

import functools
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from imagetwins.errors import ParameterError

PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "memory": "fsspec"}
"""The protocols that are known to keep what moves promise, and the package that speaks each."""

REMEDIES = {"s3fs": "pip install 'imagetwins[s3]'", "gcsfs": "pip install gcsfs"}

_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://(.*)", re.DOTALL)


def is_url(name: str) -> bool:
    """Whether `name` is a URL and no path."""
    return _URL.match(name) is not None


def is_remote(place: Path) -> bool:
    """Whether `place` is in a bucket, and not on this machine."""
    return hasattr(place, "storage_options")


def place_of(name: str | Path) -> Path:
    """Return the place that `name`, a path or a URL, means.

    Raises:
        ParameterError: the URL holds a password, is of an unknown protocol, or has empty or dotted parts; or the package
            that speaks its protocol is not installed.
    """
    found = _URL.match(name) if isinstance(name, str) else None
    if found is None:
        return Path(name)
    protocol, rest = found[1].lower(), found[2]
    if "@" in rest.partition("/")[0]:
        # The URL is not repeated: what stands before the @ is a secret.
        raise ParameterError(
            f"a URL that begins with {protocol}:// holds a user or a password before its @. Leave them out, and give credentials "
            "where the provider's command line takes them: in the environment, a profile, or the machine's role."
        )
    if protocol == "file":
        return Path(unquote(urlsplit(cast("str", name)).path))
    _check_protocol(protocol)
    parts = rest.rstrip("/").split("/")
    if not is_plain(parts):
        raise ParameterError(f"{name!r} has an empty part, '.' or '..' in it. Give the URL without.")
    from upath import UPath  # noqa: PLC0415 - takes a fifth of a second, and is not needed for local folders

    # Another process may change the bucket at any time: nothing that was listed once is to be believed later.
    return cast("Path", UPath(f"{protocol}://{'/'.join(parts)}", use_listings_cache=False))


def is_plain(parts: list[str]) -> bool:
    """Whether the parts of a name survive being joined to a path and taken apart again."""
    return not any(part in {"", ".", ".."} for part in parts)


@functools.cache
def _check_protocol(protocol: str) -> None:
    if protocol not in PACKAGES:
        known = ", ".join(f"{name}://" for name in ("file", *PACKAGES))
        raise ParameterError(f"{protocol}:// is no kind of URL that is known here: {known}.")
    package = PACKAGES[protocol]
    if find_spec(package) is None:
        raise ParameterError(f"{protocol}:// needs a package that is not installed, {package}: {REMEDIES[package]}")


def name_of(place: Path) -> str:
    """Return the name that `place_of` takes."""
    return str(place) if is_remote(place) else os.fspath(place)


def resolve(place: Path) -> Path:
    """Return `place` absolute and without symbolic links; a URL has none."""
    return place if is_remote(place) else place.expanduser().resolve()


def is_inside(place: Path, folder: Path) -> bool:
    """Whether `place` is `folder` or below it; a URL is never below a path."""
    if is_remote(place) != is_remote(folder):
        return False
    if not is_remote(place):
        return place.is_relative_to(folder)
    return f"{place}/".startswith(f"{str(folder).rstrip('/')}/")


def relative_name(place: Path, folder: Path) -> str:
    """Return the name of `place`, which is inside `folder`, as seen from there."""
    if is_remote(place):
        return str(place).removeprefix(str(folder).rstrip("/")).lstrip("/")
    return os.fspath(place.relative_to(folder))


def filesystem(place: Path) -> Any:
    """Return the fsspec file system of `place`; None for a local one, as pyarrow takes it."""
    return cast("Any", place).fs if is_remote(place) else None


def address(place: Path) -> str:
    """Return the name of `place` in its `filesystem`."""
    return str(cast("Any", place).path) if is_remote(place) else os.fspath(place)


@contextmanager
def reaching(place: Path) -> Iterator[None]:
    """Turn what a bucket's client raises into an OSError that names `place`; errors of a local disk are such already.

    Raises:
        OSError: the bucket, the network or the credentials are at fault.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{place} cannot be reached: {type(error).__name__}: {error}") from error


def glob(folder: Path, pattern: str) -> list[Path]:
    """Return the files of `folder` whose relative names match `pattern`, part by part, sorted; none without a folder."""
    if not is_remote(folder):
        return sorted(folder.glob(pattern))
    # Not the file system's own pattern: it lists folder by folder, and takes the folder's name for a pattern too.
    start = len(address(folder).rstrip("/")) + 1
    with reaching(folder):
        names = [name[start:] for name in filesystem(folder).find(address(folder))]
    depth = pattern.count("/")
    matching = (name for name in names if name.count("/") == depth and PurePosixPath(name).match(pattern))
    return [folder / name for name in sorted(matching)]


def size_of(place: Path) -> int:
    """Return the bytes of the file `place`, or of all files below the folder; 0 if there is neither."""
    if is_remote(place):
        with reaching(place):
            return int(sum(filesystem(place).du(address(place), total=False).values()))
    files = [place] if place.is_file() else [file for file in place.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def remove_tree(place: Path) -> None:
    """Remove the file `place`, or the folder with all that is in it, as far as there is such and that is possible."""
    with suppress(OSError):
        if is_remote(place):
            with reaching(place):
                filesystem(place).rm(address(place), recursive=True)
        elif place.is_dir():
            shutil.rmtree(place, ignore_errors=True)
        else:
            place.unlink(missing_ok=True)
