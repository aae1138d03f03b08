"""Upper bounds of inner products from 8-bit integers: the vectors of a join, quantised, and the pairs they cannot rule out.

**Centring.** Let x and y be vectors and m the mean of a sample of them, or any other vector. With x' = x - m, y' = y - m,

    <x, y> = o(x) + o(y) + <x', y'>,    o(x) = <x', m> + |m|^2 / 2

Here x' is half as long as x, and so are the errors below.

**Quantising.** Of x', the HEAD coordinates that vary most are kept in float32. The others follow by how much they vary,
in groups of GROUP, each with a step, a power of two; what is kept of a coordinate is its *code*, the nearest multiple of
the step, at most LARGEST steps. Let q(x) be the vector of what is kept, e(x) = x' - q(x), and r(x) the length of all other
coordinates of x'. By the Cauchy-Schwarz inequality, for each of three parts,

    <x', y'> <= <q(x), q(y)> + |e(x)| |q(y)| + |q(x)| |e(y)| + |e(x)| |e(y)| + r(x) r(y)
             =  <q(x), q(y)> + n(x) n(y) - |q(x)| |q(y)| + r(x) r(y),    n = |q| + |e|

This holds for every m, every choice of coordinates and every step: poor ones make it loose, not wrong. A coordinate that
is larger than LARGEST steps is cut off, and what is cut off is in e. So the bound of a pair is

    o(x) + o(y) + (inner product of integers) + (inner product of TERMS numbers in float32)

with the head, n, |q| (subtracted) and r as terms. It holds too for the first groups alone, if all other coordinates are
in r. So there are STAGES bounds: of COARSE codes, for all pairs of a tile; of twice as many, for the pairs that are left;
and of all codes, for those that are left then.

**Integers.** A step is 2^-l with 0 <= l <= FINEST, so the inner product is an integer times 4^-l for the finest step of
the vectors. No vector and no mean is longer than LONGEST, so |x'| <= 2.2; rounding to the nearest makes no coordinate more
than twice as long and leaves an error no larger than the coordinate itself, so |q| <= 4.4 and |e| <= 2.2. The integer is
at most 4.4^2 4^FINEST < 2^31 (Cauchy-Schwarz), so sums modulo 2^32 (integers.py) are exact.

**Slack.** o, n, |q| and r are computed in float64, with relative errors of less than 2^-40 (sums of some thousand squares).
n and r are raised and |q| is lowered by the factor MARGIN, n and r by TINY too: that is more than these errors and the
rounding to float32, and each of it makes the bound larger. What the head loses in float32 is in e. The rest is at most
3 TERMS roundings: of o(x), o(y), of the floor less o(x), of the integer, of TERMS products and as many sums and two more.
The parts of a sum are at most 3.7 for the two o; 4.4^2 each for the integer, the head and the product of |q|; 6.6^2 for
that of n; 2.2^2 for that of r; together less than 128. So the error is at most 3 TERMS 128 2^-24: CODES_SLACK.
"""

import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from imagetwins.ssim.integers import AVX2, GROUP, SHAPES, TERMS, dot_codes, dot_turned, lowest_bit, reach_tile
from imagetwins.ssim.orientation import ORIENTATIONS, take_steps
from imagetwins.ssim.processor import Kernels
from imagetwins.ssim.tiles import Weights, count_listed
from imagetwins.ssim.turns import Symmetry

HEAD = TERMS - 3
"""Coordinates that are kept in float32: those that would lose most."""

NORM, REST, KEPT = TERMS - 3, TERMS - 2, TERMS - 1
"""The other terms, by number: n, r, and |q|, whose product is subtracted."""

COARSE = 16
"""Groups of the first bound, which is computed for all pairs. The second bound has twice as many; the last one, all."""

STAGES = 3
"""Bounds of a pair, each from more of the codes."""

LARGEST = 127
"""The largest code. -128 is none, so that the codes are symmetric."""

SPREAD = 6
"""Standard deviations of the coordinate of a group that varies most which LARGEST steps stand for, about; measured."""

FINEST = 13
"""The finest step is 2^-FINEST."""

LONGEST = 1.1
"""No vector is longer than this."""

MARGIN = 2.0**-20
TINY = 2.0**-30

CODES_SLACK = 3 * TERMS * 128 * 2.0**-24
"""How far a computed bound may be below the true one; see the module's text."""

ROWS_AT_ONCE = 128
"""Rows of a tile that are compared with one panel of columns after the other: what is kept of them stays in the cache."""

FIRST_ROOM = 1 << 14
"""Pairs that a tile has room for at first: more than ROWS_AT_ONCE times the columns of a panel."""

SIGNS = np.int32(-(2**31) + 0x808080)
"""Added to four codes, bit by bit, it adds 128 to each of them."""

ROWS, GROUPS = ("codes", "terms", "offset", "bias"), "codes.npz"


class Turns(NamedTuple):
    """The codes of turned pictures, by those of the pictures themselves; see `choose_symmetric_scale`.

    Attributes:
        sources: (turns, groups) int64, the group that is in the place of each.
        signs: (turns, groups) int32, 0, or -1 where its codes are negative.
        term_sources: (turns, TERMS) int64, the term that is in the place of each.
        term_signs: (turns, TERMS) float32.
    """

    sources: NDArray[np.int64]
    signs: NDArray[np.int32]
    term_sources: NDArray[np.int64]
    term_signs: NDArray[np.float32]


class Scale(NamedTuple):
    """How vectors are quantised.

    Attributes:
        order: (m or more,) int64, the coordinates: those of the head, then the others, by group; -1 where there is none.
        mean: (m,) float64, by coordinate.
        levels: (groups,) int64, ascending: the step of each group is 2^-level.
        stops: (STAGES,) int64, the groups of each bound.
        turns: of the pictures; a single one where no picture is turned.
    """

    order: NDArray[np.int64]
    mean: NDArray[np.float64]
    levels: NDArray[np.int64]
    stops: NDArray[np.int64]
    turns: Turns


class Codes(NamedTuple):
    """Quantised vectors.

    Attributes:
        codes: (n, groups * GROUP) int8.
        words: (n, groups * GROUP / 4) int32, the same memory.
        terms: (n, STAGES, TERMS) float32, the terms of each bound.
        offset: (n,) float32, o.
        bias: (n, STAGES) int32, 128 times the weighted sum of the codes of each bound, modulo 2^32.
        ends: (runs,) int64, the words at which the runs of the first bound end: groups of the same level.
        run_shifts: (runs,) int32, for `reach_tile`.
        shifts: (groups,) int32, for `dot_codes`.
        stops: (STAGES,) int64, the groups of each bound.
        units: (STAGES,) float32, what a unit of the integers of each bound is worth.
        turns: the codes of turned pictures.
    """

    codes: NDArray[np.int8]
    words: NDArray[np.int32]
    terms: NDArray[np.float32]
    offset: NDArray[np.float32]
    bias: NDArray[np.int32]
    ends: NDArray[np.int64]
    run_shifts: NDArray[np.int32]
    shifts: NDArray[np.int32]
    stops: NDArray[np.int64]
    units: NDArray[np.float32]
    turns: Turns


def choose_scale(sample: NDArray[np.float32], symmetry: Symmetry | None = None) -> Scale:
    """Choose how to quantise vectors that are like those of a sample, (n, m + 1) float32.

    The last coordinate, which is not negative, is not quantised but becomes part of r. With the symmetry of the m others,
    the vectors of turned pictures can be compared too.
    """
    if symmetry is not None:
        return choose_symmetric_scale(sample, symmetry)
    kept = sample[:, :-1].astype(np.float64)
    mean = kept.mean(0)
    deviation = np.sqrt(np.square(kept - mean).mean(0))
    order = np.argsort(-deviation, kind="stable")
    # There is always a group, so that the kernels need not know of vectors that are all head.
    largest = np.append(deviation[order[HEAD::GROUP]], [0.0] * (len(order) <= HEAD))
    levels = _choose_levels(largest)
    stops = np.minimum([COARSE, 2 * COARSE, len(levels)], len(levels))
    return Scale(order, mean, levels, stops, _keep_places(len(levels)))


def _keep_places(groups: int) -> Turns:
    """Return the turns of pictures that are never turned."""
    return Turns(
        np.arange(groups)[np.newaxis],
        np.zeros((1, groups), np.int32),
        np.arange(TERMS)[np.newaxis],
        np.ones((1, TERMS), np.float32),
    )


def choose_symmetric_scale(sample: NDArray[np.float32], symmetry: Symmetry) -> Scale:
    """Do as `choose_scale`, so that the codes of a turned picture are those of the picture itself, in other places.

    All coordinates of a group change their signs alike. And where a picture is transposed, a whole group takes the place of
    another, which has the same step, or its own. Both groups are in the same bounds. The mean is that of the sample in all
    orientations, so it is the same for a turned picture, and so are o, n, |q| and r.
    """
    kept, other = sample[:, :-1].astype(np.float64), symmetry.other
    is_even = ~(symmetry.changes_down | symmetry.changes_across)
    mean = kept.mean(0)
    mean = np.where(is_even, (mean + mean[other]) / 2, 0.0)
    square = np.square(kept - mean).mean(0)
    deviation = np.sqrt((square + square[other]) / 2)
    ranked = np.argsort(-deviation, kind="stable")
    head = _choose_head(ranked, other)
    blocks = _divide_coordinates(ranked[~np.isin(ranked, head)], symmetry)
    largest = np.array([deviation[block[0, 0]] for block in blocks])
    order = np.argsort(-largest, kind="stable")
    blocks, sizes = [blocks[k] for k in order], np.array([len(blocks[k]) for k in order])
    groups, ends = np.concatenate(blocks), np.cumsum(sizes)
    levels = _choose_levels(np.repeat(largest[order], sizes))
    stops = ends[np.minimum(np.searchsorted(ends, [COARSE, 2 * COARSE, len(levels)]), len(ends) - 1)]
    transposed = np.concatenate([end - 1 - np.arange(len(block)) for end, block in zip(ends, blocks, strict=True)])
    turns = _plan_turns(head, groups, transposed, symmetry)
    return Scale(np.concatenate([head, groups.ravel()]), mean, levels, stops, turns)


def _choose_head(ranked: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the coordinates of the head, with each the one that takes its place, (HEAD,) int64; -1 where there is none."""
    head: list[int] = []
    for one in ranked.tolist():
        pair = {one, int(other[one])}
        if one not in head and len(head) + len(pair) <= HEAD:
            head += sorted(pair)
    return np.array(head + [-1] * (HEAD - len(head)))


def _divide_coordinates(ranked: NDArray[np.int64], symmetry: Symmetry) -> list[NDArray[np.int64]]:
    """Return blocks of coordinates, (1 or 2, GROUP) int64 each: in the second group, those that belong to the first one's.

    `ranked` are the coordinates to divide, the one that varies most first. Where there is none, a block has -1.
    """
    down, across, other = symmetry.changes_down, symmetry.changes_across, symmetry.other
    # Of two that belong together, the one that comes first; but where one changes with the rows alone, that one.
    rank = np.empty(len(other), np.int64)
    rank[ranked] = np.arange(len(ranked))
    is_first = np.where(down ^ across, down, rank <= rank[other])
    blocks = []
    for is_down, is_across, is_alone in itertools.product((False, True), (False, True), (False, True)):
        wanted = is_first & (down == is_down) & (across == is_across) & ((other == np.arange(len(other))) == is_alone)
        found = ranked[wanted[ranked]]
        for start in range(0, len(found), GROUP):
            block = np.full((1 if is_alone else 2, GROUP), -1)
            part = found[start : start + GROUP]
            block[0, : len(part)], block[-1, : len(part)] = part, other[part]
            blocks.append(block)
    return blocks or [np.full((1, GROUP), -1)]


def _plan_turns(
    head: NDArray[np.int64], groups: NDArray[np.int64], transposed: NDArray[np.int64], symmetry: Symmetry
) -> Turns:
    """Return the turns in all orientations.

    Args:
        head: (HEAD,) int64, the coordinates of the head, -1 where there is none.
        groups: (groups, GROUP) int64, those of each group, of which the first is one.
        transposed: (groups,) int64, the group that takes the place of each when a picture is transposed.
        symmetry: of the coordinates.
    """
    count = len(ORIENTATIONS)
    sources, signs = np.empty((count, len(groups)), np.int64), np.empty((count, len(groups)), np.int32)
    term_sources, term_signs = np.tile(np.arange(TERMS), (count, 1)), np.ones((count, TERMS), np.float32)
    held = np.flatnonzero(head >= 0)
    place = {coordinate: k for k, coordinate in enumerate(head.tolist())}
    for turn, orientation in enumerate(ORIENTATIONS):
        is_transposed, sign = take_steps(orientation).is_transposed, symmetry.turn_signs(orientation)
        sources[turn] = transposed if is_transposed else np.arange(len(groups))
        signs[turn] = np.where(sign[groups[:, 0]] < 0, -1, 0)
        term_signs[turn, held] = sign[head[held]]
        if is_transposed:
            term_sources[turn, held] = [place[one] for one in symmetry.other[head[held]].tolist()]
    return Turns(sources, signs, term_sources, term_signs)


def _choose_levels(deviation: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the level of groups whose largest deviations these are."""
    with np.errstate(divide="ignore"):
        levels = np.rint(-np.log2(SPREAD * deviation / LARGEST)).clip(0, FINEST)
    return levels.astype(np.int64)


def write_codes(directory: Path, vectors: NDArray[np.float32], rows: NDArray[np.int64], scale: Scale) -> None:
    """Quantise some vectors, and write what `open_codes` reads to `directory`.

    Args:
        directory: where the files are made.
        vectors: (n, m + 1) float32, the last coordinate not negative, none longer than LONGEST.
        rows: (k,) int64, those of `vectors` that are quantised.
        scale: how.
    """
    shapes = {
        "codes": (np.int8, (len(rows), len(scale.levels) * GROUP)),
        "terms": (np.float32, (len(rows), STAGES, TERMS)),
        "offset": (np.float32, (len(rows),)),
        "bias": (np.int32, (len(rows), STAGES)),
    }
    files = {
        name: np.lib.format.open_memmap(directory / f"{name}.npy", "w+", kind, shape)
        for name, (kind, shape) in shapes.items()
    }
    quantise_rows(vectors, rows, scale, *(np.asarray(file) for file in files.values()))
    for file in files.values():
        file.flush()
    np.savez(directory / GROUPS, levels=scale.levels, stops=scale.stops, **scale.turns._asdict())


def open_codes(directory: Path) -> Codes:
    """Map what `write_codes` wrote."""
    # Copies on write, so that the kernels are compiled for one type of array.
    codes, terms, offset, bias = (np.asarray(np.load(directory / f"{name}.npy", mmap_mode="c")) for name in ROWS)
    with np.load(directory / GROUPS) as groups:
        levels, stops = groups["levels"], groups["stops"]
        turns = Turns(*(groups[name] for name in Turns._fields))
    coarse = levels[: stops[0]]
    last = np.append(np.flatnonzero(np.diff(coarse)), len(coarse) - 1)
    run_shifts, shifts = np.append(0, 2 * np.diff(coarse[last])), 2 * (levels[-1] - levels)
    finest = np.append(coarse[-1], np.full(STAGES - 1, levels[-1]))
    return Codes(
        codes,
        codes.view(np.int32),
        terms,
        offset,
        bias,
        ends=(last + 1) * (GROUP // 4),
        run_shifts=run_shifts.astype(np.int32),
        shifts=shifts.astype(np.int32),
        stops=stops,
        units=(4.0**-finest).astype(np.float32),
        turns=turns,
    )


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def quantise_rows(
    vectors: NDArray[np.float32],
    rows: NDArray[np.int64],
    scale: Scale,
    codes: NDArray[np.int8],
    terms: NDArray[np.float32],
    offset: NDArray[np.float32],
    bias: NDArray[np.int32],
) -> None:
    """Quantise the vectors of some rows; see the module's text.

    Args:
        vectors: (n, m + 1) float32.
        rows: (k,) int64, of `vectors`.
        scale: how.
        codes, terms, offset, bias: those of `Codes`, with k rows; overwritten.
    """
    order, mean, levels, stops, _ = scale
    coordinates, used = len(mean), np.flatnonzero(order >= 0)
    order = order[used]
    mean = mean[order]
    of_mean, steps = 0.5 * np.sum(mean * mean), 2.0**levels
    centred = np.zeros(HEAD + len(levels) * GROUP)
    for i in range(len(rows)):
        row, added = vectors[rows[i]], 0.0
        for k in range(len(used)):
            number = np.float64(row[order[k]]) - mean[k]
            centred[used[k]] = number
            added += number * mean[k]
        offset[i] = of_mean + added
        kept, lost, begin, total = 0.0, 0.0, 0, np.int64(0)
        for k in range(HEAD):
            single = np.float64(np.float32(centred[k]))
            kept += single * single
            lost += (centred[k] - single) ** 2
        for stage in range(STAGES):
            for group in range(begin, stops[stage]):
                start = group * GROUP
                values = centred[HEAD + start : HEAD + start + GROUP]
                found = quantise_group(values, steps[group], codes[i, start : start + GROUP])
                # Of the first bound, in units of its own finest step.
                last = levels[stops[0] - 1] if stage == 0 else levels[-1]
                total += found[0] << (2 * (last - levels[group]))
                kept, lost = kept + found[1], lost + found[2]
            begin, rest = stops[stage], np.float64(row[coordinates]) ** 2
            for k in range(HEAD + begin * GROUP, len(centred)):
                rest += centred[k] * centred[k]
            bias[i, stage] = np.int32(128 * total)
            if stage == 0:
                total <<= 2 * (levels[-1] - levels[begin - 1])
            for k in range(HEAD):
                terms[i, stage, k] = centred[k]
            length = np.sqrt(kept)
            terms[i, stage, NORM] = (length + np.sqrt(lost)) * (1 + MARGIN) + TINY
            terms[i, stage, REST] = np.sqrt(rest) * (1 + MARGIN) + TINY
            terms[i, stage, KEPT] = length * (1 - MARGIN)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def quantise_group(values: NDArray[np.float64], steps: float, codes: NDArray[np.int8]) -> tuple[int, float, float]:
    """Quantise GROUP numbers to multiples of 1 / `steps`, a power of two, as `codes`.

    Returns:
        The sum of the codes; and the sums of the squares of what is kept, and of what is lost.
    """
    total, kept, lost = np.int32(0), 0.0, 0.0
    for k in range(GROUP):
        number = values[k] * steps
        code = np.rint(min(max(number, -float(LARGEST)), float(LARGEST)))
        codes[k] = np.int8(np.int32(code))
        total += np.int32(code)
        kept += code * code
        lost += (number - code) * (number - code)
    return int(total), kept / (steps * steps), lost / (steps * steps)


class Panels(NamedTuple):
    """The columns of a tile as `reach_tile` takes them.

    Attributes:
        words: (panels, words, width) int32.
        terms: (panels, 1 + TERMS, width) float32.
    """

    words: NDArray[np.int32]
    terms: NDArray[np.float32]


@njit(nogil=True, cache=True)
def pack_columns(kernels: int, width: int, codes: Codes, turn: int, columns: tuple[int, int]) -> Panels:
    """Arrange the columns of a tile in panels of `width` columns, turned; in the last panel, some may reach no limit ever."""
    words, n = codes.ends[-1], columns[1] - columns[0]
    of_group = GROUP // 4
    held, turned = codes.codes, np.empty(GROUP, np.int8)
    as_words = turned.view(np.int32)
    sources, masks = codes.turns.sources[turn], codes.turns.signs[turn]
    term_sources, term_signs = codes.turns.term_sources[turn], codes.turns.term_signs[turn]
    count = -(-n // width)
    packed = Panels(np.zeros((count, words, width), np.int32), np.zeros((count, 1 + TERMS, width), np.float32))
    signs = SIGNS if kernels > AVX2 else np.int32(0)
    packed.terms[:, 0] = -np.inf
    for panel in range(count):
        start = columns[0] + panel * width
        for c in range(min(width, columns[1] - start)):
            for group in range(words // of_group):
                source, mask = sources[group] * GROUP, np.int8(masks[group])
                for k in range(GROUP):
                    turned[k] = np.int8((held[start + c, source + k] ^ mask) - mask)
                for k in range(of_group):
                    packed.words[panel, group * of_group + k, c] = as_words[k] ^ signs
            packed.terms[panel, 0, c] = codes.offset[start + c]
            for k in range(TERMS):
                packed.terms[panel, 1 + k, c] = codes.terms[start + c, 0, term_sources[k]] * term_signs[k]
    return packed


class Rows(NamedTuple):
    """Some rows of a tile as `reach_tile` takes them.

    Attributes:
        words: (ROWS_AT_ONCE, words) int32.
        terms: (ROWS_AT_ONCE, TERMS) float32, the last one negative.
        lowest: (ROWS_AT_ONCE,) float32, infinite where there is no row.
        bias: (ROWS_AT_ONCE,) int32.
    """

    words: NDArray[np.int32]
    terms: NDArray[np.float32]
    lowest: NDArray[np.float32]
    bias: NDArray[np.int32]


@njit(nogil=True, cache=True)
def pack_rows(kernels: int, codes: Codes, start: int, stop: int, lowest: float, rows: Rows) -> None:
    """Fill `rows` with the vectors `start ... stop`, at most ROWS_AT_ONCE."""
    for r in range(ROWS_AT_ONCE):
        rows.lowest[r] = np.inf
    for r in range(stop - start):
        for k in range(codes.ends[-1]):
            rows.words[r, k] = codes.words[start + r, k]
        for k in range(TERMS):
            rows.terms[r, k] = codes.terms[start + r, 0, k]
        rows.terms[r, KEPT] *= np.float32(-1)
        rows.lowest[r] = lowest - codes.offset[start + r]
        rows.bias[r] = codes.bias[start + r, 0] if kernels > AVX2 else np.int32(0)


@njit(nogil=True, cache=True)
def reach_by_codes(
    kernels: int, codes: Codes, turn: int, first: NDArray[np.int64], second: NDArray[np.int64], lowest: float
) -> NDArray[np.bool_]:
    """Return of which of some pairs, (n,) each, all bounds but the first are at least `lowest`: (n,) bool.

    The second one of each pair is turned; 0 for as it is.
    """
    reached = np.ones(len(first), np.bool_)
    # Taken out of the tuple only once: numba counts the references to each array.
    numbers, terms, offset, bias = codes.codes, codes.terms, codes.offset, codes.bias
    shifts, stops, units = codes.shifts, codes.stops, codes.units
    sources, signs = codes.turns.sources, codes.turns.signs
    term_sources, term_signs = codes.turns.term_sources[turn], codes.turns.term_signs[turn]
    for p in range(len(first)):
        i, j = first[p], second[p]
        product, begin = np.int64(0), 0
        for stage in range(1, STAGES):
            if turn == 0:
                product += dot_codes(kernels, numbers, i, j, shifts, begin, stops[stage])
                added = add_terms(terms, i, j, stage)
            else:
                product += dot_turned(kernels, numbers, i, j, shifts, begin, stops[stage], sources, signs, turn)
                added = add_turned_terms(terms, i, j, stage, term_sources, term_signs)
            begin = stops[stage]
            # Modulo 2^32.
            integer = np.int32(product - bias[i, stage] if kernels > AVX2 else product)
            bound = np.float32(integer) * units[stage] + added
            if not bound + offset[i] + offset[j] >= lowest:
                reached[p] = False
                break
    return reached


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def add_terms(terms: NDArray[np.float32], i: int, j: int, stage: int) -> np.float32:
    """Return the sum of the products of two images' terms, the last one subtracted."""
    total = np.float32(0)
    for k in range(TERMS):
        total += terms[i, stage, k] * terms[j, stage, k]
    bound: np.float32 = total - np.float32(2) * terms[i, stage, KEPT] * terms[j, stage, KEPT]
    return bound


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def add_turned_terms(
    terms: NDArray[np.float32],
    i: int,
    j: int,
    stage: int,
    sources: NDArray[np.int64],
    signs: NDArray[np.float32],
) -> np.float32:
    """Do as `add_terms` with the second image's terms in the order `sources`, (TERMS,), and with these signs."""
    total = np.float32(0)
    for k in range(TERMS):
        total += terms[i, stage, k] * terms[j, stage, sources[k]] * signs[k]
    bound: np.float32 = total - np.float32(2) * terms[i, stage, KEPT] * terms[j, stage, KEPT]
    return bound


@njit(nogil=True, cache=True)
def prune_tile(
    kernels: int,
    shape: tuple[int, int],
    codes: Codes,
    turn: int,
    row_span: tuple[int, int],
    column_span: tuple[int, int],
    lowest: float,
    weights: Weights,
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Find the pairs of a tile whose bounds are at least `lowest`, and count the others.

    Args:
        kernels: one of `Kernels`.
        shape: rows and columns of the small tiles of these kernels (SHAPES).
        codes: of all vectors.
        turn: how the columns are turned, by number in `codes.turns`; 0 for as they are.
        row_span, column_span: the tile; if they are the same, only the pairs above the diagonal.
        lowest: the floor less the slack.
        weights: of all vectors.

    Returns:
        The pairs that are left, (n,) int64 each; and the number of pairs of images that the others stand for.
    """
    width, is_triangle = shape[1], row_span[0] == column_span[0]
    panels, rows = pack_columns(kernels, width, codes, turn, column_span), allocate_rows(codes)
    first, second, n = np.empty(FIRST_ROOM, np.int64), np.empty(FIRST_ROOM, np.int64), 0
    images_before, known_before = sum_before(weights.images), sum_before(weights.known)
    visited = 0
    for top in range(row_span[0], row_span[1], ROWS_AT_ONCE):
        bottom = min(top + ROWS_AT_ONCE, row_span[1])
        pack_rows(kernels, codes, top, bottom, lowest, rows)
        for panel in range(len(panels.words)):
            left = column_span[0] + panel * width
            right = min(left + width, column_span[1])
            if is_triangle and right <= top + 1:
                continue
            if n + ROWS_AT_ONCE * width > len(first):
                first, second = lengthen(first), lengthen(second)
            found = find_reaching(kernels, shape, codes, rows, bottom - top, panels, panel, first[n:], second[n:])
            kept = n
            for p in range(n, n + found):
                first[p], second[p] = first[p] + top, second[p] + left
            if is_triangle and left <= bottom:
                found = drop_below_diagonal(first[n:], second[n:], found)
            reached = reach_by_codes(kernels, codes, turn, first[n : n + found], second[n : n + found], lowest)
            for p in range(found):
                first[kept], second[kept] = first[n + p], second[n + p]
                kept += int(reached[p])
            n = kept
            for i in range(top, bottom):
                begin = min(max(left, i + 1), right) if is_triangle else left
                images, known = images_before[right] - images_before[begin], known_before[right] - known_before[begin]
                visited += weights.images[i] * images - weights.known[i] * known
    first, second = first[:n].copy(), second[:n].copy()
    return first, second, visited - count_listed(first, second, np.ones(n, np.bool_), weights.images, weights.known)


@njit(nogil=True, cache=True)
def find_reaching(
    kernels: int,
    shape: tuple[int, int],
    codes: Codes,
    rows: Rows,
    n_rows: int,
    panels: Panels,
    panel: int,
    first: NDArray[np.int64],
    second: NDArray[np.int64],
) -> int:
    """Find the pairs of `n_rows` packed rows and one panel of columns whose first bound reaches the limit.

    Args:
        kernels, shape, codes: as in `prune_tile`.
        rows, n_rows: the rows.
        panels, panel: the columns.
        first, second: overwritten with the numbers of these pairs in `rows` and in the panel.

    Returns:
        How many there are.
    """
    height, n = shape[0], 0
    masks = np.empty(height, np.uint64)
    words, terms, lowest, bias = rows
    for row in range(0, n_rows, height):
        reach_tile(
            kernels,
            words,
            terms,
            lowest,
            bias,
            row,
            panels.words,
            panels.terms,
            panel,
            codes.ends,
            codes.run_shifts,
            codes.units[0],
            masks,
        )
        for r in range(height):
            mask = masks[r]
            while mask != 0:
                first[n], second[n] = row + r, lowest_bit(mask)  # type: ignore[call-arg]
                mask &= mask - np.uint64(1)
                n += 1
    return n


@njit(nogil=True, cache=True)
def drop_below_diagonal(first: NDArray[np.int64], second: NDArray[np.int64], n: int) -> int:
    """Move the pairs with first < second among the first n to the front; return how many there are."""
    kept = 0
    for p in range(n):
        first[kept], second[kept] = first[p], second[p]
        kept += int(first[p] < second[p])
    return kept


@njit(nogil=True, cache=True)
def sum_before(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sums of the numbers before each of them, and of all."""
    sums = np.zeros(len(numbers) + 1, np.int64)
    for k in range(len(numbers)):
        sums[k + 1] = sums[k] + numbers[k]
    return sums


@njit(nogil=True, cache=True)
def allocate_rows(codes: Codes) -> Rows:
    """Return memory for ROWS_AT_ONCE rows."""
    return Rows(
        np.zeros((ROWS_AT_ONCE, codes.ends[-1]), np.int32),
        np.zeros((ROWS_AT_ONCE, TERMS), np.float32),
        np.empty(ROWS_AT_ONCE, np.float32),
        np.zeros(ROWS_AT_ONCE, np.int32),
    )


@njit(nogil=True, cache=True)
def lengthen(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return an array of twice the length that begins with `numbers`."""
    longer = np.empty(2 * len(numbers), np.int64)
    longer[: len(numbers)] = numbers
    return longer


def shape_of(kernels: Kernels) -> tuple[int, int]:
    """Return the rows and columns of the small tiles of `kernels`."""
    return SHAPES[kernels].rows, SHAPES[kernels].width
