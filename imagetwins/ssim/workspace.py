"""The memory-mapped arrays of prepared images: one row for each image, written once, read by every tile of every join.

The files are sparse and mapped, so memory is limited to what the current tiles use, whatever the size of the folder.
Beside the arrays of the thumbnails themselves there are those that the bounds keep (`Bound.arrays`). The pixels are there
as the kernels read them while a run is at work, and packed between two runs (pixels.py).
"""

import errno
import hashlib
import json
import math
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
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
from imagetwins.ssim.packing import largest_packed
from imagetwins.ssim.windows import plan_layout

DIGEST_BYTES = 16
"""Bytes of the digest of a thumbnail, by which identical ones are found."""

KEPT_BYTES = 1 << 30
"""Workspaces up to this size stay mapped between batches; all pages of larger ones would count as used memory."""

WORKSPACE_VERSION = 13
"""Version of the arrays' meaning: raise it when what is stored changes. A workspace of another version is made anew."""

META, BASIS = "workspace.json", "basis.npz"

PIXELS, GREY_PIXELS, UNPACKED = "pixels", "grey_pixels", "unpacked"
"""The arrays of the pixels that are not packed."""

PACKED, PACKED_BYTES = "packed", "packed_bytes"
"""The arrays of those that are."""

PAGE = 4096
"""File systems take no space for whole pages of so many bytes in which nothing was written."""


@dataclass(frozen=True)
class Workspace:
    """The mapped arrays of one directory.

    Attributes:
        directory: where they are.
        n_rows: how many images there is room for.
        size: side of the thumbnails, in pixels.
        arrays: all arrays by name, with a row for each image; see `plan_arrays`.
    """

    directory: Path
    n_rows: int
    size: int
    arrays: Arrays

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """(n, groups, size, pixel_width) uint8, the thumbnails in the layout of three channels, where `unpacked`."""
        return self.arrays[PIXELS]

    @property
    def grey_pixels(self) -> NDArray[np.uint8]:
        """(n, groups, size, pixel_width) uint8, the grey thumbnails in the layout of one channel, where `unpacked`."""
        return self.arrays[GREY_PIXELS]

    @property
    def unpacked(self) -> NDArray[np.uint8]:
        """(n,) uint8, 1 where the pixels are those of the thumbnail; else it is packed, or its pixels are not kept."""
        return self.arrays[UNPACKED]

    @property
    def packed(self) -> NDArray[np.uint8]:
        """(n, bytes) uint8, the packed thumbnails; the rest of each row is a hole of the file."""
        return self.arrays[PACKED]

    @property
    def packed_bytes(self) -> NDArray[np.uint32]:
        """(n,) uint32, how many bytes of `packed` are in use; 0 of a thumbnail that is not packed."""
        return self.arrays[PACKED_BYTES]

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
        PIXELS: ArraySpec(np.uint8, (colour[0], size, colour[1])),
        GREY_PIXELS: ArraySpec(np.uint8, (grey[0], size, grey[1])),
        UNPACKED: ArraySpec(np.uint8, ()),
        PACKED: ArraySpec(np.uint8, (-(-largest_packed(size) // PAGE) * PAGE,)),
        PACKED_BYTES: ArraySpec(np.uint32, ()),
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

    Raises:
        StoreError: the file system makes no such files.
    """
    found = count_rows(directory, size)
    if found is None:
        shutil.rmtree(directory, ignore_errors=True)
    elif found >= n_rows:
        return
    directory.mkdir(parents=True, exist_ok=True)
    for name, spec in plan_arrays(size).items():
        with file_of(directory, name).open("ab") as file:
            try:
                file.truncate(_file_bytes(spec, n_rows))
            except OSError as error:
                raise _not_usable(directory, f"have holes or {_file_bytes(spec, n_rows):,} bytes", error) from None
    if not (directory / BASIS).exists():
        # With a thread for each core, and those busy with other work, it takes a second or two instead of 0.05.
        keep_blas_single_threaded()
        np.savez(directory / BASIS, **make_basis()._asdict())
    # Last, so that an interrupted growth is begun again.
    _write_meta(directory, n_rows, size)


def file_of(directory: Path, name: str) -> Path:
    """Return the file of an array."""
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


def row_bytes(size: int, *, with_pixels: bool = True) -> int:
    """Return the bytes that one image of `size` pixels takes between two runs, about: photographs are packed to half."""
    specs, of_pixels = plan_arrays(size), {PIXELS, GREY_PIXELS, PACKED}
    rest = sum(_row_bytes(spec) for name, spec in specs.items() if name not in of_pixels)
    return rest + with_pixels * size * size * 3 // 2


def working_row_bytes(size: int) -> int:
    """Return the bytes that one takes while a run is at work, at most, about: its pixels, and what is kept of them."""
    specs = plan_arrays(size)
    return row_bytes(size) + _row_bytes(specs[PIXELS]) + _row_bytes(specs[GREY_PIXELS])


def copy_rows(directory: Path, source: NDArray[np.int64], target: NDArray[np.int64]) -> None:
    """Copy the images of the rows `source` to the rows `target`, (n,) each; the two have no row in common.

    Raises:
        StoreError: there is no intact workspace.
    """
    workspace = open_workspace(directory, write=True)
    for one, other in zip(source.tolist(), target.tolist(), strict=True):
        used = {PACKED: workspace.packed_bytes[one], PIXELS: None if workspace.unpacked[one] else 0}
        used[GREY_PIXELS] = None if workspace.unpacked[one] and workspace.grey[one] else 0
        for name, array in workspace.arrays.items():
            if array.ndim == 1:
                array[other] = array[one]
            else:
                # What is not in use is a hole, and stays one.
                array[other, : used.get(name)] = array[one, : used.get(name)]
    flush_workspace(directory)


def truncate_workspace(directory: Path, n_rows: int) -> None:
    """Keep only the first `n_rows` rows. The others must not be in use.

    Raises:
        StoreError: there is no intact workspace.
    """
    size = open_workspace(directory).size
    _write_meta(directory, n_rows, size)
    for name, spec in plan_arrays(size).items():
        os.truncate(file_of(directory, name), _file_bytes(spec, n_rows))


def open_workspace(directory: Path, *, write: bool = False) -> Workspace:
    """Map the arrays of `directory`; changes to them reach the files only with `write`.

    Raises:
        StoreError: `create_workspace` was not completed there, a file has been cut short since, or the file system maps no files.
    """
    meta = directory / META
    try:
        description = json.loads(meta.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StoreError(f"{directory} holds no workspace: call create_workspace first") from None
    n_rows, size = description["n_rows"], description["size"]
    # A file that was cut short could be mapped, but reading what is missing would end the process.
    _check_files(directory, n_rows, size)
    if write or n_rows * working_row_bytes(size) > KEPT_BYTES:
        return _map_arrays(directory, n_rows, size, write=write)
    return _map_once(directory, n_rows, size, state_of(directory))


def state_of(directory: Path) -> tuple[int, int]:
    """Return what changes whenever a workspace is made, grown, cut short, or its pixels are packed."""
    found = (directory / META).stat()
    return found.st_ino, found.st_mtime_ns


def _check_files(directory: Path, n_rows: int, size: int) -> None:
    for name, spec in plan_arrays(size).items():
        file, expected = file_of(directory, name), _file_bytes(spec, n_rows)
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
        _sync(file)


_NO_MAPS = (errno.ENODEV, errno.ENOTSUP, errno.ENOSYS)
"""Errors by which a file system says that it maps no files: some of FUSE."""


@contextmanager
def flushing(directory: Path) -> Iterator[Callable[[], None]]:
    """Provide a function that begins to write what was stored to the disk, while more is made; at the end, all is written.

    It does nothing as long as it is at work: a slow disk is not given more to do. Without it, a thread waits at the end for all of
    that, with no one at work in its place: preparing images took 6 to 14 % longer.

    Raises:
        OSError: the disk is full, or fails.
    """
    with ThreadPoolExecutor(1, "flush") as thread:
        begun: list[Future[None]] = []

        def flush_behind() -> None:
            if not begun or begun[-1].done():
                begun.append(thread.submit(flush_workspace, directory))

        yield flush_behind
    # The system tells of an error only once.
    for flushed in begun:
        flushed.result()
    # Before any table says that they are there.
    flush_workspace(directory)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _not_usable(directory: Path, what: str, error: OSError) -> StoreError:
    return StoreError(
        f"files in {directory} cannot {what} ({error.strerror}), which comparing needs. Name a store on another file system, a disk "
        "of this machine if possible, with --store or IMAGETWINS_STORE."
    )


def _map_arrays(directory: Path, n_rows: int, size: int, *, write: bool) -> Workspace:
    # Readers map copies on write: they cannot change the files, and the kernels are compiled for one type of array.
    mode: Any = "r+" if write else "c"
    try:
        arrays = {
            name: np.asarray(
                np.memmap(file_of(directory, name), dtype=spec.dtype, mode=mode, shape=(max(n_rows, 1), *spec.shape))
            )
            for name, spec in plan_arrays(size).items()
        }
    except OSError as error:
        if error.errno not in _NO_MAPS:
            raise
        raise _not_usable(directory, "be mapped into memory", error) from None
    return Workspace(directory, n_rows, size, arrays)


@lru_cache(maxsize=1)
def _map_once(directory: Path, n_rows: int, size: int, _state: tuple[int, int]) -> Workspace:
    """Return one mapping for all batches of this process: with a new one, every page would cost a page fault again."""
    return _map_arrays(directory, n_rows, size, write=False)


def renew_state(directory: Path) -> None:
    """Change the `state_of` a workspace: what processes know of its pixels, and have mapped, holds no more."""
    description = json.loads((directory / META).read_text(encoding="utf-8"))
    _write_meta(directory, description["n_rows"], description["size"])
    _map_once.cache_clear()


def empty_array(directory: Path, name: str) -> None:
    """Make all of an array 0: a new file that is one hole. A process that has the old one mapped still sees that."""
    file = file_of(directory, name)
    temporary = file.with_suffix(".new")
    with temporary.open("wb") as opened:
        opened.truncate(file.stat().st_size)
    _sync(temporary)
    temporary.replace(file)
    _sync(directory)


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
        files = {name: stack.enter_context(file_of(directory, name).open("r+b", buffering=0)) for name in specs}
        for row, thumbnail in zip(rows.tolist(), thumbnails, strict=True):
            for name, value in prepare(thumbnail, scratch).items():
                content = np.ascontiguousarray(value, specs[name].dtype).reshape(specs[name].shape)
                write_at(files[name].fileno(), content.data.cast("B"), row * content.nbytes)


def write_at(descriptor: int, content: memoryview, offset: int) -> None:
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
            PIXELS: image.pixels,
            UNPACKED: True,
            # What an earlier image of this row was packed to.
            PACKED_BYTES: 0,
            "grey": image.is_grey,
            "structured": image.is_structured,
            "digests": np.frombuffer(digest_thumbnail(image.thumbnail), np.uint8),
        }
        if image.grey_pixels is not None:
            # Not stored of an image in colour: its row is a hole of the file.
            prepared[GREY_PIXELS] = image.grey_pixels
        for preparer in preparers:
            prepared |= preparer(image)
        return prepared

    return prepare


def digest_thumbnail(thumbnail: NDArray[np.uint8]) -> bytes:
    """Return the digest of a contiguous thumbnail, by which identical ones are found."""
    return hashlib.blake2b(thumbnail.data, digest_size=DIGEST_BYTES).digest()
