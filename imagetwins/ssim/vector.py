"""Sums of outer products over the windows of a cell, the one loop that the compiler does not vectorise by itself.

The left factor of a window has MEAN_RANK numbers, the right one has STRUCTURE_RANK, which fill one vector register:

    (a_1 k1, a_2 k1, rho k1, k0)

where k1 and k0 have DEVIATION_RANK numbers each, and (a_1, a_2, rho) is the direction of the window. What they mean is
said in features.py.
"""

from typing import Any

import numpy as np
from llvmlite import ir
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

PARTS = DIRECTIONS + 1
VECTOR, HALF = (ir.VectorType(ir.FloatType(), width) for width in (STRUCTURE_RANK, 2 * DEVIATION_RANK))
INDEX = ir.IntType(64)


def sum_outer(
    total: NDArray[np.float32],
    begin: int,
    left: NDArray[np.float32],
    left_index: NDArray[np.int16],
    right: NDArray[np.float32],
    right_index: NDArray[np.int16],
    directions: NDArray[np.float32],
    rows: tuple[int, int],
    columns: tuple[int, int],
) -> None:
    """Sum the outer products of a rectangle of windows into `total[begin : begin + MEAN_RANK * STRUCTURE_RANK]`.

    This body defines the result and is what runs without numba's JIT.

    Args:
        total: (n,) float32; that part of it is overwritten.
        begin: where the result begins.
        left: (l, MEAN_RANK) float32, the left vectors.
        left_index: (windows, window_width) int16, which of them each window has.
        right: (r, 2 * DEVIATION_RANK) float32, k1 and k0.
        right_index: (windows, window_width) int16, which of them each window has.
        directions: (3, windows, window_width) float32, a_1, a_2 and rho.
        rows, columns: the first row and column of the rectangle, and its ends.
    """
    rectangle = slice(*rows), slice(*columns)
    k1, k0 = np.split(right[right_index[rectangle]], 2, axis=-1)
    structure = np.concatenate([*(k1 * part[..., None] for part in directions[:, *rectangle]), k0], -1)
    products = np.einsum("rcp,rcq->pq", left[left_index[rectangle]], structure)
    total[begin : begin + products.size] = products.ravel()


@intrinsic
def _sum_outer(
    typingctx: Any,  # noqa: ARG001
    total: Any,
    begin: Any,  # noqa: ARG001
    left: Any,
    left_index: Any,
    right: Any,
    right_index: Any,
    directions: Any,
    rows: Any,
    columns: Any,
) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def array(argument: int) -> Any:
            return context.make_array(signature.args[argument])(context, builder, arguments[argument])

        def load(pointer: Any, kind: ir.VectorType) -> Any:
            return builder.load(builder.bitcast(pointer, kind.as_pointer()), align=4)

        indices = array(3), array(5)
        height, width = (builder.extract_value(indices[0].shape, k) for k in range(2))
        plane = builder.mul(height, width)
        tables = (array(2).data, MEAN_RANK), (array(4).data, 2 * DEVIATION_RANK)
        # The optimiser keeps these sums in registers, since nothing else refers to them.
        zero = ir.Constant(VECTOR, [0.0] * STRUCTURE_RANK)
        sums = [cgutils.alloca_once_value(builder, zero) for _ in range(MEAN_RANK)]  # type: ignore[no-untyped-call]
        for row in sums:
            builder.store(zero, row)
        lanes = ir.VectorType(ir.IntType(32), STRUCTURE_RANK)
        first = ir.Constant(lanes, [0] * STRUCTURE_RANK)
        # (k1, k0) becomes (k1, k1, k1, k0), and (a_1, a_2, rho, 1) has each of its elements DEVIATION_RANK times.
        repeated = ir.Constant(lanes, [*range(DEVIATION_RANK)] * (DIRECTIONS - 1) + [*range(2 * DEVIATION_RANK)])
        spread = ir.Constant(lanes, [k // DEVIATION_RANK for k in range(STRUCTURE_RANK)])
        ends = [[builder.extract_value(arguments[span], k) for k in range(2)] for span in (7, 8)]
        each: Any = cgutils.for_range_slice
        step = ir.Constant(INDEX, 1)
        with each(builder, *ends[0], step) as (r, _), each(builder, *ends[1], step) as (c, _):
            window = builder.add(builder.mul(r, width), c)
            found = [builder.sext(builder.load(builder.gep(one.data, [window])), INDEX) for one in indices]
            scalars, vectors = (
                builder.gep(table, [builder.mul(index, ir.Constant(INDEX, length))])
                for (table, length), index in zip(tables, found, strict=True)
            )
            direction, offset = ir.Constant(ir.VectorType(ir.FloatType(), PARTS), [1.0] * PARTS), window
            for part in range(DIRECTIONS):
                single = builder.load(builder.gep(array(6).data, [offset]))
                direction = builder.insert_element(direction, single, ir.Constant(ir.IntType(32), part))
                offset = builder.add(offset, plane)
            half = load(vectors, HALF)
            vector = builder.shuffle_vector(half, half, repeated)
            vector = builder.fmul(vector, builder.shuffle_vector(direction, direction, spread))
            for p, row in enumerate(sums):
                scalar = builder.load(builder.gep(scalars, [ir.Constant(INDEX, p)]))
                single = builder.insert_element(
                    ir.Constant(VECTOR, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0)
                )
                splat = builder.shuffle_vector(single, ir.Constant(VECTOR, ir.Undefined), first)
                product = builder.fmul(splat, vector, flags=["contract"])
                builder.store(builder.fadd(builder.load(row), product, flags=["contract"]), row)
        target = builder.gep(array(0).data, [arguments[1]])
        for p, row in enumerate(sums):
            part = builder.gep(target, [ir.Constant(INDEX, STRUCTURE_RANK * p)])
            builder.store(builder.load(row), builder.bitcast(part, VECTOR.as_pointer()), align=4)
        return context.get_dummy_value()

    signature = types.none(total, types.intp, left, left_index, right, right_index, directions, rows, columns)
    return signature, generate


@overload(sum_outer)
def _overload_sum_outer(
    total: Any,  # noqa: ARG001
    begin: Any,  # noqa: ARG001
    left: Any,  # noqa: ARG001
    left_index: Any,  # noqa: ARG001
    right: Any,  # noqa: ARG001
    right_index: Any,  # noqa: ARG001
    directions: Any,  # noqa: ARG001
    rows: Any,  # noqa: ARG001
    columns: Any,  # noqa: ARG001
) -> Any:
    def implementation(
        total: Any,
        begin: Any,
        left: Any,
        left_index: Any,
        right: Any,
        right_index: Any,
        directions: Any,
        rows: Any,
        columns: Any,
    ) -> Any:
        _sum_outer(total, begin, left, left_index, right, right_index, directions, rows, columns)  # type: ignore[call-arg]

    return implementation
