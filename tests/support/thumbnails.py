"""Thumbnails that are hard for a bound or a kernel: flat, sparse, periodic, noisy, saturated, near-identical."""

import functools

import numpy as np
from hypothesis import strategies as st
from skimage import data, transform


def photographs(size):
    return _photographs(size).copy()


@functools.cache
def _photographs(size):
    pictures = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
    shrunk = [transform.resize(p, (size, size), anti_aliasing=True, preserve_range=True) for p in pictures]
    return np.array(shrunk).round().astype(np.uint8)


def flat(size, level):
    return np.full((size, size, 3), level, np.uint8)


def page(size, seed):
    """A white page with black strokes, as charts and documents are."""
    rng = np.random.default_rng(seed)
    picture = flat(size, 255)
    for _ in range(size // 4):
        y, x, h, w = rng.integers(0, size, 2).tolist() + rng.integers(1, 6, 2).tolist()
        picture[y : y + h, x : x + w] = rng.integers(0, 256, 3) if rng.random() < 0.5 else rng.integers(0, 120)
    return picture


def collection(size):
    """Every kind of picture, with copies that lie above and below the usual floors."""
    rng = np.random.default_rng(0)
    base = photographs(size)
    grey = np.repeat(base[..., 1:2], 3, axis=-1)
    shifted = np.roll(base, 1, axis=1)
    noisy = [np.clip(base + rng.normal(0, sigma, base.shape), 0, 255).astype(np.uint8) for sigma in (3, 8, 15)]
    pages = np.array([page(size, seed) for seed in range(6)])
    marked = pages[:3].copy()
    marked[:, : size // 8, : size // 8] = 0
    flats = np.array([flat(size, level) for level in (0, 1, 100, 116, 254, 255)])
    return np.concatenate([base, grey, shifted, *noisy, pages, marked, flats, base[:1], flats[:1], pages[:2]])


@st.composite
def thumbnails(draw, size):
    kind = draw(st.sampled_from(["flat", "dot", "checkers", "noise", "ramp", "extremes", "page", "photo"]))
    rng = np.random.default_rng(draw(st.integers(0, 10)))
    picture = flat(size, draw(st.sampled_from([0, 1, 127, 254, 255])))
    if kind == "dot":
        picture[tuple(rng.integers(0, size, 2))] = rng.integers(0, 256, 3)
    elif kind == "checkers":
        step = draw(st.integers(1, 8))
        picture[(np.add.outer(np.arange(size) // step, np.arange(size) // step) % 2) == 0] ^= draw(st.integers(1, 255))
    elif kind == "noise":
        low = draw(st.integers(0, 250))
        picture = rng.integers(low, draw(st.integers(low + 1, 256)), (size, size, 3)).astype(np.uint8)
    elif kind == "ramp":
        picture = np.broadcast_to(np.linspace(0, 255, size)[:, None, None], (size, size, 3)).astype(np.uint8)
    elif kind == "extremes":
        picture = (rng.random((size, size, 3)) < draw(st.sampled_from([0.01, 0.5]))).astype(np.uint8) * 255
    elif kind == "page":
        picture = page(size, int(rng.integers(100)))
    elif kind == "photo":
        picture = photographs(size)[rng.integers(4)]
    return np.repeat(picture[..., :1], 3, axis=-1) if draw(st.booleans()) else np.ascontiguousarray(picture)


@st.composite
def pairs(draw, size):
    """Two thumbnails; half of the time the second is the first with small changes."""
    first = draw(thumbnails(size))
    if draw(st.booleans()):
        return first, draw(thumbnails(size))
    rng = np.random.default_rng(draw(st.integers(0, 10)))
    spread = draw(st.sampled_from([1, 4, 20]))
    noise = rng.integers(-spread, spread + 1, first.shape) * (
        rng.random(first.shape) < draw(st.sampled_from([0.02, 1]))
    )
    return first, np.clip(first + noise, 0, 255).astype(np.uint8)
