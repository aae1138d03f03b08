"""The errors a user can meet. Every message names the value, the limit and the remedy."""


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


class FolderBusyError(ImagetwinsError):
    """Another run is working on the same folder."""
