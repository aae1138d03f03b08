"""With --json, the whole of standard output is one object, of an error too; what a person reads is on standard error."""

import io
import json
import sys

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from imagetwins.cli.answers import print_json
from imagetwins.cli.app import app
from imagetwins.cli.errors import ExitStatus, exiting_on_errors
from imagetwins.errors import StoreError

WITHOUT = {"review", "serve"}
"""Commands that run until they are stopped, and answer nothing."""


def commands(group, *names):
    """Return the commands of the app by their names, those of its groups too."""
    found = {}
    for name, command in group.commands.items():
        found |= commands(command, *names, name) if hasattr(command, "commands") else {(*names, name): command}
    return found


def test_every_command_that_answers_takes_json():
    takes = {
        " ".join(names): any("--json" in parameter.opts for parameter in command.params)
        for names, command in commands(typer.main.get_command(app)).items()
    }
    assert {name for name, has_json in takes.items() if not has_json} == WITHOUT


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ("run {here}/nowhere", 2, "does not exist"),
        ("run {here} --threshold 1.5", 2, "threshold=1.5"),
        ("run {here} --threshold much", 2, "--threshold"),
        ("run {here} --no-such-option", 2, "no-such-option"),
        ("run", 2, "Missing argument"),
        ("restore x --store {here}", 1, "no run 'x'"),
        ("restore latest --store {here}", 1, "nothing was restored"),
        ("audit x --store {here}", 1, "no run 'x'"),
        ("audit --threshold 0.8", 2, "latest"),
        ("audit --csv -", 2, "standard output"),
        ("apply x --threshold 0.9 --store {here}", 1, "no run 'x'"),
        ("report x --store {here}", 1, "no run 'x'"),
        ("calibrate {here}/nowhere", 2, "does not exist"),
        ("prune --older-than many --store {here}", 2, "--older-than"),
        ("approve x --store {here}", 1, "no run 'x'"),
        ("server start --port x", 2, "--port"),
        ("nonsense", 2, "nonsense"),
    ],
)
def test_an_error_is_an_object_and_a_sentence(arguments, code, says, tmp_path):
    shown = CliRunner().invoke(app, [*arguments.format(here=tmp_path).split(), "--json"], env={"COLUMNS": "300"})
    answer = json.loads(shown.stdout)
    assert list(answer) == ["error"]
    assert says in answer["error"]
    assert (shown.exit_code, shown.stdout.count("\n")) == (code, 1)
    assert says in " ".join(shown.stderr.split())


@pytest.mark.parametrize("arguments", ["run {here}/nowhere", "run --no-such-option", "restore x --store {here}"])
def test_without_json_an_error_leaves_standard_output_alone(arguments, tmp_path):
    assert CliRunner().invoke(app, arguments.format(here=tmp_path).split()).stdout == ""


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        ("audit --store {here}", 0, []),
        ("prune --older-than 0 --store {here}", 0, {"runs": [], "freed_bytes": 0}),
        ("server stop", 0, {"stopped": None}),
    ],
)
def test_an_answer_is_all_there_is(arguments, code, expected, tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    shown = CliRunner().invoke(app, [*arguments.format(here=tmp_path).split(), "--json"])
    assert (json.loads(shown.stdout), shown.exit_code) == (expected, code)


def test_whatever_is_printed_beside_the_answer_is_on_standard_error(capsys):
    with exiting_on_errors(Console(stderr=True), json=True):
        sys.stdout.write("by a library\n")
        Console().print("a table")
        print_json({"path": "caf\udce9"})
        sys.stdout.write("at the end\n")
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"path": "caf\udce9"}
    assert printed.err == "by a library\na table\nat the end\n"
    assert sys.stdout.write("as before\n") == len("as before\n")
    assert capsys.readouterr().out == "as before\n"


def test_after_an_answer_an_error_is_no_second_one(capsys):
    def restore():
        print_json({"restored": 1})
        raise StoreError("the rest")

    with pytest.raises(typer.Exit) as ended, exiting_on_errors(Console(stderr=True), json=True):
        restore()
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"restored": 1}
    assert "the rest" in printed.err
    assert ended.value.exit_code == ExitStatus.FAILED


@pytest.mark.parametrize(
    ("error", "ends", "says"),
    [
        (KeyboardInterrupt(), typer.Exit, "Interrupted"),
        (PermissionError(13, "Permission denied", "/a"), typer.Exit, "Permission denied"),
        (ZeroDivisionError("of ours"), ZeroDivisionError, "ZeroDivisionError: of ours"),
    ],
)
def test_whatever_ends_a_command_is_said(error, ends, says, capsys):
    with pytest.raises(ends), exiting_on_errors(Console(file=io.StringIO()), json=True):
        raise error
    assert says in json.loads(capsys.readouterr().out)["error"]


def test_no_number_that_json_has_not_is_printed():
    with pytest.raises(ValueError, match="JSON"), exiting_on_errors(Console(file=io.StringIO()), json=True):
        print_json({"ssim": float("nan")})
