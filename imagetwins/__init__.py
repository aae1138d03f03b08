"""The functional core of imagetwins: what is decided, free of Prefect, of the environment and of the clock."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # Type checkers take a module with `__getattr__` to have every attribute; this one has one.
    __version__: str
else:

    def __getattr__(name: str) -> str:
        """Look up `__version__` when it is first asked for, and not in every decoder process."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib.metadata import version  # noqa: PLC0415 - takes longer than all that the process itself imports

        return version(__name__)
