"""The store: where it is, whether it can be written, how much room there is."""

import json
import os
import subprocess
import sys

import pytest

from imagetwins.doctor.kept import examine_store

needs_mounts = pytest.mark.skipif(
    os.geteuid() != 0
    or subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode != 0,
    reason="needs root in a mount namespace",
)


def examine_with_mount(tmp_path, mount, *arguments):
    """Return what `imagetwins doctor` says with `mount` on a folder, seen by it alone; with its exit code."""
    (tmp_path / "store").mkdir()
    program = "from imagetwins.cli.app import main; main()"
    script = f'mount -t tmpfs {mount} tmpfs "$0" && exec "$@"'
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(tmp_path / "store")]
    doctor = [sys.executable, "-c", program, "doctor", *map(str, arguments), "--json"]
    ended = subprocess.run([*command, *doctor], capture_output=True, text=True, check=False)
    return json.loads(ended.stdout), ended.returncode


def levels(answer):
    return {finding["subject"]: finding["level"] for finding in answer["findings"]}


def test_a_store_that_is_still_to_be_made_is_well(told, tmp_path):
    findings = list(examine_store(None))
    assert told(findings, "store") == ("ok", f"{tmp_path / 'store'}: the first run makes it")
    assert told(findings, "cache")[1].startswith("0.0 GB of at most 40, in ")


def test_runs_are_counted_and_the_cache_is_measured(told, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "store/runs" / name).mkdir(parents=True)
        (tmp_path / "store/runs" / name / "run.json").write_text("{}")
    (tmp_path / "store/cache").mkdir()
    (tmp_path / "store/cache/pixels.bin").write_bytes(b"1" * 60_000_000)
    findings = list(examine_store(None))
    assert told(findings, "store") == ("ok", f"{tmp_path / 'store'}: 2 runs")
    assert told(findings, "cache")[1].startswith("0.1 GB")


def test_a_store_that_an_earlier_version_left_where_it_was_called_is_told(told, tmp_path):
    (tmp_path / "here/data/store/runs").mkdir(parents=True)
    assert told(list(examine_store(None)), "earlier runs")[0] == "warning"
    named = list(examine_store("data/store"))
    assert "earlier runs" not in [finding.subject for finding in named]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("IMAGETWINS_CACHE_GB", "many", "no number"),
        ("IMAGETWINS_ROOTS", "/nowhere", "outside the folders"),
        ("IMAGETWINS_STORE", __file__, "cannot be a folder"),
        ("IMAGETWINS_STORE", "s3://user:secret@bucket/store", "password"),
    ],
)
def test_a_store_that_no_run_would_take_is_a_problem(told, monkeypatch, name, value, said):
    monkeypatch.setenv(name, value)
    level, what = told(list(examine_store(None)), "store")
    assert level == "problem"
    assert said in what
    assert "secret" not in what


@needs_mounts
@pytest.mark.parametrize(
    ("mount", "expected"),
    [("-o ro", {"store": "problem"}), ("-o size=1m", {"store": "ok", "room": "problem"})],
    ids=["read-only", "full"],
)
def test_a_disk_that_cannot_be_written_or_is_full_is_a_problem_and_the_exit_code_says_so(tmp_path, mount, expected):
    answer, status = examine_with_mount(tmp_path, mount)
    assert expected.items() <= levels(answer).items()
    assert answer["is_problem"]
    assert status == 1


@needs_mounts
def test_pictures_on_a_disk_that_cannot_be_written_cannot_be_moved(tmp_path):
    folder = tmp_path / "store"
    answer, status = examine_with_mount(tmp_path, "-o ro", folder, "--store", tmp_path / "elsewhere")
    assert levels(answer)["moves"] == "problem"
    assert "Read-only file system" in next(found["what"] for found in answer["findings"] if found["subject"] == "moves")
    assert status == 1
