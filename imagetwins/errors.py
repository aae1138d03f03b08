"""The errors a user can meet. Every message names the value, the limit and the remedy."""

from typing import Any


class ImagetwinsError(Exception):
    """Base of every error that imagetwins raises on purpose."""


class ParameterError(ImagetwinsError):
    """A parameter is outside its limits, or two of them contradict each other."""


class StoreError(ImagetwinsError):
    """A table, a run or a journal of the store is missing, unfinished or from another version."""


class ClusterError(ImagetwinsError):
    """The Dask cluster of a run cannot be used, or one of its workers must not be."""


class ServerError(ImagetwinsError):
    """Prefect's server does not answer."""


class ServerLostError(ServerError):
    """Prefect's server did not answer any more in the middle of a run."""


class NothingMovedError(ImagetwinsError):
    """A run went through all its stages and moved nothing of what it should have; `answer` is what it has to tell all the same."""

    def __init__(self, message: str, answer: dict[str, Any]) -> None:
        super().__init__(message)
        self.answer = answer


class FolderBusyError(ImagetwinsError):
    """Another run is working on the same folder."""
