"""How long a command takes, from the start of its process, before anything is imported."""

import os
import time
from contextlib import suppress
from pathlib import Path

_STARTED_FIELD = 19
"""Of /proc/self/stat, behind the name of the program: when the process started, in ticks since the system did (proc(5))."""


def seconds_since_start() -> float | None:
    """Return the seconds since this process was started; None where the system does not tell."""
    with suppress(OSError, ValueError, IndexError, AttributeError):
        # The name of the program, in brackets, may have brackets and spaces.
        fields = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[_STARTED_FIELD]) / os.sysconf("SC_CLK_TCK")
    return None
