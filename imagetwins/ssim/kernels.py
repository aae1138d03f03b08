"""The exact SSIM of a block of windows of one pair: the only work that is done for every window of a pair.

SSIM is that of Wang, Bovik, Sheikh and Simoncelli 2004 (doi:10.1109/TIP.2003.819861), with the parameters and the
sample covariance of scikit-image. Of a pair, only the sums Sxy of the products of pixels are new; everything else was
computed once for each image (windows.py). With the exact integers

    m = Sx Sy < 2^28        d = 49 Sxy - m, |d| < 2^27

the SSIM of a window is one division, evaluated in float32:

    (2 m/49^2 + C1) (2 d/(49*48) + C2)  /  ((Sx^2 + Sy^2)/49^2 + C1) (qx + qy)

Sx^2 + Sy^2 is computed as (Sx + Sy)^2 - 2 m, because Sx^2 + Sy^2 with fused multiplications would not be symmetric in x
and y. Sx + Sy is exact, and the difference is at least half of the square, so the rounding error of m stays as small
relative to it. d is exact before it is converted to float32, so nothing cancels: the relative error of a window is a
few 2^-24, and that of a score about 1e-6. Positions that hold no window have qx = inf and contribute exactly 0. Along a
row, windows are added in float32, in LANES partial sums; rows are added in float64. So the sum of a block depends on
the block alone, and not on tiles, threads or processes.

What structured windows lose, 1 - SSIM, is added up position by position, down the rows of a cell: the losses of cells and
squares follow from that (local.py), and so does the detail SSIM.
"""

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils as untyped_cgutils
from numba.core import types as untyped_types
from numba.extending import intrinsic, overload
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from imagetwins.ssim.windows import C1, C2, HALF_C2, HALO, LANES, TO_VARIANCE, VARIANCE_SCALE, WINDOW, WINDOW_PIXELS

DETAIL_VARIANCE = 20
"""A window is structured if its sample variance is at least this, in squared grey levels.

The detail SSIM is the mean of the SSIM over the windows that are structured in at least one of the two images."""

DETAIL_SPREAD = np.float32(np.float32(DETAIL_VARIANCE * VARIANCE_SCALE) * TO_VARIANCE + HALF_C2)
"""The spread of a window of that variance, rounded as `fill_windows` rounds it."""

TO_TWICE_MEANS, TO_MEANS = np.float32(2 / WINDOW_PIXELS**2), np.float32(1 / WINDOW_PIXELS**2)
"""Factors from a product of two window sums to the product of the means, twice and once."""

TO_TWICE_COVARIANCE = np.float32(2 / VARIANCE_SCALE)
"""Factor from `49 Sxy - Sx Sy` to twice the sample covariance."""


def sum_block(
    pixels: NDArray[np.uint8],
    sums: NDArray[np.int16],
    spreads: NDArray[np.float32],
    group: int,
    images: tuple[int, int],
    slots: tuple[int, int],
    rows: tuple[int, int],
    continues: bool,  # noqa: ARG001
    columns: NDArray[np.int32],  # noqa: ARG001
    cell_rows: NDArray[np.int64],
    losses: NDArray[np.float32],
) -> tuple[float, float]:
    """Add up the SSIM of a block of windows of two images.

    Positions that hold no window are counted as structured; callers subtract them (`WindowCache.padding`).

    This body defines the result and is what runs without numba's JIT; compiled, `_Block` is used.

    Args:
        pixels: (images, groups, size, pixel_width) uint8, contiguous.
        sums: (slots, groups, windows, window_width) int16, contiguous.
        spreads: (slots, groups, windows, window_width) float32, contiguous.
        group: the group of the block.
        images: the indices of the two images in `pixels`.
        slots: their indices in `sums` and `spreads`.
        rows: the first row of windows of the block, and the end.
        continues: whether the previous call with these `columns` was for the same images and group, and the rows just
            above.
        columns: (2, pixel_width) int32, scratch for the column sums of the products of pixels.
        cell_rows: (windows,) int64, the row of cells that each row of windows belongs to.
        losses: (groups, cells, window_width) float32; 1 - SSIM of each structured window is added at its position in its
            row of cells. Positions that hold no window get 1 a row.

    Returns:
        The sum of the SSIM over the windows, and the number of structured positions.
    """
    (i, j), (a, b), (start, stop), shape = images, slots, rows, (WINDOW, WINDOW)
    x, y = (pixels[image, group, start : stop + HALO].astype(np.int32) for image in (i, j))
    sx, sy = (sums[slot, group, start:stop].astype(np.int32) for slot in (a, b))
    qx, qy = (spreads[slot, group, start:stop] for slot in (a, b))
    products = sliding_window_view(x * y, shape).sum((-1, -2), dtype=np.int32)[:, : sx.shape[1]]
    m = sx * sy
    both, product = (sx + sy).astype(np.float32), m.astype(np.float32)
    covariance = (WINDOW_PIXELS * products - m).astype(np.float32)
    numerator = (product * TO_TWICE_MEANS + C1) * (covariance * TO_TWICE_COVARIANCE + C2)
    denominator = ((both * both - np.float32(2) * product) * TO_MEANS + C1) * (qx + qy)
    ssim = numerator / denominator
    is_structured = np.maximum(qx, qy) >= DETAIL_SPREAD
    np.add.at(losses[group], cell_rows[start:stop], np.where(is_structured, np.float32(1) - ssim, np.float32(0)))
    return float(ssim.sum(dtype=np.float64)), float(is_structured.sum())


# Numba's own helpers have no type hints.
cgutils: Any = untyped_cgutils
types: Any = untyped_types

FLOATS, INTS = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.IntType(32), LANES)
DOUBLES = ir.VectorType(ir.DoubleType(), LANES)


def _splat(kind: ir.VectorType, value: Any) -> ir.Constant:
    return ir.Constant(kind, [value] * LANES)


def _index(value: int) -> ir.Constant:
    return ir.Constant(ir.IntType(64), value)


class _Block:
    """Generates the LLVM code of `sum_block`, with vectors of LANES elements.

    Loops that the compiler vectorises by itself begin every row with a check that no two arrays overlap, and end it
    with single windows: on rows as short as a group's, that took a quarter longer. The column sums of the next row are
    stored while the windows of this row are added: a load that overlaps two vectors just stored would wait for both.
    """

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.builder = builder
        kinds = signature.args
        pixels, sums, spreads, columns, cell_rows, losses = (
            context.make_array(kinds[k])(context, builder, arguments[k]) for k in (0, 1, 2, 8, 9, 10)
        )
        group, images, slots, rows, self.continues = arguments[3:8]
        self.start, self.stop = cgutils.unpack_tuple(builder, rows)
        *_, self.size, self.pixel_width = cgutils.unpack_tuple(builder, pixels.shape)
        *_, self.width = cgutils.unpack_tuple(builder, sums.shape)
        self.x, self.y = self._find(pixels, images, group)
        self.sums_x, self.sums_y = self._find(sums, slots, group)
        self.spreads_x, self.spreads_y = self._find(spreads, slots, group)
        self.columns, self.cell_rows = columns.data, cell_rows.data
        *_, cells, _ = cgutils.unpack_tuple(builder, losses.shape)
        self.losses = builder.gep(losses.data, [builder.mul(group, builder.mul(cells, self.width))])
        # The optimiser keeps these in registers, since nothing else refers to them.
        self.ssim = cgutils.alloca_once(builder, DOUBLES)
        self.row_ssim = cgutils.alloca_once(builder, FLOATS)
        self.count = cgutils.alloca_once(builder, INTS)

    def _find(self, array: Any, images: Any, group: Any) -> list[Any]:
        """Return pointers to one group of two images.

        Views of the array would be reference-counted, with atomic instructions.
        """
        b = self.builder
        _, groups, height, width = cgutils.unpack_tuple(b, array.shape)
        first = [b.add(b.mul(image, groups), group) for image in cgutils.unpack_tuple(b, images)]
        return [b.gep(array.data, [b.mul(index, b.mul(height, width))]) for index in first]

    def write(self) -> list[Any]:
        """Generate the loops over rows and along them; return the two sums, float64."""
        b = self.builder
        for total, kind in ((self.ssim, DOUBLES), (self.count, INTS)):
            b.store(_splat(kind, 0), total)
        with b.if_then(b.not_(self.continues)):
            self._along(self.pixel_width, self._begin_columns)
        with cgutils.for_range_slice(b, self.start, self.stop, _index(1)) as (row, _):
            b.store(_splat(FLOATS, 0), self.row_ssim)
            self._write_row(row)
            b.store(b.fadd(b.load(self.ssim), b.fpext(b.load(self.row_ssim), DOUBLES)), self.ssim)
        count = b.sitofp(b.load(self.count), DOUBLES)
        return [self._sum_lanes(total) for total in (b.load(self.ssim), count)]

    def _write_row(self, row: Any) -> None:
        b = self.builder
        after = b.add(row, _index(WINDOW))
        last = b.sub(self.size, _index(1))
        # Below the last row of pixels there is none: the last is added again, and the result is not used.
        below = b.select(b.icmp_signed("<", after, last), after, last)
        old, new = (b.mul(of_pixels, self.pixel_width) for of_pixels in (row, below))
        here, there = self._columns_of(row), self._columns_of(b.add(row, _index(1)))
        windows = b.mul(row, self.width)
        losses = b.gep(self.losses, [b.mul(b.load(b.gep(self.cell_rows, [row])), self.width)])

        def write(column: Any) -> None:
            self._slide_columns(old, new, here, there, column)
            self._add_windows(b.add(here, column), b.add(windows, column), b.gep(losses, [column]))

        self._along(self.width, write)
        self._slide_columns(old, new, here, there, self.width)

    def _columns_of(self, row: Any) -> Any:
        """Return the offset in `columns` of the column sums of a row of windows: even and odd rows alternate."""
        return self.builder.mul(self.builder.and_(row, _index(1)), self.pixel_width)

    def _along(self, width: Any, write: Callable[[Any], None]) -> None:
        with cgutils.for_range_slice(self.builder, _index(0), width, _index(LANES)) as (column, _):
            write(column)

    def _load(self, array: Any, offset: Any, kind: Any, size: int) -> Any:
        pointer = self.builder.bitcast(self.builder.gep(array, [offset]), ir.VectorType(kind, LANES).as_pointer())
        return self.builder.load(pointer, align=size)

    def _products(self, offset: Any) -> Any:
        """Return x*y of LANES pixels from `offset` on."""
        x, y = (self.builder.zext(self._load(array, offset, ir.IntType(8), 1), INTS) for array in (self.x, self.y))
        return self.builder.mul(x, y)

    def _store_columns(self, offset: Any, sums: Any) -> None:
        pointer = self.builder.bitcast(self.builder.gep(self.columns, [offset]), INTS.as_pointer())
        self.builder.store(sums, pointer, align=4)

    def _begin_columns(self, column: Any) -> None:
        """Set the column sums to those of the products in the first 7 rows."""
        b = self.builder
        offset, total = b.add(b.mul(self.start, self.pixel_width), column), _splat(INTS, 0)
        for _ in range(WINDOW):
            total = b.add(total, self._products(offset))
            offset = b.add(offset, self.pixel_width)
        self._store_columns(b.add(self._columns_of(self.start), column), total)

    def _slide_columns(self, old: Any, new: Any, here: Any, there: Any, column: Any) -> None:
        """Store LANES column sums of the next row: those of this row, plus the new products, minus the old ones."""
        b = self.builder
        added, left = (self._products(b.add(row, column)) for row in (new, old))
        before = self._load(self.columns, b.add(here, column), ir.IntType(32), 4)
        self._store_columns(b.add(there, column), b.add(before, b.sub(added, left)))

    def _add_windows(self, column: Any, window: Any, losses: Any) -> None:
        """Add the SSIM of LANES windows to the sum of the row, and their losses to those above them.

        `window` is the offset of the first of them in `sums` and `spreads`, `column` that of its first column in
        `columns`; `losses` points to the losses above it.
        """
        b = self.builder
        offsets = [b.add(column, _index(k)) for k in range(WINDOW)]
        products = reduce(b.add, [self._load(self.columns, offset, ir.IntType(32), 4) for offset in offsets])
        sx, sy = (b.sext(self._load(sums, window, ir.IntType(16), 2), INTS) for sums in (self.sums_x, self.sums_y))
        qx, qy = (self._load(spreads, window, ir.FloatType(), 4) for spreads in (self.spreads_x, self.spreads_y))
        m = b.mul(sx, sy)
        d = b.sitofp(b.sub(b.mul(products, _splat(INTS, WINDOW_PIXELS)), m), FLOATS)
        both, product = b.sitofp(b.add(sx, sy), FLOATS), b.sitofp(m, FLOATS)
        squares = self._fused(b.fneg(b.fadd(product, product)), both, both)
        numerator = b.fmul(self._fused(C1, product, TO_TWICE_MEANS), self._fused(C2, d, TO_TWICE_COVARIANCE))
        ssim = b.fdiv(numerator, b.fmul(self._fused(C1, squares, TO_MEANS), b.fadd(qx, qy)))
        larger = b.select(b.fcmp_ordered(">", qx, qy), qx, qy)
        is_structured = b.fcmp_ordered(">=", larger, _splat(FLOATS, DETAIL_SPREAD))
        b.store(b.fadd(b.load(self.row_ssim), ssim), self.row_ssim)
        loss = b.select(is_structured, b.fsub(_splat(FLOATS, 1), ssim), _splat(FLOATS, 0))
        above = b.bitcast(losses, FLOATS.as_pointer())
        b.store(b.fadd(b.load(above, align=4), loss), above, align=4)
        b.store(b.sub(b.load(self.count), b.sext(is_structured, INTS)), self.count)

    def _fused(self, added: Any, left: Any, right: Any) -> Any:
        """Return `added + left * right`, fused if the processor can; constants may be given as float32 numbers."""
        b = self.builder
        added, right = (_splat(FLOATS, value) if isinstance(value, np.float32) else value for value in (added, right))
        return b.fadd(b.fmul(left, right, flags=["contract"]), added, flags=["contract"])

    def _sum_lanes(self, vector: Any) -> Any:
        """Return the sum of the elements of a vector: its halves are added, then the halves of that, and so on."""
        b = self.builder
        width = LANES
        while width > 1:
            width //= 2
            halves = [ir.Constant(ir.VectorType(ir.IntType(32), width), [*range(k, k + width)]) for k in (0, width)]
            vector = b.fadd(*(b.shuffle_vector(vector, vector, half) for half in halves))
        return b.extract_element(vector, ir.Constant(ir.IntType(32), 0))


@intrinsic
def _sum_block(
    typingctx: Any,  # noqa: ARG001
    pixels: Any,
    sums: Any,
    spreads: Any,
    group: Any,  # noqa: ARG001
    images: Any,
    slots: Any,
    rows: Any,
    continues: Any,  # noqa: ARG001
    columns: Any,
    cell_rows: Any,
    losses: Any,
) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        totals = _Block(context, builder, signature, arguments).write()
        return context.make_tuple(builder, signature.return_type, totals)

    result = types.UniTuple(types.float64, 2)
    given = pixels, sums, spreads, types.intp, images, slots, rows, types.boolean, columns, cell_rows, losses
    return result(*given), generate


@overload(sum_block)
def _overload_sum_block(
    pixels: Any,  # noqa: ARG001
    sums: Any,  # noqa: ARG001
    spreads: Any,  # noqa: ARG001
    group: Any,  # noqa: ARG001
    images: Any,  # noqa: ARG001
    slots: Any,  # noqa: ARG001
    rows: Any,  # noqa: ARG001
    continues: Any,  # noqa: ARG001
    columns: Any,  # noqa: ARG001
    cell_rows: Any,  # noqa: ARG001
    losses: Any,  # noqa: ARG001
) -> Any:
    def implementation(
        pixels: Any,
        sums: Any,
        spreads: Any,
        group: Any,
        images: Any,
        slots: Any,
        rows: Any,
        continues: Any,
        columns: Any,
        cell_rows: Any,
        losses: Any,
    ) -> Any:
        return _sum_block(  # type: ignore[call-arg]
            pixels, sums, spreads, group, images, slots, rows, continues, columns, cell_rows, losses
        )

    return implementation
