"""A picture averaged down to a thumbnail, to the bit as OpenCV does it, in a sixth of its time.

OpenCV's `resize(..., INTER_AREA)` has a general path for pictures that shrink in both directions, and not both by a whole
number. There a pixel of the thumbnail is the mean of the rectangle that it covers: of each row of pixels a sum of values
times float32 weights, of these sums one times the weights of the rows, each sum in order, in float32, and each product
rounded before it is added; at the end it is rounded to even. (`computeResizeAreaTab` and `ResizeArea_Invoker` in
modules/imgproc/src/resize.cpp of OpenCV 4.10 to 5.0.)

OpenCV takes one value after the other along a row, where no two belong to the same weight. Here LANES rows are taken at
once: their bytes are transposed, so that a weight belongs to a whole vector, and the sums are transposed back.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

LANES = 16
"""Rows of pixels at a time, and columns of the tiles that are transposed."""

FEWEST = LANES
"""What has fewer rows or columns is not resized here."""

_INDEX, _LANE = ir.IntType(64), ir.IntType(32)
_LANES = ir.VectorType(_LANE, LANES)
_FLOATS = ir.VectorType(ir.FloatType(), LANES)


def shrink_area(
    pixels: NDArray[np.uint8],
    thumbnail_out: NDArray[np.uint8],
    height: int = 0,
    top: int = 0,
    rows: tuple[int, int] | None = None,
) -> None:
    """Write to `thumbnail_out` what OpenCV's general path of INTER_AREA makes of a picture; of grey, three equal channels.

    Args:
        pixels: (h, w) or (h, w, 3) uint8, C-contiguous; of a picture of which no side is shorter than the thumbnail's, all
            rows or a band of at least FEWEST.
        thumbnail_out: (height, width, 3) uint8, C-contiguous.
        height: of the picture; 0 if it is that of `pixels`.
        top: the row of the picture with which `pixels` begins.
        rows: of the thumbnail, the first to write and the one behind the last; None for all. They cover no rows of the picture but those of `pixels`.

    Raises:
        ValueError: there are too few pixels.
    """
    found, width, *rest = pixels.shape
    height = height or found
    if min(height - len(thumbnail_out), width - thumbnail_out.shape[1], min(found, width) - FEWEST) < 0:
        raise ValueError(f"{found} x {width} pixels, fewer than {FEWEST} or than those of {thumbnail_out.shape}")
    first, last = rows or (0, len(thumbnail_out))
    _shrink(pixels.reshape(-1), found, rest[0] if rest else 1, thumbnail_out, height, top, first, last)


@njit(nogil=True, cache=True)
def _plan(source: int, target: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return which of `source` pixels in a line `target` pixels cover: the first, how many, and (target, most) the weights."""
    # As OpenCV computes it, in double precision.
    scale = 1.0 / (target / source)
    first, count = np.empty(target, np.int64), np.zeros(target, np.int64)
    weights = np.zeros((target, int(np.ceil(scale)) + 2), np.float32)
    for pixel in range(target):
        begin, end = pixel * scale, pixel * scale + scale
        covered = min(scale, source - begin)
        last_whole = min(int(np.floor(end)), source - 1)
        first_whole = min(int(np.ceil(begin)), last_whole)
        first[pixel], n = first_whole, 0
        if first_whole - begin > 1e-3:
            first[pixel] -= 1
            weights[pixel, n] = (first_whole - begin) / covered
            n += 1
        for _ in range(first_whole, last_whole):
            weights[pixel, n] = 1.0 / covered
            n += 1
        if end - last_whole > 1e-3:
            weights[pixel, n] = min(end - last_whole, 1.0, covered) / covered
            n += 1
        count[pixel] = n
    return first, count, weights


@njit(nogil=True, cache=True)
def _shrink(
    pixels: NDArray[np.uint8],
    found: int,
    channels: int,
    thumbnail_out: NDArray[np.uint8],
    height: int,
    top: int,
    y: int,
    end: int,
) -> None:
    """Resize `found` rows, (found * width * channels,) uint8, to the rows `y` to `end` of the thumbnail; see `shrink_area`."""
    length, target = pixels.size // found, thumbnail_out.shape[1] * channels
    columns = _plan(length // channels, thumbnail_out.shape[1])
    first, count, weights = _plan(height, len(thumbnail_out))
    most, weight = weights.shape[1], weights.ravel()
    padded = (target + LANES - 1) // LANES * LANES
    transposed = np.empty(length * LANES, np.uint8)
    sums, rows = np.zeros(padded * LANES, np.float32), np.empty(padded * LANES, np.float32)
    total = np.zeros(padded, np.float32)
    # Of the thumbnail's row `y`, `done` of the rows that it covers have been added to `total`.
    done = 0
    while y < end:
        begin = min(first[y] - top + done, found - LANES)
        _sum_rows(pixels, begin, length, channels, columns, transposed, sums)
        for column in range(0, padded, LANES):
            transpose(sums, column * LANES, LANES, rows, column, padded)
        while y < end:
            ready = min(count[y], begin + LANES - (first[y] - top))
            row = (first[y] - top + done - begin) * padded
            for column in range(0, padded, LANES):
                add_weighted(rows, row + column, padded, weight, y * most + done, ready - done, total, column, done > 0)
            done = ready
            if done < count[y]:
                break
            _round(total, thumbnail_out[y], target)
            y, done = y + 1, 0


@njit(nogil=True, cache=True)
def _sum_rows(
    pixels: NDArray[np.uint8],
    begin: int,
    length: int,
    channels: int,
    columns: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]],
    transposed: NDArray[np.uint8],
    sums_out: NDArray[np.float32],
) -> None:
    """Resize LANES rows of `length` bytes from the row `begin` in their length: value i of row k is `sums_out[i * LANES + k]`.

    `columns` are of `_plan`; `transposed`, (length * LANES,) uint8, is overwritten.
    """
    for column in range(0, length, LANES):
        # The last tile overlaps the one before it.
        byte = min(column, length - LANES)
        transpose(pixels, begin * length + byte, length, transposed, byte * LANES, LANES)
    first, count, weights = columns
    most, weight = weights.shape[1], weights.ravel()
    for x in range(len(first)):
        for channel in range(channels):
            start = (first[x] * channels + channel) * LANES
            value = (x * channels + channel) * LANES
            add_weighted(transposed, start, channels * LANES, weight, x * most, count[x], sums_out, value, False)


@njit(nogil=True, cache=True)
def _round(total: NDArray[np.float32], row_out: NDArray[np.uint8], target: int) -> None:
    """Write the first `target` sums to a row of the thumbnail, rounded to even."""
    values = row_out.reshape(-1)
    if target == values.size:
        for i in range(target):
            values[i] = np.uint8(min(np.rint(total[i]), np.float32(255)))
    else:
        for i in range(target):
            for channel in range(3):
                values[3 * i + channel] = np.uint8(min(np.rint(total[i]), np.float32(255)))


def transpose(
    source: NDArray[Any], begin: int, stride: int, target: NDArray[Any], target_begin: int, target_stride: int
) -> None:
    """Write LANES rows of LANES values of `source` to `target`, of the same type, as columns.

    The rows begin at `begin` and are `stride` apart, the columns likewise. This body defines the result and is what runs
    without numba's JIT.
    """
    tile = np.stack([source[begin + k * stride :][:LANES] for k in range(LANES)])
    for k in range(LANES):
        target[target_begin + k * target_stride :][:LANES] = tile[:, k]


def add_weighted(
    values: NDArray[Any],
    begin: int,
    stride: int,
    weights: NDArray[np.float32],
    weights_begin: int,
    count: int,
    sums: NDArray[np.float32],
    sums_begin: int,
    goes_on: bool,
) -> None:
    """Write the sums of `count` times LANES values, each times its weight, to `sums`; if it goes on, add them to what is there.

    The values, uint8 or float32, begin at `begin` and are `stride` apart, the weights follow each other. Each product and
    each sum is rounded. This body defines the result and is what runs without numba's JIT.
    """
    own = sums[sums_begin:][:LANES]
    if not goes_on:
        own[:] = 0
    for k in range(count):
        own += values[begin + k * stride :][:LANES].astype(np.float32) * weights[weights_begin + k]


def _data(context: Any, builder: Any, signature: Any, arguments: Any, argument: int) -> Any:
    return context.make_array(signature.args[argument])(context, builder, arguments[argument]).data


def _vector_at(builder: Any, data: Any, offset: Any) -> Any:
    """Return a pointer to the LANES values at `offset`."""
    vector = ir.VectorType(data.type.pointee, LANES)
    return builder.bitcast(builder.gep(data, [offset]), vector.as_pointer())


def _alignment(array: Any) -> int:
    """Return the bytes of one value: vectors are aligned no better."""
    return int(array.dtype.bitwidth) // 8


def _interleave(builder: Any, rows: list[Any]) -> list[Any]:
    """Return LANES vectors transposed: by interleaving the first half with the second, log2(LANES) times."""
    half = LANES // 2
    low, high = (ir.Constant(_LANES, [start + k // 2 + LANES * (k % 2) for k in range(LANES)]) for start in (0, half))
    for _ in range(LANES.bit_length() - 1):
        pairs = zip(rows[:half], rows[half:], strict=True)
        rows = [builder.shuffle_vector(*pair, mask) for pair in pairs for mask in (low, high)]
    return rows


@intrinsic
def _transpose(
    typingctx: Any,  # noqa: ARG001
    source: Any,
    begin: Any,  # noqa: ARG001
    stride: Any,  # noqa: ARG001
    target: Any,
    target_begin: Any,  # noqa: ARG001
    target_stride: Any,  # noqa: ARG001
) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        read, write = (_data(context, builder, signature, arguments, argument) for argument in (0, 3))
        offset, rows = arguments[1], []
        for _ in range(LANES):
            rows.append(builder.load(_vector_at(builder, read, offset), align=_alignment(source)))
            offset = builder.add(offset, arguments[2])
        offset = arguments[4]
        for row in _interleave(builder, rows):
            builder.store(row, _vector_at(builder, write, offset), align=_alignment(target))
            offset = builder.add(offset, arguments[5])
        return context.get_dummy_value()

    integer = types.intp
    return types.none(source, integer, integer, target, integer, integer), generate


@overload(transpose)
def _overload_transpose(
    source: Any,  # noqa: ARG001
    begin: Any,  # noqa: ARG001
    stride: Any,  # noqa: ARG001
    target: Any,  # noqa: ARG001
    target_begin: Any,  # noqa: ARG001
    target_stride: Any,  # noqa: ARG001
) -> Any:
    def implementation(source: Any, begin: Any, stride: Any, target: Any, target_begin: Any, target_stride: Any) -> Any:
        _transpose(source, begin, stride, target, target_begin, target_stride)  # type: ignore[call-arg]

    return implementation


@intrinsic
def _add_weighted(
    typingctx: Any,  # noqa: ARG001
    values: Any,
    begin: Any,  # noqa: ARG001
    stride: Any,  # noqa: ARG001
    weights: Any,
    weights_begin: Any,  # noqa: ARG001
    count: Any,  # noqa: ARG001
    sums: Any,
    sums_begin: Any,  # noqa: ARG001
    goes_on: Any,  # noqa: ARG001
) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        read, weight, write = (_data(context, builder, signature, arguments, argument) for argument in (0, 3, 6))
        own = _vector_at(builder, write, arguments[7])
        zero, undefined = ir.Constant(_FLOATS, [0.0] * LANES), ir.Constant(_FLOATS, ir.Undefined)
        everywhere = ir.Constant(_LANES, [0] * LANES)
        # The optimiser keeps it in a register, since nothing else refers to it.
        total = cgutils.alloca_once(builder, _FLOATS)  # type: ignore[no-untyped-call]
        builder.store(builder.select(arguments[8], builder.load(own, align=_alignment(sums)), zero), total)
        with cgutils.for_range(builder, arguments[5]) as loop:
            offset = builder.add(arguments[1], builder.mul(loop.index, arguments[2]))
            value = builder.load(_vector_at(builder, read, offset), align=_alignment(values))
            if isinstance(values.dtype, types.Integer):
                value = builder.uitofp(value, _FLOATS)
            scalar = builder.load(builder.gep(weight, [builder.add(arguments[4], loop.index)]))
            single = builder.insert_element(undefined, scalar, ir.Constant(_LANE, 0))
            # Without any flag, neither is the product contracted with the sum nor the order changed.
            product = builder.fmul(value, builder.shuffle_vector(single, undefined, everywhere))
            builder.store(builder.fadd(builder.load(total), product), total)
        builder.store(builder.load(total), own, align=_alignment(sums))
        return context.get_dummy_value()

    integer = types.intp
    integers = integer, integer
    signature = types.none(values, *integers, weights, *integers, sums, integer, types.boolean)
    return signature, generate


@overload(add_weighted)
def _overload_add_weighted(
    values: Any,  # noqa: ARG001
    begin: Any,  # noqa: ARG001
    stride: Any,  # noqa: ARG001
    weights: Any,  # noqa: ARG001
    weights_begin: Any,  # noqa: ARG001
    count: Any,  # noqa: ARG001
    sums: Any,  # noqa: ARG001
    sums_begin: Any,  # noqa: ARG001
    goes_on: Any,  # noqa: ARG001
) -> Any:
    def implementation(
        values: Any,
        begin: Any,
        stride: Any,
        weights: Any,
        weights_begin: Any,
        count: Any,
        sums: Any,
        sums_begin: Any,
        goes_on: Any,
    ) -> Any:
        _add_weighted(  # type: ignore[call-arg]
            values, begin, stride, weights, weights_begin, count, sums, sums_begin, goes_on
        )

    return implementation
