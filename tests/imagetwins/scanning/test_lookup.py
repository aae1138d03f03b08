"""What is known of a file is known of this version of it, and rows are given to nobody twice."""

import hashlib
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from imagetwins import ssim
from imagetwins.config.parameters import Parameters
from imagetwins.scanning.activity import hold_run, lock_caches
from imagetwins.scanning.cache import INDEX, Cache, open_cache, read_index
from imagetwins.scanning.lookup import lookup_files
from imagetwins.store.runs import Run
from imagetwins.store.schemas import CACHED, IMAGES, LISTING, LOOKUP
from imagetwins.store.tables import read_table, write_table
from tests.support.tables import make_table

SIZE, ROWS = 16, 4
PARAMETERS = Parameters(folder="/p", size=SIZE)
VERSION = {"size_bytes": 3, "mtime_ns": 5, "validator": "6:7"}
PLENTY = 100 * ssim.row_bytes(SIZE)


def digest(content):
    return hashlib.sha256(content).hexdigest()


class Known:
    """A cache that knows ROWS files, "0" ... in their rows, the first used the longest ago, and a run at work."""

    def __init__(self, home):
        self.folder = home / "folder"
        self.folder.mkdir()
        self.run = Run(home / "store", "20260102T000000Z-own")
        (self.directory,) = self.run.home.glob("cache/thumbnails-*")
        self.write_index({})

    def write_index(self, changes):
        digests = ssim.open_workspace(self.directory).digests
        entries = [
            {"file": bytes(self.folder / str(row)), "digest": digest(b"%03d" % row), "row": row, "used_ns": 1 + row}
            | {"thumbnail": digests[row].tobytes()}
            for row in range(ROWS)
        ]
        index = make_table(CACHED, [VERSION | entry | changes for entry in entries])
        Cache(self.directory, SIZE, index).write_index()

    def list(self, *files):
        """Return the listing of `files`: a name, its content if it is to be there, and how it differs from what is known."""
        for name, content, _ in files:
            if content is not None:
                (self.folder / name).write_bytes(content)
        rows = [
            VERSION | {"image": image, "path": str(self.folder / name)} | changes
            for image, (name, _, changes) in enumerate(files)
        ]
        return make_table(LISTING, rows)

    def look_up(self, *files, limit=PLENTY):
        counts = lookup_files(self.run, self.list(*files), PARAMETERS, limit, 2)
        table = read_table(self.run.lookup, LOOKUP)
        return counts, [None if pd.isna(one) else one for one in table["digest"]], table["row"].tolist()

    def be_given(self, *rows):
        """Hold another run that was given `rows`."""
        other = Run(self.run.store, "20260101T000000Z-other")
        write_table(make_table(LOOKUP, [{"row": row, "path": "/q"} for row in rows]), LOOKUP, other.lookup)
        other.lock.parent.mkdir(parents=True)
        other.lock.write_text(self.directory.name)
        return hold_run(other)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A store with a cache of ROWS thumbnails, which takes longer to make than to copy."""
    run = Run(tmp_path_factory.mktemp("filled") / "store", "none")
    with lock_caches(run.home):
        directory = open_cache(run, PARAMETERS).directory
    thumbnails = np.random.default_rng(0).integers(0, 256, (ROWS, SIZE, SIZE, 3), np.uint8)
    ssim.create_workspace(directory, ROWS, SIZE)
    ssim.prepare_images(directory, np.arange(ROWS), thumbnails)
    return run.store


@pytest.fixture
def known(filled, tmp_path):
    shutil.copytree(filled, tmp_path / "store")
    found = Known(tmp_path)
    with hold_run(found.run):
        yield found


def test_a_file_of_a_known_version_is_not_opened(known):
    counts, digests, rows = known.look_up(("2", None, {}))

    assert counts == {"unchanged": 1, "cached": 1, "to_decode": 0}
    assert (digests, rows) == ([digest(b"002")], [2])


def test_a_file_that_an_earlier_try_of_the_run_has_moved_is_what_that_try_read(known):
    rows = [{"image": image, "path": f"/p/{image}", "digest": digest(b"%03d" % (image + 1))} for image in range(2)]
    write_table(make_table(IMAGES, rows), IMAGES, known.run.images / "part-0.parquet")

    counts, digests, rows = known.look_up(("gone", None, {"mtime_ns": 4}), ("here", b"003", {"mtime_ns": 4}))

    assert counts == {"unchanged": 0, "cached": 2, "to_decode": 0}
    assert (digests, rows) == ([digest(b"001"), digest(b"003")], [1, 3])


@pytest.mark.parametrize("changes", [{"size_bytes": 4}, {"mtime_ns": 4}, {"validator": "6:8"}], ids=str)
def test_a_file_of_another_version_is_read(known, changes):
    counts, digests, rows = known.look_up(("2", b"new!"[: changes.get("size_bytes", 3)], changes))

    assert counts == {"unchanged": 0, "cached": 0, "to_decode": 1}
    assert (digests, rows) == ([None], [ROWS])


def test_a_known_content_under_another_name_or_time_is_found(known):
    counts, digests, rows = known.look_up(("2", b"002", {"mtime_ns": 9}), ("new", b"000", {}), ("newer", b"0000", {}))

    assert counts == {"unchanged": 0, "cached": 2, "to_decode": 1}
    assert (digests, rows) == ([digest(b"002"), digest(b"000"), None], [2, 0, ROWS])


def test_the_index_of_an_older_cache_has_no_camera_and_is_read(known):
    index = known.directory / INDEX
    pq.write_table(pq.read_table(index).drop_columns("camera"), index)

    counts, digests, rows = known.look_up(("2", None, {}))

    assert counts == {"unchanged": 1, "cached": 1, "to_decode": 0}
    assert (digests, rows) == ([digest(b"002")], [2])
    assert read_table(known.run.lookup, LOOKUP)["camera"].isna().all()


def test_what_was_racy_is_read_even_where_nothing_tells_versions_apart(known):
    known.write_index({"validator": ""})

    counts, *_ = known.look_up(("2", b"new", {"validator": ""}))

    assert counts == {"unchanged": 0, "cached": 0, "to_decode": 1}


def test_what_is_not_compared_has_neither_content_nor_row(known):
    counts, digests, rows = known.look_up(("2", b"002", {"error": "hard link"}), ("3", None, {}))

    assert counts == {"unchanged": 1, "cached": 1, "to_decode": 0}
    assert (digests, rows) == ([None, digest(b"003")], [-1, 3])


def test_beyond_the_limit_rows_are_given_that_were_used_the_longest_ago_but_none_that_is_needed(known):
    *_, rows = known.look_up(("0", None, {}), ("new", b"new", {}), limit=ROWS * ssim.row_bytes(SIZE))

    assert rows == [0, 1]
    assert sorted(read_index(known.directory)["row"]) == [0, 2, 3]


@pytest.mark.parametrize(("given", "row"), [((0, 1), 2), ((2,), 0)])
def test_rows_of_another_run_at_work_are_given_to_nobody_else(known, given, row):
    with known.be_given(*given):
        *_, rows = known.look_up(("new", b"new", {}), limit=ROWS * ssim.row_bytes(SIZE))

    assert rows == [row]


def test_rows_that_another_run_has_not_filled_yet_are_given_to_nobody_else(known):
    with known.be_given(ROWS, ROWS + 2):
        *_, rows = known.look_up(("new", b"new", {}), ("newer", b"newer", {}))

    assert rows == [ROWS + 1, ROWS + 3]
    assert ssim.count_rows(known.directory, SIZE) == ROWS + 4
