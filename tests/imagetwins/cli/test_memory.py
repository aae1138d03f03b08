"""`imagetwins memory` as a person types it: it teaches, shows, adds and forgets."""

import io
import json
import shlex

import pytest
from typer.testing import CliRunner

from imagetwins.cli import memory as commands
from imagetwins.cli.app import app
from imagetwins.errors import ParameterError
from imagetwins.store.memory import Source, Verdict, list_entries, remember_pairs
from tests.support.audited import PATHS, SCORES
from tests.support.past_runs import image_table, write_run


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    monkeypatch.setattr(commands.console, "_width", 200)
    monkeypatch.setattr(commands.stderr, "_width", 200)


@pytest.fixture
def said(store):
    run = write_run(store, "20261120T020000Z-1", image_table(PATHS), SCORES)
    remember_pairs(run, [(1, 0)], Verdict.NOT_DUPLICATES, Source.DESK, "[red]two cats")
    remember_pairs(run, [(4, 3)], Verdict.PUT_BACK, Source.RESTORE)
    return run


def type_in(store, *arguments, ends_with=0, **options):
    shown = CliRunner().invoke(app, ["memory", *map(str, arguments), "--store", str(store)], **options)
    assert shown.exit_code == ends_with, shown.output
    return shown


def test_an_empty_list_says_how_to_fill_it(tmp_path):
    shown = type_in(tmp_path, "list").stdout
    for way in ("imagetwins review RUN", "restore RUN FILE --not-duplicates", "imagetwins memory add FILE FILE"):
        assert way in shown
    assert json.loads(type_in(tmp_path, "list", "--json").stdout) == []


def test_the_list_has_a_line_a_pair_with_its_number(said, store):
    shown = type_in(store, "list").stdout
    first, second = list_entries(store)["id"]
    lines = {line.split()[0]: line for line in shown.splitlines() if line}
    assert "not duplicates  b.jpg  a.jpg" in lines[first]
    assert "desk" in lines[first]
    assert said.run_id in lines[first]
    assert "[red]two cats" in lines[first]
    assert "put back        e.jpg  d.jpg" in lines[second]
    assert "2 pairs, in /pictures" in shown
    assert "imagetwins memory forget ID" in shown


@pytest.mark.usefixtures("said")
def test_the_list_of_one_file(store):
    assert type_in(store, "list", "--file", "e.jpg").stdout.startswith("1 pair")
    assert "Nothing is remembered of f.jpg" in type_in(store, "list", "--file", "f.jpg").stdout
    (row,) = json.loads(type_in(store, "list", "--file", "e.jpg", "--json").stdout)
    assert (row["verdict"], row["path1"], row["source"]) == ("put back", "/pictures/e.jpg", "restore")


@pytest.mark.usefixtures("said")
def test_forgetting_by_number_file_run_and_all(store):
    first, _ = list_entries(store)["id"]
    assert "1 pair" in type_in(store, "forget", first).stdout
    (gone,) = json.loads(type_in(store, "forget", "e.jpg", "--json").stdout)
    assert gone["path1"] == "/pictures/e.jpg"
    assert list_entries(store).empty
    assert "'e.jpg' is neither" in type_in(store, "forget", "e.jpg", ends_with=2).stderr
    assert "nothing is remembered of run" in type_in(store, "forget", "--run", "latest", ends_with=2).stderr
    assert "0 pairs" in type_in(store, "forget", "--all").stdout


@pytest.mark.usefixtures("said")
def test_all_is_forgotten_only_if_it_is_said_alone(store):
    for words in ([], ["e.jpg", "--all"], ["--run", "latest", "--all"]):
        assert "say what to forget" in type_in(store, "forget", *words, ends_with=2).stderr
    assert len(list_entries(store)) == 2
    assert "2 pairs" in type_in(store, "forget", "--all").stdout
    assert list_entries(store).empty


def test_adding_two_files_prints_the_number_that_forgets_it(tmp_path):
    for name, content in (("a", "1"), ("b", "2"), ("b copy", "2")):
        (tmp_path / name).write_text(content)
    store = tmp_path / "store"
    shown = type_in(store, "add", tmp_path / "a", tmp_path / "b", "--why", "two cats").stdout
    assert "byte for byte" not in shown
    # As it is shown, of this store.
    assert CliRunner().invoke(app, shlex.split(shown.partition("To forget it: ")[2])[1:]).exit_code == 0
    assert list_entries(store).empty
    assert "all files with this content stay" in type_in(store, "add", tmp_path / "b", tmp_path / "b copy").stdout
    answer = json.loads(type_in(store, "add", tmp_path / "a", tmp_path / "b", "--json").stdout)
    assert answer["path1"] == str(tmp_path / "a")
    assert answer["id"] in set(list_entries(store)["id"])
    assert "No such file" in type_in(store, "add", tmp_path / "a", tmp_path / "none", ends_with=1).stderr


def test_what_two_options_say_is_remembered():
    assert commands.choose_remember(not_duplicates=True, move_again=False) == "not duplicates"
    assert commands.choose_remember(not_duplicates=False, move_again=True) == "nothing"
    assert commands.choose_remember(not_duplicates=False, move_again=False) is None
    with pytest.raises(ParameterError, match="contradict"):
        commands.choose_remember(not_duplicates=True, move_again=True)


@pytest.mark.parametrize(("typed", "remember"), [("y\n", "not duplicates"), ("n\n", "put back"), ("\n", "put back")])
def test_a_person_in_a_terminal_is_asked_about_what_goes_back(said, typed, remember, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert commands.ask_remember(said, [1, 4]) == remember
    asked = capsys.readouterr().err
    assert "Are these no duplicates? They go back either way [y/N]" in asked


def test_restore_refuses_both_options_and_unknown_files_before_anything_starts(said, store):
    for words, message in (
        (["--not-duplicates", "--move-again"], "contradict each other"),
        (["b.jpg"], "moved no file"),
    ):
        said.journal.unlink(missing_ok=True)
        shown = CliRunner().invoke(app, ["restore", said.run_id, *words, "--store", str(store)])
        assert (shown.exit_code, message in " ".join(shown.stderr.split())) == (2, True)
    assert len(list_entries(store)) == 2
