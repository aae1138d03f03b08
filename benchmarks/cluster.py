"""What a Dask cluster costs and brings: the same run in this process, on one worker and on two, and what a batch costs.

Scheduler and workers are processes of this machine, a thread each, so two workers have no more cores than the local run's two
threads: what they take longer is the overhead. On machines of their own, each worker brings its cores.

    python -m benchmarks.cluster [--pictures 1000] [--rounds 3] [--corpus FOLDER]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from distributed import Client
from prefect.testing.utilities import prefect_test_harness

from benchmarks.corpora import read_pictures, write_corpus
from flows.deduplicate import deduplicate
from imagetwins.config.parameters import Options
from imagetwins.settings import count_cores
from imagetwins.store.runs import Run

DASK = Path(sys.executable).with_name("dask")
OPTIONS = ("--host", "127.0.0.1", "--no-dashboard")
START_SECONDS = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--corpus", type=Path)
    given = parser.parse_args()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(prefect_test_harness(server_startup_timeout=120))
        write_corpus("photos", read_pictures("photos", given.corpus), given.pictures, home / "pictures")
        clusters = [stack.enter_context(cluster(count, home)) for count in (1, 2)]
        places = {f"local, {count_cores()} threads": None, "1 worker": clusters[0], "2 workers": clusters[1]}
        # In turn, so that a busy machine is busy for all of them. The first round compiles and imports.
        rounds = [{name: run_once(home, place) for name, place in places.items()} for _ in range(given.rounds + 1)]
    show(given.pictures, rounds[1:])


@contextmanager
def cluster(count: int, home: Path) -> Iterator[str]:
    """Yield the address of a scheduler with `count` workers of a thread each."""
    port = 18786 + count
    address = f"tcp://127.0.0.1:{port}"
    with ExitStack() as stack:
        worker = ("worker", address, *OPTIONS, "--no-nanny", "--nthreads", "1", "--local-directory", str(home))
        for command in (("scheduler", "--port", str(port), *OPTIONS), *[worker] * count):
            started = subprocess.Popen([DASK, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.callback(started.wait)
            stack.callback(started.terminate)
        with Client(address, timeout=START_SECONDS, set_as_default=False) as client:
            client.wait_for_workers(count, timeout=START_SECONDS)
        yield address


def run_once(home: Path, address: str | None) -> dict[str, float]:
    """Return the seconds of one run over the pictures, nothing cached from the one before, and its batches."""
    with tempfile.TemporaryDirectory(dir=home) as store:
        begin = time.perf_counter()
        summary = deduplicate(str(home / "pictures"), dry_run=True, options=Options(store=store, dask=address))
        wall = time.perf_counter() - begin
        run = Run(Path(store), summary["run_id"])
        parts = sum(len(list(place.glob("part-*"))) for place in (run.images, run.comparisons))
        return summary["seconds"] | {"wall": wall, "batches": parts}


def show(pictures: int, rounds: list[dict[str, dict[str, float]]]) -> None:
    print(f"{pictures} photos, {os.cpu_count()} cores, median of {len(rounds)}")
    print(f"{'':20}{'load s':>9}{'score s':>9}{'run s':>9}{'against local':>15}{'ms more a batch':>17}")
    names = ("load", "score", "wall", "batches")
    medians = {
        place: {name: statistics.median(one[place][name] for one in rounds) for name in names} for place in rounds[0]
    }
    local = next(iter(medians.values()))
    for place, found in medians.items():
        mapped, here = (one["load"] + one["score"] for one in (found, local))
        more = 1000 * (mapped - here) / found["batches"]
        print(
            f"{place:20}{found['load']:9.2f}{found['score']:9.2f}{found['wall']:9.2f}{mapped / here:14.2f}x{more:17.0f}"
        )


if __name__ == "__main__":
    main()
