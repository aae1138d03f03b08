"""The decoder process: its limits, and the warnings about pictures that every viewer shows whole."""

import os
import resource
import signal
import zlib
from pathlib import Path

import pytest

from imagetwins.decoding import pool
from imagetwins.decoding.decoder import decode
from imagetwins.decoding.model import MAX_BYTES
from tests.support.decoding import FULL, decode_all
from tests.support.pictures import encode, photo, tiny_png


def with_chunk(kind, body):
    """Return a PNG with an ancillary chunk before its pixels."""
    png, after_header = encode(photo(), "PNG"), 33
    chunk = len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)
    return png[:after_header] + chunk + png[after_header:]


def with_first_segment(kind, body):
    """Return a JPEG whose JFIF segment is replaced by another."""
    jpeg = encode(photo(), "JPEG")
    return jpeg[:2] + kind + (len(body) + 2).to_bytes(2) + body + jpeg[4 + int.from_bytes(jpeg[4:6]) :]


def with_scan_parameters(parameters):
    """Return a JPEG whose scan says of itself what only progressive ones do."""
    jpeg = bytearray(encode(photo(), "JPEG"))
    begin = jpeg.index(b"\xff\xda") + 2
    end = begin + int.from_bytes(jpeg[begin : begin + 2])
    jpeg[end - 3 : end] = parameters
    return bytes(jpeg)


ODD = {
    "colour profile.png": with_chunk(b"iCCP", b"x\0\0" + zlib.compress(b"no profile")),
    "background.png": with_chunk(b"bKGD", b"\0"),
    "time.png": with_chunk(b"tIME", bytes(3)),
    "bytes before the end.jpg": encode(photo(), "JPEG")[:-2] + bytes(9) + b"\xff\xd9",
    "scan parameters.jpg": with_scan_parameters(b"\1\2\3"),
    "colour transform.jpg": with_first_segment(b"\xff\xee", b"Adobe\0\x64\0\0\0\0\x05"),
    "revision.jpg": encode(photo(), "JPEG").replace(b"JFIF\0\1", b"JFIF\0\3", 1),
}


def test_what_every_viewer_shows_whole_is_no_damage(tmp_path):
    rows, thumbnails = decode_all(tmp_path, ODD)

    assert {name: row.error for name, row in rows.items()} == dict.fromkeys(ODD)
    assert all(thumbnail.any() for thumbnail in thumbnails.values())


@pytest.mark.usefixtures("crashing_decoder")
def test_a_file_is_given_up_after_a_minute_also_once_it_has_waited_for_memory(tmp_path):
    names = ["hang.png", "large and hang.png", "a.png"]

    rows, _ = decode_all(tmp_path, {name: tiny_png(number) for number, name in enumerate(names)})

    given_up = "decoding took longer than 60 seconds"
    assert [rows[name].error for name in names] == [given_up, given_up, None]


def test_a_decoder_has_limited_memory_and_leaves_no_picture_of_itself_behind(tmp_path):
    decode_all(tmp_path, {"a.png": tiny_png(0)})

    limits = {
        pid: [resource.prlimit(pid, kind) for kind in (resource.RLIMIT_AS, resource.RLIMIT_CORE)]
        for pid in (child.process.pid for child in pool._idle[os.getpid()])
    }

    assert limits
    for memory, core in limits.values():
        assert 0 < memory[0] <= 6 << 30
        assert core == (0, 0)


def test_ctrl_c_is_for_the_parent_alone(tmp_path):
    decode_all(tmp_path, {"a.png": tiny_png(0)})

    for child in pool._idle[os.getpid()]:
        status = Path(f"/proc/{child.process.pid}/status").read_text()
        (ignored,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigIgn:"))
        assert int(ignored, 16) & 1 << (signal.SIGINT - 1)


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(MAX_BYTES + 1)

    decoded, pixels = decode(tmp_path / "a.png", FULL)

    assert decoded.error == f"{MAX_BYTES + 1} bytes, more than the {MAX_BYTES} that are read"
    assert decoded.digest is None
    assert pixels is None
