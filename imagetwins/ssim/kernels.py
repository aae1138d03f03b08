"""The exact SSIM of a column of windows of one pair: the only work that is done for every window of a pair.

SSIM is that of Wang, Bovik, Sheikh and Simoncelli 2004 (doi:10.1109/TIP.2003.819861), with the parameters and the
sample covariance of scikit-image. Of a pair, only the sums Sxy of the products of pixels are new; everything else was
computed once for each image. With the exact integer d = 49 Sxy - Sx Sy, and sums instead of means, since 49^2 cancels, the
SSIM of a window is one division, evaluated in float32:

    (p - (Sx - Sy)^2) (2 d/(49*48) + C2)  /  (p (qx + qy))        p = (Sx^2 + 49^2 C1/2) + (Sy^2 + 49^2 C1/2)

since p - (Sx - Sy)^2 = 2 Sx Sy + 49^2 C1. Exchanging x and y changes no bit.

**Sums of products.** Sxy is the sum of 7 sums, each over 7 neighbouring pixels of a row: the newest is added as the
window moves down, the oldest, which was kept, is subtracted. The covariance does not change if 128 is subtracted from
all pixels of x. So with x' = x - 128, a signed byte, d = 49 Sx'y - Sx' Sy, and where the processor multiplies signed
with unsigned bytes and adds four such products at once (AVX-512 VNNI), the sum over a row takes two instructions and two
permutations (VBMI). Elsewhere the products of 16-bit integers are added in pairs of neighbours (as SSE2 and AVX2 do in one
instruction): a window that begins at an even pixel and the one after it have three pairs in common, and the lanes hold first
all the former, then all the latter (`_Writer.order`). Memory has windows in their own order. Both ways are exact, so both
give the same sums; what is added up over lanes is added in another order.

**Error.** d, Sx, Sy and their difference are exact in float32 or before they are converted to it, so nothing cancels in them. In
units of 2^-24, and relative to p or to qx + qy, which the two factors of the numerator do not exceed, if the processor does not
fuse multiplications with additions: p has 4 roundings, its constant's included, in the numerator and in the denominator; the
square of the difference and the subtraction 2; d, its factor, their product, C2 and the addition 5; q 5, and the sum of two 1;
two products and the division 3. So the SSIM of a window is off by at most 24 * 2^-24, up to squares of that. Windows of a
lane are added over the rows of a cell, then over those of a strip, then over the LANES: n + 2 + 4 roundings, where n is the
number of rows of a cell; further sums are float64. So the sum of a block, divided by its number of windows, differs from
the true mean by less than (n + 32) 2^-24 (`block_slack`), since no |SSIM| is above 1.

The sum of a block depends on the block alone, and not on tiles, threads or processes.

What structured windows lose, 1 - SSIM, is added up lane by lane, down the rows of a cell and over the channels: the
losses of cells and squares follow from that (local.py), and so does the detail SSIM.
"""

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import binding, ir
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
"""The spread of a window of that variance, rounded as `fill_column` rounds it."""

HALF_SUMS_C1 = np.float32(C1 / 2 * WINDOW_PIXELS**2)
"""Half of what stands for C1 where the sums of windows stand for their means."""

TO_TWICE_COVARIANCE = np.float32(2 / VARIANCE_SCALE)
"""Factor from `49 Sxy - Sx Sy` to twice the sample covariance."""


PIXELS = 2 * LANES
"""Pixels in a row of a column."""


ROW_BYTES = 8 * LANES
"""Bytes of a row of a column: its pixels, and of the windows that begin there their sums and spreads; two cache lines."""


class Windows(NamedTuple):
    """What the kernels read of the windows of some images, by columns.

    Attributes:
        rows: (images, columns, size, ROW_BYTES) uint8, of each row of pixels of a column
            PIXELS uint8, the pixels;
            LANES int16, the sum of the pixels of each window that begins there;
            LANES float32, its spread vx + C2/2; infinite in lanes that hold no window, which therefore add 0.
        structured: (images, columns, windows) uint16, which windows are structured: bit k is lane k.
    """

    rows: NDArray[np.uint8]
    structured: NDArray[np.uint16]


SUMS, SPREADS = PIXELS, PIXELS + 2 * LANES
"""Where the sums and the spreads begin in a row."""


def take_apart(rows: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.int16], NDArray[np.float32]]:
    """Return views of the pixels, the sums and the spreads of `rows`, (n, ROW_BYTES) of `Windows`."""
    return rows[:, :PIXELS], rows[:, SUMS:SPREADS].view(np.int16), rows[:, SPREADS:].view(np.float32)


def block_slack(size: int, cells: int) -> float:
    """Return how far the computed mean SSIM of a block may be off, with `cells` cells along a side of `size` pixels."""
    rows = math.ceil((size - HALO) / cells)
    return (rows + 32) * 2.0**-24


def fill_column(
    source: NDArray[np.uint8],
    place: tuple[int, int, int],
    windows: Windows,
    image: int,
    column: int,
    span: tuple[int, int],
    held: int,
) -> None:
    """Compute some rows of a column of windows of an image.

    This body defines the result and is what runs without numba's JIT, as those below.

    Args:
        source: (rows, groups, size, pixel_width) uint8, the workspace's.
        place: where the column is in it: the row of the image, the group, and the position of the first pixel.
        windows: overwritten.
        image, column: where in them.
        span: the first row of windows, and the end.
        held: bit k says whether lane k holds a window.
    """
    (row, group, position), (start, stop) = place, span
    available = source[row, group, start : stop + HALO, position : position + PIXELS]
    pixels, sums, spreads = take_apart(windows.rows[image, column, start : stop + HALO])
    pixels[:], pixels[:, : available.shape[1]] = 0, available
    views = sliding_window_view(pixels.astype(np.int32), (WINDOW, WINDOW))[:, :LANES]
    s, squares = views.sum((-1, -2), dtype=np.int32), np.square(views).sum((-1, -2), dtype=np.int32)
    spread = (WINDOW_PIXELS * squares - s * s).astype(np.float32) * TO_VARIANCE + HALF_C2
    is_window = (held >> np.arange(LANES)) & 1 == 1
    sums[: stop - start], spreads[: stop - start] = s, np.where(is_window, spread, np.float32(np.inf))
    bits = ((spread >= DETAIL_SPREAD) & is_window) << np.arange(LANES)
    windows.structured[image, column, start:stop] = bits.sum(1)


def score_column(
    windows: Windows,
    images: tuple[int, int],
    column: int,
    edges: NDArray[np.int64],
    strips: NDArray[np.int64],
    span: tuple[int, int],
    totals: NDArray[np.float64],
    losses: NDArray[np.float32] | None,
    place: tuple[int, int, int],
    continues: bool,
    ahead: tuple[int, int],  # noqa: ARG001
) -> int:
    """Add up the SSIM of a column of windows of two images, over some strips.

    Args:
        windows: of the images.
        images: the two images, in these.
        column: the column.
        edges: (cells + 1,) int64, the first row of windows of each cell, and the end.
        strips: (strips + 1,) int64, the first row of cells of each strip, and the end.
        span: the first strip, and the end.
        totals: (pairs, strips, bands) float64; the sum over each strip is added.
        losses: (pairs, cell rows, lanes) float32; of each row of cells in the strips, beginning with 0, the sums of
            1 - SSIM over its structured windows, in each lane. None: only the SSIM is added up.
        place: the pair, the band and the first lane in these two.
        continues: whether losses are added to those that are there; else those are overwritten.
        ahead: the images of the next pair: the same rows of them are brought into the core's cache meanwhile.

    Returns:
        The number of windows that are structured in at least one of the two images; 0 without `losses`.
    """
    (i, j), (pair, band, lane) = images, place
    top, count, lanes = strips[span[0]], 0, slice(lane, lane + LANES)
    for strip in range(*span):
        for cell in range(strips[strip], strips[strip + 1]):
            n, rows = edges[cell + 1] - edges[cell], slice(edges[cell], edges[cell + 1])
            taken = [take_apart(windows.rows[image, column, rows.start : rows.stop + HALO]) for image in (i, j)]
            x, y = (pixels.astype(np.int32) for pixels, _, _ in taken)
            products = sliding_window_view(x * y, (WINDOW, WINDOW)).sum((-1, -2), dtype=np.int32)[:, :LANES]
            sx, sy = (sums[:n].astype(np.int32) for _, sums, _ in taken)
            x, y = sx.astype(np.float32), sy.astype(np.float32)
            p = (x * x + HALF_SUMS_C1) + (y * y + HALF_SUMS_C1)
            covariance = (WINDOW_PIXELS * products - sx * sy).astype(np.float32) * TO_TWICE_COVARIANCE + C2
            spread = taken[0][2][:n] + taken[1][2][:n]
            ssim = ((p - (x - y) ** 2) * covariance) / (p * spread)
            totals[pair, strip, band] += float(ssim.sum(dtype=np.float64))
            if losses is None:
                continue
            bits = windows.structured[i, column, rows] | windows.structured[j, column, rows]
            is_structured = (bits[:, np.newaxis] >> np.arange(LANES)) & 1 == 1
            count += int(is_structured.sum())
            before = losses[pair, cell - top, lanes] if continues else np.float32(0)
            losses[pair, cell - top, lanes] = before + np.where(is_structured, np.float32(1) - ssim, 0).sum(0)
    return count


def score_pixels(
    source: NDArray[np.uint8],
    images: tuple[int, int],
    place: tuple[int, int],
    held: int,
    edges: NDArray[np.int64],
    strips: NDArray[np.int64],
    span: tuple[int, int],
    totals: NDArray[np.float64],
    losses: NDArray[np.float32] | None,
    target: tuple[int, int, int],
    continues: bool,
    ahead: tuple[int, int],
) -> int:
    """Do as `score_column`, to the bit, for two images of which nothing is computed yet.

    It takes twice as long, but neither `fill_column` nor the memory for its results.

    Args:
        source: (rows, groups, size, pixel_width) uint8, the workspace's pixels.
        images: the rows of the two images.
        place: the group of the column, and the position of its first pixel.
        held: bit k says whether lane k holds a window.
        edges, strips, span, totals, losses, continues: as for `score_column`.
        target: its `place`.
        ahead: the rows of the images of the next pair, as there.
    """
    rows = edges[-1]
    windows = Windows(np.empty((2, 1, rows + HALO, ROW_BYTES), np.uint8), np.empty((2, 1, rows), np.uint16))
    for k in range(2):
        fill_column(source, (images[k], *place), windows, k, 0, (0, int(rows)), held)
    return score_column(windows, (0, 1), 0, edges, strips, span, totals, losses, target, continues, ahead)


def collect_losses(
    losses: NDArray[np.float32],
    pair: int,
    edges: NDArray[np.int64],
    rows: tuple[int, int],
    columns: tuple[int, int],
    sums: NDArray[np.float32],  # noqa: ARG001
    cells: NDArray[np.float32],
) -> None:
    """Add up the losses of the windows of each cell of one band, in some rows of cells.

    Args:
        losses: (pairs, cell rows, lanes) float32, see `score_column`; at least as many lanes more as a cell is wide.
        pair: the pair, in `losses` and in `cells`.
        edges: (cells + 1,) int64, the row or column of windows at which each cell begins, and the end. No cell is wider
            than another by more than one.
        rows: the first row of cells, and the end.
        columns: the first column of cells of the band, and the end.
        sums: (lanes,) float32, scratch.
        cells: (pairs, cells, cells) float32, the losses of each cell; those of these rows and columns are overwritten.
    """
    left = edges[columns[0]]
    for column in range(*columns):
        lanes = slice(edges[column] - left, edges[column + 1] - left)
        cells[pair, rows[0] : rows[1], column] = losses[pair, : rows[1] - rows[0], lanes].sum(-1)


def bound_block(
    features: NDArray[np.int16], images: tuple[int, int], runs: NDArray[np.int64], span: tuple[int, int]
) -> tuple[float, float]:
    """Return what bounds the SSIM of a block of two images (features.py), and how loose that may be.

    Args:
        features: (images, cells * LANES) int16, LANES numbers of each cell; the last is its residual.
        images: the two images, in these.
        runs: (n, 2) int64, the first of cells that follow each other, and the end.
        span: the first run of the block, and the end.

    Returns:
        The sum over its cells of the inner products, and of the products of the residuals alone: the inner product of the
        rests of two cells may be anything from minus to plus that, and the bound counts it as plus. Both in units of the
        features, squared.
    """
    bound, loose = 0.0, 0.0
    for first, last in runs[span[0] : span[1]]:
        x, y = (features[image, first * LANES : last * LANES].astype(np.float32) for image in images)
        bound += float(x @ y)
        loose += float(x[LANES - 1 :: LANES] @ y[LANES - 1 :: LANES])
    return bound, loose


# Numba's own helpers have no type hints.
cgutils: Any = untyped_cgutils
types: Any = untyped_types

BIT, BYTE, SHORT, INT, INDEX = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
BITS, SHORTS, INTS = (ir.VectorType(kind, LANES) for kind in (BIT, SHORT, INT))
FLOATS, DOUBLE = ir.VectorType(ir.FloatType(), LANES), ir.DoubleType()
HALF_INTS, WIDE_SHORTS = ir.VectorType(INT, LANES // 2), ir.VectorType(SHORT, 2 * LANES)
ROW = ir.VectorType(BYTE, PIXELS)
QUADS = ir.VectorType(BYTE, 4 * LANES)
"""Four bytes for each lane: what one instruction multiplies and adds up."""

SIGN = 128
"""What is subtracted from the pixels of x to make them signed, where the processor multiplies signed with unsigned."""

RING = 8
"""Sums over rows that are kept: a power of two above WINDOW."""

VECTOR_BYTES = CACHE_LINE = 4 * LANES


def allocate_aligned(size: int) -> NDArray[np.uint8]:
    """Return `size` bytes of memory that begin at a cache line, which vectors then do not lie across."""
    memory = np.empty(size + VECTOR_BYTES, np.uint8)
    begin = -memory.ctypes.data % VECTOR_BYTES
    return memory[begin : begin + size]


def _splat(kind: ir.VectorType, value: Any) -> ir.Constant:
    return ir.Constant(kind, [value] * kind.count)


def _index(value: int) -> ir.Constant:
    return ir.Constant(INDEX, value)


PAIR_PRODUCTS = {"+avx2": LANES, "+sse2": LANES // 2}
"""How many 16-bit integers a processor with one of LLVM's features multiplies at once, adding each two neighbours."""


def has_byte_products(features: str) -> bool:
    """Return whether a processor with these LLVM features multiplies bytes as the fast path needs it."""
    return {"+avx512vnni", "+avx512vbmi", "+avx512bw"} <= set(features.split(","))


class _Writer:
    """Generates the LLVM code of the functions above, for one processor."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.context, self.builder, self.kinds, self.arguments = context, builder, signature.args, arguments
        # Numba keeps compiled code apart by these features.
        features = context.codegen().magic_tuple()[2]
        self.has_byte_products = has_byte_products(features)
        self.pair_width = next((width for name, width in PAIR_PRODUCTS.items() if name in features.split(",")), 0)

    # -- arrays --------------------------------------------------------------------------------------------------------

    def array(self, argument: int, field: int | None = None) -> Any:
        """Return an array that is an argument, or a field of one."""
        kind, value = self.kinds[argument], self.arguments[argument]
        if field is not None:
            kind, value = kind.types[field], self.builder.extract_value(value, field)
        return self.context.make_array(kind)(self.context, self.builder, value)

    def unpack(self, argument: int) -> list[Any]:
        """Return the elements of a tuple that is an argument."""
        elements: list[Any] = cgutils.unpack_tuple(self.builder, self.arguments[argument])
        return elements

    def find(self, array: Any, *indices: Any) -> Any:
        """Return a pointer to the part of a contiguous array at its first indices.

        Views of the array would be reference-counted, with atomic instructions.
        """
        b = self.builder
        offset = _index(0)
        for k, length in enumerate(cgutils.unpack_tuple(b, array.shape)):
            offset = b.mul(offset, length)
            if k < len(indices):
                offset = b.add(offset, indices[k])
        return b.gep(array.data, [offset])

    def load(self, pointer: Any, offset: Any, kind: Any, align: int = 1) -> Any:
        place = self.builder.gep(pointer, [offset])
        return self.builder.load(self.builder.bitcast(place, kind.as_pointer()), align=align)

    def store(self, value: Any, pointer: Any, offset: Any, align: int = 1) -> None:
        place = self.builder.gep(pointer, [offset])
        self.builder.store(value, self.builder.bitcast(place, value.type.as_pointer()), align=align)

    def allocate(self, kind: Any, value: Any = None, size: int | None = None) -> Any:
        """Return memory on the stack. The optimiser keeps single values in registers, since nothing else refers to them."""
        place = cgutils.alloca_once(self.builder, kind, size=size)
        if value is not None:
            self.builder.store(value, place)
        return place

    def fetch(self, pointer: Any, offset: Any) -> None:
        """Bring the cache line at a place into the core's cache: it is read soon."""
        b, hints = self.builder, [ir.Constant(INT, value) for value in (0, 3, 1)]
        kind = ir.FunctionType(ir.VoidType(), [BYTE.as_pointer(), INT, INT, INT])
        fetch = cgutils.get_or_insert_function(b.module, kind, "llvm.prefetch.p0")
        b.call(fetch, [b.gep(pointer, [offset]), *hints])

    def loop(self, start: Any, stop: Any) -> Any:
        return cgutils.for_range_slice(self.builder, start, stop, _index(1))

    # -- arithmetic ----------------------------------------------------------------------------------------------------

    def call(self, name: str, result: Any, *given: Any) -> Any:
        kind = ir.FunctionType(result, [value.type for value in given])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), given)

    def fused(self, added: Any, left: Any, right: Any) -> Any:
        """Return `added + left * right`, fused if the processor can; constants may be given as float32 numbers."""
        b = self.builder
        added, right = (_splat(FLOATS, value) if isinstance(value, np.float32) else value for value in (added, right))
        return b.fadd(b.fmul(left, right, flags=["contract"]), added, flags=["contract"])

    def take(self, vector: Any, start: int, length: int) -> Any:
        lanes = ir.Constant(ir.VectorType(INT, length), [*range(start, start + length)])
        return self.builder.shuffle_vector(vector, vector, lanes)

    def sum_lanes(self, vector: Any) -> Any:
        """Return the sum of the elements of a vector: its halves are added, then the halves of that, and so on."""
        width = LANES
        while width > 1:
            width //= 2
            vector = self.builder.fadd(self.take(vector, 0, width), self.take(vector, width, width))
        return self.builder.extract_element(vector, ir.Constant(INT, 0))

    # -- the order of lanes ----------------------------------------------------------------------------------------------

    @property
    def order(self) -> list[int]:
        """The windows of a column as the lanes hold them: where products are added in pairs, first every second one."""
        natural = [*range(LANES)]
        return natural if self.has_byte_products else natural[::2] + natural[1::2]

    def arrange(self, vector: Any) -> Any:
        """Return the elements of a vector in the order of lanes."""
        return self.builder.shuffle_vector(vector, vector, ir.Constant(INTS, self.order))

    def restore(self, vector: Any) -> Any:
        """Return the elements of a vector that `arrange` arranged in the order of windows."""
        places = sorted(range(LANES), key=self.order.__getitem__)
        return self.builder.shuffle_vector(vector, vector, ir.Constant(INTS, places))

    def select_lanes(self, bits: Any) -> Any:
        """Return which lanes hold windows whose bit is set, as a vector of bits."""
        b = self.builder
        if self.has_byte_products:
            return b.bitcast(bits, BITS)
        undefined = ir.Constant(INTS, ir.Undefined)
        single = b.insert_element(undefined, b.zext(bits, INT), ir.Constant(INT, 0))
        repeated = b.shuffle_vector(single, undefined, _splat(INTS, 0))
        own = ir.Constant(INTS, [1 << window for window in self.order])
        return b.icmp_signed("!=", b.and_(repeated, own), _splat(INTS, 0))

    # -- sums over 7 neighbouring pixels of a row ------------------------------------------------------------------------

    def read(self, pointer: Any) -> list[Any]:
        """Return a row of pixels: as one vector, or, where products are added in pairs, from the k-th pixel on for k < 7."""
        if self.has_byte_products:
            return [self.load(pointer, _index(0), ROW)]
        kind = ir.VectorType(BYTE, LANES)
        return [self.builder.zext(self.load(pointer, _index(k), kind), SHORTS) for k in range(WINDOW)]

    def spread(self, pixels: list[Any]) -> list[Any]:
        """Return a row of pixels as `dot` takes it as y: for each lane, 4 pixels from its own on, and 4 further ones."""
        b = self.builder
        if not self.has_byte_products:
            return pixels[::2]
        doubled = ir.Constant(ir.VectorType(INT, 4 * LANES), [*range(PIXELS)] * 2)
        widened = b.shuffle_vector(*pixels, *pixels, doubled)
        indices = [[lane + first + k for lane in range(LANES) for k in range(4)] for first in (0, 4)]
        permute = "llvm.x86.avx512.permvar.qi.512"
        return [self.call(permute, QUADS, widened, ir.Constant(QUADS, part)) for part in indices]

    def spread_signed(self, pixels: list[Any]) -> list[Any]:
        """Return a row of pixels as `dot` takes it as x: less 128, and 0 for the eighth neighbour."""
        if not self.has_byte_products:
            return self.spread(pixels)
        first, second = self.spread([self.builder.xor(*pixels, _splat(ROW, -SIGN))])
        is_within = ir.Constant(ir.VectorType(BIT, 4 * LANES), [1, 1, 1, 0] * LANES)
        return [first, self.builder.select(is_within, second, _splat(QUADS, 0))]

    def dot(self, x: list[Any], y: list[Any]) -> Any:
        """Return, for each lane, the sum of the products of 7 neighbours of two rows."""
        if not self.has_byte_products:
            return self.add_pairs(x, y)
        total = _splat(INTS, 0)
        for signed, unsigned in zip(x, y, strict=True):
            total = self.multiply_bytes(total, unsigned, signed)
        return total

    def add_pairs(self, x: list[Any], y: list[Any]) -> Any:
        """Return the sums of products of `dot`, from pairs of neighbours.

        With the pixels 2m + k and 2m + k + 1 in lane m, for k = 0, 2, 4, 6: the sums of windows 2m and 2m + 1 have five
        products in common, and each has one more.
        """
        b = self.builder
        first, middle, last = [(x[0], y[0])], [*zip(x[1:-1], y[1:-1], strict=True)], [(x[-1], y[-1])]
        (even_first, odd_first), (even_last, odd_last) = (self.halves(b.mul(*pair)) for pair in (*first, *last))
        common = b.add(odd_first, even_last)
        for pair in middle:
            common = b.add(common, self.multiply_pairs(*pair))
        return self.join(b.add(common, even_first), b.add(common, odd_last))

    def halves(self, shorts: Any) -> list[Any]:
        """Return the even and the odd ones of 16-bit integers that are not negative, as 32-bit integers."""
        b = self.builder
        pairs = b.bitcast(shorts, HALF_INTS)
        return [b.and_(pairs, _splat(HALF_INTS, 2**16 - 1)), b.lshr(pairs, _splat(HALF_INTS, 16))]

    def join(self, even: Any, odd: Any) -> Any:
        return self.builder.shuffle_vector(even, odd, ir.Constant(INTS, [*range(LANES)]))

    def multiply_pairs(self, x: Any, y: Any) -> Any:
        """Return the sums of products of two neighbours each, of 16-bit integers of 0 ... 255."""
        b = self.builder
        width = self.pair_width
        if width == 0:
            return b.add(*self.halves(b.mul(x, y)))
        name = "llvm.x86.avx2.pmadd.wd" if width == LANES else "llvm.x86.sse2.pmadd.wd"
        kind = ir.VectorType(INT, width // 2)
        parts = [
            self.call(name, kind, *(self.take(side, start, width) for side in (x, y)))
            for start in range(0, LANES, width)
        ]
        return parts[0] if len(parts) == 1 else b.shuffle_vector(*parts, ir.Constant(HALF_INTS, [*range(LANES // 2)]))

    def total(self, pixels: list[Any]) -> Any:
        """Return the sums of 7 neighbours of a row, as `widen` takes them."""
        if not self.has_byte_products:
            return functools.reduce(self.builder.add, pixels)
        weights = [_splat(QUADS, 1), ir.Constant(QUADS, [1, 1, 1, 0] * LANES)]
        return self.dot(weights, self.spread(pixels))

    def widen(self, sums: Any) -> Any:
        """Return sums over windows, as `total` or as Windows have them, as 32-bit integers in the order of lanes."""
        if sums.type == INTS:
            return sums
        return self.builder.zext(sums, INTS) if self.has_byte_products else self.join(*self.halves(sums))

    def multiply_bytes(self, added: Any, unsigned: Any, signed: Any) -> Any:
        return self.call_vnni("vpdpbusd", QUADS, added, unsigned, signed)

    def call_vnni(self, name: str, kind: Any, added: Any, *factors: Any) -> Any:
        """Return `added` and the sums of the products of the elements, of this kind, of two vectors."""
        # Until version 22, LLVM took the elements as 32-bit integers.
        kind = kind if binding.llvm_version_info[0] >= 22 else INTS
        given = [self.builder.bitcast(factor, kind) for factor in factors]
        return self.call(f"llvm.x86.avx512.{name}.512", INTS, added, *given)

    def covariance(self, products: Any, sx: Any, sy: Any) -> Any:
        """Return 49 Sx'y - Sx' Sy as float32, of the sums of products, Sx and Sy."""
        b = self.builder
        scaled = b.mul(products, _splat(INTS, WINDOW_PIXELS))
        if not self.has_byte_products:
            return b.sitofp(b.sub(scaled, self.multiply_sums(sx, sy)), FLOATS)
        # Both sums fit into 16 bits, and those of pixels are not negative: the product of the upper halves is 0.
        negative = b.sub(_splat(INTS, SIGN * WINDOW_PIXELS), sx)
        return b.sitofp(self.call_vnni("vpdpwssd", WIDE_SHORTS, scaled, negative, sy), FLOATS)

    def multiply_sums(self, sx: Any, sy: Any) -> Any:
        """Return the products of sums over windows, whose upper 16 bits are 0."""
        b = self.builder
        if self.pair_width == 0:
            return b.mul(sx, sy)
        parts = []
        for half in range(2):
            x, y = (b.bitcast(self.take(side, half * LANES // 2, LANES // 2), SHORTS) for side in (sx, sy))
            parts.append(self.multiply_pairs(x, y))
        return self.join(*parts)

    def slide(self) -> "_Slide":
        """Return sums of what `dot` returns."""
        return _Slide(self, INTS)

    def slide_totals(self) -> "_Slide":
        """Return sums of what `total` returns."""
        return _Slide(self, INTS if self.has_byte_products else SHORTS)


class _Slide:
    """Sums over the last 7 rows."""

    def __init__(self, writer: _Writer, kind: ir.VectorType) -> None:
        self.writer = writer
        self.ring = writer.allocate(kind, size=RING)
        self.sum = writer.allocate(kind, _splat(kind, 0))

    def _place(self, row: Any) -> Any:
        b = self.writer.builder
        return b.gep(self.ring, [b.and_(row, _index(RING - 1))])

    def enter(self, row: Any, value: Any) -> None:
        """Add a row."""
        b = self.writer.builder
        b.store(value, self._place(row))
        b.store(b.add(b.load(self.sum), value), self.sum)

    def leave(self, row: Any) -> None:
        """Subtract a row that was added."""
        b = self.writer.builder
        b.store(b.sub(b.load(self.sum), b.load(self._place(row))), self.sum)

    def load(self) -> Any:
        return self.writer.builder.load(self.sum)


def _write_fill(w: _Writer) -> None:
    """Generate the code of `fill_column`."""
    b = w.builder
    (row, group, position), (start, stop) = w.unpack(1), w.unpack(5)
    image, column, held = w.arguments[3], w.arguments[4], w.arguments[6]
    rows, _, _, width = cgutils.unpack_tuple(b, w.array(0).shape)
    source, end = w.find(w.array(0), row, group, start, position), w.find(w.array(0), rows)
    target, structured = (w.find(w.array(2, k), image, column, start) for k in range(2))
    is_window = w.select_lanes(b.trunc(held, SHORT))
    of_pixels, of_products = w.slide_totals(), w.slide()

    def enter(here: Any) -> None:
        place = _find_row(w, b.gep(source, [b.mul(here, width)]), end)
        w.store(w.load(place, _index(0), ROW), target, b.mul(here, _index(ROW_BYTES)))
        found = w.read(place)
        of_products.enter(here, w.dot(w.spread_signed(found), w.spread(found)))
        of_pixels.enter(here, w.total(found))

    with w.loop(_index(0), _index(HALO)) as (here, _):
        enter(here)
    with w.loop(_index(0), b.sub(stop, start)) as (here, _):
        enter(b.add(here, _index(HALO)))
        total = of_pixels.load()
        s = w.widen(total)
        spread, is_structured = _spread(w, w.covariance(of_products.load(), s, s), is_window)
        offset = b.mul(here, _index(ROW_BYTES))
        w.store(b.trunc(total, SHORTS) if total.type == INTS else total, target, b.add(offset, _index(SUMS)))
        w.store(w.restore(spread), target, b.add(offset, _index(SPREADS)))
        b.store(b.bitcast(w.restore(is_structured), SHORT), b.gep(structured, [here]))
        of_pixels.leave(here)
        of_products.leave(here)


def _find_row(w: _Writer, pointer: Any, end: Any) -> Any:
    """Return where PIXELS bytes at `pointer` can be read, with 0 from `end` on: after a row's last window, any will do."""
    b = w.builder
    copy, found = w.allocate(ROW), w.allocate(pointer.type, pointer)
    missing = b.sub(b.add(b.ptrtoint(pointer, INDEX), _index(PIXELS)), b.ptrtoint(end, INDEX))
    with b.if_then(b.icmp_signed(">", missing, _index(0)), likely=False):
        b.store(_splat(ROW, 0), copy)
        single = b.bitcast(copy, BYTE.as_pointer())
        with w.loop(_index(0), b.sub(_index(PIXELS), missing)) as (k, _):
            b.store(b.load(b.gep(pointer, [k])), b.gep(single, [k]))
        b.store(single, found)
    return b.load(found)


def _load_part(w: _Writer, rows: Any, row: Any, part: int, kind: Any) -> Any:
    """Return the pixels, the sums or the spreads of a row of `Windows`."""
    offset = w.builder.add(w.builder.mul(row, _index(ROW_BYTES)), _index(part))
    return w.load(rows, offset, kind)


class _Strips(NamedTuple):
    """Where the sums of some strips go: arguments of `score_column` or of `score_pixels`, as LLVM values."""

    edges: Any
    strips: Any
    span: Any
    totals: Any
    losses: Any
    place: Any
    continues: Any


def _find_strips(w: _Writer, first: int) -> _Strips:
    """Return the arguments from number `first` on."""
    edges, strips = (w.find(w.array(first + k)) for k in (0, 1))
    losses = None if w.kinds[first + 4] == types.none else w.array(first + 4)
    place, continues = w.unpack(first + 5), w.arguments[first + 6]
    return _Strips(edges, strips, w.unpack(first + 2), w.array(first + 3), losses, place, continues)


def _first_row(w: _Writer, to: _Strips) -> tuple[Any, Any]:
    """Return the first row of cells of the strips, and its first row of windows."""
    b = w.builder
    cell = b.load(b.gep(to.strips, [to.span[0]]))
    return cell, b.load(b.gep(to.edges, [cell]))


def _write_strips(w: _Writer, to: _Strips, enter: Callable[[Any], None], score: Callable[[Any], "_Scored"]) -> Any:
    """Generate the loops over the rows of some strips; return the count of structured windows, 0 without losses.

    Args:
        w: the writer.
        to: where the sums go.
        enter: generates what a row of pixels adds to the sums over 7 rows; it is given the row, from the first on.
        score: generates the SSIM of a row of windows, given the row, and moves on to the next.
    """
    b = w.builder
    (first, last), (pair, band, lane) = to.span, to.place
    top_cell, top = _first_row(w, to)
    of_strip, of_cell, lost = (w.allocate(FLOATS) for _ in range(3))
    count = w.allocate(INDEX, _index(0))

    def entry(array: Any, place: Any) -> Any:
        return b.load(b.gep(array, [place]))

    def add(row: Any) -> None:
        enter(b.add(row, _index(HALO)))
        found = score(row)
        b.store(b.fadd(b.load(of_cell), found.ssim), of_cell)
        if to.losses is not None:
            b.store(b.add(b.load(count), b.zext(b.ctpop(found.bits), INDEX)), count)
            with_loss = b.fadd(b.load(lost), b.fsub(_splat(FLOATS, 1), found.ssim))
            b.store(b.select(found.is_structured, with_loss, b.load(lost)), lost)

    def begin_losses(cell: Any) -> None:
        before = w.arrange(w.load(find_losses(cell), _index(0), FLOATS, 4))
        b.store(b.select(to.continues, before, _splat(FLOATS, 0)), lost)

    def find_losses(cell: Any) -> Any:
        return w.find(to.losses, pair, b.sub(cell, top_cell), lane)

    with w.loop(_index(0), _index(HALO)) as (row, _):
        enter(row)
    with w.loop(first, last) as (strip, _):
        b.store(_splat(FLOATS, 0), of_strip)
        with w.loop(entry(to.strips, strip), entry(to.strips, b.add(strip, _index(1)))) as (cell, _):
            if to.losses is not None:
                begin_losses(cell)
            b.store(_splat(FLOATS, 0), of_cell)
            rows = [b.sub(entry(to.edges, b.add(cell, _index(k))), top) for k in (0, 1)]
            with w.loop(*rows) as (row, _):
                add(row)
            if to.losses is not None:
                w.store(w.restore(b.load(lost)), find_losses(cell), _index(0), 4)
            b.store(b.fadd(b.load(of_strip), b.load(of_cell)), of_strip)
        total = w.find(to.totals, pair, strip, band)
        b.store(b.fadd(b.load(total), b.fpext(w.sum_lanes(b.load(of_strip)), DOUBLE)), total)
    return b.load(count)


class _Scored(NamedTuple):
    """A row of windows, in the order of lanes.

    Attributes:
        ssim: their SSIM.
        is_structured: which of them are structured in at least one image, as a vector of bits.
        bits: the same as an integer, in any order.
    """

    ssim: Any
    is_structured: Any
    bits: Any


class _Side(NamedTuple):
    """What the SSIM of a row of windows takes of one image: the sums, and their squares plus half of SUMS_C1."""

    sums: Any
    square: Any


def _ssim(w: _Writer, x: _Side, y: _Side, covariance: Any, spread: Any) -> Any:
    """Return the SSIM of a row of windows; `covariance` is 49 Sxy - Sx Sy, and `spread` qx + qy."""
    b = w.builder
    p, difference = b.fadd(x.square, y.square), b.fsub(x.sums, y.sums)
    numerator = b.fmul(w.fused(p, b.fneg(difference), difference), w.fused(C2, covariance, TO_TWICE_COVARIANCE))
    return b.fdiv(numerator, b.fmul(p, spread))


def _measure_side(w: _Writer, sums: Any) -> _Side:
    numbers = w.builder.sitofp(sums, FLOATS)
    return _Side(numbers, w.fused(HALF_SUMS_C1, numbers, numbers))


def _write_score(w: _Writer) -> Any:
    """Generate the code of `score_column`; return the count."""
    b = w.builder
    images, column, to = w.unpack(1), w.arguments[2], _find_strips(w, 3)
    _, top = _first_row(w, to)
    rows, structured = ([w.find(w.array(0, k), image, column, top) for image in images] for k in range(2))
    next_rows = [w.find(w.array(0, 0), image, column, top) for image in w.unpack(10)]
    products = w.slide()

    def enter(row: Any) -> None:
        for part, line in itertools.product(next_rows, range(0, ROW_BYTES, CACHE_LINE)):
            w.fetch(part, b.add(b.mul(row, _index(ROW_BYTES)), _index(line)))
        x, y = (w.read(b.gep(part, [b.mul(row, _index(ROW_BYTES))])) for part in rows)
        products.enter(row, w.dot(w.spread_signed(x), w.spread(y)))

    def score(row: Any) -> _Scored:
        sx, sy = (w.widen(_load_part(w, part, row, SUMS, SHORTS)) for part in rows)
        covariance = w.covariance(products.load(), sx, sy)
        products.leave(row)
        spread = w.arrange(b.fadd(*(_load_part(w, part, row, SPREADS, FLOATS) for part in rows)))
        bits = b.or_(*(b.load(b.gep(array, [row])) for array in structured))
        ssim = _ssim(w, _measure_side(w, sx), _measure_side(w, sy), covariance, spread)
        return _Scored(ssim, w.select_lanes(bits), bits)

    return _write_strips(w, to, enter, score)


def _write_score_pixels(w: _Writer) -> Any:
    """Generate the code of `score_pixels`; return the count."""
    b = w.builder
    images, (group, position), to = w.unpack(1), w.unpack(2), _find_strips(w, 4)
    _, top = _first_row(w, to)
    rows, _, _, width = cgutils.unpack_tuple(b, w.array(0).shape)
    sources, end = [w.find(w.array(0), image, group, top, position) for image in images], w.find(w.array(0), rows)
    is_window = w.select_lanes(b.trunc(w.arguments[3], SHORT))
    of_both, of_pixels, of_squares = w.slide(), [w.slide_totals() for _ in images], [w.slide() for _ in images]

    next_sources = [w.find(w.array(0), image, group, top, position) for image in w.unpack(11)]

    def enter(row: Any) -> None:
        for source, offset in itertools.product(next_sources, (0, HALO + LANES - 1)):
            w.fetch(source, b.add(b.mul(row, width), _index(offset)))
        spreads = []
        for source, pixels, squares in zip(sources, of_pixels, of_squares, strict=True):
            found = w.read(_find_row(w, b.gep(source, [b.mul(row, width)]), end))
            spreads.append((w.spread_signed(found), w.spread(found)))
            squares.enter(row, w.dot(*spreads[-1]))
            pixels.enter(row, w.total(found))
        of_both.enter(row, w.dot(spreads[0][0], spreads[1][1]))

    def score(row: Any) -> _Scored:
        sums = [w.widen(pixels.load()) for pixels in of_pixels]
        measured = [
            _spread(w, w.covariance(squares.load(), s, s), is_window)
            for squares, s in zip(of_squares, sums, strict=True)
        ]
        covariance = w.covariance(of_both.load(), *sums)
        for slide in (of_both, *of_pixels, *of_squares):
            slide.leave(row)
        (qx, is_structured_x), (qy, is_structured_y) = measured
        x, y = (_measure_side(w, s) for s in sums)
        ssim = _ssim(w, x, y, covariance, b.fadd(qx, qy))
        is_structured = b.or_(is_structured_x, is_structured_y)
        return _Scored(ssim, is_structured, b.bitcast(is_structured, SHORT))

    return _write_strips(w, to, enter, score)


def _spread(w: _Writer, scaled_variance: Any, is_window: Any) -> tuple[Any, Any]:
    """Return the spreads of a row of windows, of 49 Sxx - Sx^2, and which of them are structured."""
    b = w.builder
    spread = w.fused(HALF_C2, scaled_variance, TO_VARIANCE)
    is_structured = b.and_(b.fcmp_ordered(">=", spread, _splat(FLOATS, DETAIL_SPREAD)), is_window)
    return b.select(is_window, spread, _splat(FLOATS, np.inf)), is_structured


def _write_collect(w: _Writer) -> None:
    """Generate the code of `collect_losses`.

    The sums of as many neighbours as the narrowest cell has are computed for all lanes at once; those at which a cell
    begins are used, and a wider cell has one neighbour more.
    """
    b = w.builder
    pair, (top, bottom), (left, right) = w.arguments[1], w.unpack(3), w.unpack(4)
    edges, sums = w.find(w.array(2)), w.find(w.array(5))

    def edge(cell: Any) -> Any:
        return b.load(b.gep(edges, [cell]))

    cells = b.sub(cgutils.unpack_tuple(b, w.array(2).shape)[0], _index(1))
    narrow, start = b.sdiv(edge(cells), cells), edge(left)
    width = b.sub(edge(right), start)
    total = w.allocate(FLOATS)
    with w.loop(top, bottom) as (row, _):
        of_lanes = w.find(w.array(0), pair, b.sub(row, top))
        target = w.find(w.array(6), pair, row)
        with cgutils.for_range_slice(b, _index(0), width, _index(LANES)) as (lane, _):
            b.store(_splat(FLOATS, 0), total)
            with w.loop(_index(0), narrow) as (k, _):
                b.store(b.fadd(b.load(total), w.load(of_lanes, b.add(lane, k), FLOATS, 4)), total)
            w.store(b.load(total), sums, lane, 4)
        with w.loop(left, right) as (cell, _):
            lane, after = b.sub(edge(cell), start), b.sub(edge(b.add(cell, _index(1))), start)
            one, more = b.load(b.gep(sums, [lane])), b.load(b.gep(of_lanes, [b.sub(after, _index(1))]))
            is_wide = b.icmp_signed(">", b.sub(after, lane), narrow)
            more = b.select(is_wide, more, ir.Constant(ir.FloatType(), 0.0))
            b.store(b.fadd(one, more), b.gep(target, [cell]))


def _write_bound(w: _Writer) -> Any:
    """Generate the code of `bound_block`; return the two sums."""
    b = w.builder
    x, y = (w.find(w.array(0), image) for image in w.unpack(1))
    runs, total = w.find(w.array(2)), w.allocate(FLOATS, _splat(FLOATS, 0))
    with w.loop(*w.unpack(3)) as (run, _):
        ends = (b.load(b.gep(runs, [b.add(b.mul(run, _index(2)), _index(k))])) for k in (0, 1))
        with w.loop(*ends) as (cell, _):
            offset = b.mul(cell, _index(LANES))
            b.store(
                w.fused(b.load(total), *(b.sitofp(w.load(one, offset, SHORTS, 2), FLOATS) for one in (x, y))), total
            )
    loose = b.extract_element(b.load(total), ir.Constant(INT, LANES - 1))
    both = [b.fpext(value, DOUBLE) for value in (w.sum_lanes(b.load(total)), loose)]
    return w.context.make_tuple(b, types.UniTuple(types.float64, 2), both)


def _describe(write: Callable[[_Writer], Any], result: Any, *kinds: Any) -> Any:
    """Return the typed signature and the code generator of an intrinsic."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        written = write(_Writer(context, builder, signature, arguments))
        return context.get_dummy_value() if written is None else written

    return result(*kinds), generate


_INDICES = {count: types.UniTuple(types.intp, count) for count in (2, 3)}


@intrinsic
def _fill_column(
    typingctx: Any,  # noqa: ARG001
    source: Any,
    place: Any,  # noqa: ARG001
    windows: Any,
    image: Any,  # noqa: ARG001
    column: Any,  # noqa: ARG001
    span: Any,  # noqa: ARG001
    held: Any,  # noqa: ARG001
) -> Any:
    index = types.intp
    return _describe(_write_fill, types.none, source, _INDICES[3], windows, index, index, _INDICES[2], index)


@intrinsic
def _score_column(
    typingctx: Any,  # noqa: ARG001
    windows: Any,
    images: Any,  # noqa: ARG001
    column: Any,  # noqa: ARG001
    edges: Any,
    strips: Any,
    span: Any,  # noqa: ARG001
    totals: Any,
    losses: Any,
    place: Any,  # noqa: ARG001
    continues: Any,  # noqa: ARG001
    ahead: Any,  # noqa: ARG001
) -> Any:
    two, three = _INDICES[2], _INDICES[3]
    kinds = windows, two, types.intp, edges, strips, two, totals, losses, three, types.boolean, two
    return _describe(_write_score, types.intp, *kinds)


@intrinsic
def _score_pixels(
    typingctx: Any,  # noqa: ARG001
    source: Any,
    images: Any,  # noqa: ARG001
    place: Any,  # noqa: ARG001
    held: Any,  # noqa: ARG001
    edges: Any,
    strips: Any,
    span: Any,  # noqa: ARG001
    totals: Any,
    losses: Any,
    target: Any,  # noqa: ARG001
    continues: Any,  # noqa: ARG001
    ahead: Any,  # noqa: ARG001
) -> Any:
    two, three = _INDICES[2], _INDICES[3]
    kinds = source, two, two, types.intp, edges, strips, two, totals, losses, three, types.boolean, two
    return _describe(_write_score_pixels, types.intp, *kinds)


@intrinsic
def _collect_losses(
    typingctx: Any,  # noqa: ARG001
    losses: Any,
    pair: Any,  # noqa: ARG001
    edges: Any,
    rows: Any,  # noqa: ARG001
    columns: Any,  # noqa: ARG001
    sums: Any,
    cells: Any,
) -> Any:
    two = _INDICES[2]
    return _describe(_write_collect, types.none, losses, types.intp, edges, two, two, sums, cells)


@intrinsic
def _bound_block(
    typingctx: Any,  # noqa: ARG001
    features: Any,
    images: Any,  # noqa: ARG001
    runs: Any,
    span: Any,  # noqa: ARG001
) -> Any:
    result = types.UniTuple(types.float64, 2)
    return _describe(_write_bound, result, features, _INDICES[2], runs, _INDICES[2])


@overload(fill_column)
def _overload_fill_column(
    source: Any,  # noqa: ARG001
    place: Any,  # noqa: ARG001
    windows: Any,  # noqa: ARG001
    image: Any,  # noqa: ARG001
    column: Any,  # noqa: ARG001
    span: Any,  # noqa: ARG001
    held: Any,  # noqa: ARG001
) -> Any:
    def implementation(source: Any, place: Any, windows: Any, image: Any, column: Any, span: Any, held: Any) -> Any:
        _fill_column(source, place, windows, image, column, span, held)  # type: ignore[call-arg]

    return implementation


@overload(bound_block)
def _overload_bound_block(
    features: Any,  # noqa: ARG001
    images: Any,  # noqa: ARG001
    runs: Any,  # noqa: ARG001
    span: Any,  # noqa: ARG001
) -> Any:
    def implementation(features: Any, images: Any, runs: Any, span: Any) -> Any:
        return _bound_block(features, images, runs, span)  # type: ignore[call-arg]

    return implementation


@overload(collect_losses)
def _overload_collect_losses(
    losses: Any,  # noqa: ARG001
    pair: Any,  # noqa: ARG001
    edges: Any,  # noqa: ARG001
    rows: Any,  # noqa: ARG001
    columns: Any,  # noqa: ARG001
    sums: Any,  # noqa: ARG001
    cells: Any,  # noqa: ARG001
) -> Any:
    def implementation(losses: Any, pair: Any, edges: Any, rows: Any, columns: Any, sums: Any, cells: Any) -> Any:
        _collect_losses(losses, pair, edges, rows, columns, sums, cells)  # type: ignore[call-arg]

    return implementation


@overload(score_pixels)
def _overload_score_pixels(
    source: Any,  # noqa: ARG001
    images: Any,  # noqa: ARG001
    place: Any,  # noqa: ARG001
    held: Any,  # noqa: ARG001
    edges: Any,  # noqa: ARG001
    strips: Any,  # noqa: ARG001
    span: Any,  # noqa: ARG001
    totals: Any,  # noqa: ARG001
    losses: Any,  # noqa: ARG001
    target: Any,  # noqa: ARG001
    continues: Any,  # noqa: ARG001
    ahead: Any,  # noqa: ARG001
) -> Any:
    def implementation(
        source: Any,
        images: Any,
        place: Any,
        held: Any,
        edges: Any,
        strips: Any,
        span: Any,
        totals: Any,
        losses: Any,
        target: Any,
        continues: Any,
        ahead: Any,
    ) -> Any:
        return _score_pixels(  # type: ignore[call-arg]
            source, images, place, held, edges, strips, span, totals, losses, target, continues, ahead
        )

    return implementation


@overload(score_column)
def _overload_score_column(
    windows: Any,  # noqa: ARG001
    images: Any,  # noqa: ARG001
    column: Any,  # noqa: ARG001
    edges: Any,  # noqa: ARG001
    strips: Any,  # noqa: ARG001
    span: Any,  # noqa: ARG001
    totals: Any,  # noqa: ARG001
    losses: Any,  # noqa: ARG001
    place: Any,  # noqa: ARG001
    continues: Any,  # noqa: ARG001
    ahead: Any,  # noqa: ARG001
) -> Any:
    def implementation(
        windows: Any,
        images: Any,
        column: Any,
        edges: Any,
        strips: Any,
        span: Any,
        totals: Any,
        losses: Any,
        place: Any,
        continues: Any,
        ahead: Any,
    ) -> Any:
        return _score_column(  # type: ignore[call-arg]
            windows, images, column, edges, strips, span, totals, losses, place, continues, ahead
        )

    return implementation
