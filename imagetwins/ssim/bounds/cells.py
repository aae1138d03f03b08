"""The bound by cells: the inner product of the features of two images.

The features, the proof that their inner product bounds the SSIM from above (Cauchy-Schwarz, and the positive-definite
kernels of which SSIM is made) and their slack are in features.py. Of all bounds this is the tightest, and it can be
refined: its parts bound the SSIM of single blocks of windows (refine.py).
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagetwins.ssim.bounds.base import MIN_SHARE, Arrays, ArraySpec, VectorBound
from imagetwins.ssim.features import Basis, count_features, feature_unit, store_features, stored_slack
from imagetwins.ssim.image import MeasuredImage

REFINABLE = 0.25
"""Refinement has a chance to bring a bound below the floor if it is at most this far above it."""


class CellBound(VectorBound):
    """The inner product of the features; see the module's text."""

    name = "cells"
    label = "proven below the floor by cells"
    vectors = "features"
    are_features = True

    def arrays(self, size: int) -> Mapping[str, ArraySpec]:
        """Return the features."""
        return {"features": ArraySpec(np.int16, (count_features(size),))}

    def make_preparer(self, size: int, basis: Basis) -> Callable[[MeasuredImage], Arrays]:  # noqa: ARG002
        """Return a function to the features, which the image itself measures."""
        return lambda image: {"features": store_features(image.features)}

    def slack(self, size: int) -> float:
        """Return the slack that features.py derives."""
        return stored_slack(size)

    def unit(self, vectors: NDArray[Any]) -> float:
        """Return the unit in which the features, (n, length) int16, are stored."""
        return feature_unit(vectors.shape[1])

    def is_worthwhile(self, upper: NDArray[np.floating[Any]], floor: float) -> bool:
        """Decide whether the bound and its refinement are worth their cost.

        Refinement can lower a bound to the score itself, so they are, unless nearly all bounds are far above the floor.
        """
        return bool((upper < floor + REFINABLE).mean() > MIN_SHARE)
