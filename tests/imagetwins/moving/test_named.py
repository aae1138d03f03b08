"""Which of the files that a run moved a name means."""

import os

import pytest

from imagetwins.errors import ParameterError
from imagetwins.moving.execute import apply_moves
from imagetwins.moving.named import find_images
from imagetwins.moving.plan import PlannedCompanion, PlannedMove
from imagetwins.moving.restore import restore_run
from imagetwins.storage import DUPLICATES
from imagetwins.storage.location import to_columns
from imagetwins.store.runs import Run
from tests.support.past_runs import digest_all, make_record

NAMES = ["a.png", "sub/a.png", "sub/b.png", os.fsdecode(b"\xff.png"), "[red]c.png"]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "pictures"


@pytest.fixture
def run(tmp_path, folder):
    run = Run(tmp_path / "store", "20260101T000000Z-1")
    (folder / "sub").mkdir(parents=True)
    (folder / "kept.png").write_bytes(b"kept")
    (folder / "sub/b.xmp").write_bytes(b"belongs to b")
    moves = []
    for image, name in enumerate(NAMES):
        source = folder / name
        source.write_bytes(os.fsencode(name))
        status = source.stat()
        follows = (PlannedCompanion(image, folder / "sub/b.xmp", (source,)),) if name == "sub/b.png" else ()
        target, (digest,) = folder / DUPLICATES / name, digest_all([source])
        listed = (status.st_size, status.st_mtime_ns, digest)
        moves.append(PlannedMove(image, source, target, *listed, folder / "kept.png", follows))
    (folder / DUPLICATES).mkdir()
    (folder / DUPLICATES / "a.png").write_bytes(b"taken")
    run.directory.mkdir(parents=True)
    assert all(outcome.moved for outcome in apply_moves(moves, run.journal))
    run.write_record(make_record(run.run_id, folder=str(folder)))
    return run


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("a.png", 0),
        ("./a.png", 0),
        ("sub/a.png", 1),
        ("{folder}/sub/a.png", 1),
        ("Duplicates/a (2).png", 0),
        ("Duplicates/sub/b.png", 2),
        ("{folder}/Duplicates/sub/b.png", 2),
        ("b.png", 2),
        ("sub/b.xmp", 2),
        ("Duplicates/sub/b.xmp", 2),
        ("[red]c.png", 4),
        (r"\xff.png", 3),
    ],
)
def test_the_name_it_had_or_has_whole_or_in_the_folder_or_its_last_parts(run, folder, name, image):
    assert find_images(run, [name.format(folder=folder)]) == [image]


def test_as_it_is_seen_from_the_current_folder_and_through_a_link(run, folder, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(folder / DUPLICATES / "sub")
    assert find_images(run, ["b.png", "../../sub/a.png", "./b.xmp"]) == [2, 1]
    assert find_images(run, [f"{tmp_path}/link/sub/b.png"]) == [2]


def test_a_name_that_means_one_file_here_and_another_in_the_folder_is_refused(run, folder, monkeypatch):
    monkeypatch.chdir(folder / "Duplicates/sub")
    with pytest.raises(ParameterError, match=r"may be any of 2 files that run .* moved: 'a.png', 'sub/a.png'"):
        find_images(run, ["a.png"])


@pytest.mark.parametrize("name", ["kept.png", "none.png", "", "/", ".", "Duplicates/a.png"])
def test_a_name_of_nothing_that_it_moved_says_what_it_moved(run, name):
    with pytest.raises(ParameterError, match=r"none of the 6 files that run .* moved: '\[red\]c.png', "):
        find_images(run, ["sub/b.png", name])


def test_a_run_that_moved_nothing_says_so(tmp_path):
    run = Run(tmp_path, "20260101T000000Z-1")
    run.write_record(make_record(run.run_id))
    with pytest.raises(ParameterError, match="moved no file"):
        find_images(run, ["a.png"])
    assert find_images(run, []) == []


def test_what_is_back_already_still_has_its_name(run, folder):
    restore_run(run, images={1})
    assert find_images(run, ["sub/a.png", str(folder / "sub/a.png")]) == [1]
    assert to_columns(folder / NAMES[3])[0].endswith(r"\xff.png")
