"""What tests of joins share: workspaces of given thumbnails, and joins of fewer stages."""

import numpy as np

from imagetwins import ssim
from imagetwins.ssim import bounds
from imagetwins.ssim.bounds.cells import CellBound


def prepare(directory, thumbnails):
    """Prepare thumbnails, one in each row of a workspace."""
    ssim.create_workspace(directory, len(thumbnails), thumbnails.shape[1])
    ssim.prepare_images(directory, np.arange(len(thumbnails)), thumbnails)


class BlocksAlone(CellBound):
    """Leaves all pairs, one by one, to the bounds after it and to the refinement of its own."""

    def prune(self, arrays, planned, pairs, lowest):  # noqa: ARG002 - an implementation of an interface
        return pairs.prune_listed(np.ones(len(pairs.listed[0]), np.bool_))


STAGES = {
    "all": bounds.BOUNDS,
    **{bound.name: (bound,) for bound in bounds.BOUNDS},
    "all, of a list": (BlocksAlone(), *(bound for bound in bounds.BOUNDS if not isinstance(bound, CellBound))),
    "blocks": (BlocksAlone(),),
    "none": (),
}
"""By name, the bounds of a join that has no others."""
