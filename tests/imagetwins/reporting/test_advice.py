"""Commands that a run advises can be typed as they stand."""

import shlex

import pandas as pd
import pytest
import typer

from imagetwins.cli.app import app
from imagetwins.config.parameters import Parameters
from imagetwins.reporting.advice import advise_keep, describe_not_read, describe_small, format_run
from tests.support.past_runs import make_record


def record(counts, **parameters):
    return make_record("20260101T000000Z-1", counts=counts, parameters={"folder": "/my pictures"} | parameters)


def test_a_run_that_kept_smaller_copies_says_how_to_keep_the_largest():
    asked = record({"larger_duplicates": 2, "moved": 5}, store="/s", threshold=0.95, keep="name,first")
    advice = advise_keep(asked)
    assert advice.text.startswith("2 duplicates have more pixels than the copy that stays.")
    assert advice.commands == [
        "imagetwins restore 20260101T000000Z-1 --move-again --store /s",
        "imagetwins run '/my pictures' --threshold 0.95 --keep resolution,name --store /s",
    ]


def test_what_did_not_move_need_not_be_put_back():
    (command,) = advise_keep(record({"larger_duplicates": 1}, dry_run=True)).commands
    assert command == "imagetwins run '/my pictures' --dry-run --keep resolution"
    assert advise_keep(record({"larger_duplicates": 1})).text.startswith("1 duplicate has")


@pytest.mark.parametrize(
    ("counts", "parameters"), [({}, {}), ({"larger_duplicates": 2}, {"keep": "folder:originals,resolution"})]
)
def test_nothing_is_advised_where_no_larger_copy_moves_or_the_user_chose(counts, parameters):
    assert advise_keep(record(counts, **parameters)) is None


def test_formats_that_are_not_read_are_counted_and_not_listed():
    names = ["a.tga", "b.svg", "c.SVG", "d.svgz", "e.png"]
    codes = ["format-not-read"] * 4 + ["unreadable"]
    told = describe_not_read(pd.DataFrame({"FileName": names, "reason_code": codes}))
    assert told.startswith("Not read: 3 SVG, 1 TGA. Convert them, to PNG say")
    assert "--exclude '*.svg'" in told
    assert describe_not_read(pd.DataFrame({"FileName": ["e.png"], "reason_code": ["unreadable"]})) == ""


def test_pictures_that_were_too_small_are_counted():
    assert describe_small(record({"too_small": 2}, min_side=64)).startswith("2 pictures were not compared: ")
    assert "64 pixels (min_side)" in describe_small(record({"too_small": 1}, min_side=64))
    assert describe_small(record({}, min_side=64)) == ""


def test_the_command_of_a_run_gives_the_parameters_of_it():
    asked = Parameters(
        folder="/a b",
        more_folders=["/c", "/d"],
        threshold=0.8,
        rule="plain",
        recursive=False,
        dry_run=True,
        size=64,
        reference=["/x", "/y z"],
        into="/aside",
        across=True,
        min_side=64,
        min_bytes="100KB",
        formats="jpg,raw",
    )
    assert (asked.min_bytes, asked.formats) == (100_000, "JPEG,RAW")
    _, command, *arguments = shlex.split(format_run(asked))
    given = typer.main.get_command(app).commands[command].make_context(command, arguments).params
    given["folder"], *given["more_folders"] = given.pop("folders")
    assert Parameters(**{name: given[name] for name in Parameters.model_fields}) == asked
