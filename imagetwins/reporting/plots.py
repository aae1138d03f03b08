"""Plots as SVG text that takes its colours from the page it stands in, so one drawing fits a dark and a light page.

matplotlib draws; the colours it is given are placeholders that become CSS variables of the page's style sheet.
"""

import io
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

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


def _plain(value: float, _position: int) -> str:
    return f"{value:,.0f}"


def _percent(value: float, _position: int) -> str:
    return f"{100 * value:.0f} %"
