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


def variances(plane):
    windows = np.lib.stride_tricks.sliding_window_view(plane.astype(float), (7, 7))
    return windows.var(axis=(2, 3), ddof=1)


def ssim_map(first, second):
    """Return the SSIM of every window, (windows, windows, 3)."""
    maps = [structural_similarity(first[..., c], second[..., c], full=True)[1][3:-3, 3:-3] for c in range(3)]
    return np.stack(maps, axis=-1)
