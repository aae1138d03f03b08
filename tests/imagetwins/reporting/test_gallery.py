"""What Prefect's UI is given to show: names stay names, pictures are small, the doubtful comes first."""

import base64
import re

import cv2
import numpy as np
import pytest

from imagetwins.config.parameters import Parameters
from imagetwins.matching.decisions import decide
from imagetwins.reporting import gallery as module
from imagetwins.reporting.digest import Digest
from imagetwins.reporting.gallery import MAX_ROWS, breakable, draw_gallery, escape, link_desk
from imagetwins.scanning.thumbnails import Missing
from imagetwins.text import ZERO_WIDTH_SPACE
from tests.support.past_runs import comparison_table, image_table, make_record

PARAMETERS = Parameters(folder="/pictures")
LAYOUT = PARAMETERS.layout


def noise(images):
    return [np.random.default_rng(image).integers(0, 256, (200, 200, 3), np.uint8) for image in images]


def gallery_of(paths, scores):
    images = image_table(paths)
    return draw_gallery(decide(images, comparison_table(scores), PARAMETERS), images, noise, LAYOUT)


def rows_of(gallery):
    return [line for line in gallery.splitlines() if line.startswith("| !")]


def test_the_most_doubtful_comes_first_and_says_why():
    paths = [f"/pictures/{name}.png" for name in "abcd"] + ["/pictures/sub/e.png"]
    rows = rows_of(gallery_of(paths, {(0, 1): (0.99, 0.98), (0, 4): (0.93, 0.9), (2, 3): (0.97, 0.3)}))
    assert [re.findall(r"\*\*(.+?)\*\*", row) for row in rows] == [
        ["0.9700", "review"],
        ["0.9300", "would move"],
        ["0.9900", "would move"],
    ]
    assert "sub/e.png" in rows[1]
    assert "/pictures/" not in rows[1]


def test_pictures_are_small_jpegs_in_the_shape_of_the_file():
    gallery = gallery_of(["/pictures/a.png", "/pictures/b.png"], {(0, 1): (0.99, 0.98)})
    encoded = re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)\)", gallery)
    shapes = [cv2.imdecode(np.frombuffer(base64.b64decode(one), np.uint8), cv2.IMREAD_COLOR).shape for one in encoded]
    assert shapes == [(90, 120, 3)] * 2, "640 x 480 pictures"


def test_each_picture_is_the_one_of_the_name_beside_it():
    shades = {0: 30, 1: 220}
    images = image_table(["/pictures/dark.png", "/pictures/light.png"])
    decisions = decide(images, comparison_table({(0, 1): (0.99, 0.98)}), PARAMETERS)
    gallery = draw_gallery(
        decisions, images, lambda ids: [np.full((200, 200, 3), shades[one], np.uint8) for one in ids], LAYOUT
    )
    (shown,) = rows_of(gallery)
    for cell, name, shade in zip(shown.split(" | ")[:2], ("dark", "light"), (30, 220), strict=True):
        (encoded,) = re.findall(r"base64,([A-Za-z0-9+/=]+)\)", cell)
        pixels = cv2.imdecode(np.frombuffer(base64.b64decode(encoded), np.uint8), cv2.IMREAD_COLOR)
        assert name in cell
        assert abs(pixels.astype(int) - shade).max() < 5


def test_the_other_picture_is_turned_to_match_the_kept_one_and_it_is_said_how():
    kept = cv2.resize(np.arange(12, dtype=np.uint8).reshape(3, 4) * 20, (200, 200), interpolation=cv2.INTER_NEAREST)
    kept = cv2.merge([kept] * 3)
    paths = ["/pictures/a.png", "/pictures/b.png"]
    images = image_table(paths, sizes={paths[0]: (1, 480, 640), paths[1]: (1, 640, 480)})
    # The second one is the first turned counter-clockwise; clockwise, it matches.
    thumbnails = [kept, np.rot90(kept)]

    gallery = draw_gallery(
        decide(images, comparison_table({(0, 1): (0.99, 0.98, 6)}), PARAMETERS),
        images,
        lambda ids: [thumbnails[one] for one in ids],
        LAYOUT,
    )

    (row,) = rows_of(gallery)
    encoded = re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)\)", row)
    one, other = (cv2.imdecode(np.frombuffer(base64.b64decode(e), np.uint8), cv2.IMREAD_COLOR) for e in encoded)
    assert one.shape == other.shape == (120, 90, 3)
    assert abs(one.astype(int) - other).max() < 8
    assert (
        "b&#46;png (shown turned by 90 degrees clockwise) |" in row
        or "b.png (shown turned by 90 degrees clockwise) |" in row
    )


def test_a_picture_that_is_no_longer_there_is_said_to_be_missing():
    images = image_table(["/pictures/a.png", "/pictures/b.png"])
    decisions = decide(images, comparison_table({(0, 1): (0.99, 0.98)}), PARAMETERS)

    gallery = draw_gallery(decisions, images, lambda ids: [*noise(ids[:1]), Missing.GONE], LAYOUT)

    assert gallery.count("![") == 1
    assert "(no longer there) b" in gallery


def test_the_gallery_is_bounded_even_for_noise():
    count = 3 * MAX_ROWS
    paths = [f"/pictures/{number}.png" for number in range(count)]
    gallery = gallery_of(paths, {(0, other): (0.95, 0.94) for other in range(1, count)})
    assert len(rows_of(gallery)) == MAX_ROWS
    assert len(gallery) < 2_000_000
    assert f"The {MAX_ROWS} most doubtful of {count - 1}" in gallery


@pytest.mark.parametrize(
    "name",
    [
        "a|b.png",
        "![x](http://example.org/x.png)",
        "<img src=x>",
        "[link](x)",
        "new\nline",
        "`code`",
        "**bold**",
        "&amp;",
    ],
)
def test_a_name_is_neither_markup_nor_a_new_line(name):
    shown = escape(name)
    assert not set(shown) & set("|[]()<>`*\n")
    assert "&amp" not in shown.replace("&#", "")
    assert gallery_of([f"/pictures/{name}", "/pictures/b"], {(0, 1): (0.99, 0.98)}).count("![") == 2


def test_a_long_name_may_break_and_is_the_same_without_the_marks():
    name = "x" * 200
    assert max(map(len, breakable(name).split(ZERO_WIDTH_SPACE))) <= 24
    assert breakable(name).replace(ZERO_WIDTH_SPACE, "") == name
    assert breakable("short") == "short"


def record(**changes):
    entries = {
        "parameters": PARAMETERS.model_dump() | {"threshold": 0.95},
        "counts": {"images": 10, "duplicates": 3, "moved": 3},
        "funnel": {"pairs": 45, "cells": 40, "scored": 5, "stored": 4},
        "seconds": {"load": 2.0, "score": 0.5},
    }
    return make_record("20261123T010203Z-0a1b2c3d", **entries | changes)


def draw_summary(record, report="/store/runs/1/report.html"):
    return module.draw_summary(
        record, Digest(moved=3, not_moved=0, would_move=0, review=2, new=1, remembered=0), report
    )


def test_a_summary_begins_with_what_matters_and_where_to_settle_it(monkeypatch):
    matched = record(counts={"images": 10, "duplicates": 3, "moved": 3, "matches": 5})
    monkeypatch.delenv("IMAGETWINS_DESK", raising=False)
    assert "**3 moved, 2 for review (1 new).** To look at them: `imagetwins review 2026" in draw_summary(matched)
    monkeypatch.setenv("IMAGETWINS_DESK", "http://127.0.0.1:4201/{run}/?token=a(b)c")
    link = "http://127.0.0.1:4201/20261123T010203Z-0a1b2c3d/?token=a%28b%29c"
    assert f"[Look at them on the desk]({link})." in draw_summary(matched)
    assert link_desk(record()) == "", "no two pictures match"


@pytest.mark.parametrize("report", ["/a b/report.html", "s3://bucket/report.html"])
def test_a_summary_names_the_report_so_that_it_can_be_copied(report):
    assert f"The report: `{report}`" in draw_summary(record(), report)


def test_a_report_with_marks_of_code_in_its_name_is_escaped():
    assert f"The report: {escape('/a`b/report.html')}" in draw_summary(record(), "/a`b/report.html")


def test_a_summary_says_how_to_undo():
    summary = draw_summary(record())
    assert summary.startswith("# 3 duplicates among 10 pictures")
    assert "imagetwins restore 20261123T010203Z-0a1b2c3d" in summary
    assert "| threshold | 0.95 |" in summary
    assert "recursive" not in summary, "only what differs from the defaults"
    funnel = re.findall(r"\| ([^|]+) \| (\d+) \|", summary.split("## How the pairs were compared")[1].split("##")[0])
    assert funnel == [("proven below the floor by cells", "40"), ("scored exactly", "5")]


def test_a_summary_names_the_store_where_it_is_not_the_usual_one():
    def undo(store):
        return draw_summary(record(parameters=PARAMETERS.model_dump() | {"store": store})).split("```")[1].strip()

    assert undo("/a b") == "imagetwins restore 20261123T010203Z-0a1b2c3d --store '/a b'"
    assert undo("/a\n```\n# b") == "imagetwins restore 20261123T010203Z-0a1b2c3d"


def test_a_summary_says_what_was_left_out():
    summary = draw_summary(record(left_out={"@eaDir/": 2, "[a](b)/": 1}))
    assert f"Left out: {escape('3 folders (2 @eaDir, [a](b))')}." in summary
    assert "Left out" not in draw_summary(record())


def test_a_summary_of_a_waiting_run_says_how_to_answer():
    summary = draw_summary(record(status="waiting", counts={"images": 10, "duplicates": 3}))
    assert "imagetwins approve 20261123T010203Z-0a1b2c3d" in summary
    assert "restore" not in summary


def test_the_bars_are_as_long_as_the_times():
    bars = re.findall("█+", draw_summary(record()))
    assert [len(bar) for bar in bars] == [30, 8]


def test_a_summary_says_how_many_duplicates_are_turned():
    def told(turned):
        counts = {"images": 10, "duplicates": 3, "turned_duplicates": turned}
        return draw_summary(record(parameters=PARAMETERS.model_dump() | {"orientations": "all"}, counts=counts))

    assert "too: 2 of the duplicates are turned or mirrored." in told(2)
    assert "too: no duplicate is turned or mirrored." in told(0)
    assert "| orientations | all |" in told(0)
    assert "mirrored" not in draw_summary(record())
