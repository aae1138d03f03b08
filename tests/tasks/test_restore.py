"""What is remembered of an undo: what came back, and all of it, wherever a kill ends it."""

import pytest

from imagetwins.config.parameters import Parameters
from imagetwins.errors import ParameterError, StoreError
from imagetwins.matching.decisions import decide
from imagetwins.moving.execute import apply_moves
from imagetwins.moving.plan import plan_moves
from imagetwins.storage import DUPLICATES
from imagetwins.store.memory import list_acts, list_entries, read_memory
from imagetwins.store.schemas import COMPANIONS, DECISIONS, IMAGES
from imagetwins.store.tables import as_frame, read_table, write_table
from tasks.restore import restore_files
from tests.support.past_runs import comparison_table, digest_all, image_table, write_run
from tests.support.syscalls import killed_at

NAMES = ["kept.png", "a.png", "b.png", "c.png"]
SCORES = {(0, 1): (0.99, 0.99), (0, 2): (0.98, 0.98), (0, 3): (0.97, 0.97)}


def make_run(home):
    """A run that has moved three copies of a picture; what belongs to a and b has gone with them."""
    folder = home / "pictures"
    folder.mkdir(parents=True)
    paths = [folder / name for name in NAMES]
    for path in [*paths, folder / "shared.xmp"]:
        path.write_bytes(path.name.encode())
    images = image_table([str(path) for path in paths], digest_all(paths))
    images["size_bytes"] = [path.stat().st_size for path in paths]
    images["mtime_ns"] = [path.stat().st_mtime_ns for path in paths]
    run = write_run(home / "store", "20260101T000000Z-1", images, SCORES, folder=str(folder))
    run.journal.unlink()
    xmp = (folder / "shared.xmp").stat()
    columns = {
        "image": [1, 2],
        "path": [f"{folder}/shared.xmp"] * 2,
        "size_bytes": [xmp.st_size] * 2,
        "mtime_ns": [xmp.st_mtime_ns] * 2,
        "new_path": [f"{folder}/shared.xmp"] * 2,
    }
    companions = as_frame(columns, COMPANIONS)
    write_table(companions, COMPANIONS, run.companions / "part-0.parquet")
    moves = plan_moves(run.read_record().parameters.layout, images, [(1, 0), (2, 0), (3, 0)], companions)
    assert all(outcome.moved for outcome in apply_moves(moves, run.journal))
    return run, folder


def remembered(run):
    rows = read_memory(run.store)
    return sorted(
        (path.rpartition("/")[2], verdict) for path, verdict in zip(rows["path1"], rows["verdict"], strict=True)
    )


@pytest.fixture
def undo(tmp_path):
    run, folder = make_run(tmp_path)
    return run, folder, lambda *arguments, **options: restore_files.fn(run, *arguments, **options)


def test_what_came_back_is_remembered_and_what_did_not_is_not(undo):
    run, folder, restore = undo
    (folder / "b.png").write_bytes(b"another has its name")

    answer = restore()

    assert (answer["restored"], answer["remembered"], list(answer["not_restored"])) == (2, 2, [f"{folder}/b.png"])
    assert remembered(run) == [("a.png", "put back"), ("c.png", "put back")]
    assert run.read_record().status == "completed"

    (folder / "b.png").unlink()
    answer = restore()
    assert (answer["restored"], answer["remembered"]) == (1, 3)
    assert len(remembered(run)) == 3
    assert run.read_record().status == "restored"
    assert run.read_record().counts["restored"] == 3


def test_nothing_is_remembered_where_nothing_came_back_or_nothing_is_to_be(undo):
    run, folder, restore = undo
    for name in NAMES:
        (folder / name).write_bytes(b"taken")
    assert restore()["remembered"] == 0
    assert list_acts(run.store) == []
    for name in NAMES[1:]:
        (folder / name).unlink()
    answer = restore(remember="nothing")
    assert (answer["restored"], answer["remembered"], answer["remembered_as"]) == (3, 0, "nothing")
    assert list_acts(run.store) == []
    # Whoever thinks better of it says so afterwards.
    answer = restore(["b.png"], "not duplicates")
    assert (answer["restored"], answer["remembered"]) == (0, 1)
    assert remembered(run) == [("b.png", "not duplicates")]


@pytest.mark.parametrize(("first", "second"), [("a.png", "b.png"), ("b.png", "a.png")])
def test_what_belongs_to_two_goes_back_with_the_first_of_them(undo, first, second):
    run, folder, restore = undo
    assert (folder / DUPLICATES / "shared.xmp").exists()
    answer = restore([first])
    assert (answer["restored"], answer["companions"]) == (1, 1)
    assert (folder / "shared.xmp").exists()
    assert (folder / DUPLICATES / second).exists()
    assert restore([second])["companions"] == 0
    assert run.read_record().status == "completed"


def test_what_belongs_to_two_stays_where_neither_comes_back(undo):
    _, folder, restore = undo
    (folder / "b.png").write_bytes(b"taken")
    assert (restore(["b.png"])["companions"], restore(["c.png"])["companions"]) == (0, 0)
    assert (folder / DUPLICATES / "shared.xmp").exists()
    (folder / "a.png").write_bytes(b"taken")
    assert set(restore()["not_restored"]) == {f"{folder}/{name}" for name in ("a.png", "b.png", "shared.xmp")}


def test_an_unknown_name_among_others_restores_and_remembers_nothing(undo):
    run, folder, restore = undo
    with pytest.raises(ParameterError):
        restore(["a.png", "none.png"])
    assert not (folder / "a.png").exists()
    assert list_acts(run.store) == []


def test_an_error_in_between_takes_back_what_did_not_come_back(undo):
    run, _, restore = undo
    text = run.record_file.read_text()
    (run.companions / "part-0.parquet").write_bytes(b"damaged")
    with pytest.raises(StoreError):
        restore()
    assert list_acts(run.store) == []
    assert run.record_file.read_text() == text


def test_what_is_damaged_in_the_memory_keeps_no_file_away(undo):
    run, folder, restore = undo
    restore(["a.png"])
    list_acts(run.store)[0].write_bytes(b"damaged")
    assert restore()["restored"] == 2
    assert (folder / "c.png").exists()


@pytest.mark.slow
def test_killed_at_every_step_all_that_is_back_is_remembered(tmp_path):
    kills = 0
    while True:
        run, folder = make_run(tmp_path / str(kills))
        if not killed_at(kills + 1, lambda run=run: restore_files.fn(run)):
            break
        kills += 1
        back = {name for name in NAMES[1:] if (folder / name).exists()}
        assert back <= {name for name, _ in remembered(run)}
        assert restore_files.fn(run)["remembered"] == 3
        assert len(list_entries(run.store)) == 3
    assert kills > 15


def test_a_run_decides_by_it(undo):
    run, _, restore = undo
    restore(["a.png"], "not duplicates")
    restore()
    images, parameters = read_table(run.images, IMAGES), Parameters(folder="/f")
    again = decide(images, comparison_table(SCORES), parameters, read_memory(run.store))
    assert again["action"].tolist() == ["kept", "kept", "review", "review"]
    assert again["Duplicate"].sum() == 0
    assert set(read_table(run.decisions, DECISIONS)["action"]) == {"kept", "moved"}
