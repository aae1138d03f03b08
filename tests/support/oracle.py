"""What is true, by scikit-image and plain loops. Nothing here imports the engine."""

import numpy as np
from skimage.metrics import structural_similarity


def score(first, second):
    return float(structural_similarity(first, second, channel_axis=-1))


def all_scores(thumbnails):
    """Return {(i, j): score} of every pair i < j."""
    n = len(thumbnails)
    return {(i, j): score(thumbnails[i], thumbnails[j]) for i in range(n) for j in range(i + 1, n)}


def detail_score(first, second):
    """Return the mean of the SSIM map where either image's sample variance reaches 20; NaN where there is none."""
    kept = []
    for c in range(3):
        _, full = structural_similarity(first[..., c], second[..., c], full=True)
        structured = np.maximum(variances(first[..., c]), variances(second[..., c])) >= 20 - 1e-9
        kept.append(full[3:-3, 3:-3][structured])
    kept = np.concatenate(kept)
    return float(kept.mean()) if len(kept) else float("nan")


def local_score(first, second, squares):
    """Return the lowest mean of the SSIM map over `squares`, (top, bottom, left, right) in windows, blank windows being 1."""
    is_blank = (
        np.maximum(*(np.stack([variances(image[..., c]) for c in range(3)], -1) for image in (first, second)))
        < 20 - 1e-9
    )
    full = np.where(is_blank, 1, ssim_map(first, second))
    return min(float(full[top:bottom, left:right].mean()) for top, bottom, left, right in squares)


def edges(windows):
    """Return where cells begin, and the end: 32 along each side, or as many as hold two windows or more; symmetric."""
    cells = min(32, windows // 2)
    if windows % 2 and not cells % 2:
        cells -= 1
    # To the nearest, and halves up, from the nearer side.
    left = [int(k * windows / cells + 0.5) for k in range(cells // 2 + 1)]
    return left + [windows - edge for edge in reversed(left[: cells + 1 - len(left)])]


def squares(windows):
    """Return the squares of 2 x 2 cells of a thumbnail, (top, bottom, left, right) in windows."""
    starts = edges(windows)
    cells = len(starts) - 1
    spans = [(starts[k], starts[min(k + 2, cells)]) for k in range(max(1, cells - 1))]
    return [(*rows, *columns) for rows in spans for columns in spans]


def variances(plane):
    windows = np.lib.stride_tricks.sliding_window_view(plane.astype(float), (7, 7))
    return windows.var(axis=(2, 3), ddof=1)


def ssim_map(first, second):
    """Return the SSIM of every window, (windows, windows, 3)."""
    maps = [structural_similarity(first[..., c], second[..., c], full=True)[1][3:-3, 3:-3] for c in range(3)]
    return np.stack(maps, axis=-1)
