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


def find_other_shots(pairs: pd.DataFrame, images: pd.DataFrame) -> NDArray[np.object_]:
    """Return for each pair of pictures why they are two shots, None where they may be one.

    Args:
        pairs: has the columns `image1` and `image2` of `schemas.COMPARISONS`.
        images: `schemas.IMAGES`; row i is the image with the id i.
    """
    found = np.full(len(pairs), None, dtype=object)
    shots, kinds = _number_shots(images)
    first, second = (shots[pairs[name].to_numpy(np.int64)] for name in ("image1", "image2"))
    for row in np.flatnonzero(first != second):
        found[row] = find_difference(kinds[first[row]], kinds[second[row]])
    return found


def _number_shots(images: pd.DataFrame) -> tuple[NDArray[np.int64], list[Shot]]:
    """Return the number of each image's shot, and what is known of the shots."""
    # Tables of older versions have no exposures.
    known = images.reindex(columns=list(Shot._fields)).astype(object).fillna("")
    numbers, kinds = pd.factorize(pd.MultiIndex.from_frame(known))
    return numbers, [Shot(*kind) for kind in kinds]


def find_between(earlier: NDArray[np.int64], later: NDArray[np.int64], images: pd.DataFrame) -> NDArray[np.object_]:
    """Return for each match the `Reason` not to move its later picture, because the one that stays may be a copy of another shot.

    Args:
        earlier: (n,) int64, the images that would stay.
        later: (n,) int64, those that would move. All matches of each must be among them, in either place.
        images: `schemas.IMAGES`; row i is the image with the id i.
    """
    found = np.full(len(later), None, dtype=object)
    shots, kinds = _number_shots(images)
    matched = _collect_shots(earlier, later, shots, kinds)
    for row in np.flatnonzero(np.isin(earlier, list(matched))).tolist():
        staying, moving = kinds[shots[earlier[row]]], kinds[shots[later[row]]]
        others = [(kinds[number], image) for number, image in matched[int(earlier[row])].items()]
        if find_difference(staying, moving) is None:
            between = (
                image for kind, image in others if find_difference(moving, kind) and not find_difference(staying, kind)
            )
            if (other := next(between, None)) is not None:
                found[row] = Reason.of(ReasonCode.BETWEEN_SHOTS, other=images["path"].iat[other].rpartition("/")[2])
    return found


def _collect_shots(
    earlier: NDArray[np.int64], later: NDArray[np.int64], shots: NDArray[np.int64], kinds: list[Shot]
) -> dict[int, dict[int, int]]:
    """Return the shots that each image matches, with an image of each; of those images that match several that are known."""
    rows = np.column_stack(
        [np.append(earlier, later), np.append(shots[later], shots[earlier]), np.append(later, earlier)]
    )
    is_known = np.array([any(kind) for kind in kinds], bool)
    rows = rows[is_known[rows[:, 1]]]
    first_of_each = np.unique(rows[:, :2], axis=0, return_index=True)[1]
    matched: dict[int, dict[int, int]] = defaultdict(dict)
    for image, shot, other in rows[first_of_each].tolist():
        matched[image][shot] = other
    return {image: others for image, others in matched.items() if len(others) > 1}


def find_lost_films(earlier: NDArray[np.int64], later: NDArray[np.int64], images: pd.DataFrame) -> NDArray[np.object_]:
    """Return for each match the `Reason` not to move its later picture, because a film is behind it that is not behind the other.

    The arguments are those of `find_between`.
    """
    found = np.full(len(later), None, dtype=object)
    films = images["film_digest"].fillna("").to_numpy(object)
    for row in np.flatnonzero((films[later] != "") & (films[later] != films[earlier])):
        found[row] = Reason.of(ReasonCode.FILMS_DIFFER if films[earlier[row]] else ReasonCode.FILM_LOST)
    return found
