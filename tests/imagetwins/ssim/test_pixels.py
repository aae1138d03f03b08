import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from imagetwins import ssim
from imagetwins.errors import StoreError
from imagetwins.ssim.pixels import read_thumbnails, restore_pixels, settle_pixels
from imagetwins.ssim.windows import allocate_pixels, fill_pixels, plan_layout, restore_thumbnail
from imagetwins.ssim.workspace import PAGE, digest_thumbnail, file_of, open_workspace
from tests.support import thumbnails as pictures

SIZE = 64


@pytest.fixture
def thumbnails():
    return pictures.collection(SIZE)


@pytest.fixture
def settled(tmp_path, thumbnails):
    """A workspace of a collection, packed."""
    ssim.create_workspace(tmp_path, len(thumbnails), SIZE)
    ssim.prepare_images(tmp_path, np.arange(len(thumbnails)), thumbnails)
    settle_pixels(tmp_path, keep=True, workers=2)
    return tmp_path


def taken(directory, name):
    return file_of(directory, name).stat().st_blocks * 512


def stored_pixels(directory, row):
    workspace = open_workspace(directory)
    return workspace.pixels[row], workspace.grey_pixels[row]


def test_between_two_runs_pixels_are_packed_and_take_no_space_else(settled, thumbnails):
    workspace = open_workspace(settled)
    assert not workspace.unpacked.any()
    assert (workspace.packed_bytes > 0).all()
    assert taken(settled, "pixels") == taken(settled, "grey_pixels") == 0
    pages = -(-workspace.packed_bytes.astype(int) // PAGE) * PAGE
    # And a page or two with which a file system notes where these are.
    assert taken(settled, "packed") <= pages.sum() + 2 * PAGE
    for row, thumbnail in enumerate(thumbnails):
        assert (ssim.load_thumbnail(settled, row) == thumbnail).all()


def test_restored_pixels_are_those_that_were_prepared_in_both_layouts(settled, thumbnails):
    rows = np.arange(len(thumbnails))
    restore_pixels(open_workspace(settled), np.repeat(rows, 3))
    grey = open_workspace(settled).grey
    assert 0 < grey.sum() < len(rows)
    for row in rows:
        for stored, channels in zip(stored_pixels(settled, row), (3, 1), strict=True):
            expected = allocate_pixels(plan_layout(SIZE, channels))
            if channels == 3 or grey[row]:
                fill_pixels(thumbnails[row], plan_layout(SIZE, channels), expected)
            assert (stored == expected).all()


def join(directory, orientations):
    n = open_workspace(directory).n_rows
    plan = ssim.plan_join(
        directory, directory / "plan", np.arange(n), threshold=0.9, floor=0.6, orientations=orientations
    )
    results = [ssim.join_batch(directory / "plan", batch) for batch in plan.batches]
    return [[*zip(r.image1.tolist(), r.image2.tolist(), r.ssim.tolist(), strict=True)] for r in results]


@pytest.mark.parametrize("orientations", ["same", "all"])
def test_a_join_of_packed_pictures_finds_what_one_of_prepared_ones_finds(orientations, tmp_path, thumbnails):
    ssim.create_workspace(tmp_path, len(thumbnails), SIZE)
    ssim.prepare_images(tmp_path, np.arange(len(thumbnails)), thumbnails)
    expected = join(tmp_path, orientations)
    settle_pixels(tmp_path, keep=True, workers=1)
    assert join(tmp_path, orientations) == expected
    # What was restored is given back, and the packed pixels are kept.
    assert taken(tmp_path, "pixels") > 0
    settle_pixels(tmp_path, keep=True, workers=1)
    assert taken(tmp_path, "pixels") == 0
    assert join(tmp_path, orientations) == expected


def test_pixels_that_are_forgotten_are_asked_for_and_must_be_the_same(settled, thumbnails):
    settle_pixels(settled, keep=False, workers=1)
    assert taken(settled, "packed") == taken(settled, "pixels") == 0
    with pytest.raises(StoreError, match="not kept"):
        restore_pixels(open_workspace(settled), np.array([0]))
    asked = []

    def load(rows):
        asked.extend(rows)
        return [thumbnails[row] for row in rows]

    for _ in range(2):
        restore_pixels(open_workspace(settled), np.array([4, 2, 4]), load)
    assert asked == [2, 4]
    for row in asked:
        assert (restore_thumbnail(stored_pixels(settled, row)[0]) == thumbnails[row]).all()
    for other in (None, thumbnails[1]):
        with pytest.raises(StoreError, match="changed or gone"):
            restore_pixels(open_workspace(settled), np.array([0]), lambda _, other=other: [other])


def test_pixels_that_were_asked_for_are_packed_if_they_are_kept_from_now_on(settled, thumbnails):
    settle_pixels(settled, keep=False, workers=1)
    restore_pixels(open_workspace(settled), np.array([2, 4]), lambda rows: [thumbnails[row] for row in rows])
    settle_pixels(settled, keep=True, workers=1)
    assert np.flatnonzero(open_workspace(settled).packed_bytes).tolist() == [2, 4]
    assert (ssim.load_thumbnail(settled, 4) == thumbnails[4]).all()


def test_a_damaged_row_ends_the_join_and_is_not_compared(settled):
    with file_of(settled, "packed").open("r+b") as file:
        file.seek(2 * open_workspace(settled).packed.shape[1] + 20)
        file.write(bytes(50))
    with pytest.raises(StoreError, match="row 2 of the cache is damaged"):
        restore_pixels(open_workspace(settled), np.arange(4))


def test_a_row_that_is_reused_gives_back_the_space_that_it_does_not_need(settled, thumbnails):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (1, SIZE, SIZE, 3)).astype(np.uint8)
    sizes = []
    for thumbnail in (pictures.flat(SIZE, 9)[None], noise, pictures.flat(SIZE, 8)[None]):
        ssim.prepare_images(settled, np.array([2]), thumbnail)
        assert (ssim.load_thumbnail(settled, 2) == thumbnail[0]).all()
        settle_pixels(settled, keep=True, workers=1)
        sizes.append(taken(settled, "packed"))
        for row, expected in enumerate([*thumbnails[:2], thumbnail[0], *thumbnails[3:]]):
            assert (ssim.load_thumbnail(settled, row) == expected).all()
    assert sizes[0] + SIZE * SIZE * 3 - PAGE <= sizes[1] <= sizes[0] + SIZE * SIZE * 3 + 2 * PAGE
    assert sizes[2] == sizes[0]


def test_rows_that_are_moved_leave_their_holes_behind(settled, thumbnails):
    before = taken(settled, "packed")
    last = len(thumbnails) - 1
    ssim.copy_rows(settled, np.array([last]), np.array([1]))
    ssim.truncate_workspace(settled, 3)
    assert (ssim.load_thumbnail(settled, 1) == thumbnails[last]).all()
    assert (ssim.load_thumbnail(settled, 2) == thumbnails[2]).all()
    assert taken(settled, "packed") < before
    settle_pixels(settled, keep=True, workers=1)
    assert taken(settled, "pixels") == 0


def test_thumbnails_are_read_packed_or_not_and_only_if_they_are_the_right_ones(settled, thumbnails):
    ssim.prepare_images(settled, np.array([1]), thumbnails[5:6])
    digests = [digest_thumbnail(np.ascontiguousarray(thumbnails[row])) for row in (0, 5, 2, 3)]
    found = read_thumbnails(settled, SIZE, [0, 1, 3, 10_000], digests)
    assert (found[0] == thumbnails[0]).all()
    assert (found[1] == thumbnails[5]).all()
    assert found[2] is None
    assert found[3] is None
    assert read_thumbnails(settled / "none", SIZE, [0], digests[:1]) == [None]


def test_threads_that_need_the_same_rows_while_others_are_reused_find_what_is_theirs(settled, thumbnails):
    rows = np.arange(len(thumbnails))
    own, reused, wrong = rows[::2], rows[1::2], []

    def read(order):
        for row in order:
            restore_pixels(open_workspace(settled), np.array([row]))
            if not (restore_thumbnail(stored_pixels(settled, row)[0]) == thumbnails[row]).all():
                wrong.append(row)

    def reuse():
        for row in reused:
            ssim.prepare_images(settled, np.array([row]), thumbnails[row - 1 : row])

    rng = np.random.default_rng(0)
    threads = [threading.Thread(target=read, args=(rng.permutation(own),)) for _ in range(3)]
    threads.append(threading.Thread(target=reuse))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    settle_pixels(settled, keep=True, workers=2)
    for row in rows:
        assert (ssim.load_thumbnail(settled, row) == thumbnails[row - row % 2]).all()


READER = """
import sys, numpy as np
from pathlib import Path
from imagetwins.ssim.pixels import restore_pixels
from imagetwins.ssim.windows import restore_thumbnail
from imagetwins.ssim.workspace import open_workspace
directory, seed = Path(sys.argv[1]), int(sys.argv[2])
expected = np.load(directory / "expected.npy")
print("ready", flush=True)
sys.stdin.readline()
for row in np.random.default_rng(seed).permutation(np.arange(0, len(expected), 2)):
    restore_pixels(open_workspace(directory), np.array([row]))
    assert (restore_thumbnail(open_workspace(directory).pixels[row]) == expected[row]).all(), row
"""


@pytest.mark.slow
def test_processes_that_need_the_same_rows_while_others_are_reused_find_what_is_theirs(settled, thumbnails):
    np.save(settled / "expected.npy", thumbnails)
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READER, str(settled), str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        )
        for seed in range(2)
    ]
    for reader in readers:
        assert reader.stdout.readline() == b"ready\n"
    for reader in readers:
        reader.stdin.write(b"go\n")
        reader.stdin.close()
    for _ in range(3):
        for row in range(1, len(thumbnails), 2):
            ssim.prepare_images(settled, np.array([row]), thumbnails[row - 1 : row])
    for reader in readers:
        reader.stdout.close()
        assert reader.wait() == 0


SETTLER = """
import os, sys
from pathlib import Path
from imagetwins.ssim.pixels import settle_pixels
from imagetwins.ssim.warming import warm_up
warm_up()
for _ in sys.stdin:
    child = os.fork()
    if child == 0:
        settle_pixels(Path(sys.argv[1]), keep=True, workers=2)
        os._exit(0)
    print(child, flush=True)
    next(sys.stdin)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""
"""Forks a process that settles for each line, and waits for its end at the next: one that is started anew takes most of a second, and only a moment of it settling."""


def is_whole(directory, thumbnails):
    rows = range(len(thumbnails))
    return all((ssim.load_thumbnail(directory, row) == thumbnails[row]).all() for row in rows)


@pytest.mark.slow
def test_a_run_that_is_killed_while_it_packs_leaves_all_pixels(settled, thumbnails):
    rows = np.arange(len(thumbnails))
    with subprocess.Popen(
        [sys.executable, "-c", SETTLER, str(settled)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
    ) as settler:
        for attempt in range(12):
            ssim.prepare_images(settled, rows, np.roll(thumbnails, attempt, axis=0))
            settler.stdin.write("go\n")
            settling = int(settler.stdout.readline())
            deadline = time.monotonic() + 60
            # It has begun once something is packed.
            while not open_workspace(settled).packed_bytes.any() and time.monotonic() < deadline:
                time.sleep(0.0005)
            time.sleep(0.001 * attempt)
            os.kill(settling, signal.SIGKILL)
            settler.stdin.write("killed\n")
            assert settler.stdout.readline() == "ended\n"
            assert is_whole(settled, np.roll(thumbnails, attempt, axis=0))
    settle_pixels(settled, keep=True, workers=2)
    assert taken(settled, "pixels") == 0
    assert is_whole(settled, np.roll(thumbnails, attempt, axis=0))
