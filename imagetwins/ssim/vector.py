"""Sums of outer products over the windows of a cell, and products of narrow matrices: what the compiler does not vectorise.

**Outer products.** The left factor of a window has MEAN_RANK numbers, the right one has STRUCTURE_RANK, which fill one vector register:

    (a_1 k1, a_2 k1, rho k1, k0)

where k1 and k0 have DEVIATION_RANK numbers each, and (a_1, a_2, rho) is the direction of the window. What they mean is
said in features.py.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

MEAN_RANK = 8
"""Coordinates kept of a window's mean."""

DEVIATION_RANK = 4
"""Coordinates kept of a window's deviation, for each of the kernels k1 and k0."""

DIRECTIONS = 3
"""Coordinates of a window's direction: two slopes, and the length of the rest."""

STRUCTURE_RANK = (DIRECTIONS + 1) * DEVIATION_RANK
"""Coordinates kept of a window's deviation and direction together."""

PANEL_ROWS = 8
"""The rows of a product are a multiple of this: so many sums keep a core's multipliers busy, if they fit its registers."""

PARTS = DIRECTIONS + 1
VECTOR, HALF = (ir.VectorType(ir.FloatType(), width) for width in (STRUCTURE_RANK, 2 * DEVIATION_RANK))
INDEX = ir.IntType(64)


def sum_outer(
    sums: NDArray[np.float32],
    spans: NDArray[np.int64],
    height: int,
    left: NDArray[np.float32],
    left_index: NDArray[np.int16],
    right: NDArray[np.float32],
    right_index: NDArray[np.int16],
    directions: NDArray[np.float32],
) -> None:
    """Sum the outer products over some rectangles of windows, all of which begin in the first row and are equally high.

    This body defines the result and is what runs without numba's JIT. One call is for many rectangles, because numba
    counts references to all of these arrays whenever they are passed on.

    Args:
        sums: (n, MEAN_RANK * STRUCTURE_RANK) float32; overwritten.
        spans: (n, 2) int64, the first column of each rectangle, and the end.
        height: rows of each rectangle.
        left: (l, MEAN_RANK) float32, the left vectors.
        left_index: (rows, window_width) int16, which of them each window has.
        right: (r, 2 * DEVIATION_RANK) float32, k1 and k0.
        right_index: (rows, window_width) int16, which of them each window has.
        directions: (3, rows, window_width) float32, a_1, a_2 and rho.
    """
    for total, span in zip(sums, spans, strict=True):
        rectangle = slice(height), slice(*span)
        k1, k0 = np.split(right[right_index[rectangle]], 2, axis=-1)
        structure = np.concatenate([*(k1 * part[..., None] for part in directions[:, *rectangle]), k0], -1)
        total[:] = np.einsum("rcp,rcq->pq", left[left_index[rectangle]], structure).ravel()


@njit(nogil=True, cache=True)
def complete_panels(rows: int) -> int:
    """Return the next multiple of PANEL_ROWS."""
    return (rows + PANEL_ROWS - 1) // PANEL_ROWS * PANEL_ROWS


def multiply(product: NDArray[Any], left: NDArray[Any], right: NDArray[Any]) -> None:
    """Compute the product of two matrices, of which the right one is as narrow as one vector.

    This body defines the result, up to rounding, and is what runs without numba's JIT.

    Args:
        product: (n, STRUCTURE_RANK) float32 or float64; overwritten. n is a multiple of PANEL_ROWS.
        left: (n, m), of the same type.
        right: (m, STRUCTURE_RANK), of the same type.
    """
    np.matmul(left, right, out=product)


def _rows_at_once(context: Any, vector: ir.VectorType) -> int:
    """Return how many sums of such vectors the processor's registers hold, a divisor of PANEL_ROWS.

    A vector is one of the 32 registers of AVX-512, or two for float64. Otherwise it is at least two of 16 or four of 32.
    """
    _, _, features = context.codegen().magic_tuple()
    if "+avx512f" in features.split(","):
        return PANEL_ROWS
    return PANEL_ROWS // 2 if vector.element == ir.FloatType() else PANEL_ROWS // 4


def _make_sums(builder: Any, vector: ir.VectorType, number: int) -> list[Any]:
    """Return a place for each of some sums that begin with 0.

    The optimiser keeps them in registers, since nothing else refers to them.
    """
    zero = ir.Constant(vector, [0.0] * vector.count)
    sums = [cgutils.alloca_once(builder, vector) for _ in range(number)]  # type: ignore[no-untyped-call]
    for place in sums:
        builder.store(zero, place)
    return sums


def _add_multiple(builder: Any, place: Any, scalar: Any, vector: Any) -> None:
    """Add a scalar's multiple of a vector to the sum at `place`."""
    first = ir.Constant(ir.VectorType(ir.IntType(32), vector.type.count), [0] * vector.type.count)
    undefined = ir.Constant(vector.type, ir.Undefined)
    single = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    product = builder.fmul(builder.shuffle_vector(single, undefined, first), vector, flags=["contract"])
    builder.store(builder.fadd(builder.load(place), product, flags=["contract"]), place)


def _load_vector(builder: Any, pointer: Any, vector: ir.VectorType) -> Any:
    return builder.load(builder.bitcast(pointer, vector.as_pointer()), align=4)


def _store_sums(builder: Any, sums: list[Any], pointers: list[Any]) -> None:
    for place, pointer in zip(sums, pointers, strict=True):
        vector = builder.load(place)
        builder.store(vector, builder.bitcast(pointer, vector.type.as_pointer()), align=4)


def _index(number: int) -> Any:
    return ir.Constant(INDEX, number)


@intrinsic
def _multiply(typingctx: Any, product: Any, left: Any, right: Any) -> Any:  # noqa: ARG001
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        of_product, of_left, of_right = (
            context.make_array(kind)(context, builder, argument)
            for kind, argument in zip(signature.args, arguments, strict=True)
        )
        vector = ir.VectorType(of_product.data.type.pointee, STRUCTURE_RANK)

        def row(array: Any, number: Any) -> Any:
            stride = builder.extract_value(array.strides, 0)
            address = builder.add(builder.ptrtoint(array.data, INDEX), builder.mul(stride, number))
            return builder.inttoptr(address, array.data.type)

        n, m = (builder.extract_value(of_left.shape, axis) for axis in range(2))
        together = _rows_at_once(context, vector)
        each: Any = cgutils.for_range_slice
        with each(builder, _index(0), n, _index(together)) as (begin, _):
            numbers = [builder.add(begin, _index(r)) for r in range(together)]
            lefts, sums = [row(of_left, number) for number in numbers], _make_sums(builder, vector, together)
            with each(builder, _index(0), m, _index(1)) as (k, _):
                loaded = _load_vector(builder, row(of_right, k), vector)
                for place, pointer in zip(sums, lefts, strict=True):
                    _add_multiple(builder, place, builder.load(builder.gep(pointer, [k])), loaded)
            _store_sums(builder, sums, [row(of_product, number) for number in numbers])
        return context.get_dummy_value()

    return types.none(product, left, right), generate


@overload(multiply)
def _overload_multiply(product: Any, left: Any, right: Any) -> Any:  # noqa: ARG001
    def implementation(product: Any, left: Any, right: Any) -> Any:
        _multiply(product, left, right)  # type: ignore[call-arg]

    return implementation


@intrinsic
def _sum_outer(
    typingctx: Any,  # noqa: ARG001
    sums: Any,
    spans: Any,
    height: Any,  # noqa: ARG001
    left: Any,
    left_index: Any,
    right: Any,
    right_index: Any,
    directions: Any,
) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def array(argument: int) -> Any:
            return context.make_array(signature.args[argument])(context, builder, arguments[argument])

        def at(pointer: Any, index: Any, scale: int = 1) -> Any:
            return builder.gep(pointer, [builder.mul(index, _index(scale))])

        indices = array(4), array(6)
        rows, width = (builder.extract_value(indices[0].shape, k) for k in range(2))
        plane = builder.mul(rows, width)
        tables = (array(3).data, MEAN_RANK), (array(5).data, 2 * DEVIATION_RANK)
        lanes = ir.VectorType(ir.IntType(32), STRUCTURE_RANK)
        # (k1, k0) becomes (k1, k1, k1, k0), and (a_1, a_2, rho, 1) has each of its elements DEVIATION_RANK times.
        repeated = ir.Constant(lanes, [*range(DEVIATION_RANK)] * (DIRECTIONS - 1) + [*range(2 * DEVIATION_RANK)])
        spread = ir.Constant(lanes, [k // DEVIATION_RANK for k in range(STRUCTURE_RANK)])

        def add_window(totals: list[Any], window: Any) -> None:
            found = [builder.sext(builder.load(at(one.data, window)), INDEX) for one in indices]
            scalars, vectors = (at(table, index, length) for (table, length), index in zip(tables, found, strict=True))
            direction, offset = ir.Constant(ir.VectorType(ir.FloatType(), PARTS), [1.0] * PARTS), window
            for part in range(DIRECTIONS):
                single = builder.load(at(array(7).data, offset))
                direction = builder.insert_element(direction, single, ir.Constant(ir.IntType(32), part))
                offset = builder.add(offset, plane)
            half = _load_vector(builder, vectors, HALF)
            vector = builder.shuffle_vector(half, half, repeated)
            vector = builder.fmul(vector, builder.shuffle_vector(direction, direction, spread))
            for p, place in enumerate(totals):
                _add_multiple(builder, place, builder.load(at(scalars, _index(p))), vector)

        each: Any = cgutils.for_range_slice
        of_sums, of_spans = array(0), array(1)
        n = builder.extract_value(of_sums.shape, 0)
        with each(builder, _index(0), n, _index(1)) as (number, _):
            span = at(of_spans.data, number, 2)
            begin, end = (builder.load(at(span, _index(k))) for k in range(2))
            totals = _make_sums(builder, VECTOR, MEAN_RANK)
            with (
                each(builder, _index(0), arguments[2], _index(1)) as (row, _),
                each(builder, begin, end, _index(1)) as (column, _),
            ):
                add_window(totals, builder.add(builder.mul(row, width), column))
            target = at(of_sums.data, number, MEAN_RANK * STRUCTURE_RANK)
            _store_sums(builder, totals, [at(target, _index(p), STRUCTURE_RANK) for p in range(MEAN_RANK)])
        return context.get_dummy_value()

    return types.none(sums, spans, types.intp, left, left_index, right, right_index, directions), generate


@overload(sum_outer)
def _overload_sum_outer(
    sums: Any,  # noqa: ARG001
    spans: Any,  # noqa: ARG001
    height: Any,  # noqa: ARG001
    left: Any,  # noqa: ARG001
    left_index: Any,  # noqa: ARG001
    right: Any,  # noqa: ARG001
    right_index: Any,  # noqa: ARG001
    directions: Any,  # noqa: ARG001
) -> Any:
    def implementation(
        sums: Any,
        spans: Any,
        height: Any,
        left: Any,
        left_index: Any,
        right: Any,
        right_index: Any,
        directions: Any,
    ) -> Any:
        _sum_outer(sums, spans, height, left, left_index, right, right_index, directions)  # type: ignore[call-arg]

    return implementation
