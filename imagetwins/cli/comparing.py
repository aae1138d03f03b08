"""`imagetwins run FILE FILE`: two files compared at once, in place of folders that are looked through."""

from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from imagetwins.api.pairs import Scores, compare
from imagetwins.cli.markup import escape_markup
from imagetwins.config.folders import resolve_store
from imagetwins.config.parameters import Parameters, parse_parameters
from imagetwins.matching.decisions import lowest_local_ssim
from imagetwins.store.schemas import Action
from imagetwins.text import ORIENTATIONS

APART = ("folder", "more_folders", "threshold", "store")
"""What a run is given that is no option of `compare`."""


def compare_pair(given: dict[str, Any]) -> Scores:
    """Return the scores of the two files that a run was given as its folders, by its options and what its store remembers."""
    options = {name: value for name, value in given.items() if name not in APART}
    first, (second,) = given["folder"], given["more_folders"]
    return compare(first, second, given["threshold"], store=resolve_store(given["store"]), **options)


def print_scores(console: Console, scores: Scores, given: dict[str, Any]) -> None:
    """Print the scores of two files, what they must be for one to move, and what a run would make of the two."""
    parameters = parse_parameters(given)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("measure")
    table.add_column("#", justify="right")
    table.add_column("of a copy")
    for row in _list_measures(scores, parameters):
        table.add_row(*row)
    console.print(table)
    if turned := ORIENTATIONS.get(scores.orientation):
        console.print(f"The second one was compared {turned}.")
    console.print(f"[bold]{escape_markup(_describe(scores, parameters))}[/]", soft_wrap=True)


def _list_measures(scores: Scores, parameters: Parameters) -> list[tuple[str, str, str]]:
    """Return each measure, its value and its limit; a guard that is off has none."""
    detail = np.array([np.nan if scores.detail_ssim is None else scores.detail_ssim])
    least_local = float(lowest_local_ssim(detail, parameters.min_local_ssim)[0])
    of_detail = "-" if scores.detail_ssim is None else f"{scores.detail_ssim:.4f}"
    of_local = "-" if scores.local_ssim is None else f"{scores.local_ssim:.4f}"
    is_careful = parameters.is_careful
    rows = [
        ("SSIM", f"{scores.ssim:.4f}", f"at least {parameters.threshold:g}", True),
        (
            "SSIM where they have detail",
            of_detail,
            f"at least {parameters.min_detail_ssim:g}",
            parameters.min_detail_ssim > -1,
        ),
        ("SSIM where they differ most", of_local, f"at least {least_local:.4g}", parameters.min_local_ssim > -1),
        ("peak difference", f"{scores.peak_difference:.1f}", f"at most {parameters.max_peak_difference:g}", True),
        ("colour difference", f"{scores.colour_difference:.1f}", f"at most {parameters.max_colour_difference:g}", True),
    ]
    return [
        (name, value, limit if name == "SSIM" or (is_careful and is_on) else "-") for name, value, limit, is_on in rows
    ]


def _describe(scores: Scores, parameters: Parameters) -> str:
    """Return what a run that found the two alone would do."""
    match scores.action:
        case Action.WOULD_MOVE:
            return f"A run would move {scores.duplicate}: it {scores.reason}."
        case Action.REVIEW:
            return f"For review, {scores.duplicate} would stay: {scores.reason}."
        case _ if scores.ssim < parameters.threshold:
            return f"No match: the SSIM is below the threshold {parameters.threshold:g}."
        case _:
            return f"Both would stay: {scores.reason.removeprefix('kept: ')}."
