"""The memory-mapped arrays of prepared images: one row for each image, written once, read by every tile of every join.

The files are sparse and mapped, so memory is limited to what the current tiles use, whatever the size of the folder.
Beside the arrays of the thumbnails themselves there are those that the bounds keep (`Bound.arrays`).
"""

import hashlib
import json
import math
import os
import shutil
import zipfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from imagetwins.errors import StoreError
from imagetwins.ssim import bounds
from imagetwins.ssim.bounds.base import Arrays, ArraySpec, Bound
from imagetwins.ssim.features import Basis, make_basis
from imagetwins.ssim.image import MeasuredImage, Scratch
from imagetwins.ssim.windows import plan_layout, restore_thumbnail

DIGEST_BYTES = 16
"""Bytes of the digest of a thumbnail, by which identical ones are found."""

KEPT_BYTES = 1 << 30
"""Workspaces up to this size stay mapped between batches; all pages of larger ones would count as used memory."""

WORKSPACE_VERSION = 13
"""Version of the arrays' meaning: raise it when what is stored changes. A workspace of another version is made anew."""

META, BASIS = "workspace.json", "basis.npz"


@dataclass(frozen=True)
class Workspace:
    """The mapped arrays of one directory.

    Attributes:
        n_rows: how many images there is room for.
        size: side of the thumbnails, in pixels.
        arrays: all arrays by name, with a row for each image; see `plan_arrays`.
    """

    n_rows: int
    size: int
    arrays: Arrays

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """(n, groups, size, pixel_width) uint8, the thumbnails in the layout of three channels."""
        return self.arrays["pixels"]

    @property
    def grey_pixels(self) -> NDArray[np.uint8]:
        """(n, groups, size, pixel_width) uint8, the grey thumbnails in the layout of one channel."""
        return self.arrays["grey_pixels"]

    @property
    def grey(self) -> NDArray[np.uint8]:
        """(n,) uint8, 1 if the three channels are equal."""
        return self.arrays["grey"]

    @property
    def structured(self) -> NDArray[np.uint8]:
        """(n,) uint8, 1 if at least one window is structured (DETAIL_VARIANCE)."""
        return self.arrays["structured"]

    @property
    def digests(self) -> NDArray[np.uint8]:
        """(n, DIGEST_BYTES) uint8, BLAKE2b of the thumbnail's bytes."""
        return self.arrays["digests"]


def plan_arrays(size: int) -> dict[str, ArraySpec]:
    """Return what a workspace stores of one thumbnail of `size` pixels, by name of the array."""
    colour, grey = (plan_layout(size, channels).column.shape for channels in (3, 1))
    specs = {
        "pixels": ArraySpec(np.uint8, (colour[0], size, colour[1])),
        "grey_pixels": ArraySpec(np.uint8, (grey[0], size, grey[1])),
        "grey": ArraySpec(np.uint8, ()),
        "structured": ArraySpec(np.uint8, ()),
        "digests": ArraySpec(np.uint8, (DIGEST_BYTES,)),
    }
    for bound in bounds.BOUNDS:
        specs |= bound.arrays(size)
    return specs


def create_workspace(directory: Path, n_rows: int, size: int) -> None:
    """Make the arrays, with room for `n_rows` thumbnails of `size` pixels.

    An intact workspace of this size and version is kept, and grown if it has fewer rows; any other is made anew.
    """
    found = count_rows(directory, size)
    if found is None:
        shutil.rmtree(directory, ignore_errors=True)
    elif found >= n_rows:
        return
    directory.mkdir(parents=True, exist_ok=True)
    for name, spec in plan_arrays(size).items():
        with _file(directory, name).open("ab") as file:
            file.truncate(_file_bytes(spec, n_rows))
    if not (directory / BASIS).exists():
        # With a thread for each core, and those busy with other work, it takes a second or two instead of 0.05.
        keep_blas_single_threaded()
        np.savez(directory / BASIS, **make_basis()._asdict())
    # Last, so that an interrupted growth is begun again.
    _write_meta(directory, n_rows, size)


def _file(directory: Path, name: str) -> Path:
    return directory / f"{name}.bin"


def _file_bytes(spec: ArraySpec, n_rows: int) -> int:
    # An empty file cannot be mapped.
    return _row_bytes(spec) * max(n_rows, 1)


def _row_bytes(spec: ArraySpec) -> int:
    return np.dtype(spec.dtype).itemsize * math.prod(spec.shape)


def _write_meta(directory: Path, n_rows: int, size: int) -> None:
    temporary = directory / f"{META}.tmp"
    temporary.write_text(json.dumps({"n_rows": n_rows, "size": size, "format": WORKSPACE_VERSION}), encoding="utf-8")
    temporary.replace(directory / META)


def count_rows(directory: Path, size: int) -> int | None:
    """Return how many rows the workspace of `directory` has; None if it is damaged, or of another size or version."""
    try:
        meta = json.loads((directory / META).read_text(encoding="utf-8"))
        n_rows: int = meta["n_rows"]
        _check_files(directory, n_rows, size)
        _load_basis(directory)
    except (OSError, ValueError, KeyError, TypeError, EOFError, StoreError, zipfile.BadZipFile):
        return None
    return n_rows if (meta["size"], meta["format"]) == (size, WORKSPACE_VERSION) else None


def _load_basis(directory: Path) -> Basis:
    with np.load(directory / BASIS) as arrays:
        return Basis(**arrays)


def row_bytes(size: int) -> int:
    """Return the bytes that one image of `size` pixels takes."""
    return sum(map(_row_bytes, plan_arrays(size).values()))


def copy_rows(directory: Path, source: NDArray[np.int64], target: NDArray[np.int64]) -> None:
    """Copy the images of the rows `source` to the rows `target`, (n,) each; the two have no row in common.

    Raises:
        StoreError: there is no intact workspace.
    """
    workspace = open_workspace(directory, write=True)
    for array in workspace.arrays.values():
        for one, other in zip(source, target, strict=True):
            array[other] = array[one]
    flush_workspace(directory)


def truncate_workspace(directory: Path, n_rows: int) -> None:
    """Keep only the first `n_rows` rows. The others must not be in use.

    Raises:
        StoreError: there is no intact workspace.
    """
    size = open_workspace(directory).size
    _write_meta(directory, n_rows, size)
    for name, spec in plan_arrays(size).items():
        os.truncate(_file(directory, name), _file_bytes(spec, n_rows))


def open_workspace(directory: Path, *, write: bool = False) -> Workspace:
    """Map the arrays of `directory`; changes to them reach the files only with `write`.

    Raises:
        StoreError: `create_workspace` was not completed there, or a file has been cut short since.
    """
    meta = directory / META
    try:
        description = json.loads(meta.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StoreError(f"{directory} holds no workspace: call create_workspace first") from None
    n_rows, size = description["n_rows"], description["size"]
    # A file that was cut short could be mapped, but reading what is missing would end the process.
    _check_files(directory, n_rows, size)
    if write or n_rows * row_bytes(size) > KEPT_BYTES:
        return _map_arrays(directory, n_rows, size, write=write)
    return _map_once(directory, n_rows, size, meta.stat().st_mtime_ns)


def _check_files(directory: Path, n_rows: int, size: int) -> None:
    for name, spec in plan_arrays(size).items():
        file, expected = _file(directory, name), _file_bytes(spec, n_rows)
        try:
            # Opened, and not only examined: then a network file system drops cached pages that another machine has
            # changed.
            with file.open("rb") as opened:
                found = os.fstat(opened.fileno()).st_size
        except FileNotFoundError:
            found = 0
        if found < expected:
            raise StoreError(f"{file} has {found} bytes and not {expected}: run again, and it is made anew")


def flush_workspace(directory: Path) -> None:
    """Return when everything that was prepared so far is on the disk."""
    for file in directory.glob("*.bin"):
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _map_arrays(directory: Path, n_rows: int, size: int, *, write: bool) -> Workspace:
    # Readers map copies on write: they cannot change the files, and the kernels are compiled for one type of array.
    mode: Any = "r+" if write else "c"
    arrays = {
        name: np.asarray(
            np.memmap(_file(directory, name), dtype=spec.dtype, mode=mode, shape=(max(n_rows, 1), *spec.shape))
        )
        for name, spec in plan_arrays(size).items()
    }
    return Workspace(n_rows, size, arrays)


@lru_cache(maxsize=1)
def _map_once(directory: Path, n_rows: int, size: int, _created_ns: int) -> Workspace:
    """Return one mapping for all batches of this process: with a new one, every page would cost a page fault again."""
    return _map_arrays(directory, n_rows, size, write=False)


@cache
def keep_blas_single_threaded() -> None:
    """Limit BLAS to one thread in this process: the threads that call it are the parallelism.

    For good: if it was allowed more threads again between two uses, those would wait busily for work, and occupy a
        core.
    """
    threadpool_limits(limits=1, user_api="blas")


def prepare_images(directory: Path, rows: NDArray[np.int64], thumbnails: NDArray[np.uint8]) -> None:
    """Store thumbnails, with everything that joins need of them.

    Idempotent; safe in threads, processes and machines at once on rows that do not overlap. Rows of two batches share
    pages, so
    they are written to the files and not to mappings of them: on a network file system, a machine that changes a mapped
    page writes all of it back, with the neighbours' rows as they were before.

    Args:
        directory: a workspace.
        rows: (m,) integers, the rows to store them in.
        thumbnails: (m, size, size, 3) uint8.

    Raises:
        StoreError: there is no intact workspace.
    """
    keep_blas_single_threaded()
    size = open_workspace(directory).size
    made = (directory / BASIS).stat()
    prepare = _make_preparer(directory, size, tuple(bounds.BOUNDS), (made.st_ino, made.st_mtime_ns))
    specs, scratch = plan_arrays(size), Scratch(size)
    with ExitStack() as stack:
        files = {name: stack.enter_context(_file(directory, name).open("r+b", buffering=0)) for name in specs}
        for row, thumbnail in zip(rows.tolist(), thumbnails, strict=True):
            for name, value in prepare(thumbnail, scratch).items():
                content = np.ascontiguousarray(value, specs[name].dtype).reshape(specs[name].shape)
                _write(files[name].fileno(), content.data.cast("B"), row * content.nbytes)


def _write(descriptor: int, content: memoryview, offset: int) -> None:
    """Write all of `content`: the system may take less of it at a time."""
    while content:
        written = os.pwrite(descriptor, content, offset)
        content, offset = content[written:], offset + written


@lru_cache(maxsize=1)
def _make_preparer(
    directory: Path, size: int, kinds: tuple[Bound, ...], _of_basis: tuple[int, int]
) -> Callable[[NDArray[np.uint8], Scratch], dict[str, Any]]:
    """Return the function that computes what is stored of a thumbnail, by name of the array.

    It is used in many threads at once. What it holds of the workspace takes a millisecond or two to compute: it is kept,
    for the basis that has this inode and time.
    """
    basis = _load_basis(directory)
    preparers = [bound.make_preparer(size, basis) for bound in kinds]

    def prepare(thumbnail: NDArray[np.uint8], scratch: Scratch) -> dict[str, Any]:
        image = MeasuredImage(thumbnail, basis, scratch)
        prepared: dict[str, Any] = {
            "pixels": image.pixels,
            "grey": image.is_grey,
            "structured": image.is_structured,
            "digests": np.frombuffer(_digest(image.thumbnail), np.uint8),
        }
        if image.grey_pixels is not None:
            # Not stored of an image in colour: its row is a hole of the file.
            prepared["grey_pixels"] = image.grey_pixels
        for preparer in preparers:
            prepared |= preparer(image)
        return prepared

    return prepare


def load_thumbnail(directory: Path, row: int) -> NDArray[np.uint8]:
    """Return the (size, size, 3) uint8 thumbnail of `row`.

    Raises:
        StoreError: there is no intact workspace.
    """
    return restore_thumbnail(open_workspace(directory).pixels[row])


def read_thumbnails(
    directory: Path, size: int, rows: Sequence[int], digests: Sequence[bytes]
) -> list[NDArray[np.uint8] | None]:
    """Return the (size, size, 3) uint8 thumbnails of `rows` that have these `digests`; None for a row that holds another.

    For rows that may be filled anew, moved or removed meanwhile: they are read and not mapped, because a file that is
    mapped must not be cut short, and each is checked. Without a workspace there is None for each.
    """
    row_pixels = np.empty(plan_arrays(size)["pixels"].shape, np.uint8)
    found: list[NDArray[np.uint8] | None] = [None] * len(rows)
    with suppress(OSError), _file(directory, "pixels").open("rb", buffering=0) as file:
        for i, (row, digest) in enumerate(zip(rows, digests, strict=True)):
            file.seek(row * row_pixels.nbytes)
            if file.readinto(row_pixels.data) == row_pixels.nbytes:
                thumbnail = restore_thumbnail(row_pixels)
                found[i] = thumbnail if _digest(thumbnail) == digest else None
    return found


def _digest(thumbnail: NDArray[np.uint8]) -> bytes:
    return hashlib.blake2b(thumbnail.data, digest_size=DIGEST_BYTES).digest()
