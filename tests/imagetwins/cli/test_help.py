"""The help says what the tables say."""

from typer.testing import CliRunner

from imagetwins.cli.app import app
from imagetwins.decoding.formats import FORMATS


def test_the_help_of_run_names_every_format():
    shown = " ".join(CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "200"}).output.split())

    decoded, others = shown.split("Formats: ")[1].split(", recognised by content")
    assert decoded.split(", ") == [known.name for known in FORMATS if known.decoder]
    assert all(known.name in others for known in FORMATS if not known.decoder)
