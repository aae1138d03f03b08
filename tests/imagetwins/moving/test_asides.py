"""A file that is not where it was listed is found where a run has put it, whichever run that was, and nowhere else."""

import os

import pytest

from imagetwins.moving.asides import find_asides, note_asides
from imagetwins.moving.journal import open_journal
from imagetwins.storage.local_moves import stamp_of
from imagetwins.store.schemas import DECISIONS
from imagetwins.store.tables import read_table
from tests.support.past_runs import image_table, write_run

NAMES = ["a.png", "b.png", "c.png", "ref.png"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "folder" / "Duplicates").mkdir(parents=True)
    for name in NAMES:
        (tmp_path / "folder" / name).write_bytes(name.encode())
    return tmp_path / "folder"


@pytest.fixture
def images(folder):
    table = image_table([str(folder / name) for name in NAMES])
    table.loc[3, "is_reference"] = True
    return table


def start(folder, images, run_id):
    run = write_run(folder.parent / "store", run_id, images, {}, folder=str(folder))
    run.journal.unlink()
    return run


def move(run, folder, image, direction="out", *, ends=True, **options):
    places = folder / NAMES[image], folder / "Duplicates" / NAMES[image]
    source, target = places if direction == "out" else places[::-1]
    with open_journal(run.journal) as journal:
        begun = journal.begin(direction, image, source, target, stamp_of(os.lstat(source)), **options)
        source.rename(target)
        if ends:
            journal.done(begun)


def found(run, images, wanted=range(4)):
    return {image: (one.holder.run_id, one.image) for image, one in find_asides(run.store, images, wanted).items()}


def test_each_is_found_with_the_run_that_holds_it(folder, images):
    first, second = start(folder, images, "1"), start(folder, images, "2")
    move(first, folder, 0)
    move(second, folder, 1)
    assert found(first, images) == {0: ("1", 0), 1: ("2", 1)}
    assert found(first, images, [1, 2]) == {1: ("2", 1)}
    (one,) = find_asides(first.store, images, [0]).values()
    assert (one.home, one.location) == (folder / "a.png", folder / "Duplicates/a.png")


def test_what_came_back_and_went_again_is_with_the_run_that_took_it_last(folder, images):
    first, second = start(folder, images, "1"), start(folder, images, "2")
    move(first, folder, 0)
    move(first, folder, 0, "back")
    assert found(first, images) == {}
    move(second, folder, 0)
    assert found(first, images) == {0: ("2", 0)}


def test_what_is_at_home_is_not_aside_whatever_it_is(folder, images):
    run = start(folder, images, "1")
    move(run, folder, 0)
    (folder / "a.png").write_bytes(b"another")
    assert found(run, images) == {}


def test_what_is_gone_from_there_follows_another_or_is_a_reference_is_not_to_be_had(folder, images):
    run = start(folder, images, "1")
    move(run, folder, 0)
    (folder / "Duplicates/a.png").unlink()
    move(run, folder, 1, is_companion=True)
    move(run, folder, 3)
    assert found(run, images) == {}


def test_a_move_of_which_the_end_is_not_known_counts_not(folder, images):
    run = start(folder, images, "1")
    move(run, folder, 0, ends=False)
    assert found(run, images) == {}


def test_a_damaged_journal_hides_what_it_tells_of_and_nothing_else(folder, images):
    first, second = start(folder, images, "1"), start(folder, images, "2")
    move(first, folder, 0)
    move(second, folder, 1)
    second.journal.write_text("nonsense\n")
    assert found(first, images) == {0: ("1", 0)}


def test_decisions_learn_where_lost_files_are(folder, images):
    first, second = start(folder, images, "1"), start(folder, images, "2")
    move(second, folder, 2)
    before = read_table(first.decisions, DECISIONS)
    noted = note_asides(first.store, images, before, [1, 2])
    assert noted["NewPath"].tolist() == [*before["NewPath"][:2], str(folder / "Duplicates/c.png"), before["NewPath"][3]]
    assert before["NewPath"][2] == str(folder / "c.png")
