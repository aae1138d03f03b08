"""What is installed without a checkout: the wheel has all that the packages need, and keeps nothing where it is called."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

HOME = Path(__file__).parent.parent
PACKAGES = ("imagetwins", "flows", "tasks", "deployments")

PROGRAM = """
import json, sys
from imagetwins import settings
from imagetwins.cli.app import main

sys.argv[1:] = ["doctor", "--json"]
print(json.dumps([str(settings.PROJECT), settings.store_name()]), flush=True)
main()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(target)]
    subprocess.run(command, cwd=HOME, check=True, capture_output=True)
    (built,) = target.glob("*.whl")
    return built


def test_every_file_of_the_packages_is_in_the_wheel(wheel):
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *PACKAGES]
    listed = subprocess.run(command, cwd=HOME, check=True, capture_output=True, text=True).stdout.split()
    with zipfile.ZipFile(wheel) as archive:
        assert {name for name in archive.namelist() if name.split("/")[0] in PACKAGES} == set(listed)


def test_called_anywhere_it_finds_all_and_leaves_nothing_there(wheel, tmp_path):
    installed, home, here = (tmp_path / name for name in ("installed", "home", "here"))
    for folder in (home, here):
        folder.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "IMAGETWINS", "XDG"))}
    ended = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM],
        cwd=here,
        env=clean | {"HOME": str(home), "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    places, answer = map(json.loads, ended.stdout.splitlines())
    assert places == [str(installed), str(home / "imagetwins-data" / "store")]
    assert not answer["is_problem"], answer
    assert ended.returncode == 0
    assert list(here.iterdir()) == []
