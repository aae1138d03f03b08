"""The help says what the tables say, in groups; and what is documented are commands that there are."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from imagetwins.cli.app import app
from imagetwins.cli.help import REST, group_rows
from imagetwins.decoding.formats import FORMATS

HOME = Path(__file__).parents[3]
PAGES = [HOME / "README.md", *sorted((HOME / "docs").glob("*.md"))]


def show(*arguments, columns=200):
    return CliRunner().invoke(app, [*arguments, "--help"], env={"COLUMNS": str(columns)}).output


def test_the_help_of_run_names_every_format():
    shown = " ".join(show("run").split())

    decoded = shown.split("Formats: ")[1].split(" (cameras' raw files)")[0]
    assert decoded.split(", ") == [known.name for known in FORMATS]


@pytest.mark.parametrize("arguments", [(), ("run",)], ids=["commands", "options of run"])
def test_all_have_a_heading(arguments):
    assert f"\n{REST}:\n" not in show(*arguments)


def test_what_has_no_heading_is_shown_all_the_same():
    rows = {"a": ("a", "first"), "b": ("b", "second"), "c": ("c", "third")}
    assert group_rows(rows, {"One": ("c", "gone"), "None": ("gone",)}) == {
        "One": [rows["c"]],
        REST: [rows["a"], rows["b"]],
    }


@pytest.mark.parametrize("arguments", [(), ("run",), ("doctor",), ("audit",)])
def test_no_line_is_wider_than_a_terminal_of_80_columns(arguments):
    assert max(map(len, show(*arguments, columns=80).splitlines())) <= 80


def iter_documented():
    """Yield the words of each command of ours that a page, or the help itself, tells to type."""
    texts = [page.read_text(encoding="utf-8") for page in PAGES] + [show(), show("run")]
    for text in texts:
        for line in re.findall(r"(?:^ +|`)((?:\w+=\S+ )*imagetwins [a-z][^`\n#|;]*)", text, re.MULTILINE):
            words = shlex.split(line.split("  ")[0], posix=False)
            yield words[words.index("imagetwins") + 1 :]


def test_every_documented_command_and_option_exists():
    commands = typer.main.get_command(app).commands
    documented = list(iter_documented())
    for name, *words in documented:
        command = commands.get(name.rstrip(".,:"))
        assert command, f"imagetwins {name}"
        options = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
        if subcommands := getattr(command, "commands", {}):
            options |= {option for sub in subcommands.values() for param in sub.params for option in param.opts} | set(
                subcommands
            )
        for word in words:
            if word.startswith("--"):
                assert word.rstrip(".,:") in options | {"--help"}, f"imagetwins {name} {word}"
    assert len(documented) > 30
