"""The one loop that the compiler does not vectorise by itself, spelled out as vectors of 16."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

WIDTH, PARTS = 16, 4
VECTOR, HALF = (ir.VectorType(ir.FloatType(), width) for width in (WIDTH, WIDTH // 2))
INDEX = ir.IntType(64)


def sum_outer(
    total: NDArray[np.float32],
    at: int,
    left: NDArray[np.float32],
    i: NDArray[np.int16],
    right: NDArray[np.float32],
    j: NDArray[np.int16],
    turns: NDArray[np.float32],
    rows: tuple[int, int],
    columns: tuple[int, int],
) -> None:
    """Set `total[at : at + 128]` to the sum of the outer products of `left[i[r, c]]`, 8 float32, and of 16.

    These are the first four of the 8 float32 `right[j[r, c]]` times each of the three `turns[:, r, c]`, and the last four. The
    sum goes over `rows` and `columns`, each a beginning and an end, of `i`, `j` and `turns`.
    """
    places = slice(*rows), slice(*columns)
    first, last = np.split(right[j[places]], 2, axis=-1)
    turned = np.concatenate([*(first * turn[..., None] for turn in turns[:, *places]), last], -1)
    total[at : at + 8 * WIDTH] = np.einsum("rcp,rcq->pq", left[i[places]], turned).ravel()


@intrinsic
def _sum_outer(
    typingctx: Any,  # noqa: ARG001
    total: Any,
    at: Any,  # noqa: ARG001
    left: Any,
    i: Any,
    right: Any,
    j: Any,
    turns: Any,
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
        tables = array(2).data, array(4).data
        # Eight registers hold the sum; promoted from the stack by the optimiser, since nothing else sees them.
        zero = ir.Constant(VECTOR, [0.0] * WIDTH)
        sums = [cgutils.alloca_once_value(builder, zero) for _ in range(8)]  # type: ignore[no-untyped-call]
        for place in sums:
            builder.store(zero, place)
        lanes = ir.VectorType(ir.IntType(32), WIDTH)
        first, fourths = ir.Constant(lanes, [0] * WIDTH), ir.Constant(lanes, [k * PARTS // WIDTH for k in range(WIDTH)])
        repeated = ir.Constant(lanes, [*range(4), *range(4), *range(8)])
        ends = [[builder.extract_value(arguments[span], k) for k in range(2)] for span in (7, 8)]
        each: Any = cgutils.for_range_slice
        step = ir.Constant(INDEX, 1)
        with each(builder, *ends[0], step) as (r, _), each(builder, *ends[1], step) as (c, _):
            window = builder.add(builder.mul(r, width), c)
            found = [builder.sext(builder.load(builder.gep(one.data, [window])), INDEX) for one in indices]
            scalars, vectors = (
                builder.gep(table, [builder.mul(index, ir.Constant(INDEX, 8))])
                for table, index in zip(tables, found, strict=True)
            )
            turn, at = ir.Constant(ir.VectorType(ir.FloatType(), PARTS), [1.0] * PARTS), window
            for part in range(PARTS - 1):
                single = builder.load(builder.gep(array(6).data, [at]))
                turn = builder.insert_element(turn, single, ir.Constant(ir.IntType(32), part))
                at = builder.add(at, plane)
            half = load(vectors, HALF)
            vector = builder.shuffle_vector(half, half, repeated)
            vector = builder.fmul(vector, builder.shuffle_vector(turn, turn, fourths))
            for p, place in enumerate(sums):
                scalar = builder.load(builder.gep(scalars, [ir.Constant(INDEX, p)]))
                single = builder.insert_element(
                    ir.Constant(VECTOR, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0)
                )
                splat = builder.shuffle_vector(single, ir.Constant(VECTOR, ir.Undefined), first)
                product = builder.fmul(splat, vector, flags=["contract"])
                builder.store(builder.fadd(builder.load(place), product, flags=["contract"]), place)
        target = builder.gep(array(0).data, [arguments[1]])
        for p, place in enumerate(sums):
            part = builder.gep(target, [ir.Constant(INDEX, WIDTH * p)])
            builder.store(builder.load(place), builder.bitcast(part, VECTOR.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.none(total, types.intp, left, i, right, j, turns, rows, columns), generate


@overload(sum_outer)
def _overload_sum_outer(
    total: Any,  # noqa: ARG001
    at: Any,  # noqa: ARG001
    left: Any,  # noqa: ARG001
    i: Any,  # noqa: ARG001
    right: Any,  # noqa: ARG001
    j: Any,  # noqa: ARG001
    turns: Any,  # noqa: ARG001
    rows: Any,  # noqa: ARG001
    columns: Any,  # noqa: ARG001
) -> Any:
    def implementation(
        total: Any, at: Any, left: Any, i: Any, right: Any, j: Any, turns: Any, rows: Any, columns: Any
    ) -> Any:
        _sum_outer(total, at, left, i, right, j, turns, rows, columns)  # type: ignore[call-arg]

    return implementation
