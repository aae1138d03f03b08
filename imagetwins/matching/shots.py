"""Which pictures are other shots by what their EXIF says: moments of a burst, exposures of a bracket, and the films behind them.

- *Moments* differ as far as both are known. One that lost its fraction of a second, as programs make it lose, may be any moment of
  that second. Of two fractions one may have lost digits, or been filled up with zeros at either end: "25" may be "250" or "256",
  "7" may be "007". Any other difference is another shot, of a second or of a hundredth, whatever the cameras are: copies keep
  the digits. So is one of exactly a second without fractions: cameras take bursts slower than that, and programs that round to
  the next second are few. (The zone, OffsetTimeOriginal, is not looked at: many programs drop it, and of a copy whose clock was
  set to another zone a person is asked.)
- *Exposures* differ if times, apertures or sensitivities do by more than a twentieth, a camera's steps being a quarter and an
  eighth, or the bias by more than a tenth of a stop. Many cameras that take brackets write no fractions of a second.
- *Between shots*: a picture that may be a copy of several shots, because its own EXIF does not say which, is no reason to put one of
  these aside. (It may itself move, as a copy of either: both stay.)
- *Films*: what moves must not have one that the copy that stays has not.
"""

import re
from collections import defaultdict
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imagetwins.reasons import Reason, ReasonCode

SAME_SHARE = 0.05
"""Exposure times, apertures and sensitivities that differ by no more are one setting, rounded in two ways."""

SAME_STOPS = 0.1
"""The same of an exposure bias."""

_BIAS = "EV"
_SETTING = re.compile(r"(f/|ISO )?([-+.\de]+)( s| EV)?")


class Shot(NamedTuple):
    """What tells a shot from others: `Decoded.taken` and `Decoded.exposure`, each "" if it is not known."""

    taken: str
    exposure: str


def find_difference(one: Shot, other: Shot) -> Reason | None:
    """Return why two pictures are two shots; None if they may be one."""
    if are_other_moments(one.taken, other.taken):
        first, second = (shot.taken.replace("T", " ") for shot in (one, other))
        return Reason.of(ReasonCode.OTHER_MOMENT, first=first, second=second)
    if are_other_exposures(one.exposure, other.exposure):
        return Reason.of(ReasonCode.OTHER_EXPOSURE, first=one.exposure, second=other.exposure)
    return None


def are_other_moments(one: str, other: str) -> bool:
    """Whether two times, as `Decoded.taken` has them, "" if unknown, are those of two shots."""
    # What was dropped at the end leaves the beginning; an unknown time is the beginning of any.
    if one.startswith(other) or other.startswith(one):
        return False
    (second, _, fraction), (other_second, _, other_fraction) = one.partition("."), other.partition(".")
    return second != other_second or int(fraction) != int(other_fraction)


def are_other_exposures(one: str, other: str) -> bool:
    """Whether two exposures, as `Decoded.exposure` has them, "" if unknown, are those of two shots."""
    first, second = _read_settings(one), _read_settings(other)
    return any(_differ(name, first[name], second[name]) for name in first.keys() & second.keys())


def _read_settings(exposure: str) -> dict[str, float]:
    found = (_SETTING.fullmatch(setting) for setting in exposure.split(", ") if setting)
    return {((match[1] or "") + (match[3] or "")).strip(): float(match[2]) for match in found if match}


def _differ(name: str, one: float, other: float) -> bool:
    return abs(one - other) > (SAME_STOPS if name == _BIAS else SAME_SHARE * max(one, other))


class Shots:
    """What is known of the shots of a run's images.

    Args:
        images: `schemas.IMAGES`; row i is the image with the id i.

    Attributes:
        of_image: (images,) the number of each image's shot: of those that have the same time and the same exposure.
    """

    def __init__(self, images: pd.DataFrame) -> None:
        # Tables of older versions have no exposures.
        known = images.reindex(columns=list(Shot._fields)).astype("string").fillna("")
        (taken, times), (exposure, exposures) = (pd.factorize(known[name]) for name in Shot._fields)
        self.of_image: NDArray[np.int64]
        self.of_image, shots = pd.factorize(taken * len(exposures) + exposure)
        of_time, of_exposure = np.divmod(shots, len(exposures))
        self._shots = [*map(Shot, times[of_time].tolist(), exposures[of_exposure].tolist())]
        moments = [shot.taken.partition(".") for shot in self._shots]
        self._second = _number([second for second, _, _ in moments])
        self._fraction = _number([fraction for _, _, fraction in moments])
        self._exposure = _number([shot.exposure for shot in self._shots])
        self.is_known: NDArray[np.bool_] = (self._second >= 0) | (self._exposure >= 0)

    def differ(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which pairs of shots, by their numbers, are two: `find_difference` of each, of millions."""
        found = _are_unlike(self._second, first, second)
        # Few are left of which the words must be read.
        unlike = _are_unlike(self._fraction, first, second) & (self._second[first] == self._second[second])
        for row in np.flatnonzero(~found & (unlike | _are_unlike(self._exposure, first, second))):
            found[row] = self.find_difference(first[row], second[row]) is not None
        return found

    def find_difference(self, first: int, second: int) -> Reason | None:
        """Return why two shots, by their numbers, are two; None if they may be one."""
        return find_difference(self._shots[first], self._shots[second])


def _number(words: list[str]) -> NDArray[np.int64]:
    """Return a number for each of `words`, the same for the same one; -1 where there is none."""
    numbers: NDArray[np.int64] = pd.factorize(np.array([word or None for word in words], object))[0]
    return numbers


def _are_unlike(numbers: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.bool_]:
    one, other = numbers[first], numbers[second]
    unlike: NDArray[np.bool_] = (one != other) & (one >= 0) & (other >= 0)
    return unlike


def find_other_shots(pairs: pd.DataFrame, shots: Shots) -> NDArray[np.object_]:
    """Return for each pair of pictures why they are two shots, None where they may be one.

    Args:
        pairs: has the columns `image1` and `image2` of `schemas.COMPARISONS`.
        shots: of the images.
    """
    found = np.full(len(pairs), None, dtype=object)
    first, second = (shots.of_image[pairs[name].to_numpy(np.int64)] for name in ("image1", "image2"))
    for row in np.flatnonzero(shots.differ(first, second)):
        found[row] = shots.find_difference(first[row], second[row])
    return found


def find_between(
    earlier: NDArray[np.int64], later: NDArray[np.int64], images: pd.DataFrame, shots: Shots
) -> NDArray[np.object_]:
    """Return for each match the `Reason` not to move its later picture, because the one that stays may be a copy of another shot.

    Args:
        earlier: (n,) int64, the images that would stay.
        later: (n,) int64, those that would move. All matches of each must be among them, in either place.
        images: `schemas.IMAGES`; row i is the image with the id i.
        shots: of the images.
    """
    found = np.full(len(later), None, dtype=object)
    staying, moving = shots.of_image[earlier], shots.of_image[later]
    # Of what says itself which shot it is, nothing is unclear.
    rows = np.flatnonzero(shots.is_known[moving] & (staying != moving) & ~shots.differ(staying, moving))
    matched = _collect_known(earlier, later, shots, np.unique(earlier[rows]))
    for image, group in pd.Series(rows).groupby(earlier[rows]):
        left = group.to_numpy()
        for shot, other in _find_candidates(shots, shots.of_image[image], matched.get(image, {})):
            is_other = shots.differ(moving[left], np.full(len(left), shot))
            name = images["path"].iat[other].rpartition("/")[2]
            found[left[is_other]] = Reason.of(ReasonCode.BETWEEN_SHOTS, other=name)
            left = left[~is_other]
            if not len(left):
                break
    return found


def _find_candidates(shots: Shots, staying: int, matched: dict[int, int]) -> list[tuple[int, int]]:
    """Return those of the `matched` shots, each with an image, that the shot `staying` may be; none if that is one alone."""
    numbers = np.array(list(matched), np.int64)
    possible = numbers[~shots.differ(np.full(len(numbers), staying), numbers)].tolist()
    return [(shot, matched[shot]) for shot in possible] if len(possible) > 1 else []


def _collect_known(
    earlier: NDArray[np.int64], later: NDArray[np.int64], shots: Shots, wanted: NDArray[np.int64]
) -> dict[int, dict[int, int]]:
    """Return the shots that each of the `wanted` images matches, of those that are known, with an image of each."""
    image, other = np.append(earlier, later), np.append(later, earlier)
    rows = np.flatnonzero(np.isin(image, wanted) & shots.is_known[shots.of_image[other]])
    keys = image[rows] * len(shots.is_known) + shots.of_image[other[rows]]
    rows = rows[np.unique(keys, return_index=True)[1]]
    matched: dict[int, dict[int, int]] = defaultdict(dict)
    for one, shot, match in zip(
        *(column.tolist() for column in (image[rows], shots.of_image[other[rows]], other[rows])), strict=True
    ):
        matched[one][shot] = match
    return matched


def find_lost_films(earlier: NDArray[np.int64], later: NDArray[np.int64], images: pd.DataFrame) -> NDArray[np.object_]:
    """Return for each match the `Reason` not to move its later picture, because a film is behind it that is not behind the other.

    The arguments are the first of `find_between`.
    """
    found = np.full(len(later), None, dtype=object)
    films = images["film_digest"].fillna("").to_numpy(object)
    for row in np.flatnonzero((films[later] != "") & (films[later] != films[earlier])):
        found[row] = Reason.of(ReasonCode.FILMS_DIFFER if films[earlier[row]] else ReasonCode.FILM_LOST)
    return found
