"""The exact all-pairs SSIM join: every pair at or above a floor with its score, every other pair proven below it.

Four calls, in this order; only `prepare_images` and `join_batch` are expensive, and both may run in many threads
and processes at once:

    create_workspace(directory, n_rows, size)         memory-mapped arrays, a row an image; later joins may use it again
    prepare_images(directory, rows, thumbnails)
    plan = plan_join(directory, plan_directory, rows, threshold=0.9, floor=0.85)
    results = [join_batch(plan_directory, batch) for batch in plan.batches]
"""

import hashlib
from pathlib import Path

from numba import config

_HERE = Path(__file__).parent
_SOURCES = b"".join(source.read_bytes() for source in sorted(_HERE.glob("*.py")))
# Numba takes a kernel's compiled code as current while its own file is unchanged, though another file that it was
# compiled from is not. So each version of the whole package has a cache of its own.
VERSION = hashlib.blake2b(_SOURCES, digest_size=8).hexdigest()
config.CACHE_DIR = config.CACHE_DIR or str(_HERE / "__pycache__" / VERSION)  # type: ignore[attr-defined]

from imagetwins.ssim.join import VERIFY_MARGIN, JoinPlan, JoinResult, Tile, carry_pairs, join_batch, plan_join  # noqa: E402
from imagetwins.ssim.reference import reference_ssim  # noqa: E402
from imagetwins.ssim.workspace import (  # noqa: E402
    DIGEST_BYTES,
    FORMAT,
    copy_rows,
    count_rows,
    create_workspace,
    cut_workspace,
    flush_workspace,
    load_thumbnail,
    open_workspace,
    prepare_images,
    row_bytes,
)

__all__ = [
    "DIGEST_BYTES",
    "FORMAT",
    "VERIFY_MARGIN",
    "VERSION",
    "JoinPlan",
    "JoinResult",
    "Tile",
    "carry_pairs",
    "copy_rows",
    "count_rows",
    "create_workspace",
    "cut_workspace",
    "flush_workspace",
    "join_batch",
    "load_thumbnail",
    "open_workspace",
    "plan_join",
    "prepare_images",
    "reference_ssim",
    "row_bytes",
]
