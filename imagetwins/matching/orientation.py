"""How one picture of a pair is turned to match the other: the column `orientation` of `COMPARISONS` and `DECISIONS`.

Each number, 1 to 8, says how a viewer shows the picture; see `imagetwins/orientation.py`.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imagetwins.orientation import AS_IT_IS, INVERSE

LAST_UPRIGHT = 4
"""Beyond this number a picture lies on its side: its width becomes its height."""


def read_orientations(table: pd.DataFrame) -> NDArray[np.uint8]:
    """Return (n,) the orientations in a table of pairs or decisions, 1 where it has none."""
    orientations: NDArray[np.uint8] = table["orientation"].to_numpy(np.uint8, na_value=AS_IT_IS)
    return orientations


def invert(orientations: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the orientations of the first pictures of pairs that match the second ones, from those of the second ones."""
    inverse: NDArray[np.uint8] = np.array(INVERSE, np.uint8)[orientations]
    return inverse


def lies_on_side(orientations: Any) -> Any:
    """Whether width and height are exchanged: of one orientation, or of an array of them."""
    return orientations > LAST_UPRIGHT
