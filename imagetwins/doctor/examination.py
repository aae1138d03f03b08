"""All that is looked at, in the order in which it is told."""

from collections.abc import Callable, Iterator

from imagetwins.doctor.findings import Finding
from imagetwins.doctor.folder import examine_folder
from imagetwins.doctor.kept import examine_store
from imagetwins.doctor.machine import examine_machine, examine_packages
from imagetwins.doctor.pictures import examine_formats, examine_kernels
from imagetwins.doctor.server import examine_server
from imagetwins.doctor.surroundings import examine_surroundings


def examine(folder: str | None = None, store: str | None = None) -> list[Finding]:
    """Return what was found of this machine, and of `folder`, if one is named, by which a run may be kept from its work.

    Args:
        folder: a folder of pictures, or its URL.
        store: the store to look at; by default the one that commands use.
    """
    parts: list[Callable[[], Iterator[Finding]]] = [
        examine_machine,
        examine_packages,
        lambda: examine_store(store),
        examine_server,
        examine_formats,
        examine_kernels,
        examine_surroundings,
    ]
    if folder is not None:
        parts.append(lambda: examine_folder(folder, store))
    return [finding for part in parts for finding in part()]
