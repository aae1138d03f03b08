"""Commands that a run advises can be typed as they stand."""

import shlex

import pandas as pd
import pytest
import typer

from imagetwins.cli.app import app
from imagetwins.config.parameters import Parameters
from imagetwins.reporting.advice import (
    advise_keep,
    count_open,
    describe_not_read,
    describe_refusals,
    describe_small,
    format_run,
    moved_nothing,
)
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


WHY = {"Permission denied": 3, "it is no longer there": 2, "it changed since it was listed": 1, "no name": 1}


@pytest.mark.parametrize(
    ("counts", "says", "is_nothing"),
    [
        ({"moved": 3}, "", False),
        ({"not_moved": 1}, "The only picture that should have moved has not: no name. What did", True),
        ({"not_moved": 1200}, "None of the 1,200 pictures that should have moved has: no name.", True),
        ({"moved": 3, "not_moved": 1}, "1 of 4 pictures that should have moved has not: ", False),
        ({"put_back": 1, "not_moved": 2}, "2 of 3 pictures that should have moved have not: ", False),
        ({"moved": 1, "companions_not_moved": 1}, "1 file that belongs to moved pictures stayed behind: ", False),
    ],
)
def test_what_should_have_moved_and_did_not_is_counted(counts, says, is_nothing):
    record = make_record(folder="/a b", counts=counts, not_moved_why={"no name": 1})
    assert describe_refusals(record).startswith(says)
    assert bool(describe_refusals(record)) == bool(says)
    assert moved_nothing(record) == is_nothing


def test_the_most_frequent_reasons_are_told_with_what_to_do():
    told = describe_refusals(make_record(folder="/a b", counts={"not_moved": 7}, not_moved_why=WHY))
    assert (
        "Permission denied (3); it is no longer there (2); it changed since it was listed (1); and 1 other reason."
        in told
    )
    assert "`imagetwins doctor '/a b'`" in told


@pytest.mark.parametrize(
    ("entries", "is_open"),
    [
        ({"status": "completed"}, True),
        ({"status": "failed", "finished_stages": ["report"]}, True),
        ({"status": "failed", "finished_stages": ["move"]}, False),
        ({"status": "restored"}, False),
    ],
)
def test_what_a_run_left_for_review_is_open_once_it_went_through_all_its_stages(entries, is_open):
    assert count_open(make_record(counts={"review": 2}, **entries)) == (2 if is_open else 0)
