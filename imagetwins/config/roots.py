"""Which folders a run may touch, where the operator of the machine has limited them."""

import re
from collections.abc import Iterable, Sequence

from imagetwins.errors import ParameterError
from imagetwins.storage import Location, is_inside, parse_location, storage_of


def parse_roots(setting: str) -> list[Location]:
    """Return the folders that `setting` names, separated like PATH; none means that every folder is allowed.

    Raises:
        ParameterError: a URL among them cannot be used.
    """
    # The colon of a URL separates nothing.
    return [_resolve(parse_location(root)) for root in re.split(":(?!//)", setting) if root]


def check_roots(locations: Iterable[Location], roots: Sequence[Location]) -> None:
    """Refuse every location that does not lie in one of `roots` once symbolic links are resolved; no roots, no limit.

    A location need not exist yet: what exists of it is resolved.

    Raises:
        ParameterError: naming the location, where it leads, and the roots.
    """
    allowed = [_resolve(root) for root in roots]
    for location in locations if allowed else ():
        real = _resolve(location)
        if not any(is_inside(real, root) for root in allowed):
            leads = "" if real == location else f" (that is {str(real)!r})"
            raise ParameterError(
                f"{str(location)!r}{leads} is outside the folders that runs may touch here: "
                f"{', '.join(repr(str(root)) for root in allowed)}. Choose a folder in one of them, or let whoever "
                "runs this service add a root."
            )


def _resolve(location: Location) -> Location:
    return storage_of(location).resolve(location)
