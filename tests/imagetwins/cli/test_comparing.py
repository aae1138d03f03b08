"""Two files in place of folders are compared at once, without Prefect and its server."""

import json
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
from typer.testing import CliRunner

import imagetwins
from imagetwins.cli.app import app
from imagetwins.store.memory import Source, Verdict, remember_pairs
from tests.support.past_runs import digest_all, image_table, write_run
from tests.support.photos import SIZE, astronaut, blurred, dated, write

PHOTO = astronaut()


@pytest.fixture
def files(tmp_path):
    write(tmp_path / "a.png", PHOTO)
    write(tmp_path / "copy [1].png", blurred(PHOTO))
    write(tmp_path / "dated.png", dated(PHOTO))
    write(tmp_path / "other.png", np.rot90(PHOTO[::-1]))
    write(tmp_path / "mirrored.png", PHOTO[:, ::-1])
    (tmp_path / "broken.png").write_bytes((tmp_path / "a.png").read_bytes()[:99])
    (tmp_path / "folder").mkdir()
    return tmp_path


def run(files, *arguments):
    names = [str(files / name) if name.endswith((".png", "folder")) else name for name in arguments]
    size = ["--size", str(SIZE), "--store", str(files / "store")]
    return CliRunner().invoke(app, ["run", *names, *size], env={"COLUMNS": "200"})


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (
            ["a.png", "copy [1].png"],
            0,
            "A run would move {here}/copy [1].png: it matches a.png, which is kept before it.",
        ),
        (["copy [1].png", "a.png"], 0, "A run would move {here}/a.png: it matches copy [1].png"),
        (["a.png", "copy [1].png", "--fail-on-duplicates"], 3, "0.9"),
        (
            ["a.png", "dated.png", "--threshold", "0.8", "--fail-on-duplicates"],
            3,
            "For review, {here}/dated.png would stay: ",
        ),
        (["a.png", "other.png", "--fail-on-duplicates"], 0, "No match: the SSIM is below the threshold 0.9."),
        (["a.png", "mirrored.png", "--orientations", "all"], 0, "The second one was compared mirrored."),
        (["a.png", "broken.png"], 1, "broken.png' cannot be compared"),
        (["a.png"], 2, "is a file. Name folders"),
        (["a.png", "folder"], 2, "is a file. Name folders"),
        (["a.png", "copy [1].png", "dated.png"], 2, "is a file. Name folders"),
        (["a.png", "nowhere.png"], 2, "is a file. Name folders"),
        (["a.png", "a.png"], 2, "are one file"),
        (["a.png", "copy [1].png", "--threshold", "2"], 2, "threshold=2"),
    ],
)
def test_what_is_said_of_two_files(files, arguments, code, says):
    shown = run(files, *arguments)
    # A terminal breaks its lines anywhere in a long name.
    assert "".join(says.format(here=files).split()) in "".join(shown.output.split())
    assert shown.exit_code == code, shown.output
    assert not (files / "store").exists()


def test_the_limits_are_those_of_the_options(files):
    lines = run(files, "a.png", "copy [1].png", "--min-local-ssim", "-1", "--threshold", "0.5").stdout.splitlines()
    limits = {line[:28].strip(): line[28:].split(maxsplit=1)[1].strip() for line in lines[1:6]}
    assert limits == {
        "SSIM": "at least 0.5",
        "SSIM where they have detail": "at least 0.7",
        "SSIM where they differ most": "-",
        "peak difference": "at most 7",
        "colour difference": "at most 22",
    }


def test_json_is_the_scores(files):
    expected = imagetwins.compare(files / "a.png", files / "dated.png", 0.8, size=SIZE)
    shown = run(files, "a.png", "dated.png", "--threshold", "0.8", "--json")
    assert json.loads(shown.stdout) == asdict(expected)
    assert "SSIM" in shown.stderr


def test_what_was_said_of_the_two_holds(files):
    names = [str(files / name) for name in ("a.png", "copy [1].png")]
    images = image_table(names, digests=digest_all(names))
    past = write_run(files / "store", "20260101T000000Z-00000000", images, {(0, 1): (0.97, 0.95)}, folder=str(files))
    remember_pairs(past, [(1, 0)], Verdict.NOT_DUPLICATES, Source.COMMAND_LINE)

    shown = run(files, "a.png", "copy [1].png", "--json", "--fail-on-duplicates")

    assert shown.exit_code == 0
    assert json.loads(shown.stdout)["reason_code"] == "kept-apart"
    assert "Both would stay: " in shown.stderr


ALONE = """
import sys
from imagetwins.cli.app import app
app(["run", *sys.argv[1:]], standalone_mode=False)
print(*sys.modules)
"""


def test_prefect_is_not_imported(files):
    command = [sys.executable, "-c", ALONE, files / "a.png", files / "dated.png", "--store", files / "store"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not {"prefect", "duckdb", "matplotlib", "skimage"} & set(shown.stdout.split())
    assert "imagetwins.api.pairs" in shown.stdout.split()
