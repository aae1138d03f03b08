"""The film that a phone keeps in the file of a picture, behind it: a motion photo.

Behind a JPEG it is an MP4 file as it stands. In a HEIC or an AVIF, which are made of the same boxes as an MP4, it is the content of
a box `mpvd`, or follows as it stands. (Apple keeps the film in a file of its own: see scanning/companions.py.)

Sources: Android's "Motion Photo format 1.0"; ISO/IEC 14496-12, which describes the boxes.
"""

import hashlib
from collections.abc import Iterator

MAX_BRAND = 1024
"""The first box of a film names its brands; real ones name a few."""

_HEAD, _LARGE_HEAD = 8, 16
"""Bytes of a box before its content, and of one whose length takes 64 bits."""


def find_behind(content: bytes, offset: int) -> int:
    """Return the offset of the MP4 file somewhere behind `offset`, the length of `content` if there is none."""
    brand = content.find(b"ftyp", offset)
    is_film = brand >= offset + 4 and _HEAD <= int.from_bytes(content[brand - 4 : brand]) <= MAX_BRAND
    return brand - 4 if is_film else len(content)


def find_in_boxes(content: bytes) -> int:
    """Return the offset of the film in a file of boxes whose first is that of a picture, the length of `content` if there is none."""
    for kind, start, inside in _iter_boxes(content):
        if kind == b"mpvd":
            return inside
        if kind == b"ftyp" and start:
            return start
    return len(content)


def _iter_boxes(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each box, where it starts, and where its content does."""
    start = 0
    while start + _HEAD <= len(content):
        length, kind, head = int.from_bytes(content[start : start + 4]), content[start + 4 : start + _HEAD], _HEAD
        if length == 1:
            length, head = int.from_bytes(content[start + _HEAD : start + _LARGE_HEAD]), _LARGE_HEAD
        yield kind, start, start + head
        if length < head:
            # 0: it reaches to the end. Others are none.
            return
        start += length


def digest_film(content: bytes, offset: int) -> str | None:
    """Return the SHA-256 of the film from `offset`, in hexadecimal; None if nothing is there."""
    film = memoryview(content)[offset:]
    return hashlib.sha256(film).hexdigest() if film else None
