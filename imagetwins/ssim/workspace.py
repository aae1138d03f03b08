"""The memory-mapped arrays of prepared images: a row an image, written once, read by every tile of every join.

The files are sparse and mapped, so memory is bounded by what the tiles in work touch, not by the folder.
"""

import hashlib
import json
import math
import os
import shutil
import zipfile
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from imagetwins.errors import StoreError
from imagetwins.ssim.bounds import choose_coordinates, project_features, projected_length
from imagetwins.ssim.features import (
    DEPTH,
    Basis,
    make_basis,
    measure_cells,
    measure_windows,
    open_windows,
    plan_cells,
)
from imagetwins.ssim.windows import fill_pixels, plan_layout, restore_thumbnail

DIGEST_BYTES = 16
KEPT_BYTES = 1 << 30
"""Workspaces up to this size stay mapped between batches; the pages of larger ones would all count as our memory."""

FORMAT = 12
"""Version of the arrays' meaning; a workspace of another one is made anew."""


@dataclass(frozen=True)
class Workspace:
    """The mapped arrays of one directory, all with one row an image.

    Attributes:
        n_rows: how many images there is room for.
        size: side of the thumbnails, in pixels.
        pixels: (n, groups, size, pixel_width) uint8, the thumbnails in the layout of windows.py.
        grey_pixels: (n, groups, size, grey pixel_width) uint8, the same of images with three equal channels, in one.
        grey: (n,) uint8, 1 where the three channels are equal.
        structured: (n,) uint8, 1 where some window has structure (DETAIL_VARIANCE).
        digests: (n, 16) uint8, of the thumbnail's bytes.
        projection: (n, projected_length) float32, of the features, see bounds.py.
        features: (n, dimensions) float32, block after block, see features.py.
        structure: (n, cells * cells) float32, how much of each cell has structure, 0 to 1.
    """

    n_rows: int
    size: int
    pixels: NDArray[np.uint8]
    grey_pixels: NDArray[np.uint8]
    grey: NDArray[np.uint8]
    structured: NDArray[np.uint8]
    digests: NDArray[np.uint8]
    projection: NDArray[np.float32]
    features: NDArray[np.float32]
    structure: NDArray[np.float32]


def create_workspace(directory: Path, n_rows: int, size: int) -> None:
    """Make the arrays, with room for `n_rows` thumbnails of `size` pixels.

    A whole workspace of this size and format is kept, and grown if it has fewer rows; another is made anew.
    """
    found = count_rows(directory, size)
    if found is None:
        shutil.rmtree(directory, ignore_errors=True)
    elif found >= n_rows:
        return
    directory.mkdir(parents=True, exist_ok=True)
    for name, (kind, shape) in _arrays(n_rows, size).items():
        with (directory / f"{name}.bin").open("ab") as file:
            file.truncate(np.dtype(kind).itemsize * math.prod(shape))
    if not (directory / "basis.npz").exists():
        np.savez(directory / "basis.npz", **make_basis()._asdict())
    # Last, so that a growth that was cut short is begun again.
    _describe(directory, n_rows, size)


def _describe(directory: Path, n_rows: int, size: int) -> None:
    temporary = directory / "workspace.json.tmp"
    temporary.write_text(json.dumps({"n_rows": n_rows, "size": size, "format": FORMAT}), encoding="utf-8")
    temporary.replace(directory / "workspace.json")


def count_rows(directory: Path, size: int) -> int | None:
    """Return how many rows the workspace of `directory` has; None if it is not whole, or of another size or format."""
    try:
        found = json.loads((directory / "workspace.json").read_text(encoding="utf-8"))
        n_rows: int = found["n_rows"]
        _check_files(directory, n_rows, size)
        with np.load(directory / "basis.npz") as arrays:
            Basis(**arrays)
    except (OSError, ValueError, KeyError, TypeError, EOFError, StoreError, zipfile.BadZipFile):
        return None
    return n_rows if (found["size"], found["format"]) == (size, FORMAT) else None


def row_bytes(size: int) -> int:
    """Return the bytes that one image takes."""
    return sum(np.dtype(kind).itemsize * math.prod(shape) for kind, shape in _arrays(1, size).values())


def copy_rows(directory: Path, source: NDArray[np.int64], target: NDArray[np.int64]) -> None:
    """Copy the images of rows `source` to rows `target`, which overlap in none."""
    workspace = open_workspace(directory, write=True)
    for name in _arrays(1, workspace.size):
        array = getattr(workspace, name)
        for one, other in zip(source, target, strict=True):
            array[other] = array[one]
    flush_workspace(directory)


def cut_workspace(directory: Path, n_rows: int) -> None:
    """Keep the first `n_rows` rows only. Nothing may use the others meanwhile."""
    size = open_workspace(directory).size
    _describe(directory, n_rows, size)
    for name, (kind, shape) in _arrays(n_rows, size).items():
        os.truncate(directory / f"{name}.bin", np.dtype(kind).itemsize * math.prod(shape))


def open_workspace(directory: Path, *, write: bool = False) -> Workspace:
    """Map the arrays of `directory`.

    Raises:
        StoreError: `create_workspace` was not completed there, or a file is not what it left.
    """
    meta = directory / "workspace.json"
    try:
        description = json.loads(meta.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StoreError(f"{directory} holds no workspace: call create_workspace first") from None
    n_rows, size = description["n_rows"], description["size"]
    # A file that was cut short would be mapped, and end the process when what is missing is read.
    _check_files(directory, n_rows, size)
    if write or n_rows * row_bytes(size) > KEPT_BYTES:
        return _map_arrays(directory, n_rows, size, write=write)
    return _map_once(directory, n_rows, size, meta.stat().st_mtime_ns)


def _check_files(directory: Path, n_rows: int, size: int) -> None:
    for name, (kind, shape) in _arrays(n_rows, size).items():
        file, expected = directory / f"{name}.bin", np.dtype(kind).itemsize * math.prod(shape)
        try:
            # Opened and not only looked at: then a network file system lets go of pages that another machine has changed.
            with file.open("rb") as opened:
                found = os.fstat(opened.fileno()).st_size
        except FileNotFoundError:
            found = 0
        if found < expected:
            raise StoreError(f"{file} has {found} bytes and not {expected}: run again, and it is made anew")


def flush_workspace(directory: Path) -> None:
    """Return when all that was prepared so far is on the disk."""
    for file in directory.glob("*.bin"):
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _map_arrays(directory: Path, n_rows: int, size: int, *, write: bool) -> Workspace:
    # Copy on write: a reader can change nothing, and the kernels meet one type of array.
    mode: Any = "r+" if write else "c"
    arrays: Any = {
        name: np.asarray(np.memmap(directory / f"{name}.bin", dtype=kind, mode=mode, shape=shape))
        for name, (kind, shape) in _arrays(n_rows, size).items()
    }
    return Workspace(n_rows, size, **arrays)


@lru_cache(maxsize=1)
def _map_once(directory: Path, n_rows: int, size: int, _created_ns: int) -> Workspace:
    """Return a mapping for all batches of this process: each page is then met as new once, and not in every batch."""
    return _map_arrays(directory, n_rows, size, write=False)


@cache
def keep_blas_single_threaded() -> None:
    """Keep BLAS to one thread in this process: its callers' threads are the parallelism.

    For good: when it is allowed more threads again, between two of its uses, they wait busily for work, and take a core.
    """
    threadpool_limits(limits=1, user_api="blas")


def prepare_images(directory: Path, rows: NDArray[np.int64], thumbnails: NDArray[np.uint8]) -> None:
    """Store (m, size, size, 3) thumbnails in `rows`, (m,).

    Idempotent; safe in threads, processes and machines on rows that do not overlap. Rows of two batches share pages, so
    they are written to the files and not to mappings of them: on a network file system, a machine that has changed a
    mapped page writes all of it back, with its neighbours' rows as they were.
    """
    keep_blas_single_threaded()
    size = open_workspace(directory).size
    with np.load(directory / "basis.npz") as arrays:
        basis = Basis(**arrays)
    layout, cells, chosen = plan_layout(size, 3), plan_cells(size), choose_coordinates(basis, size)
    windows = open_windows(layout)
    own: Any = {name: np.zeros(shape, kind) for name, (kind, shape) in _arrays(1, size).items()}
    image = Workspace(1, size, **own)
    with ExitStack() as stack:
        files = {name: stack.enter_context((directory / f"{name}.bin").open("r+b")) for name in own}
        for row, thumbnail in zip(rows, thumbnails, strict=True):
            plain = np.ascontiguousarray(thumbnail)
            image.grey[0] = fill_pixels(plain, layout.segments, image.pixels[0])
            if image.grey[0]:
                fill_pixels(plain, plan_layout(size, 1).segments, image.grey_pixels[0])
            image.structured[0] = measure_windows(image.pixels[0], layout.is_window, windows)
            image.features[0], image.structure[0] = measure_cells(windows, cells, basis)
            image.projection[0] = project_features(image.features[0], size, chosen)
            digest = hashlib.blake2b(plain.data, digest_size=DIGEST_BYTES).digest()
            image.digests[0] = np.frombuffer(digest, dtype=np.uint8)
            for name, file in files.items():
                # The pixels in grey of an image in colour are a hole of the file.
                if name != "grey_pixels" or image.grey[0]:
                    file.seek(int(row) * own[name].nbytes)
                    file.write(own[name].data)


def load_thumbnail(directory: Path, row: int) -> NDArray[np.uint8]:
    """Return the (size, size, 3) thumbnail of `row`."""
    return restore_thumbnail(open_workspace(directory).pixels[row])


def _arrays(n_rows: int, size: int) -> dict[str, tuple[Any, tuple[int, ...]]]:
    rows = max(n_rows, 1)  # An empty file cannot be mapped.
    n_cells = len(plan_cells(size).share)
    colour, grey = (plan_layout(size, channels).column.shape for channels in (3, 1))
    return {
        "pixels": (np.uint8, (rows, colour[0], size, colour[1])),
        "grey_pixels": (np.uint8, (rows, grey[0], size, grey[1])),
        "grey": (np.uint8, (rows,)),
        "structured": (np.uint8, (rows,)),
        "digests": (np.uint8, (rows, DIGEST_BYTES)),
        "projection": (np.float32, (rows, projected_length(size))),
        "features": (np.float32, (rows, n_cells * (DEPTH + 1))),
        "structure": (np.float32, (rows, n_cells)),
    }
