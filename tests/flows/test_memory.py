"""What a person said is followed by every later run: on real pictures, through the flows and the command line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from flows.apply import apply
from flows.restore import restore
from flows.rethreshold import rethreshold
from imagetwins.cli.app import app
from imagetwins.reporting.digest import make_digest
from imagetwins.reporting.files import explain_file, explain_pair
from imagetwins.reporting.gallery import draw_summary
from imagetwins.store.memory import list_entries, read_memory
from imagetwins.store.runs import find_run
from imagetwins.store.schemas import DECISIONS
from imagetwins.store.tables import read_table
from tests.support.flows import deduplicate

pytestmark = pytest.mark.usefixtures("prefect_server")

TINY = {"size": 32, "audit_floor": 0.5}
"""Thumbnails that take no time."""


def paint(path, seed, brighter=0):
    """Write a smooth picture of its own; a brighter one is a copy that is not equal."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 200, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(noise + np.uint8(brighter)).resize((64, 64), Image.Resampling.BICUBIC).save(path)


@pytest.fixture
def folder(tmp_path):
    """Two groups of two pictures, a group of three, one of two equal files, and a picture that is alone."""
    home = tmp_path / "pictures"
    for name, seed, brighter in (
        ("a.png", 1, 0),
        ("a2.png", 1, 9),
        ("b.png", 2, 0),
        ("sub/b2.png", 2, 9),
        ("c.png", 3, 0),
        ("c2.png", 3, 9),
        ("c3.png", 3, 18),
        ("d.png", 4, 0),
        ("e.png", 5, 0),
    ):
        paint(home / name, seed, brighter)
    shutil.copy(home / "d.png", home / "d copy.png")
    for name in ("a.xmp", "a2.xmp"):
        (home / name).write_text(name)
    return home


@pytest.fixture
def store(tmp_path):
    return str(tmp_path / "store")


def look(folder, store, **options):
    return deduplicate(str(folder), store=store, **{**TINY, "dry_run": True, **options})


def names_of(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def moved_by(store, summary):
    """The names that a run moved or would move."""
    decisions = explain_decisions(store, summary)
    return sorted(decisions.loc[decisions["action"].isin(["moved", "would move"]), "FileName"])


def explain_decisions(store, summary):
    return read_table(find_run(Path(store), summary["run_id"]).decisions, DECISIONS)


def test_the_second_night_asks_nothing_again_wherever_the_files_are_by_then(folder, store):
    before = names_of(folder)
    first = deduplicate(str(folder), store=store, **TINY)
    assert first["moved"] == 5
    restored = restore(first["run_id"], store, remember="not duplicates")
    assert (restored["restored"], restored["companions"], restored["remembered"]) == (5, 1, 5)
    assert names_of(folder) == before

    # c2 and c3 match each other, too: whoever lets all three stay need not be asked about these.
    again = look(folder, store, rule="plain", threshold=0.85)
    assert (again["matches"], again["duplicates"], again["review"], again["remembered"]) == (0, 0, 0, 6)

    (folder / "b.png").rename(folder / "renamed.png")
    (folder / "new").mkdir()
    (folder / "sub/b2.png").rename(folder / "new/b2.png")
    (folder / "c.png").rename(folder / "new/0.png")
    again = deduplicate(str(folder), store=store, **TINY)
    assert (again["moved"], again["review"], again["remembered"]) == (0, 0, 6)

    run = find_run(Path(store), again["run_id"])
    said = f"as {read_memory(Path(store))['who'][0]} said on"
    assert explain_file(run, "renamed.png").verdict.startswith(f"kept: no duplicate of b2.png, {said}")
    pair = explain_pair(run, "renamed.png", "new/b2.png")
    assert pair.verdict.startswith("kept apart: SSIM 0.9")
    assert first["run_id"] in pair.remembered[0]
    assert "6 matches kept apart" in draw_summary(
        run.read_record(), make_digest(run, read_table(run.decisions, DECISIONS)), str(run.report)
    )
    assert "6 matches kept apart" in run.report.read_text()
    assert run.read_record().counts["remembered"] == 6

    # Another picture by now: nothing was said about it.
    paint(folder / "renamed.png", 2, 4)
    assert look(folder, store)["remembered"] == 5


def test_what_was_put_back_is_for_review_and_never_moved_again_unless_it_is_forgotten(folder, store):
    before = names_of(folder)
    first = deduplicate(str(folder), store=store, **TINY)
    expected = moved_by(store, first)
    restore(first["run_id"], store)
    assert names_of(folder) == before

    again = deduplicate(str(folder), store=store, rule="plain", **TINY)
    assert (again["moved"], again["duplicates"], again["remembered_review"]) == (0, 0, 5)
    assert names_of(folder) == before
    decisions = explain_decisions(store, again)
    (reason,) = decisions.loc[decisions["FileName"] == "b2.png", "reason"]
    assert reason.startswith("b2.png had moved as a duplicate of b.png, and was put back by ")
    assert f"(restore, run {first['run_id']})" in reason

    forgotten = CliRunner().invoke(app, ["memory", "forget", "--run", first["run_id"], "--store", store])
    assert (forgotten.exit_code, "5 pairs" in forgotten.output) == (0, True)
    assert moved_by(store, deduplicate(str(folder), store=store, **TINY)) == expected


def test_single_files_go_back_with_what_belongs_to_them_and_are_kept_apart(folder, store, monkeypatch):
    first = deduplicate(str(folder), store=store, **TINY)
    monkeypatch.chdir(folder / "Duplicates")
    where = ["--store", store]

    unknown = CliRunner().invoke(app, ["restore", first["run_id"], "a2.png", "e.png", *where])
    assert unknown.exit_code == 2
    assert "'e.png' is none of the 6 files" in " ".join(unknown.output.split())
    assert not (folder / "a2.png").exists()
    assert len(read_memory(Path(store))) == 0

    # By where it is seen from the current folder, and by where it came from.
    shown = CliRunner().invoke(app, ["restore", first["run_id"], "a2.png", "sub/b2.png", "--not-duplicates", *where])
    assert shown.exit_code == 0, shown.output
    assert "2 files" in shown.output
    assert "2 pairs, kept apart" in shown.output
    assert (folder / "a2.png").exists()
    assert (folder / "a2.xmp").exists()
    assert (folder / "Duplicates/c2.png").exists()
    assert find_run(Path(store), first["run_id"]).read_record().status == "completed"

    again = look(folder, store)
    assert (again["duplicates"], again["review"], again["remembered"]) == (0, 0, 2)
    rest = CliRunner().invoke(app, ["restore", first["run_id"], "--move-again", "--json", *where])
    answer = json.loads(rest.stdout.splitlines()[-1])
    assert (answer["restored"], answer["remembered"], answer["remembered_as"]) == (3, 0, "nothing")
    assert find_run(Path(store), first["run_id"]).read_record().status == "restored"
    assert list_entries(Path(store))["verdict"].tolist() == ["not duplicates"] * 2


def test_past_scores_are_acted_on_and_audited_as_was_said_since(folder, store):
    past = look(folder, store)
    said = CliRunner().invoke(
        app,
        ["memory", "add", str(folder / "b.png"), str(folder / "sub/b2.png"), "--why", "two days", "--store", store],
    )
    assert said.exit_code == 0, said.output

    looked_at = rethreshold(past["run_id"], 0.85, store)
    assert (looked_at["before"]["duplicate"], looked_at["now"]["duplicate"]) == (5, 4)
    applied = apply(past["run_id"], 0.85, store=store)
    assert (applied["moved"], applied["remembered"]) == (4, 1)
    assert (folder / "sub/b2.png").exists()
    run = find_run(Path(store), applied["run_id"])
    assert explain_file(run, "b2.png").verdict.endswith("(command line): two days.")
    pair = explain_pair(find_run(Path(store), past["run_id"]), "b.png", "b2.png")
    assert pair.verdict.startswith("match: SSIM")
    assert "two days" in pair.remembered[0]
