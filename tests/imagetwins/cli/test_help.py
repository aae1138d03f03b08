"""The help says what the tables say."""

from typer.testing import CliRunner

from imagetwins.cli.app import app
from imagetwins.decoding.formats import FORMATS


def test_the_help_of_run_names_every_format():
    shown = " ".join(CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "200"}).output.split())

    decoded = shown.split("Formats: ")[1].split(" (cameras' raw files)")[0]
    assert decoded.split(", ") == [known.name for known in FORMATS]
