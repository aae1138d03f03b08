"""Numbers and names in sentences."""

import shlex

import pytest

from imagetwins.text import MAX_NAMES, describe_left_out, format_command, name_two


@pytest.mark.parametrize(
    ("left_out", "says"),
    [
        ({}, ""),
        ({"@eaDir/": 1}, "1 folder (@eaDir)"),
        ({".git/": 1, "@eaDir/": 1200}, "1,201 folders (1,200 @eaDir, .git)"),
        ({"._*": 2, "b/": 1, "a/": 1, "*.gif": 3}, "2 folders (a, b) and 5 files (3 *.gif, 2 ._*)"),
        (dict.fromkeys((f"{letter}/" for letter in "abcdefg"[: MAX_NAMES + 1]), 1), "6 folders (a, b, c, d, e, ...)"),
    ],
)
def test_what_was_left_out_is_said_in_a_few_words(left_out, says):
    assert describe_left_out(left_out) == says


@pytest.mark.parametrize(
    ("second", "names"),
    [
        ("/p/two/b.jpg", ("a.jpg", "b.jpg")),
        ("/p/two/a.jpg", ("one/a.jpg", "two/a.jpg")),
        ("/q/one/a.jpg", ("p/one/a.jpg", "q/one/a.jpg")),
        ("/p/one/more/p/one/a.jpg", ("/p/one/a.jpg", "more/p/one/a.jpg")),
        ("a.jpg", ("one/a.jpg", "a.jpg")),
        ("/p/one/a.jpg", ("a.jpg", "a.jpg")),
    ],
)
def test_of_two_files_with_one_name_their_folders_are_named(second, names):
    assert name_two("/p/one/a.jpg", second) == names
    assert name_two(second, "/p/one/a.jpg") == names[::-1]


@pytest.mark.parametrize("store", ["a store", "-s", "-a store", "s3://b/$x"])
def test_a_command_that_is_shown_can_be_typed_whatever_the_store_is_called(store):
    words = shlex.split(format_command("restore", "RUN", store))
    assert words[:4] == ["imagetwins", "restore", "RUN", "--store"]
    assert words[4].removeprefix("./") == store
    assert not words[4].startswith("-")
