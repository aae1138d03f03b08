"""All pairs on many machines, simulated: how long it takes, what is read, who waits. `benchmarks.scale` measures the costs.

The plan is the engine's (imagetwins/ssim/plan.py): images in *spans* of a tile's side, a tile for each two spans, the tiles
in order cut into batches of as many. Here tiles are ordered by *strips* of `height` rows of tiles, and column after column within
a strip; the engine's order of squares within squares is simulated by strips that read as much. Batch after batch goes to
whoever is idle.

A worker is a machine. What it has read stays in its memory, the last used the longest, by spans. In a strip of `height`
rows with `length` columns, a span is used again after `height + length - 1` others: so either all columns of a strip are
still there when the next strip comes, or none is. That makes the count of what is read a sum over strips.
What a span's images are read for depends on their pairs: the later a stage, the fewer images have a pair that reaches it.

Simplified: all tiles of a kind cost the same; reading and computing do not overlap; workers share the store evenly.
"""

import heapq
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

THREADS = 8
"""Cores of a worker. Assumed: half of a common 16-core machine, or a medium one of a cloud."""

CACHE_BYTES = 32e9
"""Memory of a worker for what it has read. Assumed: of the 4 to 8 GB a core that clouds sell, half."""

WORKER_BYTES_A_SECOND = 1.25e9
"""What a worker reads over its network, alone. Assumed: 10 Gbit/s."""

STORE_BYTES_A_SECOND = 10e9
"""What a shared store gives to all workers together. Assumed: a file server with 100 Gbit/s, less the protocol."""

FAILURE_SECONDS = 365 * 86400.0
"""Mean time between two failures of a machine. A thousand fail a year in a cluster of a thousand, J. Dean at LADIS 2009."""

SPEED_SPREAD = 0.1
"""Standard deviation of the logarithm of workers' speeds. Assumed, as of cloud machines of one type."""

GPU_OPERATIONS = 3e14
"""int8 operations a second of one GPU in a matrix product. Assumed: half the peak that NVIDIA states for an A100."""

PRODUCT_OPERATIONS = 2 * 1024
"""Operations of a pair in the first product, of 1,024 coordinates: N_COARSE of imagetwins/ssim/bounds/projection.py."""

BATCHES_TODAY = 200
"""`max_batches` of `ssim.plan_join`."""

BATCHES_EACH = 8
"""Batches for each that takes them: then the last ones are a small part of the time."""

SHORTEST_BATCH = 10.0
"""Seconds of work below which a batch is mostly overhead, measured at 0.1 to 0.3 s."""

OWN_SHARE = 0.9
"""The share of batches that are given to workers beforehand, neighbours to the same; the rest goes to who is ready first."""


class Work(NamedTuple):
    """One stage of the join: `share` of all pairs reach it, each costs `seconds` of a core there.

    It reads `bytes` of each image of which any pair reaches it.
    """

    share: float
    seconds: float
    bytes: float


@dataclass(frozen=True)
class Costs:
    """What the pictures of a kind cost at a floor.

    Attributes:
        side: images along a tile.
        stages: from the first to the last.
        row_seconds: of a core, for each image of each tile.
        batch_seconds: of a worker, for each batch: to be handed out and taken back.
        serial_seconds: of the one machine that hands out batches, for each.
        spread: standard deviation of the logarithm of what batches take beside what they should.
        gpu: whether the first stage is a GPU's.
    """

    side: int
    stages: list[Work]
    row_seconds: float = 0.0
    batch_seconds: float = 0.0
    serial_seconds: float = 0.0
    spread: float = 0.0
    gpu: bool = False

    def pair_seconds(self, threads: int) -> float:
        """Return the seconds of a core a pair; of one of `threads` that share a GPU."""
        first = threads * PRODUCT_OPERATIONS / GPU_OPERATIONS if self.gpu else self.stages[0].seconds
        return first + 2 * self.row_seconds / self.side + sum(stage.share * stage.seconds for stage in self.stages[1:])

    def image_bytes(self, partners: float) -> float:
        """Return what is read of an image that is compared with `partners` others; its pairs are alike by chance."""
        return sum(stage.bytes * (1 - (1 - min(stage.share, 1)) ** partners) for stage in self.stages)


def read_costs(plain: dict[str, Any]) -> Costs:
    """Return the costs with these fields, from JSON."""
    return Costs(**plain | {"stages": [Work(*stage) for stage in plain["stages"]]})


@dataclass(frozen=True)
class Cluster:
    """Machines that share a store, or, as `peers`, each other's parts of the workspace."""

    workers: int
    threads: int = THREADS
    cache_bytes: float = CACHE_BYTES
    worker_rate: float = WORKER_BYTES_A_SECOND
    store_rate: float = STORE_BYTES_A_SECOND
    peers: bool = False
    spread: float = SPEED_SPREAD

    def rate(self, readers: int) -> float:
        """Return the bytes a second of each of `readers` workers that read at once."""
        return self.worker_rate if self.peers else min(self.worker_rate, self.store_rate / readers)


class Plan(NamedTuple):
    """Strips of `height` rows of tiles, cut into batches.

    A batch takes one thread of a worker, or, `whole`, all of them. `placed`: neighbouring batches go to the same worker.
    """

    height: int
    batches: int
    whole: bool = False
    placed: bool = False


class Outcome(NamedTuple):
    """Seconds on the clock and of all cores; bytes read; what the clock would say if nobody waited or read; batches."""

    seconds: float
    core_seconds: float
    read_bytes: float
    ideal_seconds: float
    batches: int


class Batches(NamedTuple):
    """Batches by their tiles: their number, and where the first and the last of them are: strip, and column in it."""

    tiles: NDArray[np.int64]
    first_strip: NDArray[np.int64]
    first_column: NDArray[np.int64]
    last_strip: NDArray[np.int64]
    last_column: NDArray[np.int64]


def cut_plan(spans: int, plan: Plan) -> Batches:
    """Cut the tiles of `spans` into batches, as `plan_join` does; no more than there are tiles."""
    left = spans - np.arange(0, spans, plan.height, dtype=np.int64)
    rows = np.minimum(plan.height, left)
    begins = np.concatenate([[0], np.cumsum(rows * (rows + 1) // 2 + (left - rows) * rows)])
    count = min(plan.batches, int(begins[-1]))
    cuts = int(begins[-1]) * np.arange(count + 1) // count

    def place(tile: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        strip = np.searchsorted(begins, tile, side="right") - 1
        inside, h = tile - begins[strip], rows[strip]
        corner = h * (h + 1) // 2
        triangle = (np.sqrt(8.0 * np.minimum(inside, corner) + 1) - 1) // 2
        return strip, np.where(inside < corner, triangle, h + (inside - corner) // h).astype(np.int64)

    return Batches(np.diff(cuts), *place(cuts[:-1]), *place(cuts[1:] - 1))


class Reads:
    """What each worker reads for its batches, in spans; it remembers what is in the workers' memory."""

    def __init__(self, spans: int, height: int, batches: Batches, room: int) -> None:
        """Begin with nothing read. `room`: spans that a worker's memory holds, at least a strip's rows and two more."""
        self._spans, self._height, self._batches = spans, height, batches
        room = max(room, height + 2)
        lengths = spans - np.arange(0, spans, height, dtype=np.int64)
        self._n_streamed = int((lengths + height > room).sum()) if spans > room else 0
        self._columns_before = np.concatenate([[0], np.cumsum(np.maximum(lengths - height, 0))])
        # Only these can still be there when they are used again.
        self._kept_from = max(spans - room, 0)
        self._kept: dict[int, NDArray[np.bool_]] = {}
        self._strip: dict[int, int] = {}

    def take(self, worker: int, batch: int) -> tuple[int, int]:
        """Return how many spans `worker` reads for `batch`: columns that pass by, and what stays for longer."""
        first, column, last, end = (int(part[batch]) for part in self._batches[1:])
        kept = self._kept.setdefault(worker, np.zeros(self._spans - self._kept_from, np.bool_))
        passing, staying = self._stream(worker, first, column, last, end, kept) if first < self._n_streamed else (0, 0)
        for strip in range(max(first, self._n_streamed), last + 1):
            begin = strip * self._height - self._kept_from
            start, stop = (column if strip == first else 0), (end + 1 if strip == last else self._length(strip))
            for part in (kept[begin : begin + min(self._height, stop)], kept[begin + start : begin + stop]):
                staying += len(part) - int(np.count_nonzero(part))
                part[:] = True
        self._strip[worker] = last
        return passing, staying

    def _stream(
        self, worker: int, first: int, column: int, last: int, end: int, kept: NDArray[np.bool_]
    ) -> tuple[int, int]:
        """Read strips of which nothing is left when the next one comes, and note in `kept` what is there at the end."""
        height, stop = self._height, min(last + 1, self._n_streamed)
        final = end + 1 if last < stop else self._length(stop - 1)
        passing = int(self._columns_before[stop] - self._columns_before[first]) - max(column - height, 0)
        passing -= self._length(stop - 1) - max(final, height)
        staying = (stop - first - 1) * height + min(height, final)
        if self._strip.get(worker) == first:
            staying -= min(height, column)
        kept[:] = stop - first > 1
        begin = (stop - 1) * height - self._kept_from
        kept[max(begin + (column if first == stop - 1 else 0), 0) : max(begin + final, 0)] = True
        return passing, staying

    def _length(self, strip: int) -> int:
        return self._spans - strip * self._height


def simulate(costs: Costs, images: int, cluster: Cluster, plan: Plan) -> Outcome:
    """Join `images` on `cluster`: batch after batch, each to the first that is idle."""
    spans = -(-images // costs.side)
    batches = cut_plan(spans, plan)
    count = len(batches.tiles)
    passing_bytes, staying_bytes = (
        costs.side * costs.image_bytes(partners) for partners in (plan.height * costs.side, images)
    )
    reads = Reads(spans, plan.height, batches, int(min(cluster.cache_bytes / staying_bytes, spans + plan.height)))
    lanes = 1 if plan.whole else cluster.threads
    rng = np.random.default_rng(0)
    speeds = np.exp(rng.normal(0, cluster.spread, cluster.workers))
    core_seconds = images * (images - 1) / 2 * costs.pair_seconds(cluster.threads)
    seconds = core_seconds * (batches.tiles / batches.tiles.sum()) * np.exp(rng.normal(0, costs.spread, count))
    seconds *= lanes / cluster.threads
    # Whoever reads has its share of the store and of its network.
    rate = cluster.rate(min(cluster.workers, count)) / min(lanes, -(-count // cluster.workers))
    # What each worker has of its own, and what is left for all.
    own = int(OWN_SHARE * count / cluster.workers) if plan.placed else 0
    following, shared = [worker * own for worker in range(cluster.workers)], cluster.workers * own
    idle = [(0.0, lane) for lane in range(lanes * cluster.workers)]
    handed_out = finished = read_bytes = 0.0
    while idle:
        ready, lane = heapq.heappop(idle)
        worker = lane % cluster.workers
        if following[worker] < (worker + 1) * own:
            batch = following[worker]
            following[worker] += 1
        elif shared < count:
            batch, shared = shared, shared + 1
        else:
            continue
        handed_out = max(ready, handed_out) + costs.serial_seconds
        passing, staying = reads.take(worker, batch)
        read = passing * passing_bytes + staying * staying_bytes
        busy = float(seconds[batch] / speeds[worker] + read / rate)
        read_bytes += read
        over = handed_out + costs.batch_seconds + busy * repeats(busy)
        finished = max(finished, over)
        heapq.heappush(idle, (over, lane))
    return Outcome(finished, core_seconds, read_bytes, core_seconds / cluster.workers / cluster.threads, count)


def repeats(seconds: float) -> float:
    """Return how often a batch of `seconds` is computed, on average, until no failure interrupts it.

    With failures at random, 1/m a second, work of d seconds that must begin anew takes m (e^(d/m) - 1) seconds.
    """
    share = min(seconds / FAILURE_SECONDS, 700.0)
    return math.expm1(share) / share if share else 1.0


def plan_today(costs: Costs, images: int, cluster: Cluster) -> Plan:
    """Return the plan of the engine: squares within squares, in few batches, each for a thread.

    Of the squares whose rows and columns fit into a thread's part of the memory, the largest with a power of two of rows
    reads each of its rows and columns once: two spans for each row, where a strip of half its height reads as much.
    """
    room = cluster.cache_bytes / cluster.threads / (costs.side * costs.image_bytes(images))
    square = 2 ** int(math.log2(max(1, min(room, -(-images // costs.side)) / 2)))
    return Plan(max(square // 2, 1), BATCHES_TODAY)


def plan_more(costs: Costs, images: int, cluster: Cluster) -> Plan:
    """Return the engine's plan with enough batches for all threads."""
    batches = _count_batches(costs, images, cluster, cluster.workers * cluster.threads)
    return plan_today(costs, images, cluster)._replace(batches=batches)


def plan_strips(costs: Costs, images: int, cluster: Cluster) -> Plan:
    """Return strips as high as half of a worker's memory, and no higher than makes each worker's part a square."""
    spans = -(-images // costs.side)
    room = cluster.cache_bytes / 2 / (costs.side * costs.image_bytes(images))
    height = int(max(1, min(room, spans / math.sqrt(2 * cluster.workers))))
    return Plan(height, _count_batches(costs, images, cluster, cluster.workers), whole=True, placed=True)


def _count_batches(costs: Costs, images: int, cluster: Cluster, takers: int) -> int:
    work = images**2 / 2 * costs.pair_seconds(cluster.threads) * takers / (cluster.workers * cluster.threads)
    return int(max(min(BATCHES_EACH * takers, work / SHORTEST_BATCH), BATCHES_TODAY))
