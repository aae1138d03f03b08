"""Where the store is and which folders are allowed: what the machine decides."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from imagetwins.config.folders import check_still_there, check_writable, resolve_store
from imagetwins.config.layout import make_layout
from imagetwins.config.parameters import Parameters, check_locations, check_parameters
from imagetwins.errors import ParameterError, StoreError
from imagetwins.settings import PROJECT, cache_limit_bytes, store_name
from imagetwins.storage import DUPLICATES, MARKER


def test_the_store_is_the_one_named_else_the_environments_else_the_projects(monkeypatch, tmp_path):
    monkeypatch.delenv("IMAGETWINS_STORE", raising=False)
    assert Path(store_name()) == PROJECT / "data" / "store"
    assert resolve_store(None) == PROJECT / "data" / "store"
    monkeypatch.setenv("IMAGETWINS_STORE", str(tmp_path / "elsewhere"))
    assert resolve_store(None) == tmp_path / "elsewhere"
    assert resolve_store(tmp_path / "named") == tmp_path / "named"
    monkeypatch.chdir(tmp_path)
    assert resolve_store("relative") == Path.cwd() / "relative"


def test_a_store_outside_the_allowed_roots_is_refused_even_through_a_link(monkeypatch, tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (inside / "link").symlink_to(outside)
    monkeypatch.setenv("IMAGETWINS_ROOTS", str(inside))
    assert resolve_store(inside / "store") == inside / "store"
    for store in (outside, inside / "link" / "store", inside / ".." / "outside"):
        with pytest.raises(ParameterError, match="outside the folders that runs may touch"):
            resolve_store(store)


@pytest.mark.parametrize("name", ["folder", "reference"])
@pytest.mark.parametrize("below", ["", "sub/deep"])
def test_what_was_put_aside_is_no_folder_to_run_on(tmp_path, name, below):
    (tmp_path / DUPLICATES / "sub/deep").mkdir(parents=True)
    (tmp_path / DUPLICATES / MARKER).touch()
    aside = str(tmp_path / DUPLICATES / below)

    with pytest.raises(ParameterError, match=f"{name} .*never compared.*remove"):
        check_parameters({"folder": str(tmp_path)} | {name: aside if name == "folder" else [aside]})


@pytest.mark.parametrize("name", ["folder", "reference", "store"])
def test_every_place_of_a_run_is_checked(monkeypatch, tmp_path, name):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    monkeypatch.setenv("IMAGETWINS_ROOTS", str(inside))
    places = {"folder": str(inside), "reference": [str(inside)], "store": str(inside / "store")}
    check_locations(Parameters(**places))
    places[name] = [str(outside)] if name == "reference" else str(outside)
    with pytest.raises(ParameterError, match="outside the folders that runs may touch"):
        check_locations(Parameters(**places))


def test_a_store_with_a_file_in_its_way_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for store in (tmp_path / "file", tmp_path / "file" / "store"):
        with pytest.raises(ParameterError, match=r"file' is a file\. Name another"):
            resolve_store(store)


def test_the_caches_limit_is_a_number_of_gigabytes(monkeypatch):
    monkeypatch.setenv("IMAGETWINS_CACHE_GB", "0.5")
    assert cache_limit_bytes() == 500_000_000
    monkeypatch.setenv("IMAGETWINS_CACHE_GB", "much")
    with pytest.raises(ParameterError, match="IMAGETWINS_CACHE_GB='much' is no number"):
        cache_limit_bytes()


@pytest.mark.slow
def test_who_asks_for_help_or_about_past_runs_does_not_wait_for_what_only_runs_need():
    program = "import sys, imagetwins.cli.app; print({'prefect', 'matplotlib', 'numba', 'scipy'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("nowhere"), lambda _: None])
def test_a_run_whose_folder_is_gone_is_not_undone_but_told_how_to(tmp_path, make):
    folder = tmp_path / "album"
    make(folder)
    with pytest.raises(StoreError, match=r"album' is no longer there\. Put it back where it was, or connect its drive"):
        check_still_there(make_layout([str(folder)]))
    folder.unlink(missing_ok=True)
    folder.mkdir()
    check_still_there(make_layout([str(folder)]))


def test_a_store_that_cannot_be_written_is_refused_with_the_variable_to_set(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "pictures").mkdir()
    with pytest.raises(ParameterError, match="cannot be a folder"):
        check_locations(Parameters(folder=str(tmp_path / "pictures"), store=str(tmp_path / "file")))
    with pytest.raises(ParameterError, match=r"cannot be written\. Name another with --store or IMAGETWINS_STORE"):
        check_writable(tmp_path / "file" / "store")


@pytest.fixture
def places(tmp_path):
    for name in ("A/sub", "B", "R/sub", "full/sub", "store"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "full/sub/x.txt").touch()
    (tmp_path / "A/one.png").touch()
    return tmp_path


def asked(places, **parameters):
    return check_parameters({"folder": str(places / "A"), "more_folders": [str(places / "B")]} | parameters)


@pytest.mark.parametrize("into", ["A/sub", "A/aside", "new", "B/Duplicates", "link"])
def test_duplicates_may_go_to_a_folder_that_is_new_or_empty_also_inside_those_that_are_looked_through(places, into):
    (places / "link").symlink_to("A/sub")
    assert asked(places, into=str(places / into)).into == str((places / into).resolve())


@pytest.mark.parametrize(
    ("into", "says"),
    [
        ("A", "holds the folder"),
        (".", "holds the folder"),
        ("R", "is, holds or lies in the reference"),
        ("R/sub", "is, holds or lies in the reference"),
        ("full", "holds other files, which would never be looked through again. Name a new folder"),
        ("no/such", "there is no folder .*no'. Make it, or connect its drive"),
        ("A/one.png", "is a file"),
        ("A/one.png/x", "is a file"),
    ],
)
def test_a_folder_that_duplicates_must_not_go_to_is_refused_and_it_is_said_why(places, into, says):
    with pytest.raises(ParameterError, match=says):
        asked(places, into=str(places / into), reference=[str(places / "R")])
    assert sorted(path.name for path in places.iterdir()) == ["A", "B", "R", "full", "store"]


def test_duplicates_go_to_the_kind_of_place_where_the_pictures_are(places):
    with pytest.raises(ParameterError, match="in two kinds of places"):
        asked(places, into="memory://bucket/aside")


def test_a_folder_that_duplicates_went_to_takes_more(places):
    (places / "full" / MARKER).touch()
    assert asked(places, into=str(places / "full")).into == str(places / "full")


@pytest.mark.parametrize("into", ["store", "store/aside"])
def test_duplicates_do_not_go_to_the_store_nor_it_to_them(places, into, monkeypatch):
    monkeypatch.delenv("IMAGETWINS_ROOTS", raising=False)
    with pytest.raises(ParameterError, match="is, holds or lies in the store"):
        check_locations(asked(places, into=str(places / into), store=str(places / "store")))
    with pytest.raises(ParameterError, match="is, holds or lies in the store"):
        check_locations(asked(places, into=str(places / "new"), store=str(places / "new/store")))


def test_the_folder_that_duplicates_go_to_must_lie_in_the_roots_as_all_others(places, monkeypatch):
    given = {"into": str(places / "new"), "store": str(places / "A/store")}
    monkeypatch.setenv("IMAGETWINS_ROOTS", f"{places}/A:{places}/B")
    with pytest.raises(ParameterError, match="new' is outside the folders that runs may touch"):
        check_locations(asked(places, **given))
    with pytest.raises(ParameterError, match="R' is outside the folders that runs may touch"):
        check_locations(asked(places, more_folders=[str(places / "R")], store=str(places / "A/store")))
    check_locations(asked(places, **given | {"into": str(places / "B/new")}))


def test_what_lies_where_duplicates_would_go_is_said_before_a_run_begins(places):
    (places / "B/Duplicates").symlink_to(places / "my disk")
    store = str(places / "store")
    with pytest.raises(ParameterError, match="B/Duplicates' is a symbolic link, and files are never moved") as refused:
        check_locations(asked(places, store=store))
    # What it says to add, can be added.
    into = shlex.split(str(refused.value).partition("add ")[2].partition(";")[0])
    assert into == ["--into", str(places / "my disk")]
    check_locations(asked(places, store=store, into=into[1]))
    check_locations(asked(places, store=store, dry_run=True))
    (places / "B/Duplicates").unlink()
    (places / "B/Duplicates").touch()
    with pytest.raises(ParameterError, match=r"B/Duplicates' is a file, and .*\. Rename the file, or .* --into FOLDER"):
        check_locations(asked(places, store=store))
    check_locations(asked(places, store=store, into=str(places / "new")))
