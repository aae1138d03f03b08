"""Numbers and names in sentences."""

import pytest

from imagetwins.text import MAX_NAMES, describe_left_out


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
