"""How long a run will take, from runs of which every number is known."""

from dataclasses import replace

import pytest

from imagetwins import ssim
from imagetwins.config.parameters import Parameters
from imagetwins.matching import estimates
from imagetwins.matching.estimates import Estimate, estimate_run
from imagetwins.matching.reuse import ReusableRun
from imagetwins.reasons import Reason, ReasonCode
from imagetwins.store.runs import Run
from imagetwins.store.schemas import LOOKUP
from imagetwins.store.tables import read_table, write_table
from tests.support import pictures
from tests.support.past_runs import image_table, write_run
from tests.support.tables import make_table

IMAGES, KNOWN, SIZE, WORKERS = 1000, 600, 48, 2
PATHS = [f"/pictures/{number}.png" for number in range(IMAGES)]
PARAMETERS = Parameters(folder="/pictures", size=SIZE)


@pytest.fixture
def run(tmp_path):
    """A run of IMAGES pictures, of which the cache knows the first KNOWN, and two files that cannot be read."""
    run = Run(tmp_path, "2")
    known = [{"path": path, "digest": f"digest of {path}"} for path in PATHS[:KNOWN]]
    others = [{"path": path} for path in PATHS[KNOWN:]]
    unreadable = [{"path": "/pictures/fifo", "error": "a FIFO"}, {"path": "/pictures/link", "error": "hard link"}]
    rows = [{"image": image} | row for image, row in enumerate([*known, *others, *unreadable])]
    write_table(make_table(LOOKUP, rows), LOOKUP, run.lookup)
    return run


def finished(tmp_path, run_id, **changes):
    """Write a past run of the known pictures: 0.01 s to load one of 500, 0.001 s for each of 300,000 new pairs."""
    past = write_run(tmp_path, run_id, image_table(PATHS[:KNOWN]), {}, moved=False, size=SIZE)
    with past.editing_record() as record:
        record.counts["to_decode"] = 500
        record.seconds |= {"load": 5.0, "score": 300.0}
        record.funnel.update({"pairs": 400_000 - record.funnel["pairs"], "known": 100_000})
        for name, value in changes.items():
            setattr(record, name, value)
    return past


def estimate(run, reusable=None, limit=10**12, parameters=PARAMETERS):
    return estimate_run(run, parameters, ReusableRun(reusable, Reason(ReasonCode.NO_EARLIER_RUN)), limit, WORKERS)


def test_the_time_is_that_of_what_is_new_at_the_speed_of_the_last_run(run, tmp_path):
    past = finished(tmp_path, "1")

    found = estimate(run, past)

    assert (found.images, found.to_decode) == (IMAGES, IMAGES - KNOWN)
    assert found.pairs == IMAGES * (IMAGES - 1) / 2
    assert found.new_pairs == found.pairs - KNOWN * (KNOWN - 1) / 2
    assert found.seconds == pytest.approx(400 * 0.01 + found.new_pairs * 0.001)
    assert found.by == "by the speed of earlier runs"


def test_without_a_run_to_reuse_all_pairs_are_new(run, tmp_path):
    finished(tmp_path, "1")

    found = estimate(run)

    assert found.new_pairs == found.pairs
    assert found.seconds == pytest.approx(400 * 0.01 + found.pairs * 0.001)


def test_without_an_earlier_run_the_sizes_of_the_files_tell_how_long_a_little_work_takes(run):
    listed = read_table(run.lookup, LOOKUP)
    write_table(listed.assign(size_bytes=1_000_000), LOOKUP, run.lookup)

    # None of the files is there to be decoded.
    found = estimate(run)

    one = 1_000_000 * estimates.BYTE_SECONDS + estimates.PREPARE_SECONDS * (SIZE / 200) ** 2
    assert found.by == "by the sizes of the files; charts take longer"
    assert found.seconds == pytest.approx((400 * one + found.pairs * estimates.PAIR_SECONDS) / WORKERS)


def test_a_sample_of_the_files_tells_how_long_much_work_takes(run, tmp_path):
    (tmp_path / "one.png").write_bytes(pictures.encode(pictures.photo(), "PNG"))
    listed = read_table(run.lookup, LOOKUP)
    write_table(listed.assign(size_bytes=20_000_000, path=str(tmp_path / "one.png")), LOOKUP, run.lookup)

    found = estimate(run)

    assert found.by == "by a sample; charts take longer"
    # The file on the disk is smaller than the listing says.
    assert 0 < found.seconds < 400 * 20_000_000 * estimates.BYTE_SECONDS / WORKERS


@pytest.mark.parametrize(
    "changes",
    [
        {"parameters": PARAMETERS.model_copy(update={"size": 200})},
        {"parameters": PARAMETERS.model_copy(update={"decoding": "reduced"})},
        {"finished_stages": ["list", "lookup", "load"]},
    ],
    ids=["size", "decoding", "unfinished"],
)
def test_runs_of_other_work_are_no_measure(run, tmp_path, changes):
    finished(tmp_path, "0")
    finished(tmp_path, "1", seconds={"load": 5e6, "score": 3e8}, **changes)

    assert estimate(run).seconds == pytest.approx(400 * 0.01 + estimate(run).pairs * 0.001)


def test_turned_pictures_take_longer_and_only_their_like_tells_how_long(run, tmp_path):
    turned = PARAMETERS.model_copy(update={"orientations": "all"})
    as_they_are, all_ways = (estimate(run, parameters=parameters).seconds for parameters in (PARAMETERS, turned))
    pairs = IMAGES * (IMAGES - 1) / 2
    more = (estimates.TURNED_COST - 1) * pairs * estimates.PAIR_SECONDS / WORKERS
    assert all_ways - as_they_are == pytest.approx(more)

    finished(tmp_path, "0", parameters=turned)
    finished(tmp_path, "1", seconds={"load": 5.0, "score": 3e8})

    assert estimate(run, parameters=turned).seconds == pytest.approx(400 * 0.01 + pairs * 0.001)


def test_what_the_cache_has_no_room_for_is_told(run, tmp_path):
    finished(tmp_path, "1")
    row = ssim.row_bytes(SIZE)

    assert estimate(run, limit=IMAGES * row).excess_bytes == 0
    found = estimate(run, limit=(IMAGES - 250) * row)

    assert found.excess_bytes == 250 * row
    # While the run is at work, pixels are not packed.
    assert found.disk_bytes == 400 * ssim.working_row_bytes(SIZE) > 400 * row
    assert f"cut back by {250 * row / 1e9:.1f} GB" in str(found)


def test_the_time_is_told_in_minutes():
    found = Estimate(10, 5, 45, 45, 59.0, 0, "by hand", 0)
    assert "Less than a minute (by hand)" in str(found)
    assert "About 1 min (by hand)" in str(replace(found, seconds=61))
    assert "About 1,500 min (by hand)" in str(replace(found, seconds=90_000))
