"""Plots as SVG text that takes its colours from the page it stands in, so one drawing fits a dark and a light page.

matplotlib draws; the colours it is given are placeholders that become CSS variables of the page's style sheet.
"""

import io
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import ArrayLike, NDArray

INK, FAINT, KEPT, COPY, THIRD, FOURTH, FIFTH, SIXTH = (f"#0101{number:02x}" for number in range(1, 9))
"""Placeholders: text, grid, and six colours to tell things apart by."""

SERIES = (KEPT, COPY, THIRD, FOURTH, FIFTH, SIXTH)

_VARIABLES = {
    INK: "var(--muted)",
    FAINT: "var(--line)",
    KEPT: "var(--kept)",
    COPY: "var(--copy)",
    THIRD: "var(--third)",
    FOURTH: "var(--fourth)",
    FIFTH: "var(--fifth)",
    SIXTH: "var(--sixth)",
}

HISTOGRAM_BINS = 60


def style() -> AbstractContextManager[None]:
    """Return the context in which all plots are drawn."""
    return mpl.rc_context(
        {
            "svg.fonttype": "none",  # Text stays text: it takes the page's font, and is found by a search.
            "svg.hashsalt": "imagetwins",  # The same data draws the same file.
            "font.family": "sans-serif",
            "font.size": 11,
            "axes.edgecolor": FAINT,
            "axes.labelcolor": INK,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": FAINT,
            "grid.linewidth": 0.7,
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "xtick.major.size": 0,
            "ytick.major.size": 0,
            "ytick.minor.size": 0,
            "legend.frameon": False,
            "lines.linewidth": 2,
        }
    )


def to_svg(figure: Figure, label: str) -> str:
    """Return `figure` as an SVG element that scales with the page and that a screen reader calls `label`."""
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None})
    element = drawn.getvalue()
    element = element[element.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    for placeholder, variable in _VARIABLES.items():
        element = element.replace(placeholder, variable)
    element = re.sub(r"; font-family: [^;\"]*", "", element)
    # Its size in points would keep it from shrinking on a phone; the view box keeps its shape.
    return re.sub(
        r'<svg ([^>]*?)height="[^"]*" ?([^>]*?)width="[^"]*"|<svg ([^>]*?)width="[^"]*" ?([^>]*?)height="[^"]*"',
        lambda found: f'<svg role="img" aria-label="{label}" ' + "".join(part or "" for part in found.groups()),
        element,
        count=1,
    )


def plot_histogram(scores: ArrayLike, threshold: float, floor: float) -> str:
    """Return the histogram of the stored scores, with the threshold and the floor marked, counts on a log scale."""
    values = np.asarray(scores, np.float64)
    low = min(floor, float(values.min(initial=1.0)), 0.98)
    with style():
        figure, axes = _canvas(5.8, 2.9)
        edges = _edges(low, threshold)
        counts, _ = np.histogram(values, edges)
        colours = [COPY if edge >= threshold - 1e-9 else KEPT for edge in edges[:-1]]
        axes.bar(edges[:-1], counts, np.diff(edges) * 0.86, align="edge", color=colours)
        axes.set_yscale("symlog", linthresh=1)
        axes.set_ylim(0, max(1, counts.max(initial=0)) * 6)
        axes.set_xlim(edges[0] - (edges[-1] - edges[0]) * 0.02, edges[-1] + (edges[-1] - edges[0]) * 0.01)
        _mark(axes, threshold, f"threshold {threshold:g}", COPY, height=1)
        _mark(axes, floor, f"floor {floor:g}", KEPT, height=0.9)
        axes.set_xlabel("SSIM of the pair")
        axes.set_ylabel("stored pairs")
        axes.grid(visible=False, axis="x")
        axes.yaxis.set_major_formatter(FuncFormatter(_plain))
        return to_svg(figure, "Histogram of the stored SSIM scores")


def plot_lines(
    series: dict[str, tuple[Sequence[float], Sequence[float]]],
    *,
    x_label: str,
    y_label: str,
    percent: bool = False,
    log_x: bool = False,
) -> str:
    """Return one line with points for each named series of (x, y)."""
    with style():
        figure, axes = _canvas(5.8, 3.6)
        for number, (name, (x, y)) in enumerate(series.items()):
            dashes, colour = divmod(number, len(SERIES))
            axes.plot(
                x, y, color=SERIES[colour], linestyle="--" if dashes else "-", marker="o", markersize=3.5, label=name
            )
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        if log_x:
            axes.set_xscale("symlog", linthresh=1)
            # Around a single 0 matplotlib shows a range of nothing, with three ticks that say 0.
            axes.set_xlim(right=max(1.05, axes.get_xlim()[1]), left=min(-0.05, axes.get_xlim()[0]))
            axes.xaxis.set_major_formatter(FuncFormatter(_plain))
        if percent:
            axes.yaxis.set_major_formatter(FuncFormatter(_percent))
        if len(series) > 1:
            axes.legend(loc="best", labelcolor=INK)
        return to_svg(figure, f"{y_label} against {x_label}")


def plot_bars(values: dict[str, float], *, x_label: str) -> str:
    """Return a horizontal bar, 0 to 1, for each named value, the first on top."""
    with style():
        figure, axes = _canvas(5.8, 0.7 + 0.34 * len(values))
        names = list(values)[::-1]
        bars = axes.barh(names, [values[name] for name in names], color=KEPT, height=0.66)
        axes.bar_label(bars, [_percent(values[name], 0) for name in names], padding=4, color=INK)
        axes.set_xlim(0, 1.12)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _percent(value, 0) if value <= 1 else ""))
        axes.set_xlabel(x_label)
        axes.grid(visible=False, axis="y")
        return to_svg(figure, x_label)


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _edges(low: float, threshold: float) -> NDArray[np.float64]:
    """Return the edges of equal bins from `low` to 1, such that the threshold is one of them."""
    step = max(1 - low, 0.01) / HISTOGRAM_BINS
    below, above = np.ceil((threshold - low) / step - 1e-6), max(1.0, np.ceil((1 - threshold) / step - 1e-6))
    return threshold + step * np.arange(-below, above + 1)


def _mark(axes: Axes, value: float, words: str, colour: str, *, height: float) -> None:
    axes.axvline(value, color=colour, linewidth=1.5, linestyle=(0, (4, 3)))
    axes.annotate(
        words,
        (value, height),
        xycoords=("data", "axes fraction"),
        xytext=(5, 0),
        textcoords="offset points",
        va="top",
        color=colour,
        fontweight="bold",
    )


def _plain(value: float, _position: int) -> str:
    return f"{value:,.0f}"


def _percent(value: float, _position: int) -> str:
    return f"{100 * value:.0f} %"
