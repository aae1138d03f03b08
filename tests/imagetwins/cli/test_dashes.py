"""Names of files and folders that begin with -: an error says how to write them."""

import json
from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from imagetwins.cli.app import app


def invoke(*arguments):
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "300"})


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    for name in ("-x", "-holiday", "-v"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ("run -x", "./-x,"),
        ("run -v", "./-v,"),
        ("run -holiday", "./-holiday,"),
        ("serve -x", "./-x,"),
        ("restore latest -rf.png", "./-rf.png,"),
        ("memory add -a.png b.png", "./-a.png,"),
    ],
)
def test_an_error_says_how_to_write_it(arguments, names):
    shown = invoke(*arguments.split())
    assert shown.exit_code == 2
    assert f"write {names} or put -- before it" in " ".join(shown.stderr.split())


@pytest.mark.parametrize("arguments", ["run --no-such-option", "run . --threshold much"])
def test_other_errors_speak_of_no_file(arguments):
    assert "write ./" not in invoke(*arguments.split()).stderr


def test_json_has_it_too_and_a_name_that_a_shell_would_split_is_quoted(here):
    (here / "-my pictures").mkdir()
    assert "write './-my pictures'," in json.loads(invoke("run", "-my pictures", "--json").stdout)["error"]


@pytest.mark.parametrize("arguments", [["--", "-x"], ["./-x"]])
def test_written_so_it_is_a_folder(arguments):
    shown = invoke("run", "--reference", "./nowhere", *arguments)
    # The folder itself is accepted.
    assert "nowhere" in shown.stderr
    assert "-x" not in shown.stderr


def test_the_version_is_that_of_the_package():
    assert (invoke("--version").stdout, invoke("--version").exit_code) == (f"imagetwins {version('imagetwins')}\n", 0)
