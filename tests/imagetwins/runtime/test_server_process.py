"""Ctrl-C while a server is stopped ends the waiting, and the server."""

import os
import signal
import subprocess
import sys
from threading import Timer

from imagetwins.runtime.server_process import ServerProcess

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
)


def test_ctrl_c_while_a_server_is_stopped_ends_it_at_once_and_shows_no_traceback():
    process = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    timer = Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        timer.start()
        ServerProcess("http://127.0.0.1:1", process).stop()
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)
        process.stdout.close()
    assert process.returncode == -signal.SIGKILL
