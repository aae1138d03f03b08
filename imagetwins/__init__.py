"""The functional core of imagetwins, free of Prefect, and its calls for programs: `find_duplicates` and `compare`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # Type checkers take a module with `__getattr__` to have every attribute; this one has these.
    from imagetwins.api.duplicates import find_duplicates
    from imagetwins.api.pairs import Scores, compare

    __version__: str
else:

    def __getattr__(name: str) -> object:
        """Import what is asked for when it is first asked for, and not in every decoder process."""
        # What these import takes longer than all that such a process itself imports.
        if name == "__version__":
            from importlib.metadata import version  # noqa: PLC0415

            return version(__name__)
        if name in {"find_duplicates", "compare", "Scores"}:
            from importlib import import_module  # noqa: PLC0415

            found = getattr(
                import_module(f"{__name__}.api.{'duplicates' if name == 'find_duplicates' else 'pairs'}"), name
            )
            globals()[name] = found
            return found
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["Scores", "__version__", "compare", "find_duplicates"]
