"""The pixels of a workspace: as the kernels read them while a run is at work, and packed between two runs.

To unpack a thumbnail takes longer than to refine the bounds of fifty pairs. So nothing is packed while pairs are compared:

    prepare_images  ->  pixels, and `unpacked` is 1          what was decoded is there as it is read
    restore_pixels  ->  pixels, for this process alone       what an earlier run packed, once it is asked for
    settle_pixels   ->  packed; `pixels` become a hole       when the last run that has the workspace open is over

What `restore_pixels` wrote is not marked in the files: another machine could see the mark before the pixels. Each process
knows what it has written, and writes the same bytes as any other.

A file system takes no space for holes. In `packed`, each row has room for noise, and what its image does not need of that is
a hole. When a row is packed anew, the pages that it needs no more become one again, where the system can make holes (ext4,
XFS, btrfs and tmpfs can, on Linux); elsewhere, a row takes what the largest that it ever held took.
"""

import math
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imagetwins.errors import StoreError
from imagetwins.ssim.packing import pack, unpack
from imagetwins.ssim.windows import (
    allocate_pixels,
    fill_channels,
    merge_channels,
    plan_layout,
    restore_channels,
    restore_thumbnail,
    split_channels,
)
from imagetwins.ssim.workspace import (
    GREY_PIXELS,
    PACKED,
    PACKED_BYTES,
    PAGE,
    PIXELS,
    UNPACKED,
    Workspace,
    digest_thumbnail,
    empty_array,
    file_of,
    flushing,
    open_workspace,
    plan_arrays,
    renew_state,
    state_of,
    write_at,
)

AT_ONCE = 64
"""Thumbnails that are asked for together, or packed by a thread."""

PixelSource = Callable[[Sequence[int]], Sequence[NDArray[np.uint8] | None]]
"""Returns the (size, size, 3) uint8 thumbnails of some workspace rows; None for one that cannot be had any more."""


def restore_pixels(workspace: Workspace, rows: NDArray[np.int64], load: PixelSource | None = None) -> None:
    """Have the pixels of `rows` in `Workspace.pixels`, and in `Workspace.grey_pixels`, for this process.

    Safe in threads, processes and machines at once: whoever writes the pixels of a row writes the same bytes.

    Args:
        workspace: in which these rows are prepared.
        rows: (n,) int64; a row may be there often.
        load: where pixels come from that are not kept.

    Raises:
        StoreError: a thumbnail is damaged, cannot be had, or is another than the row's.
    """
    directory = workspace.directory
    restored = _restored_rows(directory, workspace.n_rows, state_of(directory))
    is_missing = (workspace.unpacked[rows] == 0) & ~restored[rows]
    if not is_missing.any():
        return
    missing = np.unique(rows[is_missing])
    with _open_arrays(directory, (PIXELS, GREY_PIXELS), "r+b") as files:
        for start in range(0, len(missing), AT_ONCE):
            some = missing[start : start + AT_ONCE]
            is_packed = workspace.packed_bytes[some] > 0
            for row in some[is_packed].tolist():
                _write_pixels(workspace, row, unpack_row(workspace, row), files)
            _load_pixels(workspace, some[~is_packed].tolist(), load, files)
            restored[some] = True


@lru_cache(maxsize=4)
def _restored_rows(_directory: Path, n_rows: int, _state: tuple[int, int]) -> NDArray[np.bool_]:
    """Return, of a workspace in one state, which rows this process has restored: (n_rows,) bool, to be changed."""
    return np.zeros(max(n_rows, 1), np.bool_)


def unpack_row(workspace: Workspace, row: int) -> NDArray[np.uint8]:
    """Return the channels of a packed thumbnail, (3, size, size) uint8.

    Raises:
        StoreError: it is damaged.
    """
    try:
        return unpack(workspace.packed[row, : workspace.packed_bytes[row]], workspace.size)
    except OSError as error:
        raise StoreError(f"row {row} of the cache is damaged ({error}): remove the cache, and run again") from error


def _load_pixels(workspace: Workspace, rows: list[int], load: PixelSource | None, files: list[int]) -> None:
    """Store the pixels of rows that are not even packed; see `restore_pixels`."""
    if not rows:
        return
    if load is None:
        raise StoreError(f"the pixels of row {rows[0]} of the cache are not kept: remove the cache, and run again")
    for row, thumbnail in zip(rows, load(rows), strict=True):
        contiguous = None if thumbnail is None else np.ascontiguousarray(thumbnail)
        if contiguous is None or digest_thumbnail(contiguous) != workspace.digests[row].tobytes():
            raise StoreError("a picture whose pixels are not kept has changed or gone: run again on what is there")
        _write_pixels(workspace, row, split_channels(contiguous), files)


def _write_pixels(workspace: Workspace, row: int, channels: NDArray[np.uint8], files: list[int]) -> None:
    """Store a thumbnail in the layout of three channels and, if it is grey, also in that of one."""
    for file, of_layout in zip(files, (3, 1) if workspace.grey[row] else (3,), strict=False):
        layout = plan_layout(workspace.size, of_layout)
        pixels = allocate_pixels(layout)
        fill_channels(channels, layout, pixels)
        write_at(file, pixels.data.cast("B"), row * pixels.nbytes)


def settle_pixels(directory: Path, *, keep: bool, workers: int) -> None:
    """Pack the pixels of all images, or forget them, and give back the space of what is not packed.

    Killed at any point, it leaves all pixels there, packed or not; without `keep`, there may be less. No other process may
    have the workspace open.

    Raises:
        StoreError: there is no intact workspace.
    """
    workspace = open_workspace(directory)
    if keep:
        loaded = _restored_rows(directory, workspace.n_rows, state_of(directory)) & (workspace.packed_bytes == 0)
        new = np.flatnonzero(loaded | (workspace.unpacked == 1))
        parts = [new[start : start + AT_ONCE] for start in range(0, len(new), AT_ONCE)]
        with flushing(directory) as flush_behind, ThreadPoolExecutor(workers) as pool:
            for _ in pool.map(lambda part: _pack_rows(directory, workspace, part), parts):
                flush_behind()
    renew_state(directory)
    # Of each kind, the marks first: none may stand where nothing is any more.
    for name in (UNPACKED, PIXELS, GREY_PIXELS) if keep else (UNPACKED, PIXELS, GREY_PIXELS, PACKED_BYTES, PACKED):
        empty_array(directory, name)


def _pack_rows(directory: Path, workspace: Workspace, rows: NDArray[np.int64]) -> None:
    room, lengths = workspace.packed.shape[1], np.zeros(1, np.uint32)
    with _open_arrays(directory, (PACKED, PACKED_BYTES), "r+b") as (packed, packed_bytes):
        for row in rows.tolist():
            content = pack(restore_channels(workspace.pixels[row]), is_grey=bool(workspace.grey[row]))
            write_at(packed, memoryview(content), row * room)
            _make_hole(packed, row * room + -(-len(content) // PAGE) * PAGE, (row + 1) * room)
            lengths[0] = len(content)
            write_at(packed_bytes, lengths.data.cast("B"), row * lengths.nbytes)


def _make_hole(descriptor: int, start: int, stop: int) -> None:
    """Give back the space between two pages of a file, if the system can do that."""
    # A mapping of no bytes would be one of all that follow.
    if start >= stop:
        return
    with suppress(OSError, ValueError, AttributeError), mmap.mmap(descriptor, stop - start, offset=start) as mapped:
        mapped.madvise(mmap.MADV_REMOVE)


@contextmanager
def _open_arrays(directory: Path, names: Sequence[str], mode: str) -> Iterator[list[int]]:
    """Yield the descriptors of the files of some arrays."""
    with ExitStack() as stack:
        files = [stack.enter_context(file_of(directory, name).open(mode, buffering=0)) for name in names]
        yield [file.fileno() for file in files]


def load_thumbnail(directory: Path, row: int) -> NDArray[np.uint8]:
    """Return the (size, size, 3) uint8 thumbnail of `row`.

    Raises:
        StoreError: there is no intact workspace, or it does not keep the pixels.
    """
    workspace = open_workspace(directory)
    restore_pixels(workspace, np.array([row]))
    return restore_thumbnail(workspace.pixels[row])


def read_thumbnails(
    directory: Path, size: int, rows: Sequence[int], digests: Sequence[bytes]
) -> list[NDArray[np.uint8] | None]:
    """Return the (size, size, 3) uint8 thumbnails of `rows` that have these `digests`; None for a row that holds another.

    For rows that may be filled anew, packed, moved or removed meanwhile: they are read and not mapped, because a file that
    is mapped must not be cut short, and each is checked. Without a workspace there is None for each.
    """
    found: list[NDArray[np.uint8] | None] = [None] * len(rows)
    with suppress(OSError), _open_arrays(directory, (PACKED_BYTES, PACKED, PIXELS), "rb") as files:
        for i, (row, digest) in enumerate(zip(rows, digests, strict=True)):
            for thumbnail in _iter_stored(files, size, row):
                if digest_thumbnail(thumbnail) == digest:
                    found[i] = thumbnail
                    break
    return found


def _iter_stored(files: list[int], size: int, row: int) -> Iterator[NDArray[np.uint8]]:
    """Yield what is stored in a row, packed and not, whatever it is; `files` are open."""
    packed_bytes, packed, pixels = files
    specs = plan_arrays(size)
    length = int.from_bytes(os.pread(packed_bytes, 4, 4 * row), "little")
    with suppress(OSError):
        content = np.frombuffer(os.pread(packed, length, row * specs[PACKED].shape[0]), np.uint8)
        if length:
            yield merge_channels(unpack(content, size))
    shape = specs[PIXELS].shape
    stored = np.frombuffer(os.pread(pixels, math.prod(shape), row * math.prod(shape)), np.uint8)
    if stored.size == math.prod(shape):
        yield restore_thumbnail(stored.reshape(shape))
