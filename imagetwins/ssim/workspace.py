"""The memory-mapped arrays of prepared images: one row for each image, written once, read by every tile of every join.

The files are sparse and mapped, so memory is limited to what the current tiles use, whatever the size of the folder.
Beside the arrays of the thumbnails themselves there are those that the bounds keep (`Bound.arrays`).
"""

import hashlib
import json
import math
import mmap
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
from imagetwins.ssim.packing import count_used, count_words, make_code, pack, plan_bands, unpack

DIGEST_BYTES = 16
"""Bytes of the digest of a thumbnail, by which identical ones are found."""

KEPT_BYTES = 1 << 30
"""Workspaces up to this size stay mapped between batches; all pages of larger ones would count as used memory."""

WORKSPACE_VERSION = 13
"""Version of the arrays' meaning: raise it when what is stored changes. A workspace of another version is made anew."""

META, BASIS = "workspace.json", "basis.npz"

PACKED = "packed"
"""The name of the array of packed thumbnails, of whose rows only the beginning is used."""

RESTORED_AT_ONCE = 64
"""Thumbnails that are asked for together."""

PAGE_WORDS = 4096 // 4
"""The words of a page: file systems leave out whole pages where nothing was written."""


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
    def packed(self) -> NDArray[np.uint32]:
        """(n, words) uint32, the thumbnails as packing.py packs them; the rest of each row is a hole of the file."""
        return self.arrays[PACKED]

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

    def find_missing(self, rows: NDArray[np.int64]) -> list[int]:
        """Return those of `rows`, (n,) int64, whose pixels are not kept, each once and sorted."""
        some = np.unique(rows)
        missing: list[int] = some[self.packed[some, 0] == 0].tolist()
        return missing

    def unpack_channels(self, row: int) -> NDArray[np.uint8]:
        """Return the channels of the thumbnail of `row` one after the other: (3, size, size) uint8, contiguous.

        Raises:
            StoreError: it is damaged, or was not stored.
        """
        channels = np.empty((3, self.size, self.size), np.uint8)
        if not unpack(self.packed[row], plan_bands(self.size), make_code(), channels):
            raise StoreError(
                f"the pixels of row {row} of the cache are gone or damaged: remove the cache, and run again"
            )
        return channels

    def unpack_thumbnail(self, row: int) -> NDArray[np.uint8]:
        """Return the thumbnail of `row`, (size, size, 3) uint8, as a view of its channels; raises as `unpack_channels`."""
        return self.unpack_channels(row).transpose(1, 2, 0)


def plan_arrays(size: int) -> dict[str, ArraySpec]:
    """Return what a workspace stores of one thumbnail of `size` pixels, by name of the array."""
    specs = {
        # Rows begin with a page of the file, so that what a row does not use takes no space.
        PACKED: ArraySpec(np.uint32, (-(-count_words(size) // PAGE_WORDS) * PAGE_WORDS,)),
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


def row_bytes(size: int, *, with_pixels: bool = True) -> int:
    """Return the bytes that one image of `size` pixels takes, about: a packed photograph has half of its bytes."""
    specs = plan_arrays(size)
    return with_pixels * size * size * 3 // 2 + sum(_row_bytes(spec) for name, spec in specs.items() if name != PACKED)


def copy_rows(directory: Path, source: NDArray[np.int64], target: NDArray[np.int64]) -> None:
    """Copy the images of the rows `source` to the rows `target`, (n,) each; the two have no row in common.

    Raises:
        StoreError: there is no intact workspace.
    """
    workspace = open_workspace(directory, write=True)
    for name, array in workspace.arrays.items():
        for one, other in zip(source.tolist(), target.tolist(), strict=True):
            if name == PACKED:
                used = count_used(array[one])
                array[other, :used] = array[one, :used]
            else:
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
        name: np.memmap(_file(directory, name), dtype=spec.dtype, mode=mode, shape=(max(n_rows, 1), *spec.shape))
        for name, spec in plan_arrays(size).items()
    }
    # Most often one band is needed: to read what surrounds it would fill the memory with holes.
    mapped: Any = arrays[PACKED].base
    mapped.madvise(mmap.MADV_RANDOM)
    return Workspace(n_rows, size, {name: np.asarray(array) for name, array in arrays.items()})


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
                content = np.ascontiguousarray(value, specs[name].dtype)
                _write(files[name].fileno(), content.data.cast("B"), row * _row_bytes(specs[name]))


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
            PACKED: _pack(image.thumbnail, is_grey=image.is_grey),
            "grey": image.is_grey,
            "structured": image.is_structured,
            "digests": np.frombuffer(_digest(image.thumbnail), np.uint8),
        }
        for preparer in preparers:
            prepared |= preparer(image)
        return prepared

    return prepare


def _pack(thumbnail: NDArray[np.uint8], *, is_grey: bool) -> NDArray[np.uint32]:
    size = len(thumbnail)
    words = np.empty(count_words(size), np.uint32)
    return words[: pack(thumbnail, is_grey, plan_bands(size), make_code(), words)]


def drop_pixels(directory: Path) -> None:
    """Forget the pixels of all images, but nothing else. No other process may have the workspace open."""
    file = _file(directory, PACKED)
    length = file.stat().st_size
    os.truncate(file, 0)
    os.truncate(file, length)


def restore_pixels(
    directory: Path, rows: NDArray[np.int64], load: Callable[[Sequence[int]], Sequence[NDArray[np.uint8] | None]]
) -> None:
    """Store the pixels of those of `rows`, (n,) int64, that have none: see `drop_pixels`.

    Safe in threads, processes and machines at once: whoever stores the pixels of a row stores the same bytes.

    Args:
        directory: a workspace, in which these rows are prepared.
        rows: its rows.
        load: returns the (size, size, 3) uint8 thumbnails of some rows; None for one that cannot be had any more.

    Raises:
        StoreError: a thumbnail cannot be had, or is another than the row's.
    """
    workspace = open_workspace(directory)
    missing = workspace.find_missing(rows)
    if not missing:
        return
    with _file(directory, PACKED).open("r+b") as file:
        for start in range(0, len(missing), RESTORED_AT_ONCE):
            some = missing[start : start + RESTORED_AT_ONCE]
            for row, thumbnail in zip(some, load(some), strict=True):
                if thumbnail is None or _digest(thumbnail) != workspace.digests[row].tobytes():
                    raise StoreError(
                        "a picture whose pixels are not kept has changed or gone: run again on what is there"
                    )
                words = _pack(np.ascontiguousarray(thumbnail), is_grey=bool(workspace.grey[row]))
                _write(file.fileno(), words.data.cast("B"), row * workspace.packed[row].nbytes)


def load_thumbnail(directory: Path, row: int) -> NDArray[np.uint8]:
    """Return the (size, size, 3) uint8 thumbnail of `row`.

    Raises:
        StoreError: there is no intact workspace.
    """
    return open_workspace(directory).unpack_thumbnail(row)


def read_thumbnails(
    directory: Path, size: int, rows: Sequence[int], digests: Sequence[bytes]
) -> list[NDArray[np.uint8] | None]:
    """Return the (size, size, 3) uint8 thumbnails of `rows` that have these `digests`; None for a row that holds another.

    For rows that may be filled anew, moved or removed meanwhile: they are read and not mapped, because a file that is
    mapped must not be cut short, and each is checked. Without a workspace there is None for each.
    """
    bands, code = plan_bands(size), make_code()
    words = np.empty(plan_arrays(size)[PACKED].shape, np.uint32)
    channels = np.empty((3, size, size), np.uint8)
    found: list[NDArray[np.uint8] | None] = [None] * len(rows)
    with suppress(OSError), _file(directory, PACKED).open("rb", buffering=0) as file:
        for i, (row, digest) in enumerate(zip(rows, digests, strict=True)):
            file.seek(row * words.nbytes)
            is_read = file.readinto(words[:1].data) == words[:1].nbytes
            rest = words[1 : count_used(words)]
            if is_read and file.readinto(rest.data) == rest.nbytes and unpack(words, bands, code, channels):
                thumbnail = np.ascontiguousarray(channels.transpose(1, 2, 0))
                found[i] = thumbnail if _digest(thumbnail) == digest else None
    return found


def _digest(thumbnail: NDArray[np.uint8]) -> bytes:
    return hashlib.blake2b(thumbnail.data, digest_size=DIGEST_BYTES).digest()
