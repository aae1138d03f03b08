"""The upper bounds of the SSIM, each in its own module.

A new bound is a class that implements `Bound` (base.py), in a module of its own, and an entry in `BOUNDS`. The arrays
of the workspace, the plan of a join, the counts of pruned pairs and their labels in reports follow from the tuple, and
so do the tests that every bound must pass.
"""

from imagetwins.ssim.bounds.base import Bound
from imagetwins.ssim.bounds.cells import CellBound
from imagetwins.ssim.bounds.projection import ProjectionBound

BOUNDS: tuple[Bound, ...] = (ProjectionBound(), CellBound())
"""All bounds, in the order in which a join applies them: each is tighter than the one before it, and costs more."""
