"""What a script reads of commands that run flows: JSON alone with --json, CSV alone with --csv -, and exit codes."""

import csv
import io
import json

import cv2
import numpy as np
import pandas as pd
import pytest
import skimage.data
from typer.testing import CliRunner

from imagetwins.cli.app import app

pytestmark = pytest.mark.usefixtures("prefect_server")

FORMULA = "=HYPERLINK(1),2.png"


def invoke(*arguments, code=0):
    shown = CliRunner().invoke(app, list(map(str, arguments)))
    assert shown.exit_code == code, shown.output
    return shown


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a photograph, a copy of it and one with a date in it, and a store with a dry run on it."""
    place = tmp_path_factory.mktemp("home")
    (place / "pictures").mkdir()
    photo = cv2.resize(skimage.data.astronaut(), (200, 200))
    dated = cv2.putText(photo.copy(), "2019", (150, 195), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255))
    for name, picture in (("a.png", photo), (FORMULA, photo[:, ::-1]), ("b.png", photo), ("dated.png", dated)):
        ok, content = cv2.imencode(".png", np.ascontiguousarray(picture))
        assert ok
        (place / "pictures" / name).write_bytes(content.tobytes())
    first = invoke("run", place / "pictures", "--dry-run", "--store", place / "store", "--json", "--verbose")
    # Prefect's log is not in it, nor that there are duplicates in its code.
    return place, json.loads(first.stdout)


@pytest.mark.parametrize(
    "arguments",
    [
        "audit",
        "audit {run}",
        "audit {run} --why b.png",
        "audit {run} --pair a.png b.png",
        "audit {run} --threshold 0.99",
        "audit {run} --parquet {home}/out.parquet",
        "audit {run} --csv {home}/out.csv",
        "audit --file {home}/pictures/b.png",
        "audit --compare {run} {run}",
        "report {run}",
        "apply {run} --threshold 0.95 --dry-run",
        "calibrate {home}/pictures --pictures 2",
        "prune --older-than 1 --dry-run",
        "restore {run}",
    ],
)
def test_all_of_standard_output_is_json(home, arguments):
    place, summary = home
    given = [part.format(run=summary["run_id"], home=place) for part in arguments.split()]
    shown = invoke(*given, "--store", place / "store", "--json")
    assert json.loads(shown.stdout) or arguments.startswith("prune")
    assert shown.stdout.count("\n") == 1
    # What is only asked of tables says nothing to a person then.
    assert shown.stderr or given[0] == "audit"


@pytest.mark.parametrize(
    ("names", "options", "code"),
    [(["a.png", "b.png"], [], 3), (["a.png", "dated.png"], ["--dry-run"], 3), (["a.png", FORMULA], ["--dry-run"], 0)],
    ids=["moved", "review", "neither"],
)
def test_duplicates_or_matches_for_review_fail_where_that_is_asked_for(home, tmp_path, names, options, code):
    assets = tmp_path / "assets"
    assets.mkdir()
    for name in names:
        (assets / name).write_bytes((home[0] / "pictures" / name).read_bytes())
    shown = invoke("run", assets, "--store", tmp_path / "store", *options, "--json", "--fail-on-duplicates", code=code)
    answer = json.loads(shown.stdout)
    assert answer["duplicates"] + answer["review"] == (code == 3)
    assert (assets / names[1]).exists() == bool(options)


def test_csv_is_all_of_standard_output_and_no_formula(home):
    place, summary = home
    shown = invoke("audit", summary["run_id"], "--store", place / "store", "--csv", "-")
    invoke(
        "audit",
        summary["run_id"],
        "--store",
        place / "store",
        "--csv",
        place / "a.csv",
        "--parquet",
        place / "a.parquet",
    )
    assert (place / "a.csv").read_bytes() == shown.stdout_bytes
    rows = list(csv.DictReader(io.StringIO(shown.stdout, newline="")))
    expected = pd.read_parquet(place / "a.parquet")
    assert list(rows[0]) == list(expected.columns)
    assert [row["FullPath"] for row in rows] == list(expected["FullPath"]) == [str(place / "pictures" / "b.png")]
