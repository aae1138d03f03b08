"""The numbers of the eight ways to turn and mirror a picture: those of EXIF's tag Orientation (CIPA DC-008, 4.6.5).

`ssim/orientation.py` does it to pixels; who only reads tables or checks parameters need not load the kernels for these.
"""

from typing import Literal

AS_IT_IS = 1

ORIENTATIONS = range(AS_IT_IS, 9)

INVERSE = (0, 1, 2, 3, 4, 5, 8, 7, 6)
"""By orientation, which begins with 1: the one that undoes it. A quarter of a turn is undone by one the other way, all others by themselves."""

Orientations = Literal["same", "all"]
"""In which orientations the second picture of a pair is compared: as it is, or turned and mirrored in all eight ways."""
