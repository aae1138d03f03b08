"""A run that uses what earlier ones left gives, row for row, what a run from scratch gives; whatever happened in between."""

import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from benchmarks.stages import run_stages
from imagetwins import ssim
from imagetwins.errors import StoreError
from imagetwins.scanning import lookup
from imagetwins.store.runs import Run
from imagetwins.store.schemas import COMPARISONS, DECISIONS, IMAGES
from imagetwins.store.tables import read_table
from tasks import list as listing
from tasks import load as loading
from tests.support.figures import FIGURES
from tests.support.pictures import encode, photo

SHM = Path("/dev/shm")  # noqa: S108 - memory, where flushing costs nothing
RACY_WINDOW_NS = 10_000_000
NAMES = [f"{number}.bmp" for number in range(9)]
PICTURES = 12
SIZE = 24


def content(number):
    """Return one of PICTURES files of one length: photographs with more and more noise, and one that is none."""
    if number == PICTURES - 1:
        return b"no picture".ljust(len(content(0)))
    scene, noise = divmod(number, 6)
    pixels = photo(40, 48) if scene else photo(40, 48)[::-1, ::-1]
    rng = np.random.default_rng(number)
    return encode(np.clip(pixels + rng.normal(0, 2 * noise**2 + 1e-9, pixels.shape), 0, 255).astype(np.uint8), "BMP")


CONTENTS = [content(number) for number in range(PICTURES)]


def write(path, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(CONTENTS[number])


def tables(run):
    """Return the tables of a run, the comparisons in one order."""
    comparisons = read_table(run.comparisons, COMPARISONS).sort_values(["image1", "image2"], ignore_index=True)
    return read_table(run.images, IMAGES), comparisons, read_table(run.decisions, DECISIONS)


def check_against_scratch(run, folder, **options):
    with tempfile.TemporaryDirectory(dir=folder.parent) as empty:
        scratch = Run(Path(empty), "scratch")
        run_stages(scratch, folder, **options)
        for found, expected in zip(tables(run), tables(scratch), strict=True):
            pd.testing.assert_frame_equal(found, expected, check_exact=True)


class KilledError(Exception):
    """Stands for the end of the process: nothing that comes after it in the run is done."""


class Increments(RuleBasedStateMachine):
    """A folder, a store, and a person who changes both."""

    def __init__(self):
        super().__init__()
        self.base = Path(tempfile.mkdtemp(dir=SHM if SHM.is_dir() else None))
        self.folder, self.store = self.base / "folder", self.base / "store"
        self.runs, self.scores = 0, []
        self.folder.mkdir()

    def teardown(self):
        shutil.rmtree(self.base)

    @initialize(pictures=st.lists(st.integers(0, PICTURES - 1), min_size=5, max_size=len(NAMES)))
    def start(self, pictures):
        for name, number in zip(NAMES, pictures, strict=False):
            write(self.folder / name, number)
        self.run(threshold=0.9, floor=0.3, orientations="same", at=None, moment=None, room=100)

    # What a person does

    def _choose(self, data):
        return data.draw(st.sampled_from(sorted(self.folder.iterdir()) or [self.folder / NAMES[0]]))

    @rule(name=st.sampled_from(NAMES), number=st.integers(0, PICTURES - 1))
    def add_or_replace(self, name, number):
        write(self.folder / name, number)

    @rule(data=st.data(), number=st.integers(0, PICTURES - 1))
    def edit_behind_our_back(self, data, number):
        """Another content of the same length in the same inode, and the old time put back."""
        path = self._choose(data)
        if path.exists():
            status = path.stat()
            write(path, number)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    @rule(
        data=st.data(), name=st.sampled_from(NAMES), kind=st.sampled_from(["remove", "rename", "copy", "swap", "touch"])
    )
    def change_names(self, data, name, kind):
        path, target = self._choose(data), self.folder / name
        if not path.exists() or (path == target and kind != "touch"):
            return
        if kind in {"remove", "touch"}:
            path.unlink() if kind == "remove" else path.touch()
        elif kind == "copy":
            shutil.copy2(path, target)
        elif kind == "swap" and target.exists():
            target.rename(self.base / "aside")
            path.rename(target)
            (self.base / "aside").rename(path)
        else:
            path.rename(target)

    @rule(data=st.data(), share=st.sampled_from([None, 0.0, 0.5, 0.9]))
    def damage_the_cache(self, data, share):
        files = sorted(file for file in (self.store / "cache").rglob("*") if file.is_file())
        if files:
            file = data.draw(st.sampled_from(files))
            file.unlink() if share is None else os.truncate(file, int(share * file.stat().st_size))
            FIGURES["cache files damaged"] += 1

    @rule()
    def remove_the_cache(self):
        shutil.rmtree(self.store / "cache", ignore_errors=True)

    # What the program does

    @rule(
        threshold=st.sampled_from([0.9, 0.6]),
        floor=st.sampled_from([0.3, 0.5]),
        orientations=st.sampled_from(["same", "all", "all"]),
        at=st.none() | st.integers(0, 50),
        moment=st.none() | st.integers(1, 20),
        room=st.sampled_from([3, 100]),
    )
    def run(self, threshold, floor, orientations, at, moment, room):
        """Run at a threshold, which may be `at` a score; with room for some images; perhaps killed at some moment."""
        if at is not None and self.scores:
            threshold = max(round(self.scores[at % len(self.scores)], 5), floor)
        time.sleep(2 * RACY_WINDOW_NS / 1e9)
        self.runs += 1
        run = Run(self.store, f"run-{self.runs:03}")
        options = {"size": SIZE, "threshold": threshold, "audit_floor": floor, "orientations": orientations}
        left = [moment]

        def tell(_):
            left[0] = left[0] and left[0] - 1
            if left[0] == 0:
                raise KilledError

        try:
            record = run_stages(run, self.folder, limit=room * ssim.row_bytes(SIZE), tell=tell, **options)
        except KilledError:
            FIGURES["runs killed"] += 1
            return
        self.scores = read_table(run.comparisons, COMPARISONS)["ssim"].tolist()
        check_against_scratch(run, self.folder, **options)
        FIGURES["runs compared with one from scratch"] += 1
        FIGURES["files not opened"] += record.counts["unchanged"]
        FIGURES["files hashed and not decoded"] += record.counts["cached"] - record.counts["unchanged"]
        FIGURES["pairs taken over" if orientations == "same" else "turned pairs taken over"] += record.funnel["known"]


@pytest.fixture
def quick(monkeypatch):
    """A clock that ticks faster than FAT's, and small batches."""
    monkeypatch.setattr(listing, "RACY_WINDOW_NS", RACY_WINDOW_NS)
    monkeypatch.setattr(loading, "MIN_BATCH", 3)
    monkeypatch.setattr(ssim.plan, "TILES_ALONG", 2)


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_run_gives_what_one_from_scratch_gives():
    before = FIGURES.copy()
    run_state_machine_as_test(
        Increments,
        settings=settings(
            max_examples=max(settings().max_examples // 10, 1),
            stateful_step_count=10,
            phases=[Phase.generate],
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
    done = FIGURES - before
    kinds = ("files not opened", "pairs taken over", "turned pairs taken over", "cache files damaged", "runs killed")
    assert all(done[kind] for kind in kinds), done


@pytest.fixture
def folder(tmp_path):
    home = tmp_path / "folder"
    for number, name in enumerate(NAMES):
        write(home / name, number)
    return home


def run_once(tmp_path, folder, name, **options):
    time.sleep(2 * RACY_WINDOW_NS / 1e9)
    return run_stages(Run(tmp_path / "store", name), folder, **{"size": SIZE} | options)


def record_of(tmp_path, name):
    return Run(tmp_path / "store", name).read_record()


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"size": 32}, "in run one, size was 24 and is 32"),
        ({"resampling": "linear"}, "in run one, resampling was area and is linear"),
        ({"orientations": "all"}, "in run one, orientations was same and is all"),
        ({"audit_floor": 0.2}, "in run one, the floor was 0.85, above the 0.2 of this one"),
    ],
)
@pytest.mark.usefixtures("quick")
def test_another_setting_computes_all_pairs_and_says_why(tmp_path, folder, changed, why):
    run_once(tmp_path, folder, "one")
    record = run_once(tmp_path, folder, "two", **changed)
    assert record.funnel["known"] == 0
    assert why in record.pairs_from_why
    assert record.counts["unchanged"] == (len(NAMES) if {"audit_floor", "orientations"} & changed.keys() else 0)


def turned_copy(number, orientation):
    """The picture of a file, turned and a little noisier."""
    noisy = photo(40, 48) + np.random.default_rng(number).normal(0, 6, (40, 48, 3))
    return encode(np.rot90(np.clip(noisy, 0, 255).astype(np.uint8), orientation), "BMP")


@pytest.mark.usefixtures("quick")
def test_runs_with_and_without_turned_pictures_use_only_their_like(tmp_path, folder):
    for number in range(4):
        (folder / f"turned {number}.bmp").write_bytes(turned_copy(number, number))
    asked = {"one": "same", "two": "all", "three": "same", "four": "all"}
    records = {
        name: run_once(tmp_path, folder, name, orientations=orientations) for name, orientations in asked.items()
    }

    assert [record.pairs_from_why for record in records.values()] == [
        "All pairs are computed: no run on this folder is complete.",
        "All pairs are computed: in run one, orientations was same and is all.",
        "The pairs that run one compared are taken over.",
        "The pairs that run two compared are taken over.",
    ]
    for name, orientations in asked.items():
        check_against_scratch(Run(tmp_path / "store", name), folder, size=SIZE, orientations=orientations)
    found = {name: tables(Run(tmp_path / "store", name))[1] for name in asked}
    assert set(found["three"]["orientation"]) == {1}
    assert len(set(found["four"]["orientation"])) >= 3
    assert len(found["four"]) > len(found["three"])


@pytest.mark.usefixtures("quick")
def test_turned_pictures_that_change_places_are_as_in_a_run_from_scratch(tmp_path, folder):
    for number in range(4):
        (folder / f"turned {number}.bmp").write_bytes(turned_copy(number, number))
    options = {"orientations": "all", "threshold": 0.7}
    run_once(tmp_path, folder, "one", **options)
    for number in range(4):
        (folder / f"turned {number}.bmp").rename(folder / f"{9 - number} before.bmp")
    (folder / "0.bmp").rename(folder / "z.bmp")

    record = run_once(tmp_path, folder, "two", **options)

    assert record.funnel["known"] == record.funnel["pairs"]
    check_against_scratch(Run(tmp_path / "store", "two"), folder, size=SIZE, **options)


def test_a_run_of_an_older_version_compared_pictures_as_they_are(tmp_path, folder):
    run_once(tmp_path, folder, "one")
    past = Run(tmp_path / "store", "one")
    with past.editing_record() as record:
        del record.scores_depend_on["orientations"]
    parts = sorted(Path(past.comparisons).glob("*.parquet"))
    for part in parts:
        pq.write_table(pq.read_table(part).drop_columns("orientation"), part)

    again = run_once(tmp_path, folder, "two")

    assert again.pairs_from_why == "The pairs that run one compared are taken over."
    check_against_scratch(Run(tmp_path / "store", "two"), folder, size=SIZE)
    assert "orientations was same and is all" in run_once(tmp_path, folder, "three", orientations="all").pairs_from_why


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_run_goes_on_where_a_killed_one_had_come_to(tmp_path, folder, monkeypatch):
    for number in range(32):
        (folder / f"more {number}.png").write_bytes(
            encode(photo(40, 40)[:, :: (-1) ** number] // (1 + number // 2), "PNG")
        )
    done = {}

    def kill_at(stage, after):
        def tell(what):
            done[what] = done.get(what, 0) + 1
            if what == stage and done[what] > after:
                raise KilledError

        return tell

    with pytest.raises(KilledError):
        run_once(tmp_path, folder, "one", workers=1, tell=kill_at("a batch of load", 2))
    with pytest.raises(KilledError):
        run_once(tmp_path, folder, "two", workers=1, tell=kill_at("a batch of score", 1))
    assert record_of(tmp_path, "two").counts["cached"] >= 4
    joined, join_batch = [], ssim.join_batch
    monkeypatch.setattr(ssim, "join_batch", lambda *given: joined.append(given) or join_batch(*given))
    record = run_once(tmp_path, folder, "three", workers=1)
    assert record.counts["to_decode"] == 0
    assert len(joined) == len(list((tmp_path / "store/comparisons/run_id=three").glob("part-*"))) - 1
    check_against_scratch(Run(tmp_path / "store", "three"), folder, size=SIZE)


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_run_at_work_keeps_its_rows_while_another_needs_room(tmp_path, folder):
    """Another folder's run, of other pictures, in a cache that has room for neither, in the middle of this one."""
    elsewhere = tmp_path / "elsewhere"
    for number, name in enumerate(NAMES):
        (elsewhere / name).parent.mkdir(exist_ok=True)
        (elsewhere / name).write_bytes(encode(photo(50, 60)[::-1, :: (-1) ** number] // (number + 1), "PNG"))
    room = 4 * ssim.row_bytes(SIZE)
    run_once(tmp_path, folder, "zero", limit=room)

    def tell(what):
        if what == "score":
            run_once(tmp_path, elsewhere, "other", limit=room)

    run_once(tmp_path, folder, "one", limit=room, tell=tell)
    for name, place in (("one", folder), ("other", elsewhere)):
        check_against_scratch(Run(tmp_path / "store", name), place, size=SIZE)
    (held,) = (tmp_path / "store/cache").glob("thumbnails-*")
    assert ssim.count_rows(held, SIZE) == 4
    again = run_once(tmp_path, folder, "two", limit=room)
    assert again.counts["unchanged"] == 4


@pytest.mark.usefixtures("quick")
def test_a_file_that_changed_as_it_was_listed_is_read_again(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(listing, "RACY_WINDOW_NS", 10**12)
    run_once(tmp_path, folder, "one")
    record = run_once(tmp_path, folder, "two")
    assert (record.counts["unchanged"], record.counts["cached"]) == (0, len(NAMES))


def test_a_disk_that_is_too_small_is_told_before_anything_is_decoded(tmp_path, folder, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(lookup.shutil, "disk_usage", lambda _: usage._replace(free=10_000))
    with pytest.raises(StoreError, match=r"9 pictures to prepare need \d\.\d MB .* smaller size"):
        run_once(tmp_path, folder, "one")


def pixel_blocks(store):
    (directory,) = store.glob("cache/thumbnails-*")
    assert (directory / "pixels.bin").stat().st_blocks == 0
    return (directory / "packed.bin").stat().st_blocks


@pytest.mark.parametrize("then", ["no", "yes"])
def test_pixels_that_are_not_kept_are_decoded_again_where_they_are_needed(tmp_path, then):
    folder, store = tmp_path / "folder", tmp_path / "store"
    for number in range(PICTURES - 2):
        write(folder / NAMES[number % 5] / f"{number}.bmp", number)
    options = {"threshold": 0.8, "audit_floor": 0.3, "size": SIZE}
    run_stages(Run(store, "20260101T000000Z-first"), folder, cache_pixels="no", **options)
    assert pixel_blocks(store) == 0
    write(folder / "new.bmp", 2)
    (folder / NAMES[0] / "0.bmp").unlink()
    second = Run(store, "20260102T000000Z-second")
    record = run_stages(second, folder, cache_pixels=then, **options)
    assert record.counts["to_decode"] == 0
    assert (pixel_blocks(store) > 0) == (then == "yes")
    check_against_scratch(second, folder, **options)
    # Without the run whose pairs are known, all are compared anew.
    shutil.rmtree(store / "runs")
    third = Run(store, "20260103T000000Z-third")
    assert run_stages(third, folder, cache_pixels=then, **options).funnel["known"] == 0
    check_against_scratch(third, folder, **options)


def test_a_picture_without_kept_pixels_that_is_gone_by_then_ends_the_run(tmp_path):
    folder, store = tmp_path / "folder", tmp_path / "store"
    for number in range(3):
        write(folder / f"{number}.bmp", number)
    options = {"threshold": 0.8, "audit_floor": 0.3, "size": SIZE}
    run_stages(Run(store, "20260101T000000Z-first"), folder, cache_pixels="no", **options)
    shutil.rmtree(store / "runs")

    def tell(what):
        if what == "a batch of score":
            (folder / "1.bmp").unlink(missing_ok=True)

    with pytest.raises(StoreError, match="changed or gone"):
        run_stages(Run(store, "20260102T000000Z-second"), folder, tell=tell, **options)
