"""How one picture of a pair is turned to match the other: the column `orientation` of `COMPARISONS` and `DECISIONS`.

The numbers, 1 to 8, are those of the orientation tag of EXIF (CIPA DC-008, 4.6.4): each says how a viewer shows the picture.
`imagetwins/ssim/orientation.py` turns pixels; here, who only asks about pictures need not load the kernels.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

AS_IT_IS = 1

LAST_UPRIGHT = 4
"""Beyond this number a picture lies on its side: its width becomes its height."""

_INVERSE = np.array([0, 1, 2, 3, 4, 5, 8, 7, 6], np.uint8)
"""By orientation, the one that undoes it: a quarter of a turn is undone by one the other way, all others by themselves."""


def read_orientations(table: pd.DataFrame) -> NDArray[np.uint8]:
    """Return (n,) the orientations in a table of pairs or decisions, 1 where it has none."""
    orientations: NDArray[np.uint8] = table["orientation"].to_numpy(np.uint8, na_value=AS_IT_IS)
    return orientations


def invert(orientations: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the orientations of the first pictures of pairs that match the second ones, from those of the second ones."""
    inverse: NDArray[np.uint8] = _INVERSE[orientations]
    return inverse


def lies_on_side(orientations: Any) -> Any:
    """Whether width and height are exchanged: of one orientation, or of an array of them."""
    return orientations > LAST_UPRIGHT
