"""Thumbnails without loss in half of their bytes, in bands that can be unpacked alone.

Of a pair that bounds cannot prune, refinement mostly needs one block before it knows that the score is below the floor
(refine.py). So a thumbnail is packed in *bands* of rows, one for each strip of cells (features.py), each on its own: the
windows of a strip need the band of the strip and the one below it, and nothing else is unpacked. That happens inside
the kernels, where a block is first needed, so the code is here and not a library's.

**Prediction.** Three planes: green, blue less green, and red less green, modulo 256. Each value is predicted from its
neighbours to the left (a), above (b) and to the left above (d) by the median of a, b and a + b - d, as in JPEG-LS
(Weinberger, Seroussi, Sapiro 2000, doi:10.1109/83.855427); above a band lies a row of constants. What is coded is the
residual. Of a grey thumbnail there is only one plane.

**Contexts.** How large a residual is likely to be is told by those around it, e being their absolute values: the
*activity* is e of the three above, the middle one twice, plus twice e of the one to the left, and in the second and the
third plane e of the green one at the same place. (In the first row of a band it is four times e of the one to the left.)
Each of CONTEXTS has a probability of 0, and decays as (1 + |r| / scale)^-DECAY; both were fitted to photographs and
charts. The tables are computed with nothing but additions, multiplications and divisions, so that they are the same on
all machines.

**Coding.** Asymmetric numeral systems in their table form (tANS; Duda 2013, arXiv:1311.2540), with one table for each
context, one state for each plane and one stream of bits: unlike a Huffman code it spends less than a bit on the
residuals of a flat area, and unlike an arithmetic code it needs but a look-up for each. States are written from the last
residual to the first, and read from the first to the last. Residuals that a table leaves out have a common *escape*,
followed by 8 bits.

**Layout.** A packed thumbnail is an array of uint32: the number of those in use, shifted left by one, plus 1 if it is grey;
for each band the position at which it begins; the bands.

Measured at 200 pixels, of 120 kB: photographs take 39 to 58 kB, charts 5; to pack one takes 0.5 ms, to unpack it 0.43,
and a band 0.026. (zstd makes 59 kB of the same residuals, and a whole thumbnail is the least that it can unpack.)
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from imagetwins.ssim.features import plan_cells

STATE_BITS = 10

STATES = 1 << STATE_BITS
"""States of a table: the smallest probability is one in so many."""

ESCAPE_BITS = 8

ESCAPE = 1 << 14
"""The bit of an entry of the tables that says that it is the escape's."""

VALUES = 256
"""Values of a residual."""

CONTEXTS = (
    (0, 0.984, 6.25),
    (1, 0.849, 1.91),
    (2, 0.667, 2.07),
    (4, 0.475, 3.23),
    (7, 0.346, 4.97),
    (12, 0.241, 8.46),
    (20, 0.165, 14.25),
    (32, 0.116, 23.2),
    (50, 0.086, 36.65),
    (76, 0.071, 56.67),
    (115, 0.067, 87.7),
    (180, 0.076, 162.26),
)
"""Of each context: the smallest activity, the probability of 0, and the scale of the others."""

DECAY = 6

MAX_ACTIVITY = (4 + 2 + 1) * VALUES // 2

FIRST_VALUES = (128, 0, 0)
"""What lies above a band, in each plane."""

FIRST_ERROR = 2
"""What counts as |r| to the left of a band."""

END_STATES = (341, 682, 511)
"""The states at which a band ends; not 0, to which the holes of a file would lead."""

WORD_BITS = 32

Integer = Any
"""An int in Python, an int64 once it is compiled."""


class Code(NamedTuple):
    """The tables of the code.

    Attributes:
        context: (MAX_ACTIVITY + 1,) int32, where the tables of the context of each activity begin: a multiple of STATES.
        decode: (contexts * STATES,) uint32, of each state: how many bits to read, 4 bits; the state that they are added to,
            10 bits; ESCAPE; and the residual + VALUES / 2, from bit 16 on.
        encode: (contexts * STATES,) int16, the states of each residual, one residual after the other.
        first: (contexts * (VALUES + 1),) int32, of each residual, and then of the escape: where its states begin in the
            context's part of `encode`, less how many there are.
        bits: the same shape, int32: with the state added, 2^16 times the number of bits to write; 0 of a residual that the
            table leaves out.
    """

    context: NDArray[np.int32]
    decode: NDArray[np.uint32]
    encode: NDArray[np.int16]
    first: NDArray[np.int32]
    bits: NDArray[np.int32]


@cache
def make_code() -> Code:
    """Compute the tables; deterministic on every machine."""
    counts = np.array([_count_states(zero, scale) for _, zero, scale in CONTEXTS])
    encode = np.empty((len(CONTEXTS), STATES), np.int16)
    decode = np.empty((len(CONTEXTS), STATES), np.uint32)
    for of_encode, of_decode, of_context in zip(encode, decode, counts, strict=True):
        _fill_tables(of_context, of_encode, of_decode)
    first = np.cumsum(counts, axis=1) - 2 * counts
    # A residual of n states takes a state x to one of n ... 2 n - 1 by leaving out its last bits: so many, or one less.
    most = STATE_BITS - np.array([[max(int(n) - 1, 1).bit_length() - 1 for n in row] for row in counts])
    bits = np.where(counts > 0, (most << 16) - (counts << most), 0)
    least = np.array([activity for activity, _, _ in CONTEXTS])
    context = (np.searchsorted(least, np.arange(MAX_ACTIVITY + 1), side="right") - 1) * STATES
    return Code(
        context.astype(np.int32),
        decode.ravel(),
        encode.ravel(),
        first.ravel().astype(np.int32),
        bits.ravel().astype(np.int32),
    )


def _count_states(zero: float, scale: float) -> list[int]:
    """Return how many states each residual + VALUES / 2 has, and the escape at the end: STATES together."""
    weight = [0.0] * VALUES
    for r in range(-VALUES // 2, VALUES // 2):
        ratio = 1.0 / (1.0 + abs(r) / scale)
        cube = ratio * ratio * ratio
        weight[r + VALUES // 2] = cube * cube if r else 0.0
    total = sum(weight)
    share = [(1.0 - zero) * w / total for w in weight]
    share[VALUES // 2] = zero
    # One of less than half a state would take from the others.
    counts = [int(STATES * s + 0.5) for s in share]
    left_out = sum(s for s, count in zip(share, counts, strict=True) if count == 0)
    escapes = max(1, int(STATES * left_out + 0.5))
    # What rounding has taken or left is the zero's.
    counts[VALUES // 2] += STATES - escapes - sum(counts)
    return [*counts, escapes]


def _fill_tables(counts: NDArray[np.int64], encode: NDArray[np.int16], decode: NDArray[np.uint32]) -> None:
    """Spread the states of each residual over the table of one context, and fill its two tables."""
    symbol = np.empty(STATES, np.int64)
    # The step is odd, so it visits each state once.
    symbol[np.arange(STATES) * (STATES // 2 + STATES // 8 + 3) % STATES] = np.repeat(np.arange(VALUES + 1), counts)
    encode[:] = np.argsort(symbol, kind="stable")
    number = np.empty(STATES, np.int64)
    number[encode] = np.concatenate([np.arange(count, 2 * count) for count in counts])
    bits = STATE_BITS - np.array([int(n).bit_length() - 1 for n in number])
    base = (number << bits) - STATES
    is_escape = symbol == VALUES
    decode[:] = bits | base << 4 | is_escape * ESCAPE | np.where(is_escape, 0, symbol) << 16


@cache
def plan_bands(size: int) -> NDArray[np.int64]:
    """Return the first row of pixels of each band of thumbnails of `size` pixels, and the end: (bands + 1,) int64."""
    bands = plan_cells(size).strips.copy()
    bands[-1] = size
    return bands


@cache
def count_words(size: int) -> int:
    """Return how many uint32 a packed thumbnail of `size` pixels has at most.

    A residual takes STATE_BITS and an escape's bits at most; a band begins with three states and ends with a word that is
    not full.
    """
    bands = plan_bands(size)
    bits = np.diff(bands) * size * 3 * (STATE_BITS + ESCAPE_BITS) + 3 * STATE_BITS
    return int(len(bands) + (-(-bits // WORD_BITS)).sum())


def count_used(words: NDArray[np.uint32]) -> int:
    """Return how many of the words of a packed thumbnail are in use, as its first one says: 0 if it was never written."""
    return min(int(words[0]) >> 1, len(words))


# -- packing ---------------------------------------------------------------------------------------------------------


@njit(nogil=True, cache=True)
def predict(a: Integer, b: Integer, d: Integer) -> Integer:
    """Return the median of a, b and a + b - d."""
    return max(min(a, b), min(max(a, b), a + b - d))


@njit(nogil=True, cache=True)
def wrap(value: Integer, plane: Integer) -> Integer:
    """Return the value modulo 256: 0 to 255 in the first plane, -128 to 127 in the others."""
    shift = 0 if plane == 0 else VALUES // 2
    return ((value + shift) & (VALUES - 1)) - shift


@njit(nogil=True, cache=True)
def set_activities(errors: NDArray[np.int32], activities: NDArray[np.int32]) -> None:
    """Set the part of the activities that the row above tells, both (planes, size) int32."""
    last = errors.shape[1] - 1
    for plane in range(len(errors)):
        row, found = errors[plane], activities[plane]
        for j in range(1, last):
            found[j] = row[j - 1] + 2 * row[j] + row[j + 1]
        found[0] = 3 * row[0] + row[1]
        found[last] = row[last - 1] + 3 * row[last]


@njit(nogil=True, cache=True)
def split_row(pixels: NDArray[np.uint8], values: NDArray[np.int32]) -> None:
    """Set `values`, (planes, size) int32, to the planes of one row, (size, 3) uint8; see the module's text."""
    for j in range(len(pixels)):
        values[0, j] = pixels[j, 1]
    for plane in range(1, len(values)):
        for j in range(len(pixels)):
            values[plane, j] = wrap(np.int32(pixels[j, 2 * plane - 2]) - np.int32(pixels[j, 1]), 1)


@njit(nogil=True, cache=True)
def predict_row(values: NDArray[np.int32], above: NDArray[np.int32], residuals: NDArray[np.int32]) -> None:
    """Set `residuals` to those of one row of a plane, given with the row above it, all (size,) int32."""
    a = d = above[0]
    residuals[0] = wrap(values[0] - predict(a, above[0], d), 1)
    for j in range(1, len(values)):
        residuals[j] = wrap(values[j] - predict(values[j - 1], above[j], above[j - 1]), 1)


@njit(nogil=True, cache=True)
def predict_band(
    band: NDArray[np.uint8],
    context: NDArray[np.int32],
    residuals: NDArray[np.int32],
    contexts: NDArray[np.int32],
) -> None:
    """Compute the residuals of a band and their contexts.

    Args:
        band: (rows, size, 3) uint8, the thumbnail's rows.
        context: the code's.
        residuals: (rows, planes, size) int32, 3 planes or, of a grey thumbnail, 1; overwritten.
        contexts: the same shape, where the tables of each context begin; overwritten.
    """
    rows, planes, size = residuals.shape
    values, above = np.empty((planes, size), np.int32), np.empty((planes, size), np.int32)
    errors, activities = np.zeros((planes, size), np.int32), np.zeros((planes, size), np.int32)
    for plane in range(planes):
        above[plane] = FIRST_VALUES[plane]
    for i in range(rows):
        split_row(band[i], values)
        shift = np.int32(2 if i == 0 else 1)
        for plane in range(planes):
            predict_row(values[plane], above[plane], residuals[i, plane])
            left = np.int32(FIRST_ERROR if i == 0 else errors[plane, 0])
            for j in range(size):
                errors[plane, j] = abs(residuals[i, plane, j])
            for j in range(size):
                activity = activities[plane, j] + ((errors[plane, j - 1] if j > 0 else left) << shift)
                contexts[i, plane, j] = context[np.uintp(activity + (errors[0, j] if plane > 0 else 0))]
        set_activities(errors, activities)
        values, above = above, values


@njit(nogil=True, cache=True)
def encode_band(
    residuals: NDArray[np.int32],
    contexts: NDArray[np.int32],
    code: Code,
    steps: NDArray[np.uint16],
    words: NDArray[np.uint32],
) -> Integer:
    """Write a band, and return how many of `words` it takes.

    Args:
        residuals, contexts: see `predict_band`.
        code: its tables.
        steps: (2 * residuals.size + 3,) uint16 or more: scratch for what is written, shifted by 4, and the number of
            its bits.
        words: uint32; the band is written to its beginning.
    """
    rows, planes, size = residuals.shape
    state0, state1, state2 = STATES + END_STATES[0], STATES + END_STATES[1], STATES + END_STATES[2]
    n = 0
    for i in range(rows):
        of_row, context = residuals[rows - 1 - i], contexts[rows - 1 - i]
        for k in range(size):
            j = size - 1 - k
            if planes > 1:
                state2, n = encode_residual(of_row[2, j], context[2, j], state2, code, steps, n)
                state1, n = encode_residual(of_row[1, j], context[1, j], state1, code, steps, n)
            state0, n = encode_residual(of_row[0, j], context[0, j], state0, code, steps, n)
    for state in (state2, state1, state0):
        steps[n] = np.uint16((state - STATES) << 4 | STATE_BITS)
        n += 1
    return write_bits(steps[:n], words)


@njit(nogil=True, cache=True)
def encode_residual(
    residual: Integer, table: Integer, state: Integer, code: Code, steps: NDArray[np.uint16], n: int
) -> tuple[Integer, Integer]:
    """Add what is written of a residual in the context at `table` to the `n` steps so far; return the new state and n."""
    symbol = np.int64(residual) + VALUES // 2
    place = (np.int64(table) >> STATE_BITS) * (VALUES + 1) + symbol
    if code.bits[np.uintp(place)] == 0:
        steps[np.uintp(n)] = np.uint16(symbol << 4 | ESCAPE_BITS)
        place += VALUES - symbol
        n += 1
    used = (state + code.bits[np.uintp(place)]) >> 16
    steps[np.uintp(n)] = np.uint16((state & ((1 << used) - 1)) << 4 | used)
    following = np.int64(table) + (state >> used) + code.first[np.uintp(place)]
    return STATES + code.encode[np.uintp(following)], n + 1


@njit(nogil=True, cache=True)
def write_bits(steps: NDArray[np.uint16], words: NDArray[np.uint32]) -> Integer:
    """Write the bits of `steps`, from the last to the first, and return how many of `words` they take."""
    bits, count, n = np.int64(0), np.int64(0), np.int64(0)
    for k in range(len(steps) - 1, -1, -1):
        step = np.int64(steps[k])
        bits |= (step >> 4) << count
        count += step & 15
        # Overwritten unless it is full.
        words[n] = np.uint32(bits)
        is_full = np.int64(count >= WORD_BITS)
        bits >>= WORD_BITS * is_full
        count -= WORD_BITS * is_full
        n += is_full
    words[n] = np.uint32(bits)
    return n + 1


@njit(nogil=True, cache=True)
def pack(
    thumbnail: NDArray[np.uint8], is_grey: bool, bands: NDArray[np.int64], code: Code, words: NDArray[np.uint32]
) -> Integer:
    """Pack a thumbnail, and return how many of `words` it takes.

    Args:
        thumbnail: (size, size, 3) uint8.
        is_grey: whether its three channels are equal.
        bands: of its size.
        code: its tables.
        words: (count_words(size),) uint32; overwritten.
    """
    planes, size, largest = 1 if is_grey else 3, len(thumbnail), np.diff(bands).max()
    residuals = np.empty((largest, planes, size), np.int32)
    contexts, steps = np.empty_like(residuals), np.empty(2 * residuals.size + 3, np.uint16)
    n = len(bands)
    for k in range(len(bands) - 1):
        words[1 + k] = n
        band = thumbnail[bands[k] : bands[k + 1]]
        predict_band(band, code.context, residuals[: len(band)], contexts[: len(band)])
        n += encode_band(residuals[: len(band)], contexts[: len(band)], code, steps, words[n:])
    words[0] = n << 1 | int(is_grey)
    return n


# -- unpacking -------------------------------------------------------------------------------------------------------


@njit(nogil=True, cache=True)
def refill(words: NDArray[np.uint32], bits: Integer, count: Integer, n: Integer) -> tuple[Integer, Integer, Integer]:
    """Return `bits`, of which there are `count`, with the word number `n` added if there were less than 32."""
    # Only damaged thumbnails lead beyond the end.
    word = np.int64(words[np.uintp(min(n, len(words) - 1))])
    is_low = np.int64(count < WORD_BITS)
    return bits | (word * is_low) << count, count + WORD_BITS * is_low, n + is_low


@njit(nogil=True, cache=True)
def decode_row(
    words: NDArray[np.uint32],
    stream: tuple[Integer, Integer, Integer],
    states: tuple[Integer, Integer, Integer],
    rows: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]],
    is_first: bool,
    is_grey: bool,
    code: Code,
) -> tuple[tuple[Integer, Integer, Integer], tuple[Integer, Integer, Integer]]:
    """Decode one row of a band.

    Args:
        words: the packed thumbnail.
        stream: the bits that were read but not used, how many they are, and the number of the next word.
        states: of the three planes.
        rows: the values, those of the row above, both (3, size + 1) int32; the errors and the activities, (3, size) int32.
            Values and errors are overwritten.
        is_first: whether it is the first row of the band.
        is_grey: whether there is one plane only.
        code: its tables.

    Returns:
        The new stream and states.
    """
    values, above, errors, activities = rows
    bits, count, n = stream
    state0, state1, state2 = states
    shift = 2 if is_first else 1
    left0, left1, left2 = np.int64(errors[0, 0]), np.int64(errors[1, 0]), np.int64(errors[2, 0])
    if is_first:
        left0 = left1 = left2 = np.int64(FIRST_ERROR)
    values0, values1, values2 = values[0], values[1], values[2]
    above0, above1, above2 = above[0], above[1], above[2]
    # Position 0 is what lies to the left of the row.
    a0, a1, a2 = np.int64(above0[1]), np.int64(above1[1]), np.int64(above2[1])
    d0, d1, d2 = a0, a1, a2
    for j in range(errors.shape[1]):
        bits, count, n = refill(words, bits, count, n)
        entry = np.int64(code.decode[np.uintp(code.context[np.uintp(activities[0, j] + (left0 << shift))] + state0)])
        used = entry & 15
        state0 = ((entry >> 4) & (STATES - 1)) + (bits & ((1 << used) - 1))
        bits, count, residual = bits >> used, count - used, (entry >> 16) - VALUES // 2
        if entry & ESCAPE:
            bits, count, n, residual = read_escape(words, bits, count, n)
        b = np.int64(above0[j + 1])
        a0, d0 = (predict(a0, b, d0) + residual) & (VALUES - 1), b
        values0[j + 1] = a0
        left0 = abs(residual)
        errors[0, j] = left0
        if is_grey:
            continue
        entry = np.int64(
            code.decode[np.uintp(code.context[np.uintp(activities[1, j] + (left1 << shift) + left0)] + state1)]
        )
        used = entry & 15
        state1 = ((entry >> 4) & (STATES - 1)) + (bits & ((1 << used) - 1))
        bits, count, residual = bits >> used, count - used, (entry >> 16) - VALUES // 2
        if entry & ESCAPE:
            bits, count, n, residual = read_escape(words, bits, count, n)
        b = np.int64(above1[j + 1])
        a1, d1 = wrap(predict(a1, b, d1) + residual, 1), b
        values1[j + 1] = a1
        left1 = abs(residual)
        errors[1, j] = left1
        entry = np.int64(
            code.decode[np.uintp(code.context[np.uintp(activities[2, j] + (left2 << shift) + left0)] + state2)]
        )
        used = entry & 15
        state2 = ((entry >> 4) & (STATES - 1)) + (bits & ((1 << used) - 1))
        bits, count, residual = bits >> used, count - used, (entry >> 16) - VALUES // 2
        if entry & ESCAPE:
            bits, count, n, residual = read_escape(words, bits, count, n)
        b = np.int64(above2[j + 1])
        a2, d2 = wrap(predict(a2, b, d2) + residual, 1), b
        values2[j + 1] = a2
        left2 = abs(residual)
        errors[2, j] = left2
    return (bits, count, n), (state0, state1, state2)


@njit(nogil=True, cache=True)
def read_escape(
    words: NDArray[np.uint32], bits: Integer, count: Integer, n: Integer
) -> tuple[Integer, Integer, Integer, Integer]:
    """Return the bits that are left after those of an escape, how many, the next word, and the residual."""
    bits, count, n = refill(words, bits, count, n)
    residual = (bits & (VALUES - 1)) - VALUES // 2
    bits, count, n = refill(words, bits >> ESCAPE_BITS, count - ESCAPE_BITS, n)
    return bits, count, n, residual


@njit(nogil=True, cache=True)
def unpack_band(
    words: NDArray[np.uint32], band: Integer, rows: int, code: Code, channels: NDArray[np.uint8], top: int
) -> bool:
    """Unpack the first rows of one band of a thumbnail.

    Args:
        words: (n,) uint32, a packed thumbnail.
        band: its number.
        rows: how many rows of it.
        code: its tables.
        channels: (3, height, size) uint8; these rows are written to it.
        top: where they begin in `channels`.

    Returns:
        Whether the states are those at which a band ends. A band that was not written whole hardly ever ends so.
    """
    size = channels.shape[2]
    is_grey = bool(words[0] & 1)
    values, above = np.zeros((3, size + 1), np.int32), np.empty((3, size + 1), np.int32)
    errors, activities = np.zeros((3, size), np.int32), np.zeros((3, size), np.int32)
    for plane in range(3):
        above[plane] = FIRST_VALUES[plane]
    bits, count, n = refill(words, 0, 0, np.int64(words[1 + band]))
    states = (bits & (STATES - 1), (bits >> STATE_BITS) & (STATES - 1), (bits >> 2 * STATE_BITS) & (STATES - 1))
    stream = (bits >> 3 * STATE_BITS, count - 3 * STATE_BITS, n)
    for i in range(rows):
        stream, states = decode_row(words, stream, states, (values, above, errors, activities), i == 0, is_grey, code)
        set_activities(errors, activities)
        blue, green, red = channels[0, top + i], channels[1, top + i], channels[2, top + i]
        for j in range(size):
            green[j] = values[0, j + 1]
        for j in range(size):
            blue[j] = np.int32(green[j]) + values[1, j + 1]
        for j in range(size):
            red[j] = np.int32(green[j]) + values[2, j + 1]
        values, above = above, values
    return bool(states == END_STATES)


@njit(nogil=True, cache=True)
def unpack(words: NDArray[np.uint32], bands: NDArray[np.int64], code: Code, channels: NDArray[np.uint8]) -> bool:
    """Unpack a thumbnail into `channels`, (3, size, size) uint8; return whether it was whole. `bands` are its size's."""
    # What was never written is a hole of the file.
    is_whole = words[0] > 0
    for band in range(len(bands) - 1 if is_whole else 0):
        is_whole &= unpack_band(words, band, bands[band + 1] - bands[band], code, channels, bands[band])
    return bool(is_whole)
