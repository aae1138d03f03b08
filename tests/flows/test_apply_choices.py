"""What a person chose is done, all of it and nothing else, by whichever way it comes; and undone, and done again."""

import hashlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter

import cv2
import httpx
import numpy as np
import pandas as pd
import pytest
import skimage.data
from prefect.settings import PREFECT_API_URL
from typer.testing import CliRunner

from flows.apply_choices import apply_choices
from flows.restore import restore
from imagetwins.cli.app import app
from imagetwins.errors import ParameterError
from imagetwins.storage import MARKER
from imagetwins.store.memory import read_memory
from imagetwins.store.runs import Run, find_run, list_runs
from imagetwins.store.schemas import DECISIONS, IMAGES
from imagetwins.store.tables import read_table
from tests.support.commands import FOREGROUND
from tests.support.flows import deduplicate
from tests.support.service import JOURNAL, slow_disk

pytestmark = pytest.mark.usefixtures("prefect_server")

HOME = ["a.jpg", "a.xmp", "b.jpg", "c.jpg", "form 1.png", "form 2.png", "other.png", "other.webp"]


TESTS = itertools.count()


def small(name, number):
    """A photograph that no other test has: the store of `service` remembers what was said of each content."""
    picture = cv2.resize(cv2.cvtColor(getattr(skimage.data, name)(), cv2.COLOR_RGB2BGR), (160, 120))
    picture[:8, :8] = 10 * number
    return picture


@pytest.fixture
def folder(tmp_path):
    """Three copies of a photograph, one with a sidecar; a pair for review; and another pair."""
    home, number = tmp_path / "pictures", next(TESTS)
    home.mkdir()
    for name, quality in (("a", 95), ("b", 90), ("c", 85)):
        cv2.imwrite(str(home / f"{name}.jpg"), small("chelsea", number), [cv2.IMWRITE_JPEG_QUALITY, quality])
    (home / "a.xmp").write_text("what was done to a")
    form = small("coffee", number)
    cv2.imwrite(str(home / "form 1.png"), form)
    form[50:60, 60:80] = 255
    cv2.imwrite(str(home / "form 2.png"), form)
    for suffix in ("png", "webp"):
        cv2.imwrite(str(home / f"other.{suffix}"), small("astronaut", number))
    return home


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


def names(folder):
    """The files of `folder`, by their names in it."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != MARKER)


def contents(folder):
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != MARKER]
    return Counter(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)


def choose(run, *move, apart=()):
    """Choices about `run`, as the page writes them, of pairs of names."""
    folder = run.read_record().parameters.folder
    table = read_table(run.images, IMAGES)
    ids = {
        path.removeprefix(f"{folder}/"): int(image) for path, image in zip(table["path"], table["image"], strict=True)
    }

    def pairs(some):
        return [{"image": ids[one], "path": one, "kept": ids[kept], "kept_path": kept} for one, kept in some]

    return json.dumps({"run_id": run.run_id, "move": pairs(move), "not_duplicates": pairs(apart)})


def look(folder, store, **parameters):
    summary = deduplicate(str(folder), size=32, store=str(store), **parameters)
    return find_run(store, summary["run_id"])


def remembered(store):
    memory = read_memory(store)
    return [
        tuple(path.rpartition("/")[2] for path in row) for row in memory[["path1", "path2"]].itertuples(index=False)
    ]


def test_what_is_chosen_is_done_again_and_undone(folder, store):
    before = contents(folder)
    run = look(folder, store)
    assert names(folder) == [
        *[
            "Duplicates/b.jpg",
            "Duplicates/c.jpg",
            "Duplicates/other.webp",
            "a.jpg",
            "a.xmp",
            "form 1.png",
            "form 2.png",
        ],
        "other.png",
    ]
    chosen = choose(
        run,
        ("a.jpg", "b.jpg"),
        ("c.jpg", "b.jpg"),
        ("form 2.png", "form 1.png"),
        apart=[("other.webp", "other.png")],
    )
    settled = [
        *["Duplicates/a.jpg", "Duplicates/a.xmp", "Duplicates/c.jpg", "Duplicates/form 2.png", "b.jpg", "form 1.png"],
        *["other.png", "other.webp"],
    ]

    look_only = apply_choices(run.run_id, chosen, dry_run=True, store=str(store))
    assert (look_only["moved"], look_only["put_back"], look_only["remembered"]) == (2, 2, 1)
    assert (names(folder).count("a.jpg"), remembered(store)) == (1, [])
    assert len(names(folder)) == len(HOME)

    done = apply_choices(run.run_id, chosen, source="desk", store=str(store))
    assert names(folder) == settled
    assert {name: done[name] for name in ("moved", "put_back", "remembered", "not_done", "companions")} == {
        "moved": 2,
        "put_back": 2,
        "remembered": 1,
        "not_done": [],
        "companions": 1,
    }
    assert done["undo"] == f"imagetwins restore {done['run_id']} --store {store}"
    applied = find_run(store, done["run_id"])
    table = read_table(applied.decisions, DECISIONS).set_index("FileName")
    assert table.loc["a.jpg", ["action", "reason"]].tolist() == ["moved", "a person chose: b.jpg stays"]
    assert table.loc["a.jpg", "NewPath"] == str(folder / "Duplicates/a.jpg")
    assert table.loc["form 2.png", "ssim"] > 0.9
    assert json.loads(applied.applied_choices.read_text()) == json.loads(chosen)
    assert applied.report.exists()
    assert run.read_record().counts["restored"] == 2
    memory = read_memory(store)
    assert memory[["verdict", "source", "run_id"]].to_numpy().tolist() == [["not duplicates", "desk", run.run_id]]

    again = apply_choices(run.run_id, chosen, store=str(store))
    assert (again["moved"], again["put_back"], again["remembered"], again["not_done"]) == (0, 0, 1, [])
    assert (names(folder), len(remembered(store))) == (settled, 1)

    # From what the first choices moved, too, a picture comes back.
    other = apply_choices(run.run_id, choose(run, ("b.jpg", "a.jpg"), ("c.jpg", "a.jpg")), store=str(store))
    assert (other["moved"], other["put_back"], other["not_done"]) == (1, 1, [])
    assert [name for name in names(folder) if name[0] != "D"][:2] == ["a.jpg", "a.xmp"]

    for undone in (other, again, done, {"run_id": run.run_id}):
        assert restore(undone["run_id"], str(store))["not_restored"] == {}
    assert names(folder) == HOME
    assert contents(folder) == before
    assert not (folder / "Duplicates").exists()

    # Of a run that was undone, too.
    anew = apply_choices(run.run_id, chosen, store=str(store))
    assert (anew["moved"], anew["put_back"], anew["not_done"]) == (3, 0, [])
    assert contents(folder) == before


def test_what_is_no_longer_what_it_was_stays_with_a_reason_and_the_rest_goes_on(folder, store):
    run = look(folder, store)
    chosen = choose(
        run,
        ("a.jpg", "b.jpg"),
        ("form 2.png", "form 1.png"),
        ("other.png", "other.webp"),
        apart=[("c.jpg", "a.jpg")],
    )
    # Another file has the name of the one that is to come back, and one that is to stay was edited.
    shutil.copy(folder / "form 1.png", folder / "b.jpg")
    with (folder / "Duplicates/other.webp").open("ab") as edited:
        edited.write(b"more")
    before = contents(folder)

    done = apply_choices(run.run_id, chosen, store=str(store))

    assert (done["moved"], done["put_back"]) == (1, 1), "form 2.png, and c.jpg"
    why = {one["path"]: one["reason"] for one in done["not_done"]}
    assert sorted(why) == ["a.jpg", "b.jpg", "other.png", "other.webp"]
    assert why["a.jpg"].startswith("b.jpg, which is to stay for it, is not what it was in the run: changed since")
    assert (
        why["other.webp"]
        == "it could not be put back: it is not the file that was moved there: it was replaced or changed since"
    )
    assert why["other.png"].startswith("other.webp, which is to stay for it")
    assert contents(folder) == before
    assert {"a.jpg", "other.png", "c.jpg", "Duplicates/b.jpg", "Duplicates/form 2.png"} <= set(names(folder))


def test_a_picture_that_changed_neither_moves_nor_is_moved_for(folder, store):
    run = look(folder, store, dry_run=True)
    chosen = choose(run, ("b.jpg", "a.jpg"), ("c.jpg", "a.jpg"), ("other.webp", "other.png"))
    (folder / "c.jpg").write_bytes(b"c" * (folder / "c.jpg").stat().st_size)
    # Of the same size and time, so that the content alone tells.
    status = (folder / "other.png").stat()
    (folder / "other.png").write_bytes(b"o" * status.st_size)
    os.utime(folder / "other.png", ns=(status.st_atime_ns, status.st_mtime_ns))

    done = apply_choices(run.run_id, chosen, store=str(store))

    why = {one["path"]: one["reason"] for one in done["not_done"]}
    assert done["moved"] == 1
    assert why.keys() == {"c.jpg", "other.png", "other.webp"}
    assert why["other.png"] == "changed since the run: other content"
    assert names(folder) == sorted([*(name for name in HOME if name != "b.jpg"), "Duplicates/b.jpg"])


def test_choices_come_from_a_file_from_standard_input_or_from_what_the_desk_keeps(folder, store, tmp_path):
    run = look(folder, store, dry_run=True)
    (tmp_path / "choices.json").write_text(choose(run, ("b.jpg", "a.jpg")))
    call = ["apply", run.run_id, "--store", str(store), "--choices"]
    ended = CliRunner().invoke(app, [*call, str(tmp_path / "choices.json")])
    assert (ended.exit_code, "Your choices: 1 picture moved, 0 put back; 0 pairs" in ended.stdout) == (0, True), (
        ended.output
    )
    (folder / "c.jpg").unlink()
    ended = CliRunner().invoke(
        app, [*call, "-"], input=choose(run, ("c.jpg", "a.jpg"), apart=[("form 1.png", "form 2.png")])
    )
    assert (ended.exit_code, "not where it was in the run" in ended.stdout) == (1, True), ended.output
    assert remembered(store) == [("form 1.png", "form 2.png")]
    with pytest.raises(ParameterError, match="keeps no choices about run"):
        apply_choices(run.run_id, store=str(store))
    run.choices.write_text(choose(run, ("other.png", "other.webp")))
    assert apply_choices(run.run_id, store=str(store))["moved"] == 1
    assert not (folder / "other.png").exists()


def test_what_is_no_choice_about_the_run_moves_nothing(folder, store, tmp_path):
    run = look(folder, store, dry_run=True)
    before = names(folder)
    (tmp_path / "wrong.json").write_text(choose(run, ("b.jpg", "a.jpg")).replace("b.jpg", "c.jpg"))
    for given, words in (
        (["--choices", tmp_path / "wrong.json"], "calls image 1 'c.jpg', and in the run it is 'b.jpg'"),
        (["--choices", tmp_path / "none.json"], "cannot be read: No such file or directory"),
        (["--choices", tmp_path], "cannot be read: Is a directory"),
        ([], "takes either --threshold or --choices"),
        (["--threshold", 0.9, "--choices", "-"], "takes either --threshold or --choices"),
    ):
        ended = CliRunner().invoke(app, ["apply", run.run_id, "--store", str(store), *map(str, given)], input="{}")
        assert (ended.exit_code, words in " ".join(ended.stderr.split())) == (2, True), ended.stderr
    assert (names(folder), len(list_runs(store))) == (before, 1)


def test_a_kill_loses_nothing_and_applying_again_finishes_it(tmp_path, store):
    folder = tmp_path / "copies"
    folder.mkdir()
    picture = cv2.resize(skimage.data.astronaut(), (48, 48))
    cv2.imwrite(str(folder / "00.png"), picture)
    for number in range(1, 60):
        shutil.copy(folder / "00.png", folder / f"{number:02}.png")
    cv2.imwrite(str(folder / "other.png"), np.fliplr(cv2.resize(skimage.data.chelsea(), (48, 48))))
    before, everything = contents(folder), names(folder)
    # All are moved, but for the first: now the first half stays, and the first one goes.
    run = look(folder, store)
    copies = [f"{number:02}.png" for number in range(60)]
    chosen = choose(run, ("00.png", "59.png"), apart=[(name, "58.png") for name in copies[1:58]])
    (tmp_path / "choices.json").write_text(chosen)
    asked = ["apply", run.run_id, "--choices", str(tmp_path / "choices.json"), "--store", str(store)]
    environment = os.environ | slow_disk(folder, JOURNAL, 0.05) | {"PREFECT_API_URL": PREFECT_API_URL.value()}
    program = subprocess.Popen([sys.executable, "-c", FOREGROUND, *asked], env=environment, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while len(list(folder.glob("*.png"))) < 22:
        assert program.poll() is None, program.stderr.read().decode()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    program.kill()
    program.communicate()
    assert contents(folder) == before
    assert (folder / "00.png").exists()
    said = len(read_memory(store))
    done = apply_choices(run.run_id, chosen, store=str(store))
    assert contents(folder) == before
    assert (done["moved"], done["not_done"]) == (1, [])
    assert 0 < done["put_back"] < 59
    assert names(folder) == sorted(["Duplicates/00.png", *everything[1:]])
    assert len(read_memory(store)) == said > 0


# -- a run that waits, and the desk of `serve` -----------------------------------------------------------------------


@pytest.fixture
def waiting(service, folder):
    flow_run = service.start_run(folder=str(folder), approval="always", size=32)
    service.wait_for_question(flow_run)
    (place,) = service.store.glob(f"runs/*-{flow_run.hex[:8]}")
    return Run(service.store, place.name)


def end_of(service, run):
    service.wait_for(run.read_record().flow_run_id, "Completed")
    return read_table(run.decisions, DECISIONS).set_index("FileName")


def test_choices_answer_a_run_that_waits(service, waiting, folder, tmp_path):
    (tmp_path / "choices.json").write_text(
        choose(waiting, ("a.jpg", "b.jpg"), ("form 2.png", "form 1.png"), apart=[("other.webp", "other.png")])
    )
    named = [waiting.run_id, "--store", str(service.store), "--choices", str(tmp_path / "choices.json")]
    refused = CliRunner().invoke(app, ["apply", *named])
    assert (refused.exit_code, "`imagetwins approve" in " ".join(refused.stderr.split())) == (1, True)
    for more in (["--reject"], ["--leave", "b.jpg"], ["--not-duplicates", "b.jpg"]):
        assert CliRunner().invoke(app, ["approve", *named, *more]).exit_code == 2
    assert (waiting.read_record().status, len(names(folder))) == ("waiting", len(HOME))

    answered = CliRunner().invoke(app, ["approve", *named, "--comment", "mine"])
    assert answered.exit_code == 0, answered.output

    table = end_of(service, waiting)
    assert names(folder) == sorted(
        [
            "Duplicates/a.jpg",
            "Duplicates/a.xmp",
            "Duplicates/form 2.png",
            *(set(HOME) - {"a.jpg", "a.xmp", "form 2.png"}),
        ]
    )
    assert table["action"].to_dict() == {
        "a.jpg": "moved",
        "b.jpg": "kept",
        "c.jpg": "review",
        "form 1.png": "kept",
        "form 2.png": "moved",
        "other.png": "kept",
        "other.webp": "kept",
    }
    record = waiting.read_record()
    assert (record.approval.by_choices, record.approval.comment, record.counts["moved"]) == (True, "mine", 2)
    memory = read_memory(service.store)
    (said,) = memory[memory["run_id"] == waiting.run_id].itertuples()
    assert (said.source, said.why, said.path1) == ("approval", "mine", str(folder / "other.webp"))


def test_an_answer_may_say_what_is_no_duplicate_and_one_that_contradicts_itself_is_asked_again(
    service, waiting, folder
):
    flow_run = waiting.read_record().flow_run_id
    with service.client() as client:
        client.resume_flow_run(flow_run, run_input={"approve": False, "choices": choose(waiting, ("b.jpg", "a.jpg"))})
        wait_for_questions(service, client, flow_run, 2)
        assert names(folder) == HOME
        client.resume_flow_run(
            flow_run, run_input={"approve": True, "not_duplicates": ["c.jpg", "form 2.png"], "comment": "two"}
        )
    table = end_of(service, waiting)
    assert table["action"].to_dict() == {
        "a.jpg": "kept",
        "b.jpg": "moved",
        "c.jpg": "kept",
        "form 1.png": "kept",
        "form 2.png": "kept",
        "other.png": "kept",
        "other.webp": "moved",
    }
    assert table["reason"]["form 2.png"] == "kept: a person chose that it is no duplicate of form 1.png"
    assert pd.isna(table["kept_path"]["c.jpg"])
    memory = read_memory(service.store)
    said = memory[memory["run_id"] == waiting.run_id]
    assert sorted(said["path1"]) == [str(folder / "c.jpg"), str(folder / "form 2.png")]
    assert set(said["source"]) == {"approval"}


def wait_for_questions(service, client, flow_run, count, seconds=180):
    deadline = time.monotonic() + seconds
    while [state.name for state in client.read_flow_run_states(flow_run)].count("Suspended") < count:
        assert time.monotonic() < deadline, service.log()
        time.sleep(0.3)
    service.wait_for_question(flow_run)


def desk_of(service, run):
    """The address of `run` at the desk of `serve`, and the header that it asks for."""
    address, token = re.search(r"Runs are reviewed at (http://\S+)/RUN/\?token=(\S+)", service.log()).groups()
    return f"{address}/{run.run_id}/", {"X-Imagetwins-Token": token}


def test_the_desk_of_serve_answers_a_run_that_waits_and_has_a_worker_apply_to_one_that_has_ended(
    service, waiting, folder
):
    address, header = desk_of(service, waiting)
    first = choose(waiting, ("b.jpg", "a.jpg"), ("other.webp", "other.png"))
    answer = httpx.post(f"{address}apply", headers=header, content=first, timeout=180)
    assert (answer.status_code, answer.json()["run_id"], answer.json()["moved"]) == (200, waiting.run_id, 2), (
        answer.text
    )
    assert waiting.read_record().status == "completed"
    assert "Duplicates/b.jpg" in names(folder)

    swapped = choose(waiting, ("a.jpg", "b.jpg"), apart=[("other.webp", "other.png")])
    answer = httpx.post(f"{address}apply", headers=header, content=swapped, timeout=180)
    told = answer.json()
    assert answer.status_code == 200, answer.text
    assert (told["moved"], told["put_back"], told["remembered"], told["not_done"]) == (1, 2, 1, [])
    applied = find_run(service.store, told["run_id"])
    assert applied.run_id != waiting.run_id
    assert sorted(name for name in names(folder) if name[0] == "D") == ["Duplicates/a.jpg", "Duplicates/a.xmp"]
    page = httpx.get(address, params={"token": header["X-Imagetwins-Token"]}, timeout=60)
    assert page.status_code == 200
    assert "Duplicates/a.jpg" in page.text

    missing = folder.with_name("away")
    folder.rename(missing)
    answer = httpx.post(f"{address}apply", headers=header, content=swapped, timeout=180)
    missing.rename(folder)
    assert (answer.status_code, "does not exist" in answer.json()["error"]) == (409, True)
