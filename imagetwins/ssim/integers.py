"""Inner products of 8-bit integers, which the compiler does not vectorise well by itself: LLVM's own instructions.

Vectors of codes, integers of -127 to 127, come in groups of GROUP; each group has a weight, a power of two. What is
computed is the sum of the groups' inner products times their weights, modulo 2^32, so no order of additions and no
overflow on the way can change it.

`reach_tile` does it for a small tile of pairs at once, adds what is known of each image in float32, and says which pairs
reach a limit. `dot_codes` does it for one pair. Both exist for each of `Kernels` (processor.py):

- with VNNI, one instruction multiplies 8-bit integers of which the first must be unsigned. So 128 is added to those of
  the second image; the caller subtracts 128 times the weighted sum of the first image's codes, its bias;
- otherwise, 8-bit integers are widened to 16 bits, and pairs of products are added.
"""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from imagetwins.ssim.processor import Kernels, find_runnable

GROUP = 64
"""Codes in a group."""

TERMS = 16
"""Numbers in float32 of each image, whose inner product is added to that of the codes."""

CLASSES, FLIPS = 4, 4
"""Classes of codes and terms, by whether they change signs when rows, and when columns, are in reverse order: neither, columns,
rows, both; and the ways to reverse, in the same order."""

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
F32 = ir.FloatType()
PLAIN, AVX2, AVX_VNNI, AVX512_VNNI = (int(kernels) for kernels in Kernels)


class Shape(NamedTuple):
    """The registers of a small tile.

    Attributes:
        lanes: 32-bit numbers in a register.
        rows: of the tile.
        vectors: registers along a row of it.
    """

    lanes: int
    rows: int
    vectors: int

    @property
    def width(self) -> int:
        """Columns of the tile."""
        return self.lanes * self.vectors


SHAPES = {
    Kernels.PLAIN: Shape(4, 4, 2),
    Kernels.AVX2: Shape(8, 4, 2),
    Kernels.AVX_VNNI: Shape(8, 4, 3),
    Kernels.AVX512_VNNI: Shape(16, 8, 3),
}
"""As many sums as leave registers for what is multiplied; measured."""

VNNI = {Kernels.AVX_VNNI, Kernels.AVX512_VNNI}


class Writer:
    """Writes the instructions of one of `Kernels`.

    Attributes:
        builder: LLVM's.
        lanes: 32-bit numbers in a register.
    """

    def __init__(self, builder: Any, kernels: Kernels) -> None:
        self.builder, self.kernels, self.lanes = builder, kernels, SHAPES[kernels].lanes
        self.integers, self.floats = (ir.VectorType(kind, self.lanes) for kind in (I32, F32))

    def zero(self) -> Any:
        return ir.Constant(self.integers, [0] * self.lanes)

    def fill(self, kind: ir.VectorType, value: int) -> Any:
        return ir.Constant(kind, [value] * kind.count)

    def variable(self, value: Any) -> Any:
        """Return the place of a variable; the optimiser keeps it in a register."""
        place = cgutils.alloca_once(self.builder, value.type)  # type: ignore[no-untyped-call]
        self.builder.store(value, place)
        return place

    def change(self, place: Any, value: Any) -> None:
        self.builder.store(value, place)

    def at(self, pointer: Any, *offsets: Any) -> Any:
        for offset in offsets:
            pointer = self.builder.gep(pointer, [ir.Constant(I64, offset) if isinstance(offset, int) else offset])
        return pointer

    def load(self, pointer: Any, kind: Any) -> Any:
        return self.builder.load(self.builder.bitcast(pointer, kind.as_pointer()), align=1)

    def store(self, value: Any, pointer: Any) -> None:
        self.builder.store(value, self.builder.bitcast(pointer, value.type.as_pointer()), align=1)

    def splat(self, value: Any) -> Any:
        """Return a register that holds `value` in each lane."""
        kind = ir.VectorType(value.type, self.lanes)
        single = self.builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(I32, 0))
        order = ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(single, ir.Constant(kind, ir.Undefined), order)

    def call(self, name: str, kind: Any, *arguments: Any) -> Any:
        function = ir.FunctionType(kind, [argument.type for argument in arguments])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, function, name), arguments)  # type: ignore[no-untyped-call]

    def add_products(self, total: Any, first: Any, second: Any) -> Any:
        """Add the products of four codes to each lane of `total`; with VNNI the second ones are unsigned."""
        if self.kernels in VNNI:
            bits = 32 * self.lanes
            return self.call(f"llvm.x86.avx512.vpdpbusd.{bits}", self.integers, total, second, first)
        for one, other in zip(self.widen(first), self.widen(second), strict=True):
            total = self.builder.add(total, self.multiply(one, other))
        return total

    def widen(self, codes: Any) -> tuple[Any, Any]:
        """Return the even and the odd ones of 8-bit integers, with 16 bits each."""
        pairs = ir.VectorType(I16, 2 * self.lanes)
        both, eight = self.builder.bitcast(codes, pairs), self.fill(pairs, 8)
        return self.builder.ashr(self.builder.shl(both, eight), eight), self.builder.ashr(both, eight)

    def multiply(self, first: Any, second: Any) -> Any:
        """Return the sums of two products of 16-bit integers for each lane."""
        if self.kernels == Kernels.AVX2:
            return self.call("llvm.x86.avx2.pmadd.wd", self.integers, first, second)
        products = []
        for half in range(2):
            order = ir.Constant(ir.VectorType(I32, self.lanes), [*range(half, 2 * self.lanes, 2)])
            one, other = (self.builder.shuffle_vector(codes, codes, order) for codes in (first, second))
            products.append(self.builder.mul(*(self.builder.sext(codes, self.integers) for codes in (one, other))))
        return self.builder.add(*products)


def _read_arrays(context: Any, builder: Any, signature: Any, arguments: Any) -> list[Any]:
    """Return the arguments, arrays as what gives access to their data and shape."""
    return [
        context.make_array(kind)(context, builder, argument) if isinstance(kind, types.Array) else argument
        for kind, argument in zip(signature.args, arguments, strict=True)
    ]


each: Any = cgutils.for_range_slice


def _add_codes(write: Writer, shape: Shape, rows: list[Any], panel: Any, k: Any, sums: list[list[Any]]) -> None:
    """Add the products of word k of each row and column of a small tile to `sums`: of each row, one for each register."""
    base = write.at(panel, write.builder.mul(k, ir.Constant(I64, shape.width)))
    columns = [write.load(write.at(base, shape.lanes * c), write.integers) for c in range(shape.vectors)]
    for pointer, line in zip(rows, sums, strict=True):
        codes_of_row = write.splat(write.builder.load(write.at(pointer, k)))
        for place, column in zip(line, columns, strict=True):
            write.change(place, write.add_products(write.builder.load(place), codes_of_row, column))


def _add_terms(write: Writer, shape: Shape, rows: list[Any], panel: Any, k: Any, bounds: list[list[Any]]) -> None:
    """Do as `_add_codes` with term k; what is added to a column's bounds stands before its terms."""
    builder = write.builder
    base = write.at(panel, builder.mul(builder.add(k, ir.Constant(I64, 1)), ir.Constant(I64, shape.width)))
    columns = [write.load(write.at(base, shape.lanes * c), write.floats) for c in range(shape.vectors)]
    for pointer, line in zip(rows, bounds, strict=True):
        term = write.splat(builder.load(write.at(pointer, k)))
        for place, column in zip(line, columns, strict=True):
            product = builder.fmul(term, column, flags=["contract"])
            write.change(place, builder.fadd(builder.load(place), product, flags=["contract"]))


def _set_bits(write: Writer, mask: Any, bounds: Any, limit: Any, c: int) -> Any:
    """Return a mask with the bits of register c, set where `bounds` reach the limit."""
    is_left = write.builder.fcmp_ordered(">=", bounds, limit)
    bits = write.builder.zext(write.builder.bitcast(is_left, ir.IntType(write.lanes)), I64)
    return write.builder.or_(mask, write.builder.shl(bits, ir.Constant(I64, c * write.lanes)))


def _write_reach_tile(write: Writer, shape: Shape, arguments: list[Any]) -> None:
    """Write `reach_tile`, whose arguments these are, for one of `Kernels`."""
    codes, terms, lowest, bias, row, panel_codes, panel_terms, panel, ends, shifts, unit, masks = arguments
    builder, one, width = write.builder, ir.Constant(I64, 1), ir.Constant(I64, shape.width)
    words = builder.extract_value(codes.shape, 1)
    rows = [builder.add(row, ir.Constant(I64, r)) for r in range(shape.rows)]
    first = [write.at(codes.data, builder.mul(r, words)) for r in rows]
    second = write.at(panel_codes.data, builder.mul(panel, builder.mul(words, width)))
    sums = [[write.variable(write.zero()) for _ in range(shape.vectors)] for _ in rows]
    start = write.variable(ir.Constant(I64, 0))
    with each(builder, ir.Constant(I64, 0), builder.extract_value(ends.shape, 0), one) as (run, _):
        shift, end = write.splat(builder.load(write.at(shifts.data, run))), builder.load(write.at(ends.data, run))
        for place in (place for line in sums for place in line):
            write.change(place, builder.shl(builder.load(place), shift))
        with each(builder, builder.load(start), end, one) as (k, _):
            _add_codes(write, shape, first, second, k, sums)
        write.change(start, end)
    of_columns = write.at(panel_terms.data, builder.mul(panel, ir.Constant(I64, (TERMS + 1) * shape.width)))
    offsets = [write.load(write.at(of_columns, shape.lanes * c), write.floats) for c in range(shape.vectors)]
    of_rows = [write.at(terms.data, builder.mul(r, ir.Constant(I64, TERMS))) for r in rows]
    scale, bounds = write.splat(unit), []
    for r, line in zip(rows, sums, strict=True):
        subtracted = write.splat(builder.load(write.at(bias.data, r)))
        found = [builder.sitofp(builder.sub(builder.load(place), subtracted), write.floats) for place in line]
        scaled = [builder.fmul(number, scale, flags=["contract"]) for number in found]
        added = [builder.fadd(*both, flags=["contract"]) for both in zip(scaled, offsets, strict=True)]
        bounds.append([write.variable(number) for number in added])
    with each(builder, ir.Constant(I64, 0), ir.Constant(I64, TERMS), one) as (k, _):
        _add_terms(write, shape, of_rows, of_columns, k, bounds)
    for number, (r, line) in enumerate(zip(rows, bounds, strict=True)):
        limit, mask = write.splat(builder.load(write.at(lowest.data, r))), ir.Constant(I64, 0)
        for c, place in enumerate(line):
            mask = _set_bits(write, mask, builder.load(place), limit, c)
        builder.store(mask, write.at(masks.data, number))


def _write_reach_turned(write: Writer, shape: Shape, arguments: list[Any]) -> None:
    """Write `reach_turned`, whose arguments these are, for one of `Kernels`."""
    (codes, terms, lowest, bias, row, panel_codes, panel_terms, panel) = arguments[:8]
    ends, shifts, runs, units, term_ends, scratch, masks = arguments[8:]
    builder, one, width = write.builder, ir.Constant(I64, 1), ir.Constant(I64, shape.width)
    words = builder.extract_value(codes.shape, 1)
    rows = [builder.add(row, ir.Constant(I64, r)) for r in range(shape.rows)]
    first = [write.at(codes.data, builder.mul(r, words)) for r in rows]
    second = write.at(panel_codes.data, builder.mul(panel, builder.mul(words, width)))
    of_columns = write.at(panel_terms.data, builder.mul(panel, ir.Constant(I64, (TERMS + 1) * shape.width)))
    of_rows = [write.at(terms.data, builder.mul(r, ir.Constant(I64, TERMS))) for r in rows]
    sums, bounds = (
        [[write.variable(ir.Constant(kind, [0] * write.lanes)) for _ in range(shape.vectors)] for _ in rows]
        for kind in (write.integers, write.floats)
    )
    start = write.variable(ir.Constant(I64, 0))
    places = [(r, c) for r in range(shape.rows) for c in range(shape.vectors)]

    def kept(number: Any, r: int, c: int) -> Any:
        """Return where the part of a class is kept."""
        offset = builder.mul(number, ir.Constant(I64, shape.rows * shape.width))
        return write.at(scratch.data, offset, r * shape.width + c * shape.lanes)

    with each(builder, ir.Constant(I64, 0), ir.Constant(I64, CLASSES), one) as (number, _):
        following = builder.add(number, one)
        for r, c in places:
            write.change(sums[r][c], write.zero())
        with each(builder, *(builder.load(write.at(runs.data, k)) for k in (number, following)), one) as (run, _):
            shift, end = write.splat(builder.load(write.at(shifts.data, run))), builder.load(write.at(ends.data, run))
            for r, c in places:
                write.change(sums[r][c], builder.shl(builder.load(sums[r][c]), shift))
            with each(builder, builder.load(start), end, one) as (k, _):
                _add_codes(write, shape, first, second, k, sums)
            write.change(start, end)
        scale = write.splat(builder.load(write.at(units.data, number)))
        for r, c in places:
            entry = builder.add(builder.mul(rows[r], ir.Constant(I64, CLASSES)), number)
            subtracted = write.splat(builder.load(write.at(bias.data, entry)))
            found = builder.sitofp(builder.sub(builder.load(sums[r][c]), subtracted), write.floats)
            write.change(bounds[r][c], builder.fmul(found, scale))
        with each(builder, *(builder.load(write.at(term_ends.data, k)) for k in (number, following)), one) as (k, _):
            _add_terms(write, shape, of_rows, of_columns, k, bounds)
        for r, c in places:
            write.store(builder.load(bounds[r][c]), kept(number, r, c))
    offsets = [write.load(write.at(of_columns, shape.lanes * c), write.floats) for c in range(shape.vectors)]
    for r, of_row in enumerate(rows):
        parts = [
            [write.load(kept(ir.Constant(I64, number), r, c), write.floats) for number in range(CLASSES)]
            for c in range(shape.vectors)
        ]
        limit = write.splat(builder.load(write.at(lowest.data, of_row)))
        for flip, mask in enumerate(_compare_flips(write, parts, offsets, limit)):
            builder.store(mask, write.at(masks.data, flip * shape.rows + r))


def _compare_flips(write: Writer, parts: list[list[Any]], offsets: list[Any], limit: Any) -> list[Any]:
    """Write the sums of the parts of all classes, of which some are subtracted; return which reach the limit.

    Args:
        write: the writer.
        parts: for each register of a row of pairs, those of the classes.
        offsets: for each register, what is added.
        limit: for all.
    """
    builder, masks = write.builder, [ir.Constant(I64, 0)] * FLIPS
    for c, ((even, across, down, both), offset) in enumerate(zip(parts, offsets, strict=True)):
        added = builder.fadd(even, offset)
        left = [builder.fadd(added, across), builder.fsub(added, across)]
        right = [builder.fadd(down, both), builder.fsub(down, both)]
        totals = [combine(*pair) for combine in (builder.fadd, builder.fsub) for pair in zip(left, right, strict=True)]
        for flip, total in enumerate(totals):
            masks[flip] = _set_bits(write, masks[flip], total, limit, c)
    return masks


def _write_dot_codes(write: Writer, arguments: list[Any]) -> Any:
    """Write `dot_codes` or `dot_turned`, whose arguments these are, for one of `Kernels`; return its result."""
    codes, i, j, shifts, start, stop, *turned = arguments
    builder, length = write.builder, 4 * write.lanes
    width = builder.extract_value(codes.shape, 1)
    first, second = (write.at(codes.data, builder.mul(row, width)) for row in (i, j))
    kind = ir.VectorType(I8, length)
    parts = range(0, GROUP, length)
    sums = [write.variable(write.zero()) for _ in parts]
    with each(builder, start, stop, ir.Constant(I64, 1)) as (group, _):
        shift = write.splat(builder.load(write.at(shifts.data, group)))
        base = builder.mul(group, ir.Constant(I64, GROUP))
        bases, mask = (base, base), None
        if turned:
            sources, signs, orientation = turned
            entry = builder.add(builder.mul(orientation, builder.extract_value(sources.shape, 1)), group)
            bases = base, builder.mul(builder.load(write.at(sources.data, entry)), ir.Constant(I64, GROUP))
            mask = builder.bitcast(write.splat(builder.load(write.at(signs.data, entry))), kind)
        for place, part in zip(sums, parts, strict=True):
            x, y = (
                write.load(write.at(side, of_side, part), kind)
                for side, of_side in zip((first, second), bases, strict=True)
            )
            if mask is not None:
                y = builder.sub(builder.xor(y, mask), mask)
            if write.kernels in VNNI:
                y = builder.xor(y, write.fill(kind, -128))
            x, y = (builder.bitcast(side, write.integers) for side in (x, y))
            products = builder.shl(write.add_products(write.zero(), x, y), shift)
            write.change(place, builder.add(builder.load(place), products))
    total = builder.load(sums[0])
    for place in sums[1:]:
        total = builder.add(total, builder.load(place))
    return write.call(f"llvm.vector.reduce.add.v{write.lanes}i32", I32, total)


def _make_reach_tile(kernels: Kernels) -> Any:
    """Return `reach_tile` of these kernels; it does nothing where they cannot run, and is not called."""

    @intrinsic
    def reach_tile(
        typingctx: Any,  # noqa: ARG001
        codes: Any,
        terms: Any,
        lowest: Any,
        bias: Any,
        row: Any,  # noqa: ARG001
        panel_codes: Any,
        panel_terms: Any,
        panel: Any,  # noqa: ARG001
        ends: Any,
        shifts: Any,
        unit: Any,  # noqa: ARG001
        masks: Any,
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            if kernels in find_runnable():
                given = _read_arrays(context, builder, signature, arguments)
                _write_reach_tile(Writer(builder, kernels), SHAPES[kernels], given)
            return context.get_dummy_value()

        rows = codes, terms, lowest, bias, types.intp
        columns = panel_codes, panel_terms, types.intp
        return types.none(*rows, *columns, ends, shifts, types.float32, masks), generate

    return reach_tile


def _make_reach_turned(kernels: Kernels) -> Any:
    """Return `reach_turned` of these kernels; it does nothing where they cannot run, and is not called."""

    @intrinsic
    def reach_turned(
        typingctx: Any,  # noqa: ARG001
        codes: Any,
        terms: Any,
        lowest: Any,
        bias: Any,
        row: Any,  # noqa: ARG001
        panel_codes: Any,
        panel_terms: Any,
        panel: Any,  # noqa: ARG001
        ends: Any,
        shifts: Any,
        runs: Any,
        units: Any,
        term_ends: Any,
        scratch: Any,
        masks: Any,
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            if kernels in find_runnable():
                given = _read_arrays(context, builder, signature, arguments)
                _write_reach_turned(Writer(builder, kernels), SHAPES[kernels], given)
            return context.get_dummy_value()

        rows = codes, terms, lowest, bias, types.intp
        columns = panel_codes, panel_terms, types.intp
        return types.none(*rows, *columns, ends, shifts, runs, units, term_ends, scratch, masks), generate

    return reach_turned


def _make_dot_turned(kernels: Kernels) -> Any:
    """Return `dot_turned` of these kernels; it returns 0 where they cannot run, and is not called."""

    @intrinsic
    def dot_turned(
        typingctx: Any,  # noqa: ARG001
        codes: Any,
        i: Any,  # noqa: ARG001
        j: Any,  # noqa: ARG001
        shifts: Any,
        start: Any,  # noqa: ARG001
        stop: Any,  # noqa: ARG001
        sources: Any,
        signs: Any,
        orientation: Any,  # noqa: ARG001
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            if kernels not in find_runnable():
                return ir.Constant(I32, 0)
            return _write_dot_codes(Writer(builder, kernels), _read_arrays(context, builder, signature, arguments))

        index = types.intp
        return types.int32(codes, index, index, shifts, index, index, sources, signs, index), generate

    return dot_turned


def _make_dot_codes(kernels: Kernels) -> Any:
    """Return `dot_codes` of these kernels; it returns 0 where they cannot run, and is not called."""

    @intrinsic
    def dot_codes(typingctx: Any, codes: Any, i: Any, j: Any, shifts: Any, start: Any, stop: Any) -> Any:  # noqa: ARG001
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            if kernels not in find_runnable():
                return ir.Constant(I32, 0)
            return _write_dot_codes(Writer(builder, kernels), _read_arrays(context, builder, signature, arguments))

        return types.int32(codes, types.intp, types.intp, shifts, types.intp, types.intp), generate

    return dot_codes


_reach_plain, _reach_avx2, _reach_avx_vnni, _reach_avx512_vnni = (_make_reach_tile(kernels) for kernels in Kernels)
_flip_plain, _flip_avx2, _flip_avx_vnni, _flip_avx512_vnni = (_make_reach_turned(kernels) for kernels in Kernels)
_turned_plain, _turned_avx2, _turned_avx_vnni, _turned_avx512_vnni = (_make_dot_turned(kernels) for kernels in Kernels)
_dot_plain, _dot_avx2, _dot_avx_vnni, _dot_avx512_vnni = (_make_dot_codes(kernels) for kernels in Kernels)


@intrinsic
def lowest_bit(typingctx: Any, mask: Any) -> Any:  # noqa: ARG001
    """Return the number of the lowest bit of a uint64 that is set; it must not be 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


@njit(nogil=True, cache=True)
def reach_tile(
    kernels: int,
    codes: NDArray[np.int32],
    terms: NDArray[np.float32],
    lowest: NDArray[np.float32],
    bias: NDArray[np.int32],
    row: int,
    panel_codes: NDArray[np.int32],
    panel_terms: NDArray[np.float32],
    panel: int,
    ends: NDArray[np.int64],
    shifts: NDArray[np.int32],
    unit: np.float32,
    masks: NDArray[np.uint64],
) -> None:
    """Say which pairs of a small tile reach a limit: of SHAPES[kernels].rows rows and .width columns.

    A pair does if unit * (inner product of the codes) + panel_terms[0] + (inner product of the terms) is at least
    `lowest` of its row. Codes are read four at a time, as 32-bit numbers. Their groups are divided into runs of equal
    weight: before each run, the sum of those before it is multiplied by 2^shift.

    Args:
        kernels: one of `Kernels` that can run here.
        codes: (n, words) int32, those of the rows.
        terms: (n, TERMS) float32.
        lowest: (n,) float32.
        bias: (n,) int32, subtracted from the inner products of the codes.
        row: the first row.
        panel_codes: (panels, words, width) int32, those of the columns; with VNNI, 128 is added to each.
        panel_terms: (panels, 1 + TERMS, width) float32: what is added to each column's bounds, and its terms.
        panel: which panel of columns.
        ends: (runs,) int64, the words at which each run ends.
        shifts: (runs,) int32.
        unit: what a unit of the inner product of the codes is worth.
        masks: (rows,) uint64, overwritten: a bit for each column, set where the pair reaches the limit.
    """
    if kernels == AVX512_VNNI:
        _reach_avx512_vnni(codes, terms, lowest, bias, row, panel_codes, panel_terms, panel, ends, shifts, unit, masks)
    elif kernels == AVX_VNNI:
        _reach_avx_vnni(codes, terms, lowest, bias, row, panel_codes, panel_terms, panel, ends, shifts, unit, masks)
    elif kernels == AVX2:
        _reach_avx2(codes, terms, lowest, bias, row, panel_codes, panel_terms, panel, ends, shifts, unit, masks)
    else:
        _reach_plain(codes, terms, lowest, bias, row, panel_codes, panel_terms, panel, ends, shifts, unit, masks)


@njit(nogil=True, cache=True)
def dot_codes(
    kernels: int, codes: NDArray[np.int8], i: int, j: int, shifts: NDArray[np.int32], start: int, stop: int
) -> np.int32:
    """Return the inner product of some groups of two rows, each times 2^shift; with VNNI, the first one's bias too much.

    Args:
        kernels: one of `Kernels` that can run here.
        codes: (n, groups * GROUP) int8.
        i, j: the rows.
        shifts: (groups,) int32.
        start, stop: the groups.
    """
    if kernels == AVX512_VNNI:
        product: np.int32 = _dot_avx512_vnni(codes, i, j, shifts, start, stop)
    elif kernels == AVX_VNNI:
        product = _dot_avx_vnni(codes, i, j, shifts, start, stop)
    elif kernels == AVX2:
        product = _dot_avx2(codes, i, j, shifts, start, stop)
    else:
        product = _dot_plain(codes, i, j, shifts, start, stop)
    return product


@njit(nogil=True, cache=True)
def dot_turned(
    kernels: int,
    codes: NDArray[np.int8],
    i: int,
    j: int,
    shifts: NDArray[np.int32],
    start: int,
    stop: int,
    sources: NDArray[np.int64],
    signs: NDArray[np.int32],
    turn: int,
) -> np.int32:
    """Do as `dot_codes`, with the groups of the second row exchanged, and some of them negative.

    Args:
        kernels, codes, i, j, shifts, start, stop: as there.
        sources: (turns, groups) int64, the group of the second row that is in the place of each.
        signs: (turns, groups) int32, 0, or -1 where it is negative.
        turn: which row of these two.
    """
    if kernels == AVX512_VNNI:
        product: np.int32 = _turned_avx512_vnni(codes, i, j, shifts, start, stop, sources, signs, turn)
    elif kernels == AVX_VNNI:
        product = _turned_avx_vnni(codes, i, j, shifts, start, stop, sources, signs, turn)
    elif kernels == AVX2:
        product = _turned_avx2(codes, i, j, shifts, start, stop, sources, signs, turn)
    else:
        product = _turned_plain(codes, i, j, shifts, start, stop, sources, signs, turn)
    return product


@njit(nogil=True, cache=True)
def reach_turned(
    kernels: int,
    codes: NDArray[np.int32],
    terms: NDArray[np.float32],
    lowest: NDArray[np.float32],
    bias: NDArray[np.int32],
    row: int,
    panel_codes: NDArray[np.int32],
    panel_terms: NDArray[np.float32],
    panel: int,
    ends: NDArray[np.int64],
    shifts: NDArray[np.int32],
    runs: NDArray[np.int64],
    units: NDArray[np.float32],
    term_ends: NDArray[np.int64],
    scratch: NDArray[np.float32],
    masks: NDArray[np.uint64],
) -> None:
    """Do as `reach_tile` for the columns in four orientations at once: with rows, and columns, of cells in reverse order or not.

    Of a picture in reverse order, all codes and terms of a class change their signs, or none does. So the sums of each class are
    computed once, and added or subtracted.

    Args:
        kernels, terms, lowest, row, panel_codes, panel_terms, panel: as for `reach_tile`, terms ordered by class.
        codes: (n, words) int32, those of the rows, ordered by class.
        bias: (n, CLASSES) int32, of each class.
        ends, shifts: (all runs,) int64 and int32, those of all classes.
        runs: (CLASSES + 1,) int64, the first run of each class, and the end.
        units: (CLASSES,) float32, what a unit of the inner products of each class is worth.
        term_ends: (CLASSES + 1,) int64, the first term of each class, and the end.
        scratch: (CLASSES * rows * width,) float32.
        masks: (FLIPS, rows) uint64, overwritten.
    """
    columns = panel_codes, panel_terms, panel
    given = (codes, terms, lowest, bias, row, *columns, ends, shifts, runs, units, term_ends, scratch, masks)
    if kernels == AVX512_VNNI:
        _flip_avx512_vnni(*given)
    elif kernels == AVX_VNNI:
        _flip_avx_vnni(*given)
    elif kernels == AVX2:
        _flip_avx2(*given)
    else:
        _flip_plain(*given)
