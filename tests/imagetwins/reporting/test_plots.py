"""Plots are SVG that a page can hold: its colours, its font, any width."""

import re
import xml.etree.ElementTree as ET

import pytest

from imagetwins.reporting.plots import plot_bars, plot_lines

LINES = {f"{size} px": ([0, 1, 10], [0.5, 0.7, 0.9]) for size in range(8)}
PLOTS = {
    "lines": lambda: plot_lines(LINES, x_label="false pairs", y_label="recall", percent=True, log_x=True),
    "bars": lambda: plot_bars({"halved": 1.0, "cropped": 0.0}, x_label="recall"),
}


@pytest.mark.parametrize("name", PLOTS)
def test_an_element_of_the_pages_colours_that_scales(name):
    drawn = PLOTS[name]()

    root = ET.fromstring(drawn)  # noqa: S314 - our own
    assert root.attrib["viewBox"]
    assert root.attrib["aria-label"]
    assert not {"width", "height"} & root.attrib.keys()
    assert "var(--" in drawn
    assert not re.findall(r"#[0-9a-f]{6}\b", drawn)
    assert "font-family" not in drawn


def test_the_same_data_draw_the_same_text():
    assert PLOTS["lines"]() == PLOTS["lines"]()


def test_an_axis_of_counts_that_are_all_0_says_0_once():
    drawn = plot_lines({"100 px": ([0, 0], [0.5, 0.9])}, x_label="false pairs", y_label="recall", log_x=True)

    words = [element.text for element in ET.fromstring(drawn).iter() if element.text]  # noqa: S314 - our own
    assert [word for word in words if word in {"-0", "0", "1"}] == ["0", "1"]


def test_every_line_has_its_name():
    words = [element.text for element in ET.fromstring(PLOTS["lines"]()).iter() if element.text]  # noqa: S314

    assert set(LINES) <= set(words)
