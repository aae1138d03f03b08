"""Each kind of error has one exit code and a sentence; what nobody can mend keeps its traceback."""

import io

import pytest
import typer
from rich.console import Console

from imagetwins.cli.errors import ExitStatus, exiting_on_errors
from imagetwins.errors import ClusterError, FolderBusyError, ParameterError, StoreError


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (ParameterError("threshold=1.5"), ExitStatus.WRONG_USE, "Wrong use: threshold=1.5"),
        (StoreError("no run 'x'"), ExitStatus.FAILED, "Failed: no run 'x'"),
        (FolderBusyError("in use"), ExitStatus.FAILED, "Failed: in use"),
        (ClusterError("no workers"), ExitStatus.FAILED, "Failed: no workers"),
        (PermissionError(13, "Permission denied", "/a [b]"), ExitStatus.FAILED, "Permission denied: '/a [b]'"),
        (KeyboardInterrupt(), ExitStatus.FAILED, "Interrupted, between two moves if any"),
    ],
)
def test_an_error_is_a_sentence_and_a_code(error, status, says):
    stderr = Console(file=io.StringIO(), width=200)
    with pytest.raises(typer.Exit) as ended, exiting_on_errors(stderr):
        raise error
    assert ended.value.exit_code == status
    assert says in stderr.file.getvalue()


def test_an_error_of_ours_is_not_hidden():
    with pytest.raises(ZeroDivisionError), exiting_on_errors(Console(file=io.StringIO())):
        raise ZeroDivisionError


def test_the_codes_are_those_that_scripts_know():
    assert [status.value for status in ExitStatus] == [0, 1, 2]
