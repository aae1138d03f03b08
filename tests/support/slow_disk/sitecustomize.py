"""Python of itself imports this where PYTHONPATH leads here: flushing takes long while the file SLOW_DISK exists.

So a test that is slow itself still meets a run while it moves.
"""

import os
import time
from pathlib import Path

flush, slow, seconds = os.fsync, Path(os.environ["SLOW_DISK"]), float(os.environ["FLUSH_SECONDS"])


def flush_slowly(number):
    if slow.exists():
        time.sleep(seconds)
    flush(number)


os.fsync = flush_slowly
