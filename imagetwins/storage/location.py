"""Where a file is: a path on this machine, or the URL of an object in a bucket.

Names become locations here, and nowhere else: `Path` for what is local (`file://` too), else universal-pathlib's `UPath`. Both
know their parts (`/`, `name`, `parent`, `suffix`); everything that touches a file is asked of its `Storage`.
"""

import functools
import os
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard, Union
from urllib.parse import unquote, urlsplit

from imagetwins.errors import ParameterError

if TYPE_CHECKING:
    from upath import UPath

Location = Union[Path, "UPath"]
"""A path of this machine, or the URL of an object or of a folder of objects."""

PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "memory": "fsspec"}
"""The protocols whose buckets are known to keep what moves promise, and the package that speaks each."""

REMEDIES = {
    package: f"`pipx inject imagetwins {package}`, `uv tool install --with {package} ...`, or `pip install {package}` where imagetwins is"
    for package in ("s3fs", "gcsfs")
}

_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://(.*)", re.DOTALL)


def suffix_of(path: str) -> str:
    """Return the suffix of a name, with its dot, as `Path.suffix` does; "" if it has none."""
    dot = path.rfind(".")
    return path[dot:] if path.rfind("/") + 1 < dot < len(path) - 1 else ""


def is_url(name: str) -> bool:
    """Whether `name` is a URL and not a path."""
    return _URL.match(name) is not None


def is_path(location: Location) -> TypeGuard[Path]:
    """Whether `location` is on this machine: for the few things that only local files can do."""
    return isinstance(location, Path)


def parse_location(name: str | Location) -> Location:
    """Return the location that `name`, a path or a URL, means.

    Raises:
        ParameterError: the URL holds a password, is of an unknown protocol, or has empty or dotted parts; or the package
            that speaks its protocol is not installed.
    """
    if not isinstance(name, str):
        return name
    found = _URL.match(name)
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
        return Path(unquote(urlsplit(name).path))
    _check_protocol(protocol)
    parts = rest.rstrip("/").split("/")
    if not has_plain_parts(parts):
        raise ParameterError(f"{name!r} has an empty part, '.' or '..' in it. Give the URL without.")
    from upath import UPath  # noqa: PLC0415 - takes a fifth of a second, and is not needed for local folders

    # Another process may change the bucket at any time, so nothing that was listed once may be served from a cache.
    return UPath(f"{protocol}://{'/'.join(parts)}", use_listings_cache=False)


def has_plain_parts(parts: list[str]) -> bool:
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


# -- how tables and journals hold a location -------------------------------------------------------------------------


def to_columns(location: Location) -> tuple[str, bytes | None]:
    """Return the columns `path` and `path_bytes` of a table.

    File names are bytes and need not be valid UTF-8. Where one is not, `path_bytes` holds it, and `path` shows its other
    bytes as `\\xNN`; elsewhere `path_bytes` is None.
    """
    return name_to_columns(str(location))


def names_to_columns(paths: Sequence[str]) -> tuple[list[str], list[bytes | None]]:
    """Return the columns `path` and `path_bytes` of the locations with these names, see `to_json_name`."""
    if all(map(str.isascii, paths)):
        return list(paths), [None] * len(paths)
    columns = [name_to_columns(path) for path in paths]
    return [path for path, _ in columns], [path_bytes for _, path_bytes in columns]


def name_to_columns(path: str) -> tuple[str, bytes | None]:
    """Return `to_columns` of the location with this name, see `to_json_name`."""
    if is_url(path):
        return path, None
    raw = os.fsencode(path)
    try:
        return raw.decode("utf-8"), None
    except UnicodeDecodeError:
        return raw.decode("utf-8", "backslashreplace"), raw


def from_columns(path: str, path_bytes: bytes | None) -> Location:
    """Return the location that `to_columns` gave the columns of; a missing `path_bytes` may be None, NaN or NA."""
    return parse_location(os.fsdecode(path_bytes) if isinstance(path_bytes, bytes) else path)


def to_file_name(path: str, path_bytes: bytes | None) -> bytes:
    """Return the bytes of the name that `to_columns` gave the columns of: one value that is unlike any other name's."""
    return path_bytes if isinstance(path_bytes, bytes) else path.encode()


def from_file_name(name: bytes) -> Location:
    """Return the location whose name `to_file_name` gave."""
    return parse_location(os.fsdecode(name))


def unescape_path(path: str) -> Path:
    """Return the local file that a table shows as `path`, with `\\xNN` for bytes of its name that are not UTF-8."""
    raw = re.sub(rb"\\x([0-9a-f]{2})", lambda found: bytes.fromhex(found[1].decode()), path.encode())
    return Path(os.fsdecode(raw))


def to_json_name(location: Location) -> str:
    """Return the name of `location` as a journal holds it: JSON escapes the surrogates of names that are not UTF-8."""
    return os.fspath(location) if is_path(location) else str(location)
