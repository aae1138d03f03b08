"""A store that an older version wrote is audited, restored, thresholded again and acted on."""

import hashlib
import json
from collections import Counter

import pyarrow.parquet as pq
import pytest

from imagetwins.config.parameters import Parameters
from imagetwins.errors import StoreError
from imagetwins.matching.reuse import find_reusable_run
from imagetwins.moving.journal import read_journal
from imagetwins.moving.recover import recover_runs
from imagetwins.reporting.files import explain_file, explain_pair, find_history
from imagetwins.reporting.run_page import build_report
from imagetwins.reporting.runs import audit_run, audit_runs, compare_runs
from imagetwins.reporting.thresholds import audit_threshold
from imagetwins.store.record import RECORD_VERSION, RunRecord, RunStatus, Stage
from imagetwins.store.runs import Run, find_put_aside, list_runs
from imagetwins.store.schemas import DECISIONS, LISTING
from imagetwins.store.tables import read_table
from tasks.decide import decide_again
from tasks.list import list_files
from tasks.restore import restore_files
from tests.support.old_store import unpack
from tests.support.past_runs import image_table, make_record, write_run


@pytest.fixture
def store(tmp_path):
    return unpack(tmp_path)


@pytest.fixture
def runs(store):
    return list_runs(store)


def contents(folder):
    return Counter(hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file())


def test_the_archive_is_of_a_version_without_numbered_records_and_reason_codes(store):
    for record in store.glob("runs/*/run.json"):
        assert "record_version" not in json.loads(record.read_text())
    for part in store.glob("decisions/*/*.parquet"):
        assert "reason_code" not in pq.read_schema(part).names


def test_its_records_are_read(store, runs):
    table = audit_runs(store)
    assert list(table["status"]) == ["completed", "restored", "completed", "running"]
    assert list(table["duplicates"]) == [4, 4, 4, 11]
    assert list(table["moved"]) == [0, 4, 4, 0]
    dry_run, _, _, killed = (run.read_record() for run in runs)
    assert dry_run.finished_stages == list(Stage)
    assert killed.finished_stages == list(Stage)[: list(Stage).index(Stage.MOVE)]
    assert (dry_run.counts["to_decode"], killed.counts["cached"]) == (9, 12)
    assert dry_run.floor == 0.5


def test_its_runs_are_audited(store, runs, tmp_path):
    dry_run, restored, latest, _ = runs
    audit = audit_run(latest)
    assert {name.rpartition("/")[2] for name in audit.table["FullPath"]} == {
        "astronaut.png", "cat.png", "cat, blurred.png", r"latin \xe9.png"
    }  # fmt: skip
    assert len(audit.review) == len(audit.unreadable) == 1
    assert explain_file(restored, "cat.png").verdict.startswith("moved: matches cat, blurred.png")
    assert explain_pair(dry_run, "cat.png", "cup.png").threshold == 0.95
    assert len(compare_runs(dry_run, restored).parameters) == 2
    assert len(find_history(store, str(tmp_path / "photos/one/cat.png"))) >= 3
    assert "4 duplicates" in build_report(latest).read_text()


def test_a_file_is_followed_from_its_runs_into_later_ones_that_know_more(store, runs):
    path = read_table(runs[0].decisions, DECISIONS)["FullPath"][0]
    before = find_history(store, path)
    write_run(store, "99991231T235959Z-00000000", image_table([path, "/b.png"]), {(0, 1): (0.97, 0.95)})
    history = find_history(store, path)
    assert list(history["run_id"])[:-1] == list(before["run_id"])
    assert list(history.columns) == list(before.columns)
    assert before["local_ssim"].isna().all()


def test_its_scores_are_thresholded_again(runs):
    dry_run = runs[0]
    audit = audit_threshold(dry_run, 0.999)
    assert audit.counts_before["duplicate"] == 4
    assert audit.counts["duplicate"] < 4
    with pytest.raises(StoreError, match=r"below the floor 0\.5"):
        audit_threshold(dry_run, 0.4)


def test_what_its_runs_put_aside_is_not_scanned_from_above(store, runs, tmp_path):
    aside = find_put_aside(store)
    assert tmp_path / "photos/one/Duplicates" in aside
    run = Run(store, "20261201T000000Z-00000000")
    assert list_files.fn(run, Parameters(folder=str(tmp_path / "photos")))["Duplicates/"] >= 1
    assert "/Duplicates/" not in " ".join(read_table(run.listing, LISTING)["path"])
    for one in runs:
        restore_files.fn(one)
    assert tmp_path / "photos/one/Duplicates" not in find_put_aside(store)


def test_its_moves_are_undone(runs, tmp_path):
    latest, folder = runs[2], tmp_path / "photos/one"
    before = contents(folder)
    assert restore_files.fn(latest) == {
        "restored": 4,
        "companions": 0,
        "not_restored": {},
        "remembered": 4,
        "remembered_as": "put back",
    }
    assert contents(folder) == before
    assert not (folder / "Duplicates").exists()
    record = json.loads(latest.record_file.read_text())
    assert (record["status"], record["record_version"]) == ("restored", RECORD_VERSION)


def test_its_scores_are_acted_on(runs, store):
    restore_files.fn(runs[2], remember="nothing")
    dry_run, again = runs[0], Run(store, "20990101T000000Z-00000000")
    parameters = dry_run.read_record().parameters.model_copy(update={"threshold": 0.99})
    again.write_record(make_record(again.run_id, parameters=parameters))
    counts = decide_again.fn(again, dry_run, parameters, workers=1)
    assert (counts["changed"], counts["duplicates"]) == (0, 4)
    assert set(read_table(again.decisions, DECISIONS)["reason_code"]) == {
        "has-duplicates", "duplicate", "aspect-differs", "unreadable"
    }  # fmt: skip


def test_its_killed_run_is_recovered_and_explains_its_moves_like_any_other(runs, store, tmp_path):
    killed, folder = runs[3], tmp_path / "photos/two"
    before = contents(folder)
    assert recover_runs(store, [str(folder)], "another", limit=10**9) == [killed.run_id]
    assert contents(folder) == before
    assert killed.read_record().status is RunStatus.INTERRUPTED
    moved = [transfer.image for transfer in read_journal(killed.journal) if transfer.state == "done"]
    decisions = read_table(killed.decisions, DECISIONS)
    assert 3 <= len(moved) == (decisions["action"] == "moved").sum() == killed.read_record().counts["moved"]
    assert set(decisions["reason"][moved]) == {"matches 00.png, which is kept before it"}
    assert restore_files.fn(killed)["not_restored"] == {}
    assert sorted(path.name for path in folder.iterdir()) == [f"{number:02}.png" for number in range(12)]


def test_its_pairs_are_not_reused_and_it_is_said_why(runs, store):
    parameters = Parameters(**runs[2].read_record().parameters.model_dump())
    found = find_reusable_run(Run(store, "another"), parameters)
    assert found.run is None
    assert "decoder was" in str(found.why)


def test_a_record_of_a_later_version_is_refused_with_the_remedy():
    text = (
        make_record()
        .to_json()
        .replace(f'"record_version": {RECORD_VERSION}', f'"record_version": {RECORD_VERSION + 1}')
    )
    with pytest.raises(StoreError, match="Update imagetwins"):
        RunRecord.parse(text)
