"""How far a piece of work is: a function that the core calls as it goes on, given to it by whoever shows it."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Progress = Callable[[int, int | None], None]
"""Called with how much is done, and of how much; None if nobody knows that yet."""

T = TypeVar("T")


def no_progress(_done: int, _total: int | None) -> None:
    """Tell nobody."""


def counted(items: Iterable[T], progress: Progress, total: int | None = None) -> Iterator[T]:
    """Yield `items`, telling `progress` of each when the next one is asked for."""
    for done, item in enumerate(items, 1):
        yield item
        progress(done, total)


def continued(progress: Progress, before: int) -> Progress:
    """Return a function that tells `progress` of work that goes on where `before` was done."""
    return lambda done, total: progress(before + done, None if total is None else before + total)


def without_total(progress: Progress) -> Progress:
    """Return a function that tells `progress` of a part of its work, and not how large that part is."""
    return lambda done, _: progress(done, None)
