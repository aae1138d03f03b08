"""Large JPEGs may be reduced while they are decoded; decoders share a limit of memory, and end when nobody needs them."""

import functools
import io
import os
import re
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from imagetwins.decoding import decoder, headers, pool
from imagetwins.decoding.model import UNRESERVED_BYTES, DecodeSettings
from imagetwins.decoding.pool import close_decoders, decode_files
from tests.support.decoding import FULL, REDUCED, SIZE, decode_all
from tests.support.pictures import encode, oriented, photo, pictures, png16, psd, raw, tiff, tiny_png, turned


def large_photo(height, width):
    return np.ascontiguousarray(np.tile(data.astronaut(), (3, 3, 1))[:height, :width])


def expected_thumbnail(content, by, turn):
    """Return the thumbnail of a JPEG of which Pillow's own libjpeg decodes each side to one pixel in `by`."""
    with Image.open(io.BytesIO(content)) as picture:
        picture.draft("RGB", (picture.width // by, picture.height // by))
        shown = turned(np.asarray(picture), turn)
    return cv2.resize(np.ascontiguousarray(shown[..., ::-1]), (SIZE, SIZE), interpolation=cv2.INTER_AREA).astype(int)


@pytest.mark.parametrize(
    ("height", "width", "by", "turns"),
    [
        (1024, 1040, 8, range(1, 9)),
        (1024, 1016, 4, [1]),  # An eighth of 1016 is 127, less than twice 64.
        (1024, 1028, 4, [1]),  # An eighth of 1028 is no whole number.
        (256, 1024, 2, [1]),
        (254, 1024, 1, [1]),
        (1025, 1024, 1, [1]),
    ],
)
def test_large_jpegs_are_reduced_to_no_less_than_twice_their_thumbnail(tmp_path, height, width, by, turns):
    contents = {turn: oriented(large_photo(height, width), "JPEG", turn) for turn in turns}

    rows, thumbnails = decode_all(tmp_path, {f"{turn}.jpg": content for turn, content in contents.items()}, REDUCED)

    for turn, content in contents.items():
        row, thumbnail = rows[f"{turn}.jpg"], thumbnails[f"{turn}.jpg"]
        strays = {k: np.abs(thumbnail - expected_thumbnail(content, k, turn)).max() for k in (1, 2, 4, 8)}
        assert strays.pop(by) <= 1, turn
        assert min(strays.values()) > 1, turn
        assert (row.height_px, row.width_px) == ((height, width) if turn < 5 else (width, height))


def test_only_jpegs_that_are_averaged_are_reduced(tmp_path):
    encoded = {kind: encode(large_photo(512, 512), kind) for kind in ("JPEG", "PNG", "WEBP")}
    for resampling, kinds in (("area", ["PNG", "WEBP"]), ("linear", ["JPEG", "PNG", "WEBP"])):
        chosen = {kind: encoded[kind] for kind in kinds}
        _, full = decode_all(tmp_path, chosen, DecodeSettings(SIZE, resampling, "full"))
        _, reduced = decode_all(tmp_path, chosen, DecodeSettings(SIZE, resampling, "reduced"))
        assert all(np.array_equal(full[kind], reduced[kind]) for kind in kinds)


def test_a_jpeg_that_is_too_large_is_refused_before_it_is_reduced(tmp_path):
    whole = encode(photo(96, 144), "JPEG")
    size = (96).to_bytes(2) + (144).to_bytes(2)
    assert whole.count(size) == 1

    rows, _ = decode_all(tmp_path, {"a.jpg": whole.replace(size, b"\xff\xf8\xff\xf8")}, REDUCED)

    assert "65528 x 65528" in rows["a.jpg"].error


# -- memory ----------------------------------------------------------------------------------------------------------


def flat(height, width, channels=3):
    return np.full((height, width, channels), 99, np.uint8)


def memory_of(pid, what="VmRSS"):
    return int(re.search(rf"{what}:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1]) * 1024


def idle_children():
    return [child.process for child in pool._idle[os.getpid()]]


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        pytest.param(lambda: encode(flat(2000, 2400), "JPEG"), FULL, id="jpeg"),
        pytest.param(lambda: oriented(flat(2000, 2400), "JPEG", 6), FULL, id="turned"),
        pytest.param(lambda: encode(flat(2000, 2400), "JPEG", progressive=True, subsampling=0), FULL, id="progressive"),
        pytest.param(lambda: encode(flat(2000, 2400), "JPEG", progressive=True, subsampling=0), REDUCED, id="reduced"),
        pytest.param(lambda: png16(flat(2000, 2400, 4).astype(np.uint16) * 257), FULL, id="alpha"),
        pytest.param(lambda: encode(flat(2000, 2400), "AVIF", speed=10), FULL, id="avif"),
        pytest.param(lambda: encode(flat(2000, 2400, 4), "HEIF"), FULL, id="heif"),
        pytest.param(lambda: encode(flat(2000, 2400, 4), "JXL", effort=1), FULL, id="jxl"),
        pytest.param(lambda: psd(flat(2000, 2400, 4)), FULL, id="psd"),
        pytest.param(lambda: raw(flat(2000, 2400)), FULL, id="raw"),
        pytest.param(lambda: raw(flat(2000, 2400), has_preview=False), FULL, id="raw without a preview"),
        pytest.param(lambda: tiff(flat(2000, 2400)[..., 0] / np.float32(255)), FULL, id="float"),
        pytest.param(lambda: tiff(flat(2000, 2400) / np.float32(255)), FULL, id="float colours"),
    ],
)
def test_decoding_takes_about_the_memory_that_it_asks_for(tmp_path, make, settings):
    content = make()
    name = "large.dng" if content.startswith(b"II*") and b"Maker Model" in content else "large.dat"
    header, _ = headers.read_picture(content, Path(name).suffix)
    asked = decoder.estimate_memory(header, decoder.plan_reduction(header, settings))
    close_decoders()
    # What a process loads for its first picture, and for its first one with EXIF, is not the picture's.
    first = {picture.name: picture.content for picture in pictures() if picture.format in {"HEIF", "JXL", "PSD", "RAW"}}
    decode_all(tmp_path, first | {"first.png": tiny_png(0), "first.jpg": oriented(photo(8, 8), "JPEG", 6)})
    child = idle_children()[0]
    before = memory_of(child.pid)

    rows, _ = decode_all(tmp_path, {name: content}, settings)

    assert rows[name].error is None
    assert asked / 4 < memory_of(child.pid, "VmHWM") - before < asked + len(content) + UNRESERVED_BYTES / 4


@functools.cache
def huge_jpeg():
    return encode(flat(3000, 5000), "JPEG")


@pytest.mark.slow
@pytest.mark.parametrize("limit", [100_000_000, 50_000_000])
def test_two_huge_pictures_at_once_stay_within_the_limit_or_alone(tmp_path, monkeypatch, limit):
    """Each takes 90 MB."""
    monkeypatch.setattr(pool, "MAX_DECODING_BYTES", limit)
    content = {"small.png": tiny_png(0), "huge.jpg": huge_jpeg()}
    paths = [tmp_path / name for name in content]
    close_decoders()
    decode_all(tmp_path, content, FULL)
    with pool._borrowed_child(fresh=False):
        decode_all(tmp_path, content, FULL)
    children = idle_children()
    before = [memory_of(child.pid) for child in children]
    errors = []

    def work():
        errors.extend(row.error for row in decode_files(3 * paths, FULL, np.zeros((6, SIZE, SIZE, 3), np.uint8)))

    threads = [threading.Thread(target=work) for _ in children]
    for thread in threads:
        thread.start()
    most = 0
    while any(thread.is_alive() for thread in threads):
        most = max(most, sum(memory_of(child.pid) for child in children) - sum(before))
        time.sleep(0.001)  # A processor is for the decoders, and each picture takes fifty times as long.

    assert len(children) == 2
    assert errors == [None] * 12
    assert 45_000_000 < most < 110_000_000


def test_memory_is_granted_in_the_order_in_which_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(pool, "MAX_DECODING_BYTES", 100)
    memory, granted = pool._MemoryBudget(), []

    def work(count):
        with memory.reserved(count):
            granted.append(count)

    with memory.reserved(60):
        threads = [threading.Thread(target=work, args=(count,)) for count in (1000, 10)]
        for number, thread in enumerate(threads, 1):
            thread.start()
            _wait_until(lambda number=number: len(memory._waiting) == number)
        assert granted == []
    for thread in threads:
        thread.join()

    assert granted == [1000, 10]


@pytest.mark.slow
def test_a_decoder_without_work_ends_and_is_replaced(tmp_path, monkeypatch):
    hasty = "from imagetwins.decoding import program; program.MAX_IDLE_SECONDS = 0.5; program.main()"
    close_decoders()
    with monkeypatch.context() as patch:
        patch.setattr(pool, "DECODER_COMMAND", [sys.executable, "-P", "-c", hasty])
        decode_all(tmp_path, {"a.png": tiny_png(0)}, FULL)
    child = idle_children()[0]

    _wait_until(lambda: child.poll() is not None)

    rows, _ = decode_all(tmp_path, {"a.png": tiny_png(0), "b.png": tiny_png(1)}, FULL)
    close_decoders()
    assert [row.error for row in rows.values()] == [None, None]


def _wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
