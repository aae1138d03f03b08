"""Which folders a run may touch, where whoever serves the runs has said so."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from imagetwins.errors import ParameterError
from imagetwins.storage.location import is_inside, place_of, resolve


def parse_roots(setting: str) -> list[Path]:
    """Return the folders that `setting` names, separated like PATH; none means that every folder is allowed.

    Raises:
        ParameterError: a URL among them cannot be used.
    """
    # The colon of a URL separates nothing.
    return [resolve(place_of(root)) for root in re.split(":(?!//)", setting) if root]


def check_roots(paths: Iterable[Path], roots: Sequence[Path]) -> None:
    """Refuse every path that does not lie in one of `roots` once symbolic links are resolved; no roots, no limit.

    A path need not exist yet: what exists of it is resolved.

    Raises:
        ParameterError: naming the path, where it leads, and the roots.
    """
    allowed = [resolve(root) for root in roots]
    for path in paths if allowed else ():
        real = resolve(path)
        if not any(is_inside(real, root) for root in allowed):
            leads = "" if real == path else f" (that is {str(real)!r})"
            raise ParameterError(
                f"{str(path)!r}{leads} is outside the folders that runs may touch here: "
                f"{', '.join(repr(str(root)) for root in allowed)}. Choose a folder in one of them, or let whoever "
                "runs this service add a root."
            )
