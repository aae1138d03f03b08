"""What a program finds is what a dry run decides, and nothing is moved, written or left behind."""

import subprocess
import sys
import tempfile

import cv2
import pandas as pd
import pytest

import imagetwins
from imagetwins.errors import FolderBusyError, ParameterError
from imagetwins.reporting.files import explain_file, explain_pair
from imagetwins.reporting.runs import audit_run
from imagetwins.storage import private_directory, storage_of
from imagetwins.store.record import RunStatus, Stage
from imagetwins.store.runs import find_run, list_runs
from imagetwins.store.schemas import DECISIONS
from imagetwins.store.tables import read_table
from tests.support.photos import SIZE, astronaut, blurred, dated, write


@pytest.fixture
def folder(tmp_path):
    """A photograph, copies of it and what only looks like one, in two sub-folders."""
    home, photo = tmp_path / "pictures", astronaut()
    large = cv2.resize(photo, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    pictures = {
        "album/a.png": photo,
        "album/dated.png": dated(photo),
        "album/large.png": large,
        "album/mirrored.png": photo[:, ::-1],
        "inbox/a (1).png": photo,
        "inbox/blurred.png": blurred(photo),
        "inbox/grey.png": cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY),
        "inbox/high.png": cv2.resize(photo, (SIZE, 2 * SIZE)),
        "inbox/turned.png": cv2.rotate(large, cv2.ROTATE_90_CLOCKWISE),
    }
    for name, picture in pictures.items():
        write(home / name, picture)
    (home / "inbox/broken.png").write_bytes((home / "album/a.png").read_bytes()[:99])
    (home / "album/a.xmp").touch()
    return home


def find(folder, **options):
    return imagetwins.find_duplicates(folder, **{"size": SIZE} | options)


def actions(decisions, folder):
    names = decisions["FullPath"].str.removeprefix(f"{folder}/")
    return dict(zip(names, decisions["action"], strict=True))


def contents(folder):
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def test_one_row_a_picture_with_the_columns_of_decisions(folder):
    found = find(folder, threshold=0.85)
    assert list(found.columns) == DECISIONS.names
    assert actions(found, folder) == {
        "album/a.png": "kept",
        "album/dated.png": "review",
        "album/large.png": "would move",
        "album/mirrored.png": "kept",
        "inbox/a (1).png": "would move",
        "inbox/blurred.png": "would move",
        "inbox/broken.png": "unreadable",
        "inbox/grey.png": found["action"].iloc[7],
        "inbox/high.png": "review",
        "inbox/turned.png": "kept",
    }


@pytest.fixture
def icons(tmp_path):
    """Two photographs that are copies, an icon of them, which is listed first, and its copy, which has their size."""
    photo = astronaut()
    icon = cv2.resize(photo, (24, 20), interpolation=cv2.INTER_AREA)
    for name, picture in {"0.png": icon, "a.png": photo, "b.png": photo, "c.png": icon}.items():
        write(tmp_path / "icons" / name, picture)
    (tmp_path / "icons/d.tga").write_bytes(b"...")
    return tmp_path / "icons"


def test_what_is_too_small_stays_and_is_compared_with_nothing(icons, tmp_path):
    found = find(icons, threshold=0.5, min_side=21, store=tmp_path / "store")

    assert actions(found, icons) == {
        "0.png": "kept", "a.png": "kept", "b.png": "would move", "c.png": "kept", "d.tga": "unreadable"
    }  # fmt: skip
    assert found["reason"].iloc[0] == "kept, not compared: its shorter side of 20 px is below min_side 21"
    assert list(found["reason_code"].iloc[[0, 3, 4]]) == ["too-small", "too-small", "format-not-read"]
    run = find_run(tmp_path / "store", found.attrs["run_id"])
    counts = run.read_record().counts
    assert {name: counts[name] for name in ("images", "errors", "not_read", "too_small", "pairs")} == {
        "images": 5, "errors": 0, "not_read": 1, "too_small": 2, "pairs": 1
    }  # fmt: skip
    assert explain_file(run, "0.png").verdict == f"{found['reason'].iloc[0]}."
    assert (
        explain_pair(run, "0.png", "a.png").verdict == "not compared: at least one of the files is below min_side 21."
    )
    assert actions(find(icons, threshold=0.5, min_side=20), icons)["a.png"] != "kept"


def test_a_reference_that_is_too_small_matches_nothing(icons):
    (icons / "kept").mkdir()
    (icons / "0.png").rename(icons / "kept/0.png")

    found = find(icons, threshold=0.5, min_side=21, reference=[str(icons / "kept")])

    assert actions(found, icons)["kept/0.png"] == actions(found, icons)["a.png"] == "kept"


def test_pairs_are_reused_whatever_the_least_side_was(icons, tmp_path):
    for min_side in (0, 21, 0):
        found = find(icons, threshold=0.5, min_side=min_side, store=tmp_path / "store")
        pd.testing.assert_frame_equal(found, find(icons, threshold=0.5, min_side=min_side))
        record = find_run(tmp_path / "store", found.attrs["run_id"]).read_record()
    # What was too small to be compared was decoded all the same, and only once.
    assert (record.counts["to_decode"], len(list_runs(tmp_path / "store"))) == (0, 3)
    assert record.pairs_from is not None


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"threshold": 0.8, "orientations": "all", "keep": "resolution,name,companions"},
        {"threshold": 0.8, "rule": "plain", "resampling": "linear"},
        {
            "threshold": 0.85,
            "grouping": "any",
            "max_move_share": 0.1,
            "min_local_ssim": -1,
            "max_peak_difference": 99.0,
            "burst": "keep",
        },
        {"threshold": 0.85, "recursive": False, "reference": ["album"], "exclude": ["blurred*"], "folder": "inbox"},
        {"threshold": 0.85, "folder": ["album", "inbox"], "keep": "size", "across": True},
    ],
    ids=lambda options: ",".join(options) or "defaults",
)
def test_the_decisions_are_those_of_a_dry_run(folder, tmp_path, monkeypatch, options):
    from tests.support.flows import deduplicate  # noqa: PLC0415 - imports Prefect

    monkeypatch.chdir(folder)
    options = {"size": SIZE} | options
    given = options.pop("folder", ".")
    first, *more = given if isinstance(given, list) else [given]
    summary = deduplicate(first, more_folders=more, dry_run=True, store=str(tmp_path / "store"), **options)
    expected = read_table(find_run(tmp_path / "store", summary["run_id"]).decisions, DECISIONS)

    pd.testing.assert_frame_equal(imagetwins.find_duplicates(given, **options), expected)
    again = imagetwins.find_duplicates(given, store=tmp_path / "store", **options)
    pd.testing.assert_frame_equal(again, expected)
    run = find_run(tmp_path / "store", again.attrs["run_id"])
    assert run.read_record().pairs_from == summary["run_id"]


def test_nothing_is_moved_or_written_and_nothing_stays_behind(folder, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    before = contents(tmp_path)
    found = find(folder)
    assert "would move" in set(found["action"])
    assert "run_id" not in found.attrs
    assert contents(tmp_path) == before
    # Where folders are locked, as in any run.
    assert {path.name for path in (tmp_path / "temporary").iterdir()} <= {private_directory().name}


def test_a_store_has_the_call_as_a_run_and_the_next_computes_what_is_new(folder, tmp_path):
    store, before = tmp_path / "store", contents(folder)
    found = find(folder, store=store)
    run = find_run(store, found.attrs["run_id"])
    record = run.read_record()
    assert (record.status, record.error, record.parameters.dry_run) == (RunStatus.COMPLETED, None, True)
    assert record.finished_stages == list(record.seconds) == list(Stage)[: list(Stage).index(Stage.DECIDE) + 1]
    assert (record.counts["images"], record.counts["to_decode"], record.counts["pairs"]) == (10, 10, 36)
    assert len(audit_run(run).table) == record.counts["duplicates"]
    assert explain_file(run, "a (1).png").verdict.startswith("would move: matches a.png")

    write(folder / "inbox/new.png", blurred(astronaut()))
    again = find(folder, store=store)
    record = find_run(store, again.attrs["run_id"]).read_record()
    assert (record.counts["to_decode"], record.funnel["known"], record.counts["pairs"]) == (1, 36, 45)
    assert contents(folder).items() >= before.items()
    assert not list(store.glob("runs/*/lock"))
    pd.testing.assert_frame_equal(again, find(folder), check_flags=False)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"threshold": 1.5}, r"threshold=1\.5"),
        ({"colour": "red"}, "Known parameters"),
        ({"dry_run": False}, "moves nothing"),
        ({"dask": "tcp://127.0.0.1:1"}, "in this process"),
        ({"keep": "best"}, "best"),
    ],
)
def test_options_are_checked(folder, options, says):
    with pytest.raises(ParameterError, match=says):
        find(folder, **options)


def test_folders_are_checked(folder, tmp_path):
    with pytest.raises(ParameterError, match="does not exist"):
        find(tmp_path / "nowhere")
    with pytest.raises(ParameterError, match="no folder"):
        find([])
    with storage_of(folder).lock(folder, "run of a test"), pytest.raises(FolderBusyError, match="run of a test"):
        find(folder)


def test_a_call_that_fails_is_a_run_that_failed(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("IMAGETWINS_CACHE_GB", "many")
    with pytest.raises(ParameterError, match="many"):
        find(folder, store=tmp_path / "store")
    (run,) = list_runs(tmp_path / "store")
    record = run.read_record()
    assert (record.status, record.finished is None) == (RunStatus.FAILED, False)
    assert "many" in record.error


ALONE = """
import sys, imagetwins
assert not {"pandas", "numpy", "prefect"} & sys.modules.keys()
found = imagetwins.find_duplicates(sys.argv[1], size=16)
scores = imagetwins.compare(*found["FullPath"][:2], size=16)
print(len(found), scores.action, *sorted({"prefect", "matplotlib", "skimage", "duckdb"} & sys.modules.keys()))
"""


def test_neither_call_imports_prefect(folder):
    shown = subprocess.run([sys.executable, "-c", ALONE, folder], capture_output=True, text=True, check=False)
    assert shown.stdout.split()[0] == "10", shown.stderr
    assert len(shown.stdout.split()) in {2, 3}, shown.stdout
    assert not {"prefect", "matplotlib", "skimage", "duckdb"} & set(shown.stdout.split())


def test_what_is_not_there_is_no_attribute():
    with pytest.raises(AttributeError, match="no attribute 'find'"):
        imagetwins.find  # noqa: B018
