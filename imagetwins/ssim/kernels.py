"""The exact score of a block of windows of one pair: the only work that is done per pair and window.

Of a pair, only the sums Sxy of products are new; the rest was prepared an image (windows.py). With exact integers

    m = Sx Sy < 2^28        d = 49 Sxy - m, |d| < 2^27

the window's SSIM is one division, evaluated in float32:

    (2 m/49^2 + C1) (2 d/(49*48) + C2)  /  ((Sx^2 + Sy^2)/49^2 + C1) (qx + qy)

Sx^2 + Sy^2 is computed as (Sx + Sy)^2 - 2 m: fused multiplications of Sx^2 + Sy^2 would not be the same for (y, x). Sx + Sy is
exact, and the difference is at least half of the square, so that the rounding of m stays as small beside it. d is exact before it
is rounded, so nothing cancels: a window's relative error is a few 2^-24, about 1e-6 on every score. The windows that count
nothing have qx = inf and add exactly 0. A row is summed in float32, every LANES-th window with another, and rows in float64:
the sum of a block depends on the block alone, not on tiles, threads or processes.
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

from imagetwins.ssim.windows import C1, C2, LANES, WINDOW

DETAIL_VARIANCE = 20
"""A window has structure where a sample variance reaches this: the windows of the detail SSIM."""

DETAIL_SPREAD = np.float32(np.float32(DETAIL_VARIANCE * 2352) * np.float32(1 / 2352) + C2 / np.float32(2))
"""The spread of a window of that variance, rounded as `fill_windows` rounds it."""

K_MEAN, K_SQUARE, K_COVARIANCE = np.float32(2 / 2401), np.float32(1 / 2401), np.float32(2 / 2352)


def sum_block(
    pixels: NDArray[np.uint8],
    sums: NDArray[np.int16],
    spreads: NDArray[np.float32],
    group: int,
    images: tuple[int, int],
    places: tuple[int, int],
    rows: tuple[int, int],
    follows: bool,  # noqa: ARG001
    down: NDArray[np.int32],  # noqa: ARG001
) -> tuple[float, float, float]:
    """Return, over the windows of a block of two images: the sum of the SSIM, that where there is structure, and how often.

    What is no window counts as structure.

    Args:
        pixels: (images, groups, size, pixel_width), contiguous.
        sums, spreads: (places, groups, windows, window_width), contiguous.
        group, rows: the block, the windows of a group from a row to another.
        images, places: of the two images, in `pixels` and in `sums` and `spreads`.
        follows: `down` is what the call for the rows above left.
        down: (2, pixel_width), scratch for sums of 7 products down each column.
    """
    (i, j), (a, b), (start, stop), shape = images, places, rows, (WINDOW, WINDOW)
    x, y = (pixels[image, group, start : stop + WINDOW - 1].astype(np.int32) for image in (i, j))
    sx, sy = (sums[place, group, start:stop].astype(np.int32) for place in (a, b))
    qx, qy = (spreads[place, group, start:stop] for place in (a, b))
    products = sliding_window_view(x * y, shape).sum((-1, -2), dtype=np.int32)[:, : sx.shape[1]]
    m = sx * sy
    both, product = (sx + sy).astype(np.float32), m.astype(np.float32)
    above = (product * K_MEAN + C1) * ((49 * products - m).astype(np.float32) * K_COVARIANCE + C2)
    below = ((both * both - np.float32(2) * product) * K_SQUARE + C1) * (qx + qy)
    ssim = (above / below).astype(np.float64)
    is_structured = np.maximum(qx, qy) >= DETAIL_SPREAD
    return float(ssim.sum()), float(ssim[is_structured].sum()), float(is_structured.sum())


# Numba's own helpers carry no types.
cgutils: Any = untyped_cgutils
types: Any = untyped_types

FLOATS, INTS = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.IntType(32), LANES)
DOUBLES = ir.VectorType(ir.DoubleType(), LANES)


def _splat(kind: ir.VectorType, value: Any) -> ir.Constant:
    return ir.Constant(kind, [value] * LANES)


def _index(value: int) -> ir.Constant:
    return ir.Constant(ir.IntType(64), value)


class _Block:
    """Writes `sum_block` as LLVM's vectors of LANES.

    The compiler's own vectors begin every row with a check that no two arrays overlap, and end it with single windows: on rows
    as short as a group's, that took a quarter more. The column sums of the next row are written while the windows of this
    row are summed: a vector that is read across two others just written waits for both.
    """

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.builder = builder
        kinds = signature.args
        pixels, sums, spreads, down = (
            context.make_array(kinds[k])(context, builder, arguments[k]) for k in (0, 1, 2, 8)
        )
        group, images, places, rows, self.follows = arguments[3:8]
        self.start, self.stop = cgutils.unpack_tuple(builder, rows)
        *_, self.size, self.pixel_width = cgutils.unpack_tuple(builder, pixels.shape)
        *_, self.width = cgutils.unpack_tuple(builder, sums.shape)
        self.x, self.y = self._find(pixels, images, group)
        self.sums_x, self.sums_y = self._find(sums, places, group)
        self.spreads_x, self.spreads_y = self._find(spreads, places, group)
        self.down = down.data
        # Promoted from the stack to registers by the optimiser, since nothing else sees them.
        self.ssim, self.detail = (cgutils.alloca_once(builder, DOUBLES) for _ in range(2))
        self.row_ssim, self.row_detail = (cgutils.alloca_once(builder, FLOATS) for _ in range(2))
        self.count = cgutils.alloca_once(builder, INTS)

    def _find(self, array: Any, images: Any, group: Any) -> list[Any]:
        """Return the pointers to a group of two images. Views of the array would be counted, with atomic instructions."""
        b = self.builder
        _, groups, height, width = cgutils.unpack_tuple(b, array.shape)
        first = [b.add(b.mul(image, groups), group) for image in cgutils.unpack_tuple(b, images)]
        return [b.gep(array.data, [b.mul(at, b.mul(height, width))]) for at in first]

    def write(self) -> list[Any]:
        """Write the loops over rows and along them; return the three sums, float64."""
        b = self.builder
        for place, kind in ((self.ssim, DOUBLES), (self.detail, DOUBLES), (self.count, INTS)):
            b.store(_splat(kind, 0), place)
        with b.if_then(b.not_(self.follows)):
            self._along(self.pixel_width, self._begin_columns)
        with cgutils.for_range_slice(b, self.start, self.stop, _index(1)) as (row, _):
            for place in (self.row_ssim, self.row_detail):
                b.store(_splat(FLOATS, 0), place)
            self._write_row(row)
            for place, total in ((self.row_ssim, self.ssim), (self.row_detail, self.detail)):
                b.store(b.fadd(b.load(total), b.fpext(b.load(place), DOUBLES)), total)
        count = b.sitofp(b.load(self.count), DOUBLES)
        return [self._sum_lanes(total) for total in (b.load(self.ssim), b.load(self.detail), count)]

    def _write_row(self, row: Any) -> None:
        b = self.builder
        after = b.add(row, _index(WINDOW))
        last = b.sub(self.size, _index(1))
        # There is no row below the last one; what is computed of it is not used.
        below = b.select(b.icmp_signed("<", after, last), after, last)
        old, new = (b.mul(place, self.pixel_width) for place in (row, below))
        here, there = self._columns_of(row), self._columns_of(b.add(row, _index(1)))
        windows = b.mul(row, self.width)

        def write(column: Any) -> None:
            self._slide_columns(old, new, here, there, column)
            self._add_windows(b.add(here, column), b.add(windows, column))

        self._along(self.width, write)
        self._slide_columns(old, new, here, there, self.width)

    def _columns_of(self, row: Any) -> Any:
        """Return where `down` has the columns of `row`: two rows take turns."""
        return self.builder.mul(self.builder.and_(row, _index(1)), self.pixel_width)

    def _along(self, width: Any, write: Callable[[Any], None]) -> None:
        with cgutils.for_range_slice(self.builder, _index(0), width, _index(LANES)) as (column, _):
            write(column)

    def _load(self, array: Any, at: Any, kind: Any, size: int) -> Any:
        pointer = self.builder.bitcast(self.builder.gep(array, [at]), ir.VectorType(kind, LANES).as_pointer())
        return self.builder.load(pointer, align=size)

    def _products(self, at: Any) -> Any:
        """Return x*y of the pixels from `at`."""
        x, y = (self.builder.zext(self._load(array, at, ir.IntType(8), 1), INTS) for array in (self.x, self.y))
        return self.builder.mul(x, y)

    def _store_columns(self, at: Any, sums: Any) -> None:
        pointer = self.builder.bitcast(self.builder.gep(self.down, [at]), INTS.as_pointer())
        self.builder.store(sums, pointer, align=4)

    def _begin_columns(self, column: Any) -> None:
        """Set `down` to the sums of the products of the first 7 rows."""
        b = self.builder
        at, total = b.add(b.mul(self.start, self.pixel_width), column), _splat(INTS, 0)
        for _ in range(WINDOW):
            total = b.add(total, self._products(at))
            at = b.add(at, self.pixel_width)
        self._store_columns(b.add(self._columns_of(self.start), column), total)

    def _slide_columns(self, old: Any, new: Any, here: Any, there: Any, column: Any) -> None:
        """Write the columns from `column` of the next row: those of this row, the new products added, the old subtracted."""
        b = self.builder
        added, left = (self._products(b.add(row, column)) for row in (new, old))
        before = self._load(self.down, b.add(here, column), ir.IntType(32), 4)
        self._store_columns(b.add(there, column), b.add(before, b.sub(added, left)))

    def _add_windows(self, column: Any, at: Any) -> None:
        """Add the SSIM of the windows that begin at `at`, with their columns at `column` of `down`, to the sums of the row."""
        b = self.builder
        places = [b.add(column, _index(k)) for k in range(WINDOW)]
        products = reduce(b.add, [self._load(self.down, place, ir.IntType(32), 4) for place in places])
        sx, sy = (b.sext(self._load(sums, at, ir.IntType(16), 2), INTS) for sums in (self.sums_x, self.sums_y))
        qx, qy = (self._load(spreads, at, ir.FloatType(), 4) for spreads in (self.spreads_x, self.spreads_y))
        m = b.mul(sx, sy)
        d = b.sitofp(b.sub(b.mul(products, _splat(INTS, 49)), m), FLOATS)
        both, product = b.sitofp(b.add(sx, sy), FLOATS), b.sitofp(m, FLOATS)
        squares = self._fused(b.fneg(b.fadd(product, product)), both, both)
        above = b.fmul(self._fused(C1, product, K_MEAN), self._fused(C2, d, K_COVARIANCE))
        ssim = b.fdiv(above, b.fmul(self._fused(C1, squares, K_SQUARE), b.fadd(qx, qy)))
        larger = b.select(b.fcmp_ordered(">", qx, qy), qx, qy)
        is_structured = b.fcmp_ordered(">=", larger, _splat(FLOATS, DETAIL_SPREAD))
        detail = b.select(is_structured, ssim, _splat(FLOATS, 0))
        for place, added in ((self.row_ssim, ssim), (self.row_detail, detail)):
            b.store(b.fadd(b.load(place), added), place)
        b.store(b.sub(b.load(self.count), b.sext(is_structured, INTS)), self.count)

    def _fused(self, added: Any, left: Any, right: Any) -> Any:
        """Return `added + left * right`, fused where the machine can; constants may be given as numbers."""
        b = self.builder
        added, right = (_splat(FLOATS, value) if isinstance(value, np.float32) else value for value in (added, right))
        return b.fadd(b.fmul(left, right, flags=["contract"]), added, flags=["contract"])

    def _sum_lanes(self, vector: Any) -> Any:
        """Return the sum of the elements of a vector: its halves, quarters, ... added."""
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
    places: Any,
    rows: Any,
    follows: Any,  # noqa: ARG001
    down: Any,
) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        totals = _Block(context, builder, signature, arguments).write()
        return context.make_tuple(builder, signature.return_type, totals)

    result = types.UniTuple(types.float64, 3)
    return result(pixels, sums, spreads, types.intp, images, places, rows, types.boolean, down), generate


@overload(sum_block)
def _overload_sum_block(
    pixels: Any,  # noqa: ARG001
    sums: Any,  # noqa: ARG001
    spreads: Any,  # noqa: ARG001
    group: Any,  # noqa: ARG001
    images: Any,  # noqa: ARG001
    places: Any,  # noqa: ARG001
    rows: Any,  # noqa: ARG001
    follows: Any,  # noqa: ARG001
    down: Any,  # noqa: ARG001
) -> Any:
    def implementation(
        pixels: Any,
        sums: Any,
        spreads: Any,
        group: Any,
        images: Any,
        places: Any,
        rows: Any,
        follows: Any,
        down: Any,
    ) -> Any:
        return _sum_block(pixels, sums, spreads, group, images, places, rows, follows, down)  # type: ignore[call-arg]

    return implementation
