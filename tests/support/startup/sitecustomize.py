"""Python of itself imports this where PYTHONPATH leads here: one change to the processes that tests start.

Flushing a file in whose path SLOW_FILES is found takes long while the file SLOW_DISK exists. So a test that is slow itself
still meets a run in the middle of its work; and as other files are fast, the run comes there soon.
"""

import os
import time
from pathlib import Path

flush, slow, seconds = os.fsync, Path(os.environ["SLOW_DISK"]), float(os.environ["FLUSH_SECONDS"])
DESCRIPTORS = Path("/proc/self/fd")


def is_slow(number):
    """Whether the file with this descriptor is to be slow; without /proc, every file is."""
    return not DESCRIPTORS.exists() or os.environ["SLOW_FILES"] in str((DESCRIPTORS / str(number)).readlink())


def flush_slowly(number):
    if slow.exists() and is_slow(number):
        time.sleep(seconds)
    flush(number)


os.fsync = flush_slowly
