"""Kernels that are built of vectors, beside the loops that define them."""

import os
import subprocess
import sys

import numpy as np
import pytest
from numba import njit

from imagetwins.ssim.vector import PANEL_ROWS, STRUCTURE_RANK, complete_panels, multiply, sum_outer


@njit
def compiled_multiply(product, left, right):
    multiply(product, left, right)


@njit
def compiled_sum_outer(sums, spans, height, left, left_index, right, right_index, directions):
    sum_outer(sums, spans, height, left, left_index, right, right_index, directions)


def multiply_plainly(left, right):
    product = np.zeros((len(left), right.shape[1]))
    for i, row in enumerate(left.astype(float)):
        for k, factor in enumerate(row):
            product[i] += factor * right[k]
    return product


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize(("panels", "inner"), [(0, 5), (1, 1), (1, 0), (2, 7), (4, 384)])
def test_a_narrow_product_is_that_of_plain_loops(kind, panels, inner):
    rng = np.random.default_rng(0)
    left = rng.normal(size=(panels * PANEL_ROWS, inner)).astype(kind)
    right = rng.normal(size=(inner, STRUCTURE_RANK)).astype(kind)
    expected = multiply_plainly(left, right)
    # Sums of so many terms, each of which is a product of two numbers of about 1.
    tolerance = (inner + 2) * np.finfo(kind).eps * (abs(left) @ abs(right) if inner else 0)
    for run in (compiled_multiply, multiply):
        product = np.full((len(left), STRUCTURE_RANK), np.nan, kind)
        run(product, left, right)
        assert (abs(product - expected) <= tolerance).all()


def test_rows_of_the_factors_may_lie_apart():
    rng = np.random.default_rng(1)
    left, right = rng.normal(size=(PANEL_ROWS, 9))[:, 2:], rng.normal(size=(7, 3, STRUCTURE_RANK))[:, 1]
    around = np.zeros((PANEL_ROWS, 3, STRUCTURE_RANK))
    compiled_multiply(around[:, 1], left, right)
    np.testing.assert_allclose(around[:, 1], multiply_plainly(left, right), atol=1e-12)
    assert not around[:, ::2].any()


def test_rows_are_completed_to_whole_panels():
    assert [complete_panels(rows) for rows in (0, 1, PANEL_ROWS, PANEL_ROWS + 1)] == [
        0, PANEL_ROWS, PANEL_ROWS, 2 * PANEL_ROWS,
    ]  # fmt: skip


def draw_windows():
    """Return the arguments of `sum_outer` after `sums`, and the sums by plain loops: some spans touch, one is empty."""
    rng = np.random.default_rng(2)
    left, right = rng.normal(size=(90, 8)).astype(np.float32), rng.normal(size=(70, 8)).astype(np.float32)
    left_index = rng.integers(0, 90, (7, 40)).astype(np.int16)
    right_index = rng.integers(0, 70, (7, 40)).astype(np.int16)
    directions = rng.normal(size=(3, 7, 40)).astype(np.float32)
    spans, height = np.array([[0, 6], [6, 13], [20, 21], [30, 30], [33, 40]]), 6
    expected = np.zeros((len(spans), 8, 16))
    for number, (begin, end) in enumerate(spans):
        for i in range(height):
            for f in range(begin, end):
                k1, k0 = np.split(right[right_index[i, f]].astype(float), 2)
                structure = np.concatenate([*(k1 * directions[d, i, f] for d in range(3)), k0])
                expected[number] += np.multiply.outer(left[left_index[i, f]].astype(float), structure)
    return (spans, height, left, left_index, right, right_index, directions), expected.reshape(len(spans), -1)


@pytest.mark.parametrize("run", [compiled_sum_outer, sum_outer])
def test_outer_products_are_summed_over_each_rectangle(run):
    arguments, expected = draw_windows()
    sums = np.full(expected.shape, np.nan, np.float32)
    run(sums, *arguments)
    np.testing.assert_allclose(sums, expected, atol=1e-4)


NARROW = """
import numpy as np
from tests.imagetwins.ssim import test_vector as tested
for kind in (np.float32, np.float64):
    for shape in ((0, 5), (1, 0), (2, 7), (4, 384)):
        tested.test_a_narrow_product_is_that_of_plain_loops(kind, *shape)
tested.test_outer_products_are_summed_over_each_rectangle(tested.compiled_sum_outer)
"""


def test_processors_without_wide_vectors_compute_the_same():
    # Without any extension: so few registers that every other number of rows at once is tried.
    environment = os.environ | {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    subprocess.run([sys.executable, "-c", NARROW], env=environment, check=True)
