"""Plots are SVG that a page can hold: its colours, its font, any width."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from imagetwins.reporting.plots import plot_bars, plot_histogram, plot_lines

SCORES = np.random.default_rng(0).uniform(0.85, 1, 500)
LINES = {f"{size} px": ([0, 1, 10], [0.5, 0.7, 0.9]) for size in range(8)}
PLOTS = {
    "histogram": lambda: plot_histogram(SCORES, 0.9, 0.85),
    "histogram of nothing": lambda: plot_histogram([], 1.0, 1.0),
    "histogram of everything": lambda: plot_histogram(np.linspace(-1, 1, 50), -1, -1),
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
    assert PLOTS["histogram"]() == PLOTS["histogram"]()


def test_bars_of_matches_and_of_others_have_different_colours():
    def bars(drawn, colour):
        return len(re.findall(rf"fill: var\(--{colour}\)", drawn))

    all_match, none_match = (plot_histogram(SCORES, threshold, 0.85) for threshold in (0.85, 1.0))

    assert bars(all_match, "copy") > 50
    assert bars(none_match, "kept") > 50


def test_words_are_text_that_a_search_finds():
    drawn = plot_histogram(SCORES, 0.9, 0.85)

    words = [element.text for element in ET.fromstring(drawn).iter() if element.text]  # noqa: S314
    assert {"threshold 0.9", "floor 0.85", "SSIM of the pair"} <= set(words)


def test_an_axis_of_counts_that_are_all_0_says_0_once():
    drawn = plot_lines({"100 px": ([0, 0], [0.5, 0.9])}, x_label="false pairs", y_label="recall", log_x=True)

    words = [element.text for element in ET.fromstring(drawn).iter() if element.text]  # noqa: S314 - our own
    assert [word for word in words if word in {"-0", "0", "1"}] == ["0", "1"]


def test_every_line_has_its_name():
    words = [element.text for element in ET.fromstring(PLOTS["lines"]()).iter() if element.text]  # noqa: S314

    assert set(LINES) <= set(words)
