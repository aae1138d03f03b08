import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from numba import njit

from imagetwins.errors import ParameterError
from imagetwins.ssim import processor
from imagetwins.ssim.integers import (
    CLASSES,
    FLIPS,
    GROUP,
    SHAPES,
    TERMS,
    VNNI,
    dot_codes,
    dot_turned,
    lowest_bit,
    reach_tile,
    reach_turned,
)
from imagetwins.ssim.processor import Kernels, choose_kernels, find_runnable, force_kernels

RUNNABLE = find_runnable()
each_kernels = pytest.mark.parametrize("kernels", RUNNABLE, ids=lambda kernels: kernels.label)
LEVELS = np.array([0, 2, 2, 4])
"""Of four groups: each weighs 4^level."""


def draw_codes(n):
    """Random codes, and the worst: the largest ones, all of one sign, alternating, and one alone."""
    rng = np.random.default_rng(0)
    codes = rng.integers(-127, 128, (n, len(LEVELS) * GROUP))
    codes[:4] = [[127], [-127], [0], [1]]
    codes[4:6] = 127 * (1 - 2 * (np.arange(codes.shape[1]) % 2)) * np.array([[1], [-1]])
    codes[6] = np.eye(1, codes.shape[1], 77) * 127
    return codes.astype(np.int8)


def inner_products(codes):
    """In exact integers, and the bias of each row."""
    weighted = codes.astype(np.int64) * np.repeat(4**LEVELS, GROUP)
    return weighted @ codes.astype(np.int64).T, 128 * weighted.sum(1)


@each_kernels
def test_inner_products_of_codes_are_exact(kernels):
    codes = draw_codes(20)
    shifts = (2 * LEVELS).astype(np.int32)
    for start, stop in ((0, 4), (0, 1), (1, 3), (2, 2)):
        some = codes.copy()
        some.reshape(len(codes), 4, GROUP)[:, [k for k in range(4) if not start <= k < stop]] = 0
        expected, bias = inner_products(some)
        for i in range(len(codes)):
            for j in range(len(codes)):
                found = dot_codes(int(kernels), codes, i, j, shifts, start, stop)
                assert found == expected[i, j] + (bias[i] if kernels in VNNI else 0)


@each_kernels
def test_inner_products_with_groups_exchanged_and_negative_are_exact(kernels):
    codes = draw_codes(20)
    groups = codes.reshape(len(codes), 4, GROUP)
    sources = np.array([[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 2, 3]])
    signs = np.array([[0, 0, 0, 0], [-1, 0, -1, 0], [-1, -1, -1, -1]], np.int32)
    weights, shifts = 4 ** LEVELS[:, None], (2 * LEVELS).astype(np.int32)
    for turn, (start, stop) in itertools.product(range(3), ((0, 4), (1, 3), (2, 2))):
        span = slice(start, stop)
        turned = groups[:, sources[turn]].astype(np.int64) * (1 + 2 * signs[turn, :, None])
        weighted = (groups.astype(np.int64) * weights)[:, span].reshape(len(codes), -1)
        expected = weighted @ turned[:, span].reshape(len(codes), -1).T
        for i, j in np.ndindex(expected.shape):
            found = dot_turned(int(kernels), codes, i, j, shifts, start, stop, sources, signs, turn)
            assert found == expected[i, j] + (128 * weighted[i].sum() if kernels in VNNI else 0)


@each_kernels
def test_a_turned_tile_has_a_bit_for_each_pair_and_way_that_reaches_the_limit_of_its_row(kernels):
    """One group is of each class, but the second class has two of unlike weight, and the last one has none."""
    shape, rng = SHAPES[kernels], np.random.default_rng(1)
    codes = draw_codes(shape.width)
    rows = codes[: shape.rows]
    of_class, weights = np.array([0, 1, 1, 2]), np.array([1, 1, 16, 1])
    runs, ends, shifts = np.array([0, 1, 3, 4, 4]), 16 * np.arange(1, 5), np.array([0, 0, 4, 0], np.int32)
    # Before its second run, what the second class has so far is multiplied: its first group weighs 16 times the second.
    weights[[1, 2]] = 16, 1
    units, term_ends = np.array([2.0**-6, 2.0**-8, 2.0**-5, 1], np.float32), np.array([0, 5, 9, 12, TERMS])
    terms, offset = rng.normal(0, 1000, (len(codes), TERMS)).astype(np.float32), rng.normal(0, 1000, len(codes))
    groups = codes.reshape(len(codes), 4, GROUP).astype(np.int64)
    products = np.einsum("igk,jgk->gij", groups[: shape.rows], groups) * weights[:, None, None]
    bias = np.zeros((shape.rows, CLASSES), np.int32)
    parts = np.zeros((CLASSES, shape.rows, len(codes)))
    for number in range(CLASSES):
        is_its, span = of_class == number, slice(*term_ends[number : number + 2])
        bias[:, number] = 128 * (groups[: shape.rows].sum(2) * weights)[:, is_its].sum(1) * (kernels in VNNI)
        of_terms = terms[: shape.rows, span].astype(np.float64) @ terms[:, span].T
        parts[number] = products[is_its].sum(0) * float(units[number]) + of_terms
    signs = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])
    bounds = np.einsum("fc,cij->fij", signs, parts) + offset.astype(np.float32)
    lowest = np.median(bounds, axis=(0, 2)).astype(np.float32)
    lowest[::3], lowest[1::3] = np.inf, -np.inf
    unsigned = codes.astype(np.int16) + 128 if kernels in VNNI else codes
    words = unsigned.astype(np.uint8).reshape(1, shape.width, -1, 4).transpose(0, 2, 1, 3).copy().view(np.int32)[..., 0]
    of_columns = np.ascontiguousarray(np.vstack([offset, terms.T]), np.float32)[None]
    scratch, masks = np.empty(CLASSES * shape.rows * shape.width, np.float32), np.empty((FLIPS, shape.rows), np.uint64)
    of_rows = np.ascontiguousarray(rows).view(np.int32), terms, lowest, bias, 0
    by_class = ends, shifts, runs, units, term_ends
    reach_turned(int(kernels), *of_rows, np.ascontiguousarray(words), of_columns, 0, *by_class, scratch, masks)
    found = (masks[..., None] >> np.arange(shape.width, dtype=np.uint64)) & np.uint64(1) == 1
    sizes = abs(parts).sum(0) + abs(terms[: shape.rows]).astype(np.float64) @ abs(terms).T
    is_clear = abs(bounds - lowest[:, None]) > 1e-5 * sizes
    assert is_clear.mean() > 0.9
    assert (found == (bounds >= lowest[:, None]))[is_clear].all()


@each_kernels
def test_a_tile_has_a_bit_for_each_pair_that_reaches_the_limit_of_its_row(kernels):
    shape, rng = SHAPES[kernels], np.random.default_rng(1)
    codes = draw_codes(2 * shape.width)
    products, bias = inner_products(codes)
    terms, offset = rng.normal(0, 1000, (len(codes), TERMS)).astype(np.float32), rng.normal(0, 1000, len(codes))
    bounds = products * 2.0**-6 + terms.astype(np.float64) @ terms.T + offset.astype(np.float32)
    lowest = np.median(bounds, axis=1).astype(np.float32)
    lowest[::5], lowest[1::5] = np.inf, -np.inf
    unsigned = codes.astype(np.int16) + 128 if kernels in VNNI else codes
    words = unsigned.astype(np.uint8).reshape(2, shape.width, -1, 4).transpose(0, 2, 1, 3).copy().view(np.int32)[..., 0]
    of_columns = np.vstack([offset, terms.T]).reshape(1 + TERMS, 2, shape.width).swapaxes(0, 1)
    runs = np.array([16, 48, 64]), np.array([0, 4, 4], np.int32)
    # The runs go from the coarsest step to the finest, so the groups of `codes` are taken in the opposite order.
    order = [3, 1, 2, 0]
    backwards = codes.reshape(len(codes), 4, GROUP)[:, order].reshape(codes.shape)
    words = words.reshape(2, 4, 16, -1)[:, order].reshape(words.shape)
    masks = np.empty(shape.rows, np.uint64)
    for panel in range(2):
        for row in range(0, len(codes) - shape.rows, shape.rows):
            reach_tile(
                int(kernels),
                np.ascontiguousarray(backwards).view(np.int32),
                terms,
                lowest,
                (bias * (kernels in VNNI)).astype(np.int32),
                row,
                np.ascontiguousarray(words),
                np.ascontiguousarray(of_columns, np.float32),
                panel,
                *runs,
                np.float32(2.0**-6),
                masks,
            )
            for r, mask in enumerate(masks):
                expected = bounds[row + r, panel * shape.width : (panel + 1) * shape.width] >= lowest[row + r]
                assert [bool(int(mask) >> c & 1) for c in range(shape.width)] == expected.tolist()
                assert int(mask) >> shape.width == 0


def test_the_lowest_bit_is_found():
    @njit
    def find(mask):
        return lowest_bit(mask)

    assert [find(np.uint64(mask)) for mask in (1, 6, 2**63, 2**64 - 2)] == [0, 1, 63, 1]


def test_the_fastest_kernels_are_used_unless_others_are_forced():
    assert RUNNABLE[0] == Kernels.PLAIN
    assert choose_kernels() == RUNNABLE[-1]
    with force_kernels(Kernels.PLAIN):
        assert choose_kernels() == Kernels.PLAIN
    assert choose_kernels() == RUNNABLE[-1]


def test_kernels_that_cannot_run_here_are_refused(monkeypatch):
    monkeypatch.setattr(processor, "_NEEDED", processor._NEEDED | {Kernels.AVX2: ("neon",)})
    find_runnable.cache_clear()
    with (
        pytest.raises(ParameterError, match="'avx2' cannot run on this processor: use one of plain"),
        force_kernels(Kernels.AVX2),
    ):
        pass
    find_runnable.cache_clear()


ASKED = "from imagetwins.ssim.processor import choose_kernels; print(choose_kernels().label)"


@pytest.mark.parametrize(("features", "label"), [("", "plain"), ("+avx2,+avx", "avx2"), ("+avx2,+avxvnni", "avx-vnni")])
def test_what_numba_is_told_of_the_processor_counts(features, label):
    told = os.environ | {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": features}
    ended = subprocess.run([sys.executable, "-c", ASKED], env=told, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == label
