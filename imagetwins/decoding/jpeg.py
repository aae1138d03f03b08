"""Where the picture of a JPEG begins and ends in its file, what lies behind it, and how to hand it to libjpeg.

libjpeg says what is wrong with a picture only on the standard error, and of a file only the first thing. So whatever viewers
pass over without a loss is put right here before it decodes, and the first warning that is left is about the pixels.

Source: ITU-T T.81, annex B; the markers' names are those of its table B.1.
"""

import itertools
import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from imagetwins.decoding.film import find_behind
from imagetwins.decoding.model import UndecodableError

SOI, EOI, SOS = 0xD8, 0xD9, 0xDA
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_HUFFMAN, _QUANTIZATION, _RESTARTS, _JFIF, _COMMENT = 0xC4, 0xDB, 0xDD, 0xE0, 0xFE
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_STANDALONE = {0x01, *range(0xD0, 0xDA)}
"""Markers without a length: TEM, RST0 to RST7, SOI, EOI."""

_MARKER = re.compile(rb"\xff([^\x00\xff])", re.DOTALL)
_MARKER_AFTER_SCAN = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
"""In entropy-coded data FF is followed by 00 or is a restart marker."""

_FRAME = re.compile(rb"\xff[\xc0-\xc2]\0[\x0b\x0e\x11\x14]\x08")
"""The head of a frame of one to four components of 8 bits."""

MAX_LEADING = 1024
"""Bytes before a JPEG, such as the header of a message, within which its start is looked for."""

MAX_SEGMENTS = 100_000
"""A JPEG with more is refused: real ones have tens, and each takes memory here."""

FILLING = 3
"""So many equal bytes at the end of a JPEG without an end marker are no pixels, though libjpeg can decode pixels from them."""

_END = b"\xff\xfe\0\2\xff\xd9"
"""What takes the place of a missing end: an empty comment before it has libjpeg warn of data that no pixel needed, which is no
harm before the end itself. If neither too few nor too many were there, the data end where the picture does."""


class Jpeg(NamedTuple):
    """A JPEG as it is decoded.

    Attributes:
        content: begins with the picture; the file's own content where nothing is wrong with it.
        extras: further pictures behind it (MPO, gain maps), and 1 more for a film (motion photos).
        film: where the film begins in the file; the file's length if there is none.
    """

    content: bytes
    extras: int
    film: int


class Frame(NamedTuple):
    """What the frame of a JPEG says."""

    width_px: int
    height_px: int
    is_progressive: bool


class _Segment(NamedTuple):
    """`content[start:end]` is a marker with what belongs to it: its parameters, and of a scan the entropy-coded data."""

    marker: int
    start: int
    end: int


def find_start(content: bytes) -> int:
    """Return the offset of the JPEG that `content` begins with, perhaps after a few other bytes; -1 if there is none."""
    return 0 if content.startswith(b"\xff\xd8") else content.find(b"\xff\xd8\xff", 0, MAX_LEADING)


def read_jpeg(content: bytes, start: int = 0) -> Jpeg:
    """Return the JPEG that begins at `start`; what decoders would stumble over, though no pixel depends on it, is mended.

    That is: bytes before `start`, bytes between segments, a header that is begun twice, a missing end, and values in a
    header that libjpeg warns of and passes over.

    Raises:
        UndecodableError: it breaks off, or it is unclear what belongs to it.
    """
    segments = list(itertools.islice(_iter_segments(content, start + 2), MAX_SEGMENTS))
    if not any(segment.marker == SOS for segment in segments):
        raise UndecodableError("truncated: the JPEG breaks off before its first pixel")
    end = segments[-1].end
    is_ended = segments[-1].marker == EOI
    _check_ends_whole(content, end)
    own = _drop_repeated_header(content, segments, start + 2)
    if not (is_ended or (_brings_everything(content, own) and not _is_filled_up(content))):
        raise UndecodableError("truncated: the JPEG breaks off before its end")
    frame = next((segment for segment in own if segment.marker in _FRAMES), None)
    patches = [_correct(content, segment, frame) for segment in own]
    is_regular = start == 0 and is_ended and own is segments and not any(patches)
    if is_regular and not _has_stray_bytes(content, segments, start + 2):
        return Jpeg(content, _count_extras(content, end), find_behind(content, end))
    pieces = [patch or content[segment.start : segment.end] for segment, patch in zip(own, patches, strict=True)]
    mended = b"".join([b"\xff\xd8", *pieces, b"" if is_ended else _END])
    return Jpeg(mended, _count_extras(content, end), find_behind(content, end))


def find_plain_frame(content: bytes) -> Frame | None:
    """Return the frame of a JPEG before whose first scan nothing else is that says anything of the picture; None of any other.

    There is no EXIF, no profile, no list of further pictures, and nothing out of order. Of so plain a header Pillow tells the
    same, and takes more than twice as long, which counts of small pictures.
    """
    frame, offset = None, 2
    while True:
        mark, marker, length = _SEGMENT.unpack(content[offset : offset + 4].ljust(4, b"\0"))
        parameters = content[offset + 4 : offset + 2 + length]
        if mark != 0xFF or length < 2 or len(parameters) != length - 2:
            return None
        if marker == SOS:
            return frame
        if marker in {_BASELINE, _EXTENDED, _PROGRESSIVE} and frame is None:
            frame = _read_frame(parameters, is_progressive=marker == _PROGRESSIVE)
            if frame is None:
                return None
        elif not _says_nothing(marker, parameters):
            return None
        offset += 2 + length


_SEGMENT = struct.Struct(">BBH")
_FRAME_HEAD = struct.Struct(">BHHB")
_TABLE = 65
"""Bytes of a quantization table of 8 bits with its number."""


def _read_frame(parameters: bytes, *, is_progressive: bool) -> Frame | None:
    if len(parameters) < _FRAME_HEAD.size:
        return None
    bits, height, width, components = _FRAME_HEAD.unpack_from(parameters)
    is_usual = bits == 8 and components in {1, 3} and len(parameters) == _FRAME_HEAD.size + 3 * components
    return Frame(width, height, is_progressive) if is_usual and width and height else None


def _says_nothing(marker: int, parameters: bytes) -> bool:
    """Whether a segment is whole, as far as Pillow looks at it, and has nothing of it in what it tells of a picture."""
    if marker == _QUANTIZATION:
        return len(parameters) % _TABLE == 0 and all(number < 16 for number in parameters[::_TABLE])
    if marker == _JFIF:
        return len(parameters) >= 14 and parameters.startswith(b"JFIF\0")
    return marker in {_HUFFMAN, _RESTARTS, _COMMENT}


def _iter_segments(content: bytes, offset: int) -> Iterator[_Segment]:
    """Yield the segments from `offset`, which is behind the start marker, to the end marker, or until the content ends."""
    while found := _MARKER.search(content, offset):
        marker, start, offset = found[1][0], found.start(), found.end()
        if marker not in _STANDALONE:
            offset += int.from_bytes(content[offset : offset + 2])
        if marker == SOS:
            following = _MARKER_AFTER_SCAN.search(content, offset)
            offset = following.start() if following else len(content)
        yield _Segment(marker, start, offset)
        if marker == EOI:
            return


def _has_stray_bytes(content: bytes, segments: list[_Segment], offset: int) -> bool:
    """Whether there is anything between segments but FF, of which any number may precede a marker."""
    ends = [offset, *(segment.end for segment in segments)]
    return any(content[end : segment.start].strip(b"\xff") for end, segment in zip(ends, segments, strict=False))


def _drop_repeated_header(content: bytes, segments: list[_Segment], offset: int) -> list[_Segment]:
    """Return the segments behind the last start marker before the first scan, `segments` itself where there is none.

    Raises:
        UndecodableError: there are stray bytes before such a marker: it may be that of the thumbnail in damaged EXIF data.
    """
    first_scan = next(index for index, segment in enumerate(segments) if segment.marker == SOS)
    starts = [index for index, segment in enumerate(segments[:first_scan]) if segment.marker == SOI]
    if not starts:
        return segments
    if _has_stray_bytes(content, segments[: starts[-1] + 1], offset):
        raise UndecodableError("damaged header: another JPEG begins inside it")
    return segments[starts[-1] + 1 :]


def _is_filled_up(content: bytes) -> bool:
    """Whether `content` ends in one byte again and again, as a file does whose size was set before its content came."""
    return len(set(content[-FILLING:])) == 1


def _brings_everything(content: bytes, segments: list[_Segment]) -> bool:
    """Whether the scans bring all coefficients of all components to the last bit, so that none may be missing at the end."""
    frame = next((segment for segment in segments if segment.marker in _FRAMES), None)
    if frame is None or frame.marker not in {_BASELINE, _EXTENDED, _PROGRESSIVE}:
        # Where arithmetic-coded data end too early, libjpeg is silent.
        return False
    missing = {(one, k) for one in content[frame.start + 10 : frame.end : 3] for k in range(64)}
    for scan in segments:
        if scan.marker == SOS:
            components, (first, last, approximation) = _scan_parameters(content, scan)
            last, approximation = (last, approximation) if frame.marker == _PROGRESSIVE else (63, 0)
            if approximation & 15 == 0:
                missing -= {(one, k) for one in components for k in range(first, last + 1)}
    return not missing


def _scan_parameters(content: bytes, scan: _Segment) -> tuple[bytes, bytes]:
    """Return the components of a scan, and its three last parameters: which coefficients it brings, and which of their bits."""
    parameters = scan.start + 5 + 2 * content[scan.start + 4]
    if parameters + 3 > scan.end:
        raise UndecodableError("damaged header: a scan without its parameters")
    return content[scan.start + 5 : parameters : 2], content[parameters : parameters + 3]


def _correct(content: bytes, segment: _Segment, frame: _Segment | None) -> bytes | None:
    """Return the segment as libjpeg takes it anyway after a warning; None where it has nothing to warn of."""
    whole = bytearray(content[segment.start : min(segment.end, segment.start + 64)])
    if segment.marker == 0xE0 and whole[4:9] == b"JFIF\0" and len(whole) > 9:
        whole[9] = 1
    elif segment.marker == 0xEE and whole[4:9] == b"Adobe" and len(whole) > 15 and frame is not None:
        # Unknown transforms are taken for that to YCbCr or YCCK; 0 is none.
        usual = {3: 1, 4: 2}.get(content[frame.start + 9], 0)
        whole[15] = whole[15] if whole[15] in {0, usual} else usual
    elif segment.marker == SOS and frame is not None and frame.marker in {_BASELINE, _EXTENDED}:
        end_of_parameters = 8 + 2 * whole[4]
        if end_of_parameters <= len(whole):
            whole[end_of_parameters - 3 : end_of_parameters] = b"\0\x3f\0"
    corrected = bytes(whole)
    if content.startswith(corrected, segment.start):
        return None
    return corrected + content[segment.start + len(corrected) : segment.end]


def _check_ends_whole(content: bytes, end: int) -> None:
    """Refuse a picture behind which a frame goes on that has no start: then it is the thumbnail in damaged EXIF data.

    Raises:
        UndecodableError: it is.
    """
    following = content.find(b"\xff\xd8\xff", end)
    if _FRAME.search(content, end, find_behind(content, end) if following < 0 else following):
        raise UndecodableError("damaged header: it is unclear where the JPEG begins")


def _count_extras(content: bytes, offset: int) -> int:
    film = find_behind(content, offset)
    count = int(film < len(content))
    while (start := content.find(b"\xff\xd8\xff", offset, film)) >= 0:
        segments = list(itertools.islice(_iter_segments(content, start + 2), MAX_SEGMENTS))
        if not segments or segments[-1].marker != EOI:
            break
        count, offset = count + 1, segments[-1].end
    return count
