"""The eight ways to turn and mirror a picture, numbered as EXIF's tag Orientation is (CIPA DC-008, 4.6.5).

The number says what a viewer does before it shows the picture, as `PIL.ImageOps.exif_transpose` does. Each of them is a
transposition or none, then rows in reverse order or not, and columns in reverse order or not:

    1  as it is                     5  transposed
    2  mirrored left-right          6  by 90 degrees, clockwise
    3  by 180 degrees               7  transposed along the other diagonal
    4  mirrored top-bottom          8  by 90 degrees, counter-clockwise

They are a group, the symmetries of the square: what one of them does is undone by its inverse. The windows of SSIM are square,
and their weights are equal, so SSIM(x, turn(y, o)) = SSIM(turn(x, INVERSE[o]), y), but for the last bits: sums are rounded
in another order then, by scikit-image too.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Steps(NamedTuple):
    """What an orientation consists of; transposed first."""

    is_transposed: bool
    reverses_rows: bool
    reverses_columns: bool


_STEPS = (
    Steps(False, False, False),
    Steps(False, False, True),
    Steps(False, True, True),
    Steps(False, True, False),
    Steps(True, False, False),
    Steps(True, False, True),
    Steps(True, True, True),
    Steps(True, True, False),
)


def take_steps(orientation: int) -> Steps:
    """Return what an orientation, 1 to 8, consists of."""
    return _STEPS[orientation - 1]


def turn(picture: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return a picture, (height, width) or (height, width, channels), as a viewer shows it that obeys its orientation, 1 to 8.

    A contiguous copy, or the picture itself if it is contiguous and as it is.
    """
    is_transposed, reverses_rows, reverses_columns = take_steps(orientation)
    turned = picture.swapaxes(0, 1) if is_transposed else picture
    return np.ascontiguousarray(turned[:: -1 if reverses_rows else 1, :: -1 if reverses_columns else 1])
