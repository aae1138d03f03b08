"""The functional core of imagetwins: what is decided, free of Prefect, of the environment and of the clock."""

from importlib.metadata import version

__version__ = version("imagetwins")
