"""Several folders at once, end to end: where duplicates go and come back from, which pairs may match, what is reused."""

import hashlib
import shutil
import tempfile
from pathlib import Path

import cv2
import pytest
import skimage.data
from typer.testing import CliRunner

from flows.apply import apply
from flows.restore import restore
from imagetwins.cli.app import app
from imagetwins.errors import FolderBusyError, ParameterError
from imagetwins.reporting.files import explain_file, explain_pair
from imagetwins.reporting.run_page import read_tables
from imagetwins.runtime.observer import Observer, observer
from imagetwins.storage import MARKER, storage_of
from imagetwins.store.runs import Run
from imagetwins.store.schemas import DECISIONS
from imagetwins.store.tables import read_table
from tests.support.flows import deduplicate

pytestmark = pytest.mark.usefixtures("prefect_server")

SHM = Path("/dev/shm")  # noqa: S108 - another device than the temporary folder's
PICTURES = {
    "A/one.png": "astronaut",
    "A/chapter 1/one.png": "coffee",
    "A/chapter 1/two.png": "coffee",
    "A/chapter 2/one.png": "coffee",
    "B/one.png": "astronaut",
    "B/rocket.png": "rocket",
    "C/one.png": "astronaut",
    "C/rocket.png": "rocket",
    "C/cat.png": "chelsea",
}


@pytest.fixture
def home(tmp_path):
    """Three folders with pictures of the same names, and something that belongs to two of them."""
    for number, (name, picture) in enumerate(PICTURES.items()):
        path = tmp_path / "home" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = cv2.resize(getattr(skimage.data, picture)(), (64, 64), interpolation=cv2.INTER_AREA)
        # No two files are equal.
        image[0, number] ^= 1
        cv2.imwrite(str(path), image)
    for name in ("B/one.xmp", "C/one.xmp"):
        (tmp_path / "home" / name).write_text(name)
    return tmp_path / "home"


@pytest.fixture
def away():
    """A folder on another device."""
    with tempfile.TemporaryDirectory(dir=SHM if SHM.is_dir() else None) as folder:
        yield Path(folder)


def contents(*folders):
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and path.name != MARKER
    }


def run_on(home, *names, **options):
    first, *more = (str(home / name) for name in names)
    store = str(home.parent / "store")
    # Not the one with the most that belongs to it stays, but the first.
    return deduplicate(first, more_folders=more, store=store, size=16, keep="first,companions", **options)


def moves_of(home, summary):
    """What moved, or would: where from, and where to, below `home`."""
    decisions = read_table(Run(home.parent / "store", summary["run_id"]).decisions, DECISIONS)
    return {
        row.FullPath.removeprefix(f"{home}/"): row.NewPath.removeprefix(f"{home}/")
        for row in decisions.itertuples()
        if row.action in {"moved", "would move"}
    }


def test_each_duplicate_goes_to_the_duplicates_of_its_folder_and_a_later_run_computes_nothing_again(home):
    before, store = contents(home), str(home.parent / "store")

    summary = run_on(home, "A", "B", "C")

    assert moves_of(home, summary) == {
        "A/chapter 1/two.png": "A/Duplicates/chapter 1/two.png",
        "A/chapter 2/one.png": "A/Duplicates/chapter 2/one.png",
        "B/one.png": "B/Duplicates/one.png",
        "C/one.png": "C/Duplicates/one.png",
        "C/rocket.png": "C/Duplicates/rocket.png",
    }
    assert (summary["images"], summary["pairs"], summary["companions"]) == (9, 36, 2)
    assert {path.name for path in (home / "B/Duplicates").iterdir()} == {"one.png", "one.xmp", MARKER}
    restored = restore(summary["run_id"], store)
    assert (restored["restored"], restored["companions"], restored["not_restored"]) == (5, 2, {})
    assert contents(home) == before
    assert not list(home.glob("*/Duplicates"))

    for names in (("C", "A", "B"), ("B", "A"), ("A",)):
        again = run_on(home, *names, dry_run=True)
        record = Run(Path(store), again["run_id"]).read_record()
        assert (record.pairs_from is not None, again["scored"]) == (True, 0), names
    assert contents(home) == before


def test_all_duplicates_go_to_one_folder_on_another_device_and_come_back(home, away):
    before, aside, store = contents(home, away), away / "aside", str(home.parent / "store")
    (home / "A/.hidden").mkdir()
    shutil.move(home / "C", home / "A/.hidden/C")

    looked = run_on(home, "A", "B", "A/.hidden/C", into=str(aside), dry_run=True)
    assert not aside.exists()
    # A name is taken there by a picture of another run.
    (aside / "A/chapter 2").mkdir(parents=True)
    for name in (MARKER, "A/chapter 2/one.png"):
        (aside / name).write_text("taken")
    taken = aside / "A/chapter 2/one.png"
    summary = apply(looked["run_id"], 0.9, store=store)

    assert moves_of(home, summary) == {
        "A/chapter 1/two.png": f"{aside}/A/chapter 1/two.png",
        "A/chapter 2/one.png": f"{aside}/A/chapter 2/one (2).png",
        "B/one.png": f"{aside}/B/one.png",
        "A/.hidden/C/one.png": f"{aside}/C/one.png",
        "A/.hidden/C/rocket.png": f"{aside}/C/rocket.png",
    }
    assert sorted(contents(home, away).values()) == sorted([*before.values(), contents(away)[taken]])
    assert (aside / "C/one.xmp").read_text() == "C/one.xmp"
    assert not list(home.rglob("Duplicates"))
    again = run_on(home, "A", "B", "A/.hidden/C", into=str(aside))
    assert (again["images"], again["moved"]) == (4, 0)

    assert restore(summary["run_id"], store)["not_restored"] == {}
    shutil.move(home / "A/.hidden/C", home / "C")
    taken.unlink()
    assert contents(home, away) == before
    assert sorted(aside.iterdir()) == [aside / MARKER, aside / "A"]


class Following(Observer):
    def __init__(self):
        self.said = []

    def announce(self, text):
        self.said.append(text)


def test_links_to_what_moves_are_named_until_a_person_changes_them_or_it_is_back(home):
    store = str(home.parent / "store")
    (home / "A/links").mkdir()
    links = {"A/links/first": "../../B/one.png", "A/links/second": str(home / "B/one.png"), "B/stays": "../A/one.png"}
    for name, says in links.items():
        (home / name).symlink_to(says)

    (home / "B/Duplicates").symlink_to("nowhere")

    following = Following()
    token = observer.set(following)
    looked = run_on(home, "A", "B", dry_run=True)
    observer.reset(token)
    assert "Without --dry-run nothing is moved: " in following.said[0]
    assert f"--into {home}/B/nowhere" in following.said[0]
    with pytest.raises(ParameterError, match="B/Duplicates' is a symbolic link"):
        apply(looked["run_id"], 0.9, store=store)
    (home / "B/Duplicates").unlink()
    assert looked["dangling_links"] == [
        {
            "link": str(home / name),
            "says": links[name],
            "target": str(home / "B/one.png"),
            "moved_to": str(home / "B/Duplicates/one.png"),
            "kept": str(home / "A/one.png"),
        }
        for name in ("A/links/first", "A/links/second")
    ]
    (home / "A/links/first").unlink()
    (home / "A/links/first").symlink_to("../one.png")
    moved = apply(looked["run_id"], 0.9, store=store)
    assert moved["dangling_links"] == looked["dangling_links"][1:]
    assert not (home / "A/links/second").exists()
    shown = CliRunner().invoke(app, ["audit", moved["run_id"], "--store", store])
    assert "1 symbolic link dangles now" in shown.output
    assert restore(moved["run_id"], store)["not_restored"] == {}
    assert all((home / name).exists() for name in links)
    shown = CliRunner().invoke(app, ["audit", moved["run_id"], "--store", store])
    assert "symbolic link" not in shown.output


def test_of_folders_in_each_other_a_picture_is_listed_once_and_belongs_to_the_inner_one(home):
    summary = run_on(home, "A", "A/chapter 2", "A", dry_run=True)
    assert (summary["images"], summary["pairs"]) == (4, 6)
    summary = run_on(home, "A", "A/chapter 2")
    assert moves_of(home, summary) == {
        "A/chapter 1/two.png": "A/Duplicates/chapter 1/two.png",
        "A/chapter 2/one.png": "A/chapter 2/Duplicates/one.png",
    }


def test_which_pairs_may_match_is_decided_on_stored_scores_and_told(home):
    across = run_on(home, "A", "B", "C", dry_run=True, across=True)
    assert set(moves_of(home, across)) == {"B/one.png", "C/one.png", "C/rocket.png"}
    within = run_on(home, "A", "B", "C", within="folder")
    assert set(moves_of(home, within)) == {"A/chapter 1/two.png"}
    assert (within["scored"], within["matches"]) == (0, 1)
    run = Run(home.parent / "store", within["run_id"])
    assert run.read_record().counts["excluded"] == 6
    assert "they do not lie in the same sub-folder" in explain_pair(run, "A/one.png", "B/one.png").verdict
    assert "would match" in explain_file(run, "B/one.png").verdict
    assert len(read_tables(run).comparisons) == 1
    shown = CliRunner().invoke(app, ["audit", run.run_id, "--store", str(home.parent / "store")])
    assert "only inside one sub-folder: 6 other pairs would match" in shown.output
    assert "A/chapter 1/two.png" in shown.output
    with_reference = run_on(home, "B", dry_run=True, within="folder", reference=[str(home / "A")])
    assert set(moves_of(home, with_reference)) == {"B/one.png"}


def test_a_run_waits_for_none_of_its_folders_and_begins_nothing(home):
    with storage_of(home / "B").lock(home / "B", "run of a test"), pytest.raises(FolderBusyError, match="B' is in use"):
        run_on(home, "A", "B", into=str(home / "aside"))
    assert not (home / "aside").exists()
