"""How long a command took, and where the time went."""

import io
import subprocess
import sys
import time

import pytest
from rich.console import Console

from imagetwins.cli.rendering import print_time
from imagetwins.store.record import RunRecord, Stage, now

PROGRAM = """
import time
time.sleep(0.4)
from imagetwins.cli.timing import seconds_since_start
print(seconds_since_start())
"""


def said(seconds, total, asked=0.0):
    record = RunRecord(run_id="1", created=now(), parameters={"folder": "/p"}, seconds=seconds)
    printed = io.StringIO()
    print_time(Console(file=printed, width=200), record, total, asked)
    return printed.getvalue().rstrip("\n")


def test_the_time_since_the_start_of_a_process_has_all_that_it_did():
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    # The system counts in hundredths of a second.
    assert 0.39 <= float(done.stdout) <= time.monotonic() - begun + 0.01


@pytest.mark.parametrize(
    ("seconds", "total", "asked", "says"),
    [
        (
            {Stage.LIST: 0.04, Stage.LOAD: 2.8, Stage.PLAN: 0.04, Stage.DECIDE: 0.4},
            7.28,
            0,
            "Time: 7.3 s in all. Load 2.8 s, decide 0.4 s, other stages 0.1 s; start and Prefect 4.0 s.",
        ),
        (
            {Stage.LOAD: 200, Stage.MOVE: 0.2},
            4000.2,
            3600,
            "Time: 1 h 6 min in all. Load 3 min 20 s, move 0.2 s, waiting for your answer 1 h 0 min; start and Prefect 3 min 20 s.",
        ),
        ({Stage.LOAD: 2.8}, None, 0, "Time: load 2.8 s."),
        ({Stage.LIST: 0.01}, 1, 0, "Time: 1.0 s in all; start and Prefect 1.0 s."),
        ({}, None, 0, ""),
    ],
)
def test_the_last_line_says_where_the_time_went(seconds, total, asked, says):
    assert said(seconds, total, asked) == says
