"""Names as strings: what is said of them without making a path."""

from pathlib import Path, PurePosixPath

import pytest

from imagetwins.storage.location import names_to_columns, suffix_of, to_columns


@pytest.mark.parametrize(
    "name",
    [
        "a.jpg",
        ".jpg",
        "a.",
        "a",
        "..a",
        "...",
        "a.b.c",
        ".a.b",
        "a b .png",
        "图.图",
        "a/b",
        "a.d/b",
        "a.d/.b",
        "a.d/b.c",
    ],
)
def test_a_suffix_is_what_pathlib_says(name):
    assert suffix_of(name) == PurePosixPath(name).suffix
    assert suffix_of(f"/f.x/{name}") == PurePosixPath(f"/f.x/{name}").suffix


@pytest.mark.parametrize(
    "names", [[], ["/f/a.jpg"], ["/f/a.jpg", "/f/\u56fe.jpg", "/f/caf\udce9.jpg", "/f/b\\xe9.jpg"]]
)
def test_the_columns_of_many_names_are_those_of_each(names):
    columns = [to_columns(Path(name)) for name in names]

    assert list(zip(*names_to_columns(names), strict=True)) == columns


def test_the_columns_of_objects_are_their_urls():
    assert names_to_columns(["memory://b/a.jpg", "memory://b/\u56fe.jpg"]) == (
        ["memory://b/a.jpg", "memory://b/\u56fe.jpg"],
        [None, None],
    )
