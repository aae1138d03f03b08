"""What becomes of the measured seconds, and the folders that are measured."""

import io
import sys

import cv2
import numpy as np
import pytest
from rich.console import Console

from benchmarks import waiting
from benchmarks.waiting import (
    BEGIN,
    EMBEDDED,
    END,
    LIMIT_SECONDS,
    NEW,
    READING,
    RUNNING,
    Row,
    Took,
    added,
    label,
    replace_table,
    run,
    show,
    to_plain,
    write_folder,
)


def took(*walls):
    return [Took(wall, 2 * wall, {"load": wall / 2}) for wall in walls]


def test_a_run_is_compared_with_the_bare_flow_that_has_the_same_server():
    rows = [
        Row("bare", EMBEDDED, took(5, 4, 60)),
        Row("first run", EMBEDDED, took(10, 50, 9)),
        Row("first run", EMBEDDED, took(20, 20, 20), before=True),
        Row("bare", RUNNING, took(2)),
        Row("first run", RUNNING, took(6)),
        Row("difPy", None, took(float("inf"))),
    ]
    plain = to_plain(900, rows)["rows"]
    assert [(row["name"], row["server"]) for row in plain] == [
        ("bare", EMBEDDED),
        ("first run", EMBEDDED),
        ("bare", RUNNING),
        ("first run", RUNNING),
        ("difPy", None),
    ]
    assert [row["now"]["ratio"] for row in plain] == [1, 2, 1, 3, None]
    assert plain[1]["now"] | {"rounds": None} == {
        "seconds": 10,
        "cpu_seconds": 20,
        "ratio": 2,
        "rounds": None,
        "stages": {"load": 5},
    }
    assert plain[1]["before"]["ratio"] == 4
    assert "before" not in plain[3]
    assert plain[4]["now"]["seconds"] is None


def test_loading_is_told_in_floors():
    rows = [
        Row("first run", EMBEDDED, took(6, 8, 10)),
        Row("first run", EMBEDDED, took(100), before=True),
        Row(READING, None, took(2, 90, 1)),
    ]
    sizes = [to_plain(10_000, rows)]
    assert sizes[0]["loading"] == [2]
    printed = io.StringIO()
    show(sizes, Console(width=160, file=printed))
    assert "10,000 pictures: a first run's loading takes 2.00 floors" in printed.getvalue()
    assert to_plain(10_000, rows[:1])["loading"] == []


def test_a_row_says_what_it_is_and_where_its_server_was():
    assert label({"name": "first run", "server": RUNNING}) == "imagetwins, first run, with a server"
    assert label({"name": "bare", "server": EMBEDDED}) == "bare Prefect flow, without a server"
    assert label({"name": "difPy", "server": None}) == "difPy"


def test_the_table_is_put_into_the_page_and_nothing_else_is_changed():
    rows = [Row("bare", RUNNING, took(2)), Row("first run", RUNNING, took(6)), Row("difPy", None, took(float("inf")))]
    sizes = [to_plain(1000, rows), to_plain(5, rows)]
    page = f"# Page\n{BEGIN}\nold\n{END}\nthe end"
    replaced = replace_table(page, sizes)
    assert replaced == replace_table(replaced, sizes)
    assert replaced == "\n".join(
        [
            f"# Page\n{BEGIN}",
            "|  | 1,000 pictures | 5 pictures |",
            "| --- | --- | --- |",
            "| bare Prefect flow, with a server | 2.00 s (1.00 x) | 2.00 s (1.00 x) |",
            "| imagetwins, first run, with a server | 6.00 s (3.00 x) | 6.00 s (3.00 x) |",
            f"| difPy | > {LIMIT_SECONDS:g} s | > {LIMIT_SECONDS:g} s |",
            f"{END}\nthe end",
        ]
    )
    with pytest.raises(ValueError, match=BEGIN):
        replace_table("# Page", sizes)


def test_every_other_picture_is_a_copy_and_the_new_ones_come_and_go(tmp_path):
    pictures = [np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)]
    folder, new = write_folder(pictures, 5, tmp_path)
    names = ["00000.jpg", "00000_copy.jpg", "00001.jpg", "00001_copy.jpg", "00002.jpg"]
    assert sorted(file.name for file in folder.iterdir()) == names
    assert cv2.imread(str(folder / names[0])).shape == (waiting.HEIGHT, waiting.WIDTH, 3)
    assert len(new) == NEW
    with added(new, folder):
        assert len(list(folder.iterdir())) == 5 + NEW
    assert sorted(file.name for file in folder.iterdir()) == names


def test_a_process_that_takes_too_long_is_ended_and_one_that_fails_is_no_measurement(monkeypatch):
    took, printed = run([sys.executable, "-c", "print(sum(range(10**7)))"], {})
    assert took.wall > 0
    assert took.cpu > 0
    assert printed == "49999995000000\n"
    with pytest.raises(RuntimeError, match="ended with 3:\nsorry"):
        run([sys.executable, "-c", "import sys; sys.stderr.write('sorry'); sys.exit(3)"], {})
    monkeypatch.setattr(waiting, "LIMIT_SECONDS", 0.3)
    assert run([sys.executable, "-c", "import time; time.sleep(60)"], {})[0].wall == float("inf")
