"""The decoder program, except that it crashes, hangs or ends on files whose names say so."""

import os
import signal
import time

from imagetwins.decoding import program
from imagetwins.decoding.model import UNRESERVED_BYTES

decode = program.decode


def decode_or_die(path, settings, reserve, *finish):
    if path.name.startswith("crash"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if path.name.startswith("hang"):
        hang()
    if path.name.startswith("large"):
        reserve(UNRESERVED_BYTES + 1)
        hang()
    if path.name.startswith("end"):
        os._exit(3)
    if path.name.startswith("once") and not path.with_suffix(".seen").exists():
        path.with_suffix(".seen").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(path, settings, reserve, *finish)


def hang():
    """Sleep for longer than a file may take; of the time until the program's own alarm ends it, most is left out.

    Other files keep the whole limit, however busy the machine is.
    """
    remaining, _ = signal.getitimer(signal.ITIMER_REAL)
    assert 0 < remaining <= program.MAX_SECONDS
    signal.setitimer(signal.ITIMER_REAL, remaining / 600)
    time.sleep(2 * program.MAX_SECONDS)


program.decode = decode_or_die
program.main()
