"""scikit-image's own score, for the pairs whose score decides something."""

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity


def reference_ssim(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Return scikit-image's mean SSIM of two (size, size, 3) uint8 thumbnails.

    Identical thumbnails score exactly 1: for equal inputs `2*ux*uy` and `ux**2 + uy**2` are the same float64 (doubling
    is exact), and so are `2*vxy` and `vx + vy`. So the ratio of every window is x/x = 1, and the mean of ones is 1.
    """
    return float(structural_similarity(first, second, channel_axis=-1))  # type: ignore[no-untyped-call]
