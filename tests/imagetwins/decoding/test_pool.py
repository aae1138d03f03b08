"""Every kind of picture becomes the thumbnail of what a viewer shows; nothing that is damaged becomes one."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from imagetwins.decoding import pool
from imagetwins.decoding.model import MAX_PIXELS, DecodeSettings
from imagetwins.decoding.pool import DecoderError, close_decoders, decode_files, start_decoders
from tests.support.decoding import FULL, SIZE, decode_all
from tests.support.figures import FIGURES
from tests.support.pictures import damaged, encode, photo, pictures, tiny_png


def expected_thumbnail(displayed, interpolation=cv2.INTER_AREA):
    bgr = np.ascontiguousarray(displayed[..., ::-1])
    return cv2.resize(bgr, (SIZE, SIZE), interpolation=interpolation)


def file_name(picture):
    """Return a name with an ending that says nothing of the format, except of a raw file: only that tells it from a TIFF."""
    return picture.name if picture.format == "RAW" else f"{picture.name}.dat"


@pytest.fixture(scope="module")
def decoded(tmp_path_factory):
    """All pictures, decoded in one go."""
    folder = tmp_path_factory.mktemp("pictures")
    return decode_all(folder, {file_name(picture): picture.content for picture in pictures()})


@pytest.mark.parametrize("picture", pictures(), ids=lambda picture: picture.name)
def test_thumbnail_of_what_is_displayed(decoded, picture):
    rows, thumbnails = decoded
    row, thumbnail = rows[file_name(picture)], thumbnails[file_name(picture)]

    assert row.error is None
    assert (row.height_px, row.width_px) == picture.displayed.shape[:2]
    assert row.format == picture.format
    assert row.digest == hashlib.sha256(picture.content).hexdigest()
    difference = np.abs(thumbnail.astype(int) - expected_thumbnail(picture.displayed))
    # Lossy formats may stray in a few pixels; a flipped, turned or blended one would stray everywhere.
    assert np.percentile(difference, 95) <= picture.tolerance


@pytest.mark.parametrize("name", damaged())
def test_what_is_damaged_is_a_row_with_its_error(tmp_path, name):
    rows, thumbnails = decode_all(tmp_path, {name: damaged()[name]})

    assert rows[name].error
    assert "\n" not in rows[name].error
    assert not thumbnails[name].any()


def test_linear_is_the_plain_resize_of_opencv(tmp_path):
    _, thumbnails = decode_all(tmp_path, {"a.png": encode(photo(), "PNG")}, DecodeSettings(SIZE, "linear"))

    assert np.array_equal(thumbnails["a.png"], expected_thumbnail(photo(), cv2.INTER_LINEAR))


def test_area_averages_all_pixels(tmp_path):
    pixels = photo(2 * SIZE, 2 * SIZE)

    _, thumbnails = decode_all(tmp_path, {"a.png": encode(pixels, "PNG")})

    means = pixels.reshape(SIZE, 2, SIZE, 2, 3).mean((1, 3))[..., ::-1]
    assert np.abs(thumbnails["a.png"] - means).max() <= 0.5


def test_a_jpeg_with_something_behind_its_end_is_whole(tmp_path):
    rows, _ = decode_all(tmp_path, {"a.jpg": encode(photo(), "JPEG") + b"\xff\xda video \xff\xd8" * 50})

    assert rows["a.jpg"].error is None


def test_an_end_inside_the_exif_thumbnail_is_not_the_end(tmp_path):
    whole = encode(photo(), "JPEG")
    embedded = b"Exif\0\0" + encode(photo(16, 16), "JPEG")
    segment = b"\xff\xe1" + (len(embedded) + 2).to_bytes(2) + embedded

    rows, _ = decode_all(
        tmp_path,
        {"whole.jpg": whole[:2] + segment + whole[2:], "cut.jpg": whole[:2] + segment + whole[2:-20]},
    )

    assert rows["whole.jpg"].error is None
    assert "premature end" in rows["cut.jpg"].error


def test_a_bomb_is_refused_by_its_header_and_tells_its_size(tmp_path):
    rows, _ = decode_all(tmp_path, {"bomb.png": damaged()["bomb.png"]})

    assert "100000 x 100000" in rows["bomb.png"].error
    assert str(MAX_PIXELS) in rows["bomb.png"].error


def test_what_is_no_regular_file_is_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "fifo.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    paths = [tmp_path / name for name in ("fifo.jpg", "folder.jpg", "loop.jpg", "gone.jpg")] + [Path("/dev/zero")]
    thumbnails = np.zeros((len(paths), SIZE, SIZE, 3), np.uint8)

    rows = decode_files(paths, FULL, thumbnails)

    # A decoder that had to be ended after a minute of waiting would be an error, too.
    assert [row.error for row in rows] == [
        "not a regular file",
        "Is a directory",
        "Too many levels of symbolic links",
        "No such file or directory",
        "not a regular file",
    ]


def test_names_of_every_kind(tmp_path):
    names = [
        "[a] b'\"\n\t.png",
        "-rf.png",
        "<b>&.png",
        "naïve 図.png",
        os.fsdecode(b"\xff\xfe.png"),
        "n" * 251 + ".png",
    ]

    rows, thumbnails = decode_all(tmp_path, {name: tiny_png(i) for i, name in enumerate(names)})

    assert [row.error for row in rows.values()] == [None] * len(names)
    assert len({thumbnail.tobytes() for thumbnail in thumbnails.values()}) == len(names)


@pytest.mark.slow
@pytest.mark.usefixtures("crashing_decoder")
def test_a_dying_decoder_costs_only_the_file_it_died_of(tmp_path):
    names = ["a", "crash1", "b", "crash2", "crash3", "once", "hang", "c", "end", "d"]

    rows, thumbnails = decode_all(tmp_path, {f"{name}.png": tiny_png(i) for i, name in enumerate(names)})

    errors = {name: rows[f"{name}.png"].error for name in names}
    assert all(errors[name] is None and thumbnails[f"{name}.png"].any() for name in ("a", "b", "c", "d", "once"))
    assert all("SIGSEGV" in errors[name] for name in ("crash1", "crash2", "crash3"))
    assert "longer than" in errors["hang"]
    assert "exit status 3" in errors["end"]


@pytest.mark.usefixtures("crashing_decoder")
def test_files_may_be_made_when_they_are_asked_for_and_removed_two_files_later(tmp_path):
    names = ["a", "once", "b", "crash", "c", "d"]
    paths = [tmp_path / f"{name}.png" for name in names]

    def made():
        for number, path in enumerate(paths):
            path.write_bytes(tiny_png(number))
            if number > 1:
                paths[number - 2].unlink()
            yield path

    rows = decode_files(made(), FULL, np.zeros((len(paths), SIZE, SIZE, 3), np.uint8))

    assert [name for name, row in zip(names, rows, strict=True) if row.error] == ["crash"]


def test_decoders_that_died_while_idle_are_replaced(tmp_path):
    content = {f"{i}.png": tiny_png(i) for i in range(3)}
    decode_all(tmp_path, content)
    for child in pool._idle[os.getpid()]:
        child.process.send_signal(signal.SIGKILL)
        child.process.wait()

    rows, _ = decode_all(tmp_path, content)

    assert [row.error for row in rows.values()] == [None] * 3


def test_a_decoder_that_does_not_start_is_not_blamed_on_the_file(tmp_path, monkeypatch):
    close_decoders()
    monkeypatch.setattr(pool, "DECODER_COMMAND", [sys.executable, "-P", "-c", "import no_such_library"])

    with pytest.raises(DecoderError, match="no_such_library"):
        decode_all(tmp_path, {"a.png": tiny_png(0)})


def test_one_that_does_not_start_in_advance_is_no_error_before_there_is_a_file_to_decode(tmp_path, monkeypatch):
    close_decoders()
    monkeypatch.setattr(pool, "DECODER_COMMAND", [sys.executable, "-P", "-c", "import no_such_library"])

    start_decoders(1)

    with pytest.raises(DecoderError, match="no_such_library"):
        decode_all(tmp_path, {"a.png": tiny_png(0)})
    assert not pool._idle[os.getpid()]


def test_where_no_process_can_be_started_nothing_stays_open(tmp_path, monkeypatch):
    close_decoders()
    monkeypatch.setattr(pool, "DECODER_COMMAND", [str(tmp_path / "no such program")])
    descriptors = {*Path("/proc/self/fd").iterdir()}

    for _ in range(3):
        start_decoders(2)
        with pytest.raises(DecoderError, match="No such file"):
            decode_all(tmp_path, {"a.png": tiny_png(0)})

    assert {*Path("/proc/self/fd").iterdir()} == descriptors


def test_decoders_that_are_started_in_advance_are_those_that_decode(tmp_path):
    close_decoders()
    start_decoders(1)
    start_decoders(2)
    started = [child.process.pid for child in pool._idle[os.getpid()]]

    rows, _ = decode_all(tmp_path, {"a.png": tiny_png(0)})

    assert rows["a.png"].error is None
    assert len(started) == 2
    assert {child.process.pid for child in pool._idle[os.getpid()]} == {*started}


def test_decoders_that_nobody_needs_end_without_an_error_however_far_they_have_started():
    close_decoders()
    start_decoders(1)
    (ready,) = pool._idle[os.getpid()]
    ready.wait_until_ready()
    start_decoders(2)
    begun = pool._idle[os.getpid()][-1]

    # Nobody reads the first line of the one that has only begun.
    close_decoders()

    assert [child.process.returncode for child in (ready, begun)] == [0, 0]


def test_one_that_ended_while_nobody_needed_it_is_replaced(tmp_path):
    close_decoders()
    start_decoders(1)
    (child,) = pool._idle[os.getpid()]
    child.wait_until_ready()
    child.process.send_signal(signal.SIGALRM)
    child.process.wait()

    start_decoders(1)
    rows, _ = decode_all(tmp_path, {f"{i}.png": tiny_png(i) for i in range(3)})

    assert [row.error for row in rows.values()] == [None] * 3


def test_threads_decode_at_once(tmp_path):
    content = {f"{i}.png": tiny_png(i) for i in range(40)}
    _, expected = decode_all(tmp_path, content)
    results = {}

    def work(number):
        thumbnails = np.zeros((len(content), SIZE, SIZE, 3), np.uint8)
        paths = [tmp_path / name for name in content]
        decode_files(paths, FULL, thumbnails)
        results[number] = thumbnails

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(results) == 4
    assert all(np.array_equal(found, list(expected.values())) for found in results.values())


def test_the_parent_does_not_load_the_decoders():
    names = "imagetwins.decoding.pool imagetwins.decoding.formats imagetwins.decoding.model"
    program = f"import sys, {names.replace(' ', ', ')}; sys.exit('cv2' in sys.modules or 'PIL' in sys.modules)"

    subprocess.run([sys.executable, "-c", program], check=True)


DECODE_FOREVER = """
import sys, numpy as np
from pathlib import Path
from imagetwins.decoding import pool
from imagetwins.decoding.model import DecodeSettings
out = np.zeros((1, 64, 64, 3), np.uint8)
row = pool.decode_files([Path(sys.argv[1])], DecodeSettings(64), out)
print(pool._idle.popitem()[1][0].process.pid, row[0].error, flush=True)
sys.stdin.read()
"""


def test_a_killed_parent_leaves_no_decoder_and_no_file(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(tiny_png(0))
    (temporary := tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    command = [sys.executable, "-c", DECODE_FOREVER, str(tmp_path / "a.png")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        pid, error = parent.stdout.readline().split()
        parent.kill()

    assert error == "None"
    # Less than an idle decoder lives anyway.
    deadline = time.monotonic() + 15
    while _is_running(int(pid)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not [*temporary.iterdir()]


def _is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_nothing_is_written_to_the_terminal(tmp_path):
    whole = encode(photo(), "JPEG")
    # An end in the middle: libjpeg warns on the standard error, and OpenCV hands on grey for the rest.
    (tmp_path / "a.jpg").write_bytes(whole[: len(whole) // 2] + b"\xff\xd9" + whole[len(whole) // 2 :])

    done = subprocess.run(
        [sys.executable, "-c", DECODE_FOREVER, str(tmp_path / "a.jpg")],
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )

    assert done.stderr == ""
    assert "Corrupt JPEG data" in done.stdout


def test_mutated_files_never_end_a_run(tmp_path, soak_factor):
    rng = np.random.default_rng(4)
    seeds = [(Path(file_name(picture)).suffix, picture.content) for picture in pictures() if len(picture.content) > 100]
    survivors = 0
    for batch in range(10 * soak_factor):
        chosen = [seeds[index] for index in rng.integers(len(seeds), size=60)]
        contents = {f"{i}{suffix}": _mutate(rng, content) for i, (suffix, content) in enumerate(chosen)}
        rows, thumbnails = decode_all(tmp_path, contents | {"last.png": tiny_png(batch)})
        assert rows.pop("last.png").error is None
        for name, row in rows.items():
            assert (row.error is None) or not thumbnails[name].any()
            assert row.error is not None or row.digest == hashlib.sha256(contents[name]).hexdigest()
        FIGURES["files fuzzed"] += len(rows)
        survivors += sum(row.error is None for row in rows.values())
    assert survivors


def _mutate(rng, content):
    """Return `content` with bits flipped, bytes overwritten, pieces cut out, doubled or swapped; often in its head."""
    made = bytearray(content)
    for _ in range(rng.integers(1, 6)):
        span = min(len(made), 200) if rng.random() < 0.5 else len(made)
        at, length = int(rng.integers(span)), int(rng.integers(1, 40))
        kind = rng.integers(5)
        if kind == 0:
            made[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            made[at : at + length] = rng.bytes(length)
        elif kind == 2:
            del made[at : at + length]
        elif kind == 3:
            made[at:at] = made[at : at + length]
        else:
            made[at : at + 4] = int(rng.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x10000])).to_bytes(4, "big")
        if not made:
            made = bytearray(b"\0")
    return bytes(made)
