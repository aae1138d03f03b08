"""What a person waits for, said while Prefect's server starts. The run lists again: nothing is decided on what is counted here."""

import time
from collections import Counter
from contextlib import suppress

from rich.console import Console

from imagetwins.cli.markup import escape_markup
from imagetwins.config.folders import resolve_store
from imagetwins.config.parameters import Parameters
from imagetwins.doctor.pictures import COMPILE_SECONDS, count_compiled
from imagetwins.scanning.candidates import list_for_run
from imagetwins.storage import is_path
from imagetwins.text import describe_left_out, pluralize

MAX_SECONDS = 0.4
"""Longer than this the run is not kept waiting for a number: 20,000 files take as long."""


def announce_folder(console: Console, parameters: Parameters) -> None:
    """Say how many pictures a run will compare, unless its folders are in a bucket, or too large to count in passing."""
    store = resolve_store(parameters.store)
    if not all(is_path(place) for place in (*parameters.locations, store)):
        return
    left_out: Counter[str] = Counter()
    # Whatever cannot be listed, the run will say.
    with suppress(OSError):
        found = list_for_run(parameters, store, left_out, until=time.monotonic() + MAX_SECONDS)
        pictures = [candidate for candidate in found if candidate.is_read]
        megabytes = sum(candidate.size_bytes for candidate in pictures) / 1e6
        rest = f"; left out: {describe_left_out(left_out)}" if left_out else ""
        console.print(
            escape_markup(
                f"{pluralize(len(pictures), 'picture')} in {parameters.layout.path} ({megabytes:,.1f} MB){rest}."
            ),
            soft_wrap=True,
        )


def announce_compiling(console: Console) -> None:
    """Say before the first run on a machine why it takes longer than all later ones."""
    if not count_compiled():
        console.print(
            f"The first run compiles what compares pictures, for this processor: some {COMPILE_SECONDS} s that later ones do not take.",
            soft_wrap=True,
        )
