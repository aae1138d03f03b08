"""The main flow as tests call it: with all parameters side by side, as on the command line."""

from flows import deduplicate as main
from imagetwins.config.parameters import nest_options


def deduplicate(folder, **given):
    """Call the flow on `folder`; the options among the parameters `given` go where it takes them."""
    return main.deduplicate(**nest_options({"folder": folder} | given))
