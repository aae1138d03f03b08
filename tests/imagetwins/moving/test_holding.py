"""All folders of a run are held, each once; whoever wants one of them is told which, and by whom."""

import pytest

from imagetwins.config.layout import make_layout
from imagetwins.errors import FolderBusyError
from imagetwins.moving.holding import hold_folders, hold_others
from imagetwins.storage import MARKER, storage_of


@pytest.fixture
def home(tmp_path):
    for name in ("A/sub", "B"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def layout(home, *names, into=None):
    return make_layout([str(home / name) for name in names], into and str(home / into))


@pytest.mark.parametrize("taken", ["A", "A/sub", "B", "aside"])
def test_a_run_on_one_of_the_folders_or_in_one_is_kept_out_and_told_which(home, taken):
    held = hold_folders(layout(home, "A", "B", into="aside"), "run 1")
    with held, pytest.raises(FolderBusyError, match=rf"{taken}' is in use: run 1 holds"):
        storage_of(home / taken).lock(home / taken, "run 2").__enter__()
    with storage_of(home / "A").lock(home / "A", "run 3"):
        pass


@pytest.mark.parametrize("names", [("A", "A/sub"), ("A/sub", "A"), ("A", "B", "A/sub")])
def test_folders_in_each_other_are_held_by_the_outermost(home, names):
    with hold_folders(layout(home, *names, into="A/aside"), "run 1"), pytest.raises(FolderBusyError):
        storage_of(home / "A/sub").lock(home / "A/sub", "run 2").__enter__()


def test_where_one_folder_is_in_use_none_is_held(home):
    with storage_of(home / "B").lock(home / "B", "run 1"):
        with pytest.raises(FolderBusyError, match=r"B' is in use: run 1 holds"):
            hold_folders(layout(home, "A", "B", into="aside"), "run 2").__enter__()
        with storage_of(home / "A").lock(home / "A", "run 3"):
            pass
    assert not (home / "aside").exists()


def test_the_folder_for_duplicates_is_made_and_goes_again_if_nothing_was_put_there(home):
    asked = layout(home, "A", into="aside")
    with hold_folders(asked, "dry run", moves=False):
        assert not (home / "aside").exists()
    with hold_folders(asked, "run"):
        assert (home / "aside").is_dir()
    assert not (home / "aside").exists()
    with pytest.raises(ZeroDivisionError), hold_folders(asked, "run"):
        raise ZeroDivisionError
    assert not (home / "aside").exists()
    with hold_folders(asked, "run"):
        (home / "aside" / MARKER).touch()
    assert (home / "aside" / MARKER).exists()


def test_one_that_was_there_stays(home):
    (home / "aside").mkdir()
    with hold_folders(layout(home, "A", into="aside"), "run"):
        pass
    assert (home / "aside").is_dir()


def test_others_are_those_that_are_there_and_not_in_what_is_held(home):
    with (
        hold_folders(layout(home, "A"), "run 1"),
        hold_others([home / "A", home / "A/sub", home / "B", home / "gone"], [home / "A"], "recovery"),
        pytest.raises(FolderBusyError, match="recovery holds"),
    ):
        storage_of(home / "B").lock(home / "B", "run 2").__enter__()
