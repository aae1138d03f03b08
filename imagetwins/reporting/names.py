"""What a person may mean by the name of a file."""

from pathlib import Path

from imagetwins.storage import is_url, parse_location, storage_of


def digests_now(path: str) -> list[str]:
    """Return the digest of the file that is at `path` now, none where there is none."""
    location = parse_location(path)
    storage = storage_of(location)
    return [] if storage.stat(location) is None else [storage.digest(location)]


def spell(path: str) -> list[str]:
    """Return what tables may call `path`."""
    return [path] if is_url(path) else [path, str(Path(path).absolute())]
