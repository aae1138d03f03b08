"""The histogram of a report: where its bars, ticks and marks stand, in percent of the plot; a template draws it."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 60
"""Bars, about."""

TICKS = 5
"""Ticks of the axis of scores, at most; on a phone there is room for no more."""

FLIP_FROM = 60
"""Marks so far to the right have their words on their left."""


class Bar(NamedTuple):
    """A bar; `words` say what it counts."""

    left: float
    width: float
    height: float
    is_match: bool
    words: str


class Mark(NamedTuple):
    """A score that is marked, or a tick with its number."""

    position: float
    words: str
    is_flipped: bool = False


def plan_histogram(scores: ArrayLike, threshold: float, floor: float) -> dict[str, Any]:
    """Return what the template "histogram.html.j2" draws: the stored scores, counted, on a logarithmic scale.

    One of the bars begins at the threshold.
    """
    values = np.asarray(scores, np.float64)
    edges = _plan_edges(min(floor, float(values.min(initial=1.0)), 0.98), threshold)
    counts = np.histogram(values, edges)[0].tolist()
    low, high = float(edges[0]), float(edges[-1])

    def place(score: float) -> float:
        return round(100 * (score - low) / (high - low), 2)

    # Over the highest bar there is room for the words of the two marks.
    top = math.ceil(2 * _log_height(max(1, *counts)) + 1) / 2
    width = place(low + float(edges[1] - edges[0]))
    bars = [
        Bar(
            place(edge),
            width,
            round(100 * _log_height(count) / top, 2),
            edge >= threshold - 1e-9,
            _describe(edge, after, count),
        )
        for edge, after, count in zip(edges.tolist(), edges[1:].tolist(), counts, strict=False)
        if count
    ]
    powers = [10**power for power in range(math.ceil(top - 1))]
    return {
        "bars": bars,
        "counts": [Mark(round(100 * _log_height(count) / top, 2), f"{count:,}") for count in (0, *powers)],
        "scores": [Mark(place(score), words) for score, words in _plan_ticks(low, high)],
        "threshold": Mark(place(threshold), f"threshold {threshold:g}", place(threshold) > FLIP_FROM),
        "floor": Mark(place(floor), f"floor {floor:g}", place(floor) > FLIP_FROM),
    }


def _log_height(count: int) -> float:
    """Return the height of a bar, in decades: 0 of none, 1 of a single pair, 2 of ten."""
    return 1 + math.log10(count) if count else 0.0


def _describe(low: float, high: float, count: int) -> str:
    return f"{low:.4f} to {high:.4f}: {count:,}"


def _plan_edges(low: float, threshold: float) -> NDArray[np.float64]:
    """Return the edges of equal bins from `low` to 1, such that the threshold is one of them."""
    step = max(1 - low, 0.01) / BINS
    below, above = np.ceil((threshold - low) / step - 1e-6), max(1.0, np.ceil((1 - threshold) / step - 1e-6))
    edges = threshold + step * np.arange(-below, above + 1)
    # Rounding must leave no score outside.
    edges[0], edges[-1] = min(edges[0], low), max(edges[-1], 1.0)
    return edges


def _plan_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Return round numbers from `low` to `high`, at equal distances, and how they are written."""
    rough = (high - low) / TICKS
    decade = math.floor(math.log10(rough))
    step = next(factor * 10.0**decade for factor in (1, 2, 5, 10) if factor * 10.0**decade >= rough)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    numbers = range(math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6) + 1)
    return [(number * step, f"{number * step:.{decimals}f}") for number in numbers]
