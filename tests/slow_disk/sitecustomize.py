"""Python of itself imports this where PYTHONPATH leads here: flushing takes long while the file SLOW_DISK exists.

So a test that is slow itself still meets a run while it moves.
"""

import os
import time
from pathlib import Path

FLUSH_SECONDS = 0.1

flush, slow = os.fsync, Path(os.environ["SLOW_DISK"])


def flush_slowly(number):
    if slow.exists():
        time.sleep(FLUSH_SECONDS)
    flush(number)


os.fsync = flush_slowly
