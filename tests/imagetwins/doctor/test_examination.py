"""All parts together, as a command tells them."""

import json
import socket

import pytest
from typer.testing import CliRunner

from imagetwins.cli.app import app
from imagetwins.doctor import server
from imagetwins.doctor.examination import examine
from imagetwins.doctor.findings import is_problem, ok, problem, warning


@pytest.fixture(autouse=True)
def no_server(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(server, "LOCAL_SERVER", f"http://127.0.0.1:{taken.getsockname()[1]}")


def test_only_a_problem_is_one():
    assert not is_problem([ok("a", "b"), warning("a", "b", "c")])
    assert is_problem([ok("a", "b"), problem("a", "b", "c")])


def test_a_folder_is_looked_at_only_if_it_is_named(tmp_path):
    assert {"pictures", "moves"} & {finding.subject for finding in examine()} == set()
    assert {"pictures", "moves"} <= {finding.subject for finding in examine(str(tmp_path))}


def test_the_command_ends_with_1_if_something_is_a_problem_and_says_what_to_do(tmp_path):
    runner = CliRunner()
    well = runner.invoke(app, ["doctor", "--store", str(tmp_path / "store")])
    assert well.exit_code == 0, well.output
    assert "All is well" in well.output or "warning" in well.output

    ill = runner.invoke(app, ["doctor", str(tmp_path / "[red]gone"), "--store", str(tmp_path / "store")])
    assert ill.exit_code == 1
    assert "problem" in ill.output
    assert "[red]gone' does not exist" in ill.output
    assert "Name another folder." in ill.output


def test_json_is_all_that_is_printed(tmp_path):
    ended = CliRunner().invoke(app, ["doctor", "--json", "--store", str(tmp_path / "store")])
    answer = json.loads(ended.stdout)
    assert answer["is_problem"] is False
    assert {"subject", "level", "what", "remedy"} == set(answer["findings"][0])
