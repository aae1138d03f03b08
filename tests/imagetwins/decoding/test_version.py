"""Thumbnails are kept under the decoder's version, so it must change when they may."""

from pathlib import Path

import pytest

from imagetwins.decoding import decoder, program
from imagetwins.decoding.model import DECODER_VERSION
from tests.support.fingerprint import fingerprint

GUARDED = (decoder, program)
# `model` only holds what is part of a cache's key anyway, and limits; `formats` what is decoded at all, and not to what.

KNOWN = (1, "09bf94057c3c5ec9")
"""The version, and the fingerprint of the code that goes with it."""

ADVICE = """
The code that makes thumbnails is not what it was when DECODER_VERSION was last looked at.
1. May the thumbnail of any file be another now? Then raise DECODER_VERSION in imagetwins/decoding/model.py: all that is
   cached under the old one is made anew. If no thumbnail can change, leave it.
2. In either case put the version and the new fingerprint into KNOWN. This prints the fingerprint:
   python -m tests.support.fingerprint imagetwins/decoding/decoder.py imagetwins/decoding/program.py
"""


def test_the_version_is_looked_at_when_the_code_that_makes_thumbnails_changes():
    found = fingerprint(*(Path(module.__file__) for module in GUARDED))

    assert (DECODER_VERSION, found) == KNOWN, ADVICE


CODE = '''
"""What the module is for."""

LIMIT = 3
"""What the limit is for."""

def double(x: int) -> str:
    """Return it."""
    return f"{2 * x}"  # twice
'''


@pytest.mark.parametrize(
    ("old", "new", "is_same"),
    [
        ("the module", "the whole module", True),
        ("the limit is", "this is", True),
        ("Return it.", "Return twice of it.", True),
        ("  # twice", "", True),
        ("\n\n", "\n\n\n", True),
        ("2 * x", "(2*x)", True),
        ("2 * x", "3 * x", False),
        ("2 * x", "2.0 * x", False),
        ("LIMIT = 3", "LIMIT = 4", False),
        ("x: int", "x: int = 1", False),
        ('return f"', 'return f" ', False),
    ],
)
def test_a_fingerprint_is_that_of_the_code_alone(tmp_path, old, new, is_same):
    before, after = tmp_path / "before.py", tmp_path / "after.py"
    before.write_text(CODE)
    after.write_text(CODE.replace(old, new))

    assert after.read_text() != CODE
    assert (fingerprint(before) == fingerprint(after)) is is_same
