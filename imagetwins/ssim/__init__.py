"""The exact all-pairs SSIM join: every pair at or above a floor with its score, every other pair proven to be below it.

SSIM is the index of Wang, Bovik, Sheikh and Simoncelli 2004 (doi:10.1109/TIP.2003.819861) as scikit-image computes it.
It is used in four calls, in this order; only `prepare_images` and `join_batch` are expensive, and both may run in many
threads and processes at once:

    create_workspace(directory, n_rows, size)         memory-mapped arrays, a row for each image; for later joins too
    prepare_images(directory, rows, thumbnails)
    plan = plan_join(directory, plan_directory, rows, threshold=0.9, floor=0.85)
    results = [join_batch(plan_directory, batch) for batch in plan.batches]

The modules, from the bottom up:

    area                          a picture averaged down to a thumbnail
    windows, vector               memory layout and running sums of windows; outer products, narrow matrices
    kernels, columns              the exact SSIM of a column of windows; which windows are in which
    local                         the square of a pair's SSIM map that is lowest
    measurements, features        what is measured of a window; the vectors whose inner products bound the SSIM
    image                         one thumbnail with what is measured of it
    processor, integers           the kernels that this processor can run; inner products of 8-bit integers
    tiles, codes                  the pairs of a tile; vectors as 8-bit integers, and the pairs they leave of a tile
    bounds                        the bounds that prune pairs
    packing, workspace, pixels    a thumbnail without loss in half of its bytes; the arrays on the disk; pixels in them
    orientation, turned           the eight ways to turn a picture; pairs whose second picture is turned
    groups, plan                  identical thumbnails; the batches of tiles
    refine, reference             scores: block by block, and scikit-image's own
    peaks                         where a pair differs most: in its pixels, in its colours
    stages, join                  the counts of pairs; what becomes of each pair
    warming                       kernels before they are needed
"""

import atexit
import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

from llvmlite import binding
from numba import config
from numba.core.codegen import get_host_cpu_features

ENGINE_VERSION = 3
"""Raise this when any score, bound or stored array may change: scores of another version are not used again.

If the stored arrays change, raise WORKSPACE_VERSION too. A test compares the code with the fingerprint recorded for
this version."""

_FOLDER = Path(__file__).parent


def _name_kernels() -> str:
    """Return a name for what numba makes of the sources, and for what processor it is told to."""
    name, features = config.CPU_NAME, config.CPU_FEATURES  # type: ignore[attr-defined]
    name = binding.get_host_cpu_name() if name is None else name
    features = get_host_cpu_features() if features is None else features  # type: ignore[no-untyped-call]
    sources = b"".join(file.read_bytes() for file in sorted(_FOLDER.rglob("*.py")))
    return hashlib.blake2b(f"{name} {features} ".encode() + sources, digest_size=8).hexdigest()


def _is_ours(directory: Path) -> bool:
    """Whether files can be made in `directory`, and no user could have put any there whom this code does not come from."""
    try:
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
        found = directory.stat()
    except OSError:
        return False
    return found.st_uid in {0, os.getuid(), _FOLDER.stat().st_uid} and not found.st_mode & stat.S_IWOTH


def _find_cache() -> str | None:
    """Return where compiled kernels are kept: in NUMBA_CACHE_DIR, else beside the sources; None if in neither.

    Numba caches a compiled kernel until the file that defines it changes. It does not notice that a kernel or a constant
    that was compiled into it, from another file, has changed. So there is a directory for each state of the sources.

    And for each processor: of two processes that save a kernel at the same time, one may write the index and the other the code.
    """
    name = _name_kernels()
    places = (Path(place) / name for place in (config.CACHE_DIR, _FOLDER / "__pycache__") if place)  # type: ignore[attr-defined]
    return next((str(place) for place in places if _is_ours(place)), None)


def _make_own_cache() -> str:
    own = tempfile.mkdtemp(prefix="imagetwins-kernels-")
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    return own


_found = _find_cache()
KEEPS_KERNELS = _found is not None
"""Whether compiled kernels are kept; if not, each process compiles them for itself, which takes about 15 s."""

# Numba compiles nothing with `cache=True` unless it has a directory.
config.CACHE_DIR = _found or _make_own_cache()  # type: ignore[attr-defined]

from imagetwins.ssim.join import VERIFY_MARGIN, JoinResult, join_batch, reuse_pairs  # noqa: E402
from imagetwins.ssim.orientation import turn  # noqa: E402
from imagetwins.ssim.peaks import Differences, measure_differences  # noqa: E402
from imagetwins.ssim.pixels import PixelSource, load_thumbnail, read_thumbnails, restore_pixels, settle_pixels  # noqa: E402
from imagetwins.ssim.plan import JoinPlan, plan_join  # noqa: E402
from imagetwins.ssim.processor import choose_kernels  # noqa: E402
from imagetwins.ssim.reference import reference_ssim  # noqa: E402
from imagetwins.ssim.stages import TOTALS, stage_labels  # noqa: E402
from imagetwins.ssim.tiles import Tile  # noqa: E402
from imagetwins.ssim.workspace import (  # noqa: E402
    DIGEST_BYTES,
    WORKSPACE_VERSION,
    copy_rows,
    count_rows,
    create_workspace,
    flush_workspace,
    flushing,
    open_workspace,
    prepare_images,
    row_bytes,
    truncate_workspace,
    working_row_bytes,
)

__all__ = [
    "DIGEST_BYTES",
    "ENGINE_VERSION",
    "KEEPS_KERNELS",
    "TOTALS",
    "VERIFY_MARGIN",
    "WORKSPACE_VERSION",
    "Differences",
    "JoinPlan",
    "JoinResult",
    "PixelSource",
    "Tile",
    "choose_kernels",
    "copy_rows",
    "count_rows",
    "create_workspace",
    "flush_workspace",
    "flushing",
    "join_batch",
    "load_thumbnail",
    "measure_differences",
    "open_workspace",
    "plan_join",
    "prepare_images",
    "read_thumbnails",
    "reference_ssim",
    "restore_pixels",
    "reuse_pairs",
    "row_bytes",
    "settle_pixels",
    "stage_labels",
    "truncate_workspace",
    "turn",
    "working_row_bytes",
]
