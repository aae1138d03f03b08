"""Pairs of thumbnails on which a bound that prunes too much would lose a pair: near copies, pairs of every score, most of them
with tight bounds, and pairs with extreme vectors. Each kind is a function of a random generator and a size to a pair.
"""

import numpy as np

from tests.support import oracle
from tests.support import thumbnails as pictures

C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

SCORES = (0.3, 1.0)
"""Between these scores pairs are planted."""

BRIGHT = (225, 246)
"""Beside flat pictures of these levels, others have the tightest bounds. Measured."""

WINDOW = 7
"""Side of SSIM's window. In a picture that repeats itself after as many pixels, all windows hold the same ones."""


def clip(picture):
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def make_grey(picture):
    return np.repeat(picture[..., 1:2], 3, axis=-1)


def photo(rng, size):
    return pictures.photographs(size)[rng.integers(4)]


def noise_like(rng, picture, spread):
    return rng.integers(-spread, spread + 1, picture.shape)


def make_level(rng, other, score):
    """Return the level below `other` so that two flat pictures of them have about this score."""
    return other * (1 - np.sqrt(1 - score**2)) / score + rng.uniform(-1, 1)


def make_deviation(score):
    """Return the standard deviation of windows that score this beside flat ones of the same mean."""
    return np.sqrt(C2 * (1 / score - 1))


def repeat(tile, size):
    """Return a picture of (size, size, channels) that repeats the tile of (7, 7, channels)."""
    times = -(-size // WINDOW)
    return np.tile(tile, (times, times, 1))[:size, :size]


def texture(rng, deviation):
    """Return a tile of mean 0 and this deviation, (7, 7, 1)."""
    tile = rng.permutation(np.linspace(-1, 1, WINDOW**2)).reshape(WINDOW, WINDOW, 1)
    return tile * deviation / tile.std(ddof=1)


def cells(size):
    """Return to which of the cells along one side each row or column belongs, and how many there are."""
    edges = np.array(oracle.edges(size - WINDOW + 1))
    return np.searchsorted(edges[1:-1], np.arange(size), side="right"), len(edges) - 1


# -- near copies: bounds and scores are near 1 ------------------------------------------------------------------------


def near_copy(rng, size):
    first = photo(rng, size)
    is_changed = rng.random(first.shape) < rng.choice([0.003, 0.1, 1])
    return first, clip(first + noise_like(rng, first, rng.choice([1, 2, 5])) * is_changed)


def one_pixel(rng, size):
    first = [photo(rng, size), pictures.page(size, int(rng.integers(99))), pictures.flat(size, 200)][rng.integers(3)]
    second = first.copy()
    second[(*rng.integers(0, size, 2), rng.integers(3))] ^= rng.choice([1, 128])
    return first, second


def grey_copy(rng, size):
    first = make_grey(photo(rng, size)).astype(float)
    changed = [first + noise_like(rng, first[..., :1], 4), first * rng.uniform(0.6, 1), first + rng.integers(-40, 40)]
    return clip(first), clip(changed[rng.integers(3)])


def grey_beside_coloured(rng, size):
    first = make_grey(photo(rng, size))
    second = first.copy()
    side = rng.integers(1, size)
    second[:side, :side, rng.integers(3)] ^= 1
    return first, second


# -- planted at every score, where the bound is the score itself or close to it ----------------------------------------


def flat(rng, size):
    bright = rng.integers(*BRIGHT)
    return pictures.flat(size, bright), clip(pictures.flat(size, 1) * make_level(rng, bright, rng.uniform(*SCORES)))


def flat_coloured(rng, size):
    bright = rng.integers(*BRIGHT, 3)
    dark = [make_level(rng, level, rng.uniform(*SCORES)) for level in bright]
    return clip(np.full((size, size, 3), bright)), clip(np.full((size, size, 3), dark))


def flat_beside_texture(rng, size):
    level = rng.integers(100, 256)
    tile = level + texture(rng, make_deviation(rng.uniform(*SCORES)))
    return pictures.flat(size, rng.choice([level, 255])), clip(repeat(np.repeat(tile, 3, axis=-1), size))


def two_contrasts(rng, size):
    tile = texture(rng, rng.uniform(1, 30)) * rng.uniform(0.7, 1, 3)
    return clip(rng.integers(80, 170) + repeat(tile, size)), clip(rng.integers(80, 170) + repeat(tile / 2, size))


def two_slopes(rng, size):
    up_and_down = abs(np.arange(size) % 32 - 16.0)[:, None, None] + np.zeros((size, size, 3))
    slopes = rng.choice([1, 2, 3, 4], 2, replace=False) * rng.choice([-1, 1])
    levels = rng.integers(90, 160, 3)
    return clip(levels + slopes[0] * up_and_down), clip(levels + slopes[1] * up_and_down)


def flats_side_by_side(rng, size):
    first, second = np.empty((2, size, size, 3))
    middle = rng.integers(1, size)
    for part in (slice(0, middle), slice(middle, size)):
        bright = rng.integers(*BRIGHT)
        first[:, part], second[:, part] = bright, make_level(rng, bright, rng.uniform(*SCORES))
    return clip(first), clip(second)


# -- planted at every score, where the bound is loose ------------------------------------------------------------------


def blended(rng, size):
    first, share = photo(rng, size), rng.random()
    other = rng.integers(0, 256, first.shape) if rng.random() < 0.5 else photo(rng, size)[::-1]
    return first, clip((1 - share) * first + share * other)


def replaced(rng, size):
    first = photo(rng, size)
    second = first.copy()
    top, left = rng.integers(0, size // 2, 2)
    bottom, right = rng.integers(size // 2, size + 1, 2)
    second[top:bottom, left:right] = rng.integers(0, 256, 3)
    return first, second


def marked_page(rng, size):
    first = pictures.page(size, int(rng.integers(99)))
    second = first.copy()
    for _ in range(rng.integers(1, 6)):
        top, left = rng.integers(0, size, 2)
        second[top : top + rng.integers(1, 9), left : left + rng.integers(1, 9)] = rng.integers(0, 256)
    return first, second


def blended_noise(rng, size):
    first, other = rng.integers(0, 256, (2, size, size, 3))
    share = rng.random()
    return clip(first), clip((1 - share) * first + share * other)


# -- extreme vectors: over the cells' cosine transform one giant coordinate, all alike, and signs that alternate -------


def one_cell(rng, size):
    """A coordinate of every frequency alike; where the cell is the last one, with alternating signs."""
    index, count = cells(size)
    row, column = rng.choice([0, rng.integers(count), count - 1], 2)
    first = pictures.flat(size, rng.integers(150, 256))
    second = first.copy()
    second[np.ix_(index == row, index == column)] = rng.integers(0, 256)
    return first, second


def checkered_cells(rng, size):
    """The highest frequency alone, beside the lowest."""
    index, _ = cells(size)
    signs = np.where(np.add.outer(index, index) % 2, -1, 1)[..., None] + np.zeros(3)
    strength, level = rng.integers(1, 40), rng.integers(60, 200)
    return clip(level + strength * signs), clip(level + rng.choice([-1, 0, 0.5, 2]) * strength * signs)


def wave_of_cells(rng, size):
    """One frequency alone, beside the lowest."""
    index, count = cells(size)
    down, along = (np.cos(np.pi * rng.integers(0, count) * (2 * index + 1) / (2 * count)) for _ in range(2))
    wave = np.multiply.outer(down, along)[..., None] + np.zeros(3)
    strength = rng.integers(1, 60)
    return clip(160 + strength * wave), clip(160 + rng.choice([-1, 0, 0.5, 1.5]) * strength * wave)


KINDS = (
    near_copy,
    one_pixel,
    grey_copy,
    grey_beside_coloured,
    *[flat] * 5,  # the tightest, and when turned the same
    flat_coloured,
    flat_beside_texture,
    two_contrasts,
    two_slopes,
    flats_side_by_side,
    blended,
    replaced,
    marked_page,
    blended_noise,
    one_cell,
    checkered_cells,
    wave_of_cells,
)


def turn(first, second):
    """Return a pair turned and mirrored, and with its channels in reverse: up to 16 pairs, (n, 2, size, size, 3).

    They have the same score, but for its last bits, and quite different vectors.
    """
    pair = np.array([first, second])
    mirrored = [pair, pair[:, :, ::-1]]
    turned = [np.rot90(one, times, axes=(1, 2)) for one in mirrored for times in range(4)]
    every = [np.ascontiguousarray(one[..., ::order]) for one in turned for order in (1, -1)]
    return np.array([*{one.tobytes(): one for one in every}.values()])
