"""The arithmetic of the simulation: held against the engine's plan, a cache that is played through, and sums by hand."""

import math
from collections import OrderedDict

import numpy as np
import pytest

from benchmarks.simulation import (
    FAILURE_SECONDS,
    OWN_SHARE,
    Cluster,
    Costs,
    Plan,
    Reads,
    Work,
    cut_plan,
    plan_strips,
    plan_today,
    repeats,
    simulate,
)
from imagetwins.ssim.groups import Groups
from imagetwins.ssim.plan import _plan_batches

SIDE = 4
COSTS = Costs(SIDE, [Work(1, 1e-3, 100), Work(0.5, 1e-2, 1000)])
PAIR_SECONDS = 1e-3 + 0.5 * 1e-2
INFINITE = {"cache_bytes": math.inf, "worker_rate": math.inf, "store_rate": math.inf, "spread": 0}


def list_tiles(spans, height):
    """All tiles in the order of strips, as (row, column)."""
    return [
        (row, column)
        for strip in range(0, spans, height)
        for column in range(strip, spans)
        for row in range(strip, min(strip + height, column + 1))
    ]


def cut(tiles, count):
    return [tiles[len(tiles) * k // count : len(tiles) * (k + 1) // count] for k in range(count)]


def list_batches(images, count):
    """The engine's batches, of tiles as (row, column)."""
    one_each = np.arange(images + 1)
    groups = Groups(one_each[:-1].astype(np.int32), one_each, one_each[:-1], np.zeros(images, bool), 0)
    batches = _plan_batches(groups, SIDE, count)
    return [[(tile.row_start // SIDE, tile.column_start // SIDE) for tile in batch] for batch in batches]


@pytest.mark.parametrize("images", [1, 4, 5, 37, 90])
@pytest.mark.parametrize("count", [1, 3, 200])
def test_strips_have_the_tiles_of_the_engine_and_batches_of_as_many(images, count):
    """In another order: the engine's is a curve within the square, of which there is no sum by formula."""
    engines, spans = list_batches(images, count), -(-images // SIDE)
    assert cut_plan(spans, Plan(2, count)).tiles.tolist() == [len(batch) for batch in engines]
    assert sorted(place for batch in engines for place in batch) == sorted(list_tiles(spans, 2))


@pytest.mark.parametrize("spans", [1, 5, 13, 24])
@pytest.mark.parametrize("height", [1, 2, 5])
@pytest.mark.parametrize("count", [1, 4, 30])
def test_batches_begin_and_end_where_listed_tiles_do(spans, height, count):
    tiles = list_tiles(spans, height)
    batches = cut_plan(spans, Plan(height, count))
    expected = cut(tiles, min(count, len(tiles)))
    assert batches.tiles.tolist() == [len(batch) for batch in expected]
    for number, batch in enumerate(expected):
        (row, column), (last_row, last_column) = batch[0], batch[-1]
        assert (batches.first_strip[number], batches.first_column[number]) == (
            row // height,
            column - row // height * height,
        )
        assert batches.last_strip[number] == last_row // height
        assert batches.last_column[number] == last_column - last_row // height * height


def misses(batches, room):
    """Play a memory of `room` spans through, tile by tile: how many spans are read."""
    memory, missed = OrderedDict(), 0
    for batch in batches:
        for tile in batch:
            for part in tile:
                missed += part not in memory
                memory[part] = True
                memory.move_to_end(part)
                if len(memory) > room:
                    memory.popitem(last=False)
    return missed


@pytest.mark.parametrize("spans", [2, 13, 40])
@pytest.mark.parametrize("height", [1, 3])
@pytest.mark.parametrize("count", [1, 4])
def test_what_is_read_is_what_a_memory_misses(spans, height, count):
    batches = cut_plan(spans, Plan(height, count))
    played = cut(list_tiles(spans, height), len(batches.tiles))
    for room in range(height + 2, spans + height + 2):
        reads = Reads(spans, height, batches, room)
        found = sum(sum(reads.take(0, number)) for number in range(len(batches.tiles)))
        # A strip's last column is used again a little sooner; and of a batch that ends within a strip, only the
        # columns of that batch are taken to be left.
        tolerance = -(-spans // height) + (room if count > 1 else 0)
        assert abs(found - misses(played, room)) <= tolerance


@pytest.mark.parametrize("spans", [40, 100])
@pytest.mark.parametrize("room", [4, 8, 16, 24, 32])
def test_the_engines_order_reads_at_most_what_is_simulated_and_little_less(spans, room):
    memory = Cluster(1, threads=1, **INFINITE | {"cache_bytes": room * SIDE * 100})
    plan = plan_today(Costs(SIDE, [Work(1, 1e-3, 100)]), spans * SIDE, memory)
    found = sum(Reads(spans, plan.height, cut_plan(spans, plan._replace(batches=1)), room).take(0, 0))
    played = misses(list_batches(spans * SIDE, 1), room)
    assert played <= found <= 1.7 * played
    assert found < 0.7 * misses([list_tiles(spans, 1)], room) or room == 4


def test_one_worker_that_forgets_nothing_reads_each_image_once():
    images = 10 * SIDE
    for height in (1, 3):
        outcome = simulate(COSTS, images, Cluster(1, threads=1, **INFINITE), Plan(height, 7))
        # All but 0.5^40 of the images have a pair that reaches the second stage.
        assert outcome.read_bytes == pytest.approx(images * 1100)
        assert outcome.core_seconds == pytest.approx(images * (images - 1) / 2 * PAIR_SECONDS)
        assert outcome.seconds == pytest.approx(outcome.core_seconds)
        assert outcome.batches == 7


def test_one_worker_that_remembers_nothing_reads_each_column_of_each_row():
    # Rows of 10, 9, ... 3 spans pass by; the last two find theirs in the least memory there is, of three spans.
    outcome = simulate(COSTS, 10 * SIDE, Cluster(1, threads=1, **INFINITE | {"cache_bytes": 0}), Plan(1, 1))
    rows, columns = 8, sum(range(2, 10))
    passing = 100 + 1000 * (1 - 0.5**SIDE)
    assert outcome.read_bytes == pytest.approx(SIDE * (rows * 1100 + columns * passing))


def test_batches_go_to_who_is_idle_and_each_costs_its_time():
    # 28 tiles in 7 batches of 4: two workers take 4 and 3.
    costs = Costs(SIDE, COSTS.stages, batch_seconds=10.0)
    outcome = simulate(costs, 7 * SIDE, Cluster(2, threads=1, **INFINITE), Plan(1, 7))
    assert outcome.seconds == pytest.approx(4 * (10 + outcome.core_seconds / 7))
    assert outcome.ideal_seconds == pytest.approx(outcome.core_seconds / 2)
    # Two threads of one worker take as long as two workers; one batch on both threads half as long.
    threads = simulate(costs, 7 * SIDE, Cluster(1, threads=2, **INFINITE), Plan(1, 7))
    assert threads.seconds == pytest.approx(outcome.seconds)
    whole = simulate(costs, 7 * SIDE, Cluster(1, threads=2, **INFINITE), Plan(1, 7, whole=True))
    assert whole.seconds == pytest.approx(70 + outcome.core_seconds / 2)


def test_handing_out_is_the_limit_for_many_workers():
    costs = Costs(SIDE, [Work(1, 0, 1)], serial_seconds=2.0)
    outcome = simulate(costs, 7 * SIDE, Cluster(28, threads=1, **INFINITE), Plan(1, 28))
    assert outcome.seconds == pytest.approx(56)


def test_workers_share_the_store_unless_they_have_its_parts():
    costs = Costs(SIDE, [Work(1, 0, 100)])
    # Two batches: rows 0 and 1 of 3, tiles (0, 0) to (0, 2); then (1, 1), (1, 2), (2, 2). They read 3 and 2 spans.
    near = INFINITE | {"worker_rate": 80.0, "store_rate": 100.0}
    shared = simulate(costs, 3 * SIDE, Cluster(2, threads=1, **near), Plan(1, 2))
    assert shared.read_bytes == 5 * SIDE * 100
    assert shared.seconds == pytest.approx(3 * SIDE * 100 / 50)
    own = simulate(costs, 3 * SIDE, Cluster(2, threads=1, peers=True, **near), Plan(1, 2))
    assert own.seconds == pytest.approx(3 * SIDE * 100 / 80)


def test_neighbouring_batches_are_given_to_one_worker():
    costs = Costs(SIDE, [Work(1, 1e-3, 100)])
    cluster = Cluster(2, threads=1, **INFINITE)
    scattered, placed = (simulate(costs, 40 * SIDE, cluster, Plan(5, 100, placed=placed)) for placed in (False, True))
    assert placed.read_bytes < scattered.read_bytes
    assert placed.seconds == pytest.approx(scattered.seconds)
    assert int(OWN_SHARE * 100 / 2) == 45


def test_a_batch_is_repeated_until_nothing_fails():
    assert repeats(0) == 1
    assert repeats(1) == pytest.approx(1)
    assert repeats(FAILURE_SECONDS) == pytest.approx(math.e - 1)


def test_later_stages_cost_and_read_as_much_as_reaches_them():
    assert COSTS.pair_seconds(1) == pytest.approx(PAIR_SECONDS)
    assert COSTS.image_bytes(2) == pytest.approx(100 + 0.75 * 1000)
    with_rows = Costs(SIDE, COSTS.stages, row_seconds=1.0)
    assert with_rows.pair_seconds(1) == pytest.approx(PAIR_SECONDS + 2 / SIDE)


def test_strips_fill_half_of_the_memory_and_leave_each_worker_a_square():
    costs = Costs(SIDE, [Work(1, 1, 100)])
    small = Cluster(2, cache_bytes=2 * 5 * SIDE * 100)
    assert plan_strips(costs, 1000 * SIDE, small).height == 5
    assert plan_strips(costs, 1000 * SIDE, Cluster(2)).height == 500
