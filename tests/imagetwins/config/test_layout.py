"""Which folder a picture is of, what it is called, and where it goes: folders beside each other, in each other, and in buckets."""

import os
from pathlib import Path

import pytest

from imagetwins.config.layout import Layout, make_layout
from imagetwins.storage import parse_location


def target(layout, path):
    return str(layout.plan_target(parse_location(path))[1])


def test_of_one_folder_names_are_those_inside_it():
    layout = make_layout(["/home/A"])
    assert layout.shorten("/home/A/sub/x.png") == "sub/x.png"
    assert layout.shorten("/home/A/Duplicates/x.png") == "Duplicates/x.png"
    assert layout.shorten("/home/Album/x.png") == "/home/Album/x.png"
    assert layout.plan_target(Path("/home/A/sub/x.png")) == (Path("/home/A"), Path("/home/A/Duplicates/sub/x.png"))
    assert (layout.name, layout.path, layout.asides) == ("A", "/home/A", [Path("/home/A/Duplicates")])
    assert target(make_layout(["/home/A"], "/aside"), "/home/A/sub/x.png") == "/aside/sub/x.png"


def test_of_several_names_begin_with_the_folders():
    layout = make_layout(["/home/A", "/mnt/B"])
    assert [layout.shorten(f"{folder}/one.png") for folder in ("/home/A", "/mnt/B")] == ["A/one.png", "B/one.png"]
    assert layout.shorten("/mnt/B/Duplicates/one.png") == "B/Duplicates/one.png"
    assert target(layout, "/mnt/B/sub/one.png") == "/mnt/B/Duplicates/sub/one.png"
    assert layout.asides == [Path("/home/A/Duplicates"), Path("/mnt/B/Duplicates")]
    assert (layout.name, layout.path) == ("A and B", "/home/A and /mnt/B")
    aside = make_layout(["/home/A", "/mnt/B"], "/aside")
    assert [target(aside, f"{folder}/one.png") for folder in ("/home/A", "/mnt/B")] == [
        "/aside/A/one.png", "/aside/B/one.png"
    ]  # fmt: skip
    assert aside.asides == [Path("/aside")]
    assert aside.places == [Path("/home/A"), Path("/mnt/B"), Path("/aside")]


@pytest.mark.parametrize(
    ("folders", "titles"),
    [
        (["/x/2019/pics", "/y/2020/pics"], ["2019/pics", "2020/pics"]),
        (["/x/2019/pics", "/y/2020/pics", "/z/2019"], ["2019/pics", "2020/pics", "z/2019"]),
        (["/a/b", "/b"], ["a/b", "b"]),
        (["/A", "/A/sub"], ["A", "sub"]),
        (["/", "/A"], ["", "A"]),
        (["s3://one/pics", "s3://two/pics"], ["one/pics", "two/pics"]),
        (["s3://one/A", "/home/B"], ["A", "B"]),
    ],
)
def test_folders_of_one_name_are_told_apart_by_those_above(folders, titles):
    layout = make_layout(folders)
    assert list(layout.titles.values()) == titles
    shown = [layout.shorten(f"{folder.rstrip('/')}/x.png") for folder in folders]
    assert len(set(shown)) == len(folders)


def test_a_picture_belongs_to_the_innermost_of_folders_in_each_other():
    layout = make_layout(["/A", "/A/sub", "/A/sub/deep"])
    paths = ["/A/x", "/A/sub/x", "/A/sub/deep/x", "/A/subway/x", "/B/x"]
    assert layout.number_folders(paths) == [0, 1, 2, 0, -1]
    assert [layout.shorten(path) for path in paths] == ["A/x", "sub/x", "deep/x", "A/subway/x", "/B/x"]
    assert target(layout, "/A/sub/x.png") == "/A/sub/Duplicates/x.png"
    assert layout.find_folder(Path("/B/x")) is None
    with pytest.raises(ValueError, match="/B/x"):
        layout.plan_target(Path("/B/x"))


@pytest.mark.parametrize("into", [None, "/aside"])
@pytest.mark.parametrize("folders", [["/A"], ["/A", "/B"], ["/"]])
def test_names_of_targets_are_those_of_their_locations(folders, into):
    layout = make_layout(folders, into)
    for path in ("/A/x.png", "/A/sub/y (2).png"):
        assert layout.plan_name(path) == target(layout, path)
    assert make_layout(["/A"]).plan_name("/B/x.png") == "/B/x.png"


def test_folders_whose_names_are_not_utf8_are_known_by_what_tables_call_them():
    folder = Path(os.fsdecode(b"/A/\xff"))
    layout = Layout((folder, Path("/B")))
    assert layout.number_folders([r"/A/\xff/x.png", "/B/x.png"]) == [0, 1]
    assert layout.plan_target(folder / "x.png")[1] == folder / "Duplicates/x.png"
