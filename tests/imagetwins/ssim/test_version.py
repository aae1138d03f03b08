"""Scores of an earlier run are used again if ENGINE_VERSION is the same, so it must change with what may change them."""

import json
from pathlib import Path

import pytest

from imagetwins import ssim
from tests.support.fingerprint import describe, fingerprint

RECORD = Path(__file__).with_name("engine_versions.json")

REMEDY = """\
The code of imagetwins/ssim is not what {record} has for ENGINE_VERSION {version}.
If any score, bound or stored array may differ now, raise ENGINE_VERSION in imagetwins/ssim/__init__.py, and if a stored
array may, WORKSPACE_VERSION in imagetwins/ssim/workspace.py too. If they provably do not differ, leave both.
Then enter the fingerprint for the version in {record}; this prints it:
    python -m tests.support.fingerprint imagetwins/ssim"""


def test_the_code_is_that_of_its_version():
    recorded = json.loads(RECORD.read_text(encoding="utf-8"))
    version = str(ssim.ENGINE_VERSION)
    if recorded.get(version) != fingerprint(Path(ssim.__file__).parent):
        pytest.fail(REMEDY.format(record=f"tests/imagetwins/ssim/{RECORD.name}", version=version))


def test_the_record_has_every_version_so_far():
    versions = [int(version) for version in json.loads(RECORD.read_text(encoding="utf-8"))]
    assert versions == [*range(1, ssim.ENGINE_VERSION + 1)]


CODE = """
LIMIT = 3
def shift(x: int, by: int = 1) -> str:
    y = x + by
    return f"{y:>{by}}"
"""

SAME = '''
"""A module."""
LIMIT = 3  # a comment
"""A constant."""


def shift(
    x: int,
    by: int = 1,
) -> str:
    """A function."""
    y = (x
         + by)  # another
    return f'{y:>{by}}'
'''


def test_a_fingerprint_is_of_the_code_alone():
    assert describe(SAME) == describe(CODE)


@pytest.mark.parametrize(
    ("before", "after"),
    [("= 1", "= 2"), ("= 3", "= 4"), ("+", "-"), ("by: int = 1", "by: int"), (">{by}", "<{by}"), ("y = x", "x = x")],
)
def test_a_fingerprint_changes_with_the_code(before, after):
    assert describe(CODE.replace(before, after)) != describe(CODE)


def test_a_fingerprint_changes_with_the_names_of_files(tmp_path):
    found = []
    for name in ("a.py", "b.py"):
        folder = tmp_path / name[0]
        folder.mkdir()
        (folder / name).write_text(CODE)
        found.append(fingerprint(folder))
    assert found[0] != found[1]
