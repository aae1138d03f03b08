"""The decoder program, except that it crashes, hangs or ends on files whose names say so."""

import importlib.util
import os
import signal
import sys
import time
from pathlib import Path

spec = importlib.util.spec_from_file_location("decoder", Path(__file__).parents[2] / "imagetwins" / "decoding" / "program.py")
decoder = sys.modules["decoder"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(decoder)
decode = decoder.decode
# Long enough for a tiny picture on a busy machine.
decoder.MAX_SECONDS = 5


def decode_or_die(path, *settings):
    if path.name.startswith("crash"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if path.name.startswith("hang"):
        time.sleep(100)
    if path.name.startswith("end"):
        os._exit(3)
    if path.name.startswith("once") and not path.with_suffix(".seen").exists():
        path.with_suffix(".seen").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(path, *settings)


decoder.decode = decode_or_die
decoder.main()
