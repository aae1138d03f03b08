"""What somebody who follows a run is told: how far each stage is, from whichever thread does the work."""

import threading
from collections import defaultdict

import numpy as np
import pytest

from flows.restore import restore
from imagetwins.runtime.observer import Observer, observer
from imagetwins.store.record import Stage
from tests.support.flows import deduplicate
from tests.support.pictures import encode

pytestmark = pytest.mark.usefixtures("prefect_server")
PICTURES = 40
"""More than two batches, and as many that are no pictures."""


class Noting(Observer):
    """Notes what it is told, and in how many threads."""

    def __init__(self):
        self.stages, self.told, self.threads = [], defaultdict(list), defaultdict(set)

    def stage_started(self, stage):
        self.stages.append(stage)

    def progressed(self, stage, done, total, unit="", part=0):
        self.told[stage].append((done, total, unit, part))
        self.threads[stage].add(threading.get_ident())


@pytest.fixture
def noting():
    following = Noting()
    token = observer.set(following)
    yield following
    observer.reset(token)


def test_every_stage_that_may_take_long_says_how_far_it_is(tmp_path, noting):
    folder, store = tmp_path / "folder", str(tmp_path / "store")
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (PICTURES // 2, 48, 48, 3), np.uint8)
    pictures = [encode(pixels, "PNG") for pixels in noise]
    for number in range(PICTURES):
        (folder / f"{number:02}.png").write_bytes(pictures[number // 2])
        (folder / f"{number:02}.txt").write_text("text")

    summary = deduplicate(str(folder), store=store, size=16)

    assert noting.stages == [*Stage, "release"]
    assert noting.told[Stage.LIST][-1] == (2 * PICTURES, 2 * PICTURES, "file", 0)
    # Batches tell how far they are from their own threads, and count together.
    loaded = noting.told[Stage.LOAD]
    # The first batch may have begun before the number of all pictures is told.
    assert (0, PICTURES, "picture", 0) in loaded
    assert sum({part: done for done, _, _, part in loaded}.values()) == PICTURES
    assert len(noting.threads[Stage.LOAD]) > 1
    assert noting.told[Stage.SCORE][0][1] == len({part for *_, part in noting.told[Stage.SCORE]})
    assert summary["moved"] == PICTURES // 2
    assert noting.told[Stage.MOVE][-1] == (PICTURES // 2, PICTURES // 2, "file", 0)

    # Of two pictures that look the same the report has one.
    assert noting.told[Stage.REPORT][-1] == (PICTURES // 2, PICTURES // 2, "picture", 0)

    restore(summary["run_id"], store)
    assert noting.told["restore"][-1] == (PICTURES // 2, PICTURES // 2, "file", 0)

    noting.told.clear()
    for number in range(PICTURES):
        (folder / f"{number:02}.png").rename(folder / f"again {number:02}.png")
    deduplicate(str(folder), store=store, size=16, dry_run=True)
    assert noting.told[Stage.LOOKUP][-1] == (PICTURES, PICTURES, "file", 0)
    assert noting.told[Stage.LOAD] == [(0, 0, "picture", 0)] * 2
