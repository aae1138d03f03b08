"""Each kind of error has one exit code and a sentence; what nobody can mend keeps its traceback."""

import io
import subprocess
import sys

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
        (PermissionError(13, "Permission denied", "/a [b]"), ExitStatus.FAILED, "Failed: Permission denied: /a [b]"),
        (OSError(28, "No space left on device"), ExitStatus.FAILED, "No space left on device. Free some room"),
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
    assert [status.value for status in ExitStatus] == [0, 1, 2, 3]


ENDS = """
import atexit, sys
from imagetwins.cli.errors import ending_quickly

class Last:
    def __del__(self):
        print("taken apart")

kept = Last()
with ending_quickly():
    atexit.register(print, "written down")
    {how}
"""


@pytest.mark.parametrize(
    ("how", "status", "said"),
    [
        ("sys.exit(3)", 3, "written down\n"),
        ("sys.exit(0)", 0, "written down\n"),
        ("raise ValueError", 1, "written down\ntaken apart\n"),
        ("sys.exit('why')", 1, "written down\ntaken apart\n"),
    ],
)
def test_a_command_ends_with_its_code_once_all_is_written_down(how, status, said):
    ended = subprocess.run([sys.executable, "-c", ENDS.format(how=how)], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (status, said)
