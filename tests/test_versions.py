"""What caches and stores keep is used again if a version is the same, so it must change with the code that decides what it is."""

import json
from pathlib import Path

import pytest

from imagetwins import orientation, ssim
from imagetwins.decoding import decoder, film, headers, jpeg, jxl, model, pixels, program, raw, shared
from imagetwins.ssim import area
from tests.support.fingerprint import describe, fingerprint

RECORD = Path(__file__).with_name("versions.json")
"""The fingerprint of the code for every version so far."""

GUARDED = {
    "ENGINE_VERSION": (ssim.ENGINE_VERSION, [Path(ssim.__file__).parent, Path(orientation.__file__)]),
    # Of `model` only settings and limits, which are in a cache's key anyway; `formats` says what is decoded, not to what.
    "DECODER_VERSION": (
        model.DECODER_VERSION,
        [Path(module.__file__) for module in (area, decoder, film, headers, jpeg, jxl, pixels, program, raw, shared)],
    ),
}

REMEDY = """\
The code that {name} = {version} stands for is not what tests/{record} has for it.
If what is kept under this version (see where {name} is defined) may differ now, raise it; for an array of the workspace,
raise WORKSPACE_VERSION in imagetwins/ssim/workspace.py, too. If it provably does not differ, leave both.
Then enter the fingerprint for the version in tests/{record}: {found}"""


@pytest.mark.parametrize("name", GUARDED)
def test_the_code_is_that_of_its_version(name):
    version, paths = GUARDED[name]
    found = fingerprint(*paths)
    if json.loads(RECORD.read_text(encoding="utf-8"))[name].get(str(version)) != found:
        pytest.fail(REMEDY.format(name=name, version=version, record=RECORD.name, found=found))


@pytest.mark.parametrize("name", GUARDED)
def test_the_record_has_every_version_so_far(name):
    versions = [int(version) for version in json.loads(RECORD.read_text(encoding="utf-8"))[name]]
    assert versions == [*range(1, GUARDED[name][0] + 1)]


CODE = '''
"""What the module is for."""

LIMIT = 3
"""What the limit is for."""

def shift(x: int, by: int = 1) -> str:
    """Return it."""
    y = x + by
    return f"{2 * y:>{by}}"  # twice
'''


@pytest.mark.parametrize(
    ("old", "new", "is_same"),
    [
        ("the module", "the whole module", True),
        ("the limit is", "this is", True),
        ("Return it.", "Return twice of it.", True),
        ("  # twice", "", True),
        ("\n\n", "\n\n\n", True),
        ("x + by", "(\n        x\n        + by\n    )", True),
        ('f"', "f'", True),
        ("2 * y", "(2*y)", True),
        ("2 * y", "3 * y", False),
        ("2 * y", "2.0 * y", False),
        ("LIMIT = 3", "LIMIT = 4", False),
        ("by: int = 1", "by: int", False),
        ("x + by", "x - by", False),
        (">{by}", "<{by}", False),
        ('return f"', 'return f" ', False),
    ],
)
def test_a_fingerprint_is_of_the_code_alone(old, new, is_same):
    changed = CODE.replace(old, new)
    if new == "f'":
        changed = changed.replace('{by}}"', "{by}}'")
    assert changed != CODE
    assert (describe(changed) == describe(CODE)) is is_same


def test_a_fingerprint_changes_with_the_names_of_files(tmp_path):
    found = []
    for name in ("a.py", "b.py"):
        folder = tmp_path / name[0]
        folder.mkdir()
        (folder / name).write_text(CODE)
        found.append(fingerprint(folder))
    assert found[0] != found[1]
