"""Which folders a run may touch, where whoever serves the runs has said so."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from imagetwins.errors import ParameterError


def parse_roots(setting: str) -> list[Path]:
    """Return the folders that `setting` names, separated like PATH; none means that every folder is allowed."""
    return [Path(root).expanduser() for root in setting.split(os.pathsep) if root]


def check_roots(paths: Iterable[Path], roots: Sequence[Path]) -> None:
    """Refuse every path that does not lie in one of `roots` once symbolic links are resolved; no roots, no limit.

    A path need not exist yet: what exists of it is resolved.

    Raises:
        ParameterError: naming the path, where it leads, and the roots.
    """
    allowed = [Path(root).resolve() for root in roots]
    for path in paths if allowed else ():
        real = Path(path).resolve()
        if not any(real.is_relative_to(root) for root in allowed):
            leads = "" if real == Path(path) else f" (that is {str(real)!r})"
            raise ParameterError(
                f"{str(path)!r}{leads} is outside the folders that runs may touch here: "
                f"{', '.join(repr(str(root)) for root in allowed)}. Choose a folder in one of them, or let whoever "
                "runs this service add a root."
            )
