"""What all pairs of a million to a billion pictures would cost on 1 to 10,000 machines: measured here, simulated there.

Measures, in about eleven minutes, what photos and charts cost on one core (loading, each stage of the join, what is read)
and what a batch costs on a Dask cluster; holds the simulation (benchmarks/simulation.py) against a run on two Dask workers of
this machine; and replays the plan for sizes that nobody has tried. Writes tables, a plot and all numbers to the results folder.

    python -m benchmarks.scale [--corpus FOLDER] [--images 6000] [--out benchmarks/results]

Charts are a quarter as many, and no copies are planted: pairs of copies grow with the pictures, all others with their square.
Costs are the processor time of one thread, so that they mean something on a busy machine too; seconds on the clock do not.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice, pairwise, product
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
from distributed import Client
from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.testing.utilities import prefect_test_harness
from rich.console import Console
from rich.table import Table
from scipy.optimize import nnls

from benchmarks.cluster import cluster as dask_cluster
from benchmarks.corpora import iter_grown, read_pictures
from benchmarks.simulation import (
    THREADS,
    Cluster,
    Costs,
    Outcome,
    plan_more,
    plan_strips,
    plan_today,
    read_costs,
    simulate,
)
from benchmarks.ssim_join import CORES, SIZE, describe_machine, in_new_process, warm_up
from benchmarks.stages import run_stages
from flows.deduplicate import deduplicate
from imagetwins import ssim
from imagetwins.config.parameters import Options
from imagetwins.decoding.pool import close_decoders
from imagetwins.ssim.bounds import BOUNDS
from imagetwins.ssim.plan import choose_bounds, choose_side, tile_side
from imagetwins.ssim.workspace import open_workspace
from imagetwins.store.record import Stage
from imagetwins.store.runs import Run

mpl.use("Agg")
FLOORS = (0.85, 0.75)
PICTURES = (10**6, 10**7, 10**8, 10**9)
WORKERS = (1, 10, 100, 1000, 10_000)
STAGES = [name for name in ssim.stage_labels() if name not in {"known", "identical"}]
SIMULATED = "photos 0.85"
EACH = (1, 2, 4, 8, 16, 32)
CORE_HOUR = 0.04
"""What a core costs for an hour, in dollars. Assumed, about the list price of a virtual core in large clouds, 2025."""

SERIAL = (Stage.LIST, Stage.LOOKUP, Stage.PLAN, Stage.DECIDE)
"""Stages that one machine does for all."""

TILES_ALONG = (12, 4, 2)
ROUNDS = 3
MAPPED, IN_FLIGHT = 200, 32
Units = tuple[tuple[str, float], ...]
TIME: Units = (("y", 365 * 86400), ("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
BYTES: Units = (("EB", 1e18), ("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6))
Rows = Iterator[dict[str, str]]
Saved = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument(
        "--measured", type=Path, help="simulate with what an earlier run's scale.json says was measured"
    )
    options = parser.parse_args()
    results = json.loads(options.measured.read_text()) if options.measured else measure(options.corpus, options.images)
    results["simulated"] = simulate_all(results["costs"])
    save(results, options.out)


def measure(corpus: Path | None, images: int) -> Saved:
    results: Saved = {"machine": describe_machine(), "kinds": []}
    with tempfile.TemporaryDirectory() as temporary:
        for kind, count in (("photos", images), ("charts", images // 4)):
            pictures, home = read_pictures(kind, corpus), Path(temporary) / kind
            for name, seed, size in (("quarter", 0, count // 4), ("whole", 0, count), ("check", 1, 2 * count)):
                write_pictures(kind, pictures, seed, size, home / name)
            found = in_new_process(measure_kind, kind, home)
            found["cold_bytes"] = in_new_process(measure_cold_reads, home)
            results["kinds"].append(found)
        results["costs"] = fit_costs(results["kinds"])
        results |= check_on_dask(results["costs"], Path(temporary))
    for costs in results["costs"].values():
        costs |= {name: results[name] for name in ("batch_seconds", "serial_seconds")}
    return results


def write_pictures(kind: str, pictures: list[Any], seed: int, count: int, folder: Path) -> None:
    folder.mkdir(parents=True)
    originals = (picture for picture, original in iter_grown(pictures, 2 * count + 100, seed) if original is None)
    for position, picture in enumerate(islice(originals, count)):
        cv2.imwrite(str(folder / f"{position:06}.{'jpg' if kind == 'photos' else 'png'}"), picture)


# What is measured


def measure_kind(kind: str, home: Path) -> Saved:
    return {"kind": kind, **measure_loading(home), "joins": measure_joins(home)}


def measure_loading(home: Path) -> Saved:
    """Return what each further picture costs: seconds of a core to load, of the clock for what one machine does; bytes."""
    cv2.setNumThreads(1)
    # The first run compiles.
    _, small, whole = (
        measure_run(Run(home / f"store-{name}-{number}", "run"), home / name)
        for number, name in enumerate(("quarter", "quarter", "whole"))
    )
    (home / "store-whole-2").rename(home / "store")
    files = [file.stat().st_size for file in (home / "whole").iterdir()]
    more = whole["images"] - small["images"]
    slope = {name: max(whole[name] - small[name], 0) / more for name in whole}
    return {"file_bytes": sum(files) / len(files), **slope, "images": len(files)}


def measure_run(run: Run, folder: Path) -> Saved:
    close_decoders()
    begins: dict[str, float] = {}
    before = cpu_of_children()

    def note(stage: str) -> None:
        begins.setdefault(stage, time.process_time())

    record = run_stages(run, folder, workers=CORES, tell=note)
    close_decoders()
    store = sum(file.stat().st_blocks * 512 for file in run.store.rglob("*") if file.is_file())
    plain = record.to_plain()
    serial = {f"{stage}_seconds": seconds for stage, seconds in plain["seconds"].items() if stage in SERIAL}
    load = begins[Stage.PLAN] - begins[Stage.LOAD] + cpu_of_children() - before
    return {"load_seconds": load, "store_bytes": store, **serial, "images": plain["counts"]["images"]}


def cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure_joins(home: Path) -> list[Saved]:
    """Join tile after tile on one thread, at each floor: seconds and counts of each, and the bytes of an image by stage.

    Tiles of several sizes tell what a tile costs for each of its images apart from what it costs for each of its pairs.
    """
    warm_up(np.random.default_rng(0).integers(0, 256, (8, SIZE, SIZE, 3), np.uint8))
    workspace, joins = find_workspace(home), []
    rows = np.arange(ssim.count_rows(workspace, SIZE) or 0)
    for floor in FLOORS:
        target = home / f"plan-{floor}"
        plan = ssim.plan_join(workspace, target, rows, threshold=floor + 0.05, floor=floor)
        tiles = [tile for along in TILES_ALONG for tile in cut_tiles(plan.n_distinct, along)]
        timed = [[time_tile(target, tile) for tile in tiles] for _ in range(ROUNDS)]
        counts = [one.counts for _, one in timed[0]]
        _, share = choose_bounds(open_workspace(workspace), rows, floor)
        joined: Saved = {
            "floor": floor,
            "side": choose_side(min(PICTURES), SIZE, share),
            "tile_bytes": sys.getsizeof(tiles[0]) + 8,
            "sides": [(t.row_stop - t.row_start, t.column_stop - t.column_start) for t in tiles],
            "seconds": np.min([[seconds for seconds, _ in row] for row in timed], axis=0).tolist(),
            "reached": [reached(one) for one in counts],
            "pairs": sum(one["pairs"] for one in counts),
            "stored": sum(one["stored"] for one in counts),
            "image_bytes": bytes_by_stage(workspace, target, len(rows)),
        }
        joins.append(joined)
    return joins


def cut_tiles(images: int, along: int) -> list[ssim.Tile]:
    cuts = list(pairwise(images * k // along for k in range(along + 1)))
    return [ssim.Tile("pairs", *row, *column) for i, row in enumerate(cuts) for column in cuts[i:]]


def find_workspace(home: Path) -> Path:
    return next((home / "store").rglob("workspace.json")).parent


def time_tile(plan: Path, tile: ssim.Tile) -> tuple[float, ssim.JoinResult]:
    begin = time.thread_time()
    result = ssim.join_batch(plan, [tile])
    return time.thread_time() - begin, result


def reached(counts: dict[str, int]) -> list[int]:
    """Return how many pairs reach each of STAGES."""
    taken = np.cumsum([counts["known"] + counts["identical"], *(counts[stage] for stage in STAGES[:-1])])
    return (counts["pairs"] - taken).tolist()


def bytes_by_stage(workspace: Path, plan: Path, images: int) -> list[float]:
    """Return what each of STAGES may read of an image: the plan's first, a bound's own; pixels are for the blocks."""
    stages = {name: number for number, bound in enumerate(BOUNDS) for name in bound.arrays(SIZE)}
    found = [0.0] * len(STAGES)
    for file in (*workspace.glob("*.bin"), *plan.glob("*")):
        stage = 0 if file.parent == plan else stages.get(file.stem, len(BOUNDS))
        found[stage] += file.stat().st_blocks * 512 / images
    return found


def measure_cold_reads(home: Path) -> dict[str, float]:
    """Return, for each floor, the bytes an image that one tile reads from the disk when nothing is in memory.

    In a process that has not mapped the files, and of images far apart for each floor: what is mapped stays in memory,
    and the system reads ahead.
    """
    warm_up(np.random.default_rng(0).integers(0, 256, (8, SIZE, SIZE, 3), np.uint8))
    workspace = find_workspace(home)
    side = min(tile_side(SIZE), (ssim.count_rows(workspace, SIZE) or 0) // 8)
    for file in (*workspace.glob("*.bin"), *home.glob("plan-*/*")):
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    found = {}
    for number, floor in enumerate(FLOORS):
        before = bytes_from_disk()
        row, column = 4 * number * side, (4 * number + 2) * side
        ssim.join_batch(home / f"plan-{floor}", [("pairs", row, row + side, column, column + side)])
        found[str(floor)] = (bytes_from_disk() - before) / (2 * side)
    return found


def bytes_from_disk() -> int:
    return int(Path("/proc/self/io").read_text(encoding="ascii").split("read_bytes: ")[1].split()[0])


def fit_costs(kinds: list[Saved]) -> Saved:
    """Return, by kind and floor, the fields of `Costs`: the seconds of each stage are those that fit all tiles of a kind best.

    Each is the time of a pair that reaches the stage; in the first, of an element of the tile, used or not, and apart from
    those, of an image of the tile.
    """
    costs = {}
    for found in kinds:
        terms, seconds = [], []
        for joined in found["joins"]:
            terms += [
                [h + w, h * w, *some[1:]] for (h, w), some in zip(joined["sides"], joined["reached"], strict=True)
            ]
            seconds += joined["seconds"]
        weighted = np.array(terms, float) / np.array(seconds)[:, None]
        fitted, _ = nnls(weighted, np.ones(len(seconds)))
        for joined in found["joins"]:
            n = len(joined["seconds"])
            own, terms, seconds = np.array(terms[:n], float) @ fitted, terms[n:], seconds[n:]
            joined["fitted_share"] = float(own.sum() / sum(joined["seconds"]))
            shares = np.sum(joined["reached"], axis=0) / joined["pairs"]
            stages = zip(shares.tolist(), fitted[1:].tolist(), joined["image_bytes"], strict=True)
            costs[f"{found['kind']} {joined['floor']}"] = {
                "side": joined["side"],
                "stages": [list(stage) for stage in stages],
                "row_seconds": float(fitted[0]),
                "spread": float(np.log(np.array(joined["seconds"]) / own).std()),
            }
            for name in ("sides", "seconds", "reached"):
                del joined[name]
    return costs


# What is checked


def check_on_dask(costs: Saved, home: Path) -> Saved:
    """Measure what a batch costs through Prefect and Dask, and run the check's pictures on two workers of a thread each."""
    with ExitStack() as stack:
        stack.enter_context(prefect_test_harness(server_startup_timeout=120))
        address = stack.enter_context(dask_cluster(2, home))
        few = home / "few"
        few.mkdir()
        for file in sorted((home / "photos" / "check").iterdir())[:64]:
            os.link(file, few / file.name)
        # It imports and compiles.
        run_on_dask(few, home / "few-store", address, 0.9)
        small = run_on_dask(home / "photos" / "whole", home / "photos" / "store-whole", address, FLOORS[0] + 0.05)
        waited = small["seconds"] - predict(read_costs(costs[f"photos {FLOORS[0]}"]), 0, small)["core_seconds"] / 2
        batch_seconds, checked = max(2 * waited / small["batches"], 0), []
        for name, given in costs.items():
            kind, floor = name.split()
            folder, store = home / kind / "check", home / kind / "store-check"
            one = {"what": name, **run_on_dask(folder, store, address, float(floor) + 0.05)}
            checked.append(one | {"predicted": predict(read_costs(given), batch_seconds, one)})
        return {"batch_seconds": batch_seconds, "serial_seconds": measure_dispatch(), "checked": checked}


def run_on_dask(folder: Path, store: Path, address: str, threshold: float) -> Saved:
    """Run on two workers; in a store that has a run at a higher floor, nothing is loaded, and all pairs are compared."""
    with Client(address, set_as_default=False) as client:
        before = client.run(time.process_time)
        summary = deduplicate(str(folder), threshold, dry_run=True, options=Options(store=str(store), dask=address))
        used = [after - before[worker] for worker, after in client.run(time.process_time).items()]
    batches = len(list(Run(store, summary["run_id"]).comparisons.glob("part-*")))
    return {
        "images": len(list(folder.iterdir())),
        "batches": batches,
        "seconds": summary["seconds"]["score"],
        "worker_core_seconds": sum(used),
    }


def predict(costs: Costs, batch_seconds: float, one: Saved) -> Saved:
    side = choose_side(one["images"], SIZE, 0.0 if costs.side > tile_side(SIZE) else 1.0)
    near = Cluster(2, threads=1, cache_bytes=float("inf"), worker_rate=float("inf"), store_rate=float("inf"), spread=0)
    given = replace(costs, side=side, batch_seconds=batch_seconds)
    return simulate(given, one["images"], near, plan_today(given, one["images"], near))._asdict()


@task
def nothing(number: int) -> int:
    return number


@flow(task_runner=ThreadPoolTaskRunner(max_workers=IN_FLIGHT))
def map_nothing(count: int) -> None:
    nothing.map(range(count)).result()


def measure_dispatch() -> float:
    """Return the seconds that Prefect takes for each task when many are in flight: what it cannot do any faster here."""
    map_nothing(IN_FLIGHT)
    begin = time.perf_counter()
    map_nothing(MAPPED)
    return (time.perf_counter() - begin) / MAPPED


# What is simulated

VARIANTS = {
    "today": plan_today,
    "more batches": plan_more,
    "strips": plan_strips,
    "blocks by worker": plan_strips,
    "and GPUs": plan_strips,
}


def simulate_all(costs: Saved) -> list[Saved]:
    """Replay all variants for SIMULATED, and the last but one for everything else."""
    simulated = []
    for name, images, workers, variant in product(costs, PICTURES, WORKERS, VARIANTS):
        if name == SIMULATED or variant == "blocks by worker":
            given = replace(read_costs(costs[name]), gpu=variant == "and GPUs")
            cluster = Cluster(workers, peers=variant in {"blocks by worker", "and GPUs"})
            plan = VARIANTS[variant](given, images, cluster)
            which = {"what": name, "images": images, "workers": workers, "variant": variant}
            simulated.append(which | plan._asdict() | simulate(given, images, cluster, plan)._asdict())
    return simulated


# What is shown


def in_units(count: float, units: Units) -> str:
    """Return a number in its largest unit of which there are 1.5; two digits at least."""
    unit, length = next((one for one in units if count >= 1.5 * one[1]), units[-1])
    return "never" if unit == "y" and count > 1e6 * length else f"{count / length:,.{int(count < 10 * length)}f} {unit}"


def show_costs(results: Saved) -> Rows:
    for found in results["kinds"]:
        for joined in found["joins"]:
            name = f"{found['kind']} {joined['floor']}"
            costs = read_costs(results["costs"][name])
            row = {"pictures, floor": name}
            for stage, work in zip(STAGES, costs.stages, strict=True):
                row[f"{stage}: share x ns"] = f"{work.share:.3%} x {work.seconds * 1e9:,.0f}"
            row["us an image of a tile"] = f"{costs.row_seconds * 1e6:.1f}"
            row["ns a pair"] = f"{costs.pair_seconds(1) * 1e9:,.0f}"
            row["fit / measured"] = f"{joined['fitted_share']:.0%}"
            row["stored"] = f"{joined['stored'] / joined['pairs']:.4%}"
            row["kB an image and tile"] = f"{costs.image_bytes(min(costs.side, found['images'] // 8)) / 1e3:.0f}"
            row["measured"] = f"{found['cold_bytes'][str(joined['floor'])] / 1e3:.0f}"
            yield row | {"kB an image, of all": f"{costs.image_bytes(1e6) / 1e3:.0f}"}


def show_images(results: Saved) -> Rows:
    for found in results["kinds"]:
        row = {"pictures": found["kind"], "load, core ms": f"{found['load_seconds'] * 1e3:.2f}"}
        row |= {f"kB in the {name}": f"{found[f'{name}_bytes'] / 1e3:.0f}" for name in ("file", "store")}
        row |= {f"{stage}, us": f"{found.get(f'{stage}_seconds', 0) * 1e6:.0f}" for stage in SERIAL}
        for floor in FLOORS:
            pair = read_costs(results["costs"][f"{found['kind']} {floor}"]).pair_seconds(1)
            row[f"pictures from which pairs cost more, {floor}"] = f"{2 * found['load_seconds'] / pair:,.0f}"
        yield row


def show_check(results: Saved) -> Rows:
    for one in results["checked"]:
        predicted = Outcome(**one["predicted"])
        row = {"pictures, floor": one["what"], "images": f"{one['images']:,}"}
        row |= {"batches": str(one["batches"]), "simulated": str(predicted.batches)}
        row |= {"simulated s": f"{predicted.seconds:.1f}", "measured s": f"{one['seconds']:.1f}"}
        row["simulated core s"] = f"{predicted.core_seconds:.1f}"
        yield row | {"core s of the workers, loading too": f"{one['worker_core_seconds']:.1f}"}


def find(results: Saved, **wanted: Any) -> Saved:
    return next(one for one in results["simulated"] if all(one[name] == value for name, value in wanted.items()))


def show_simulated(results: Saved) -> Rows:
    for images, workers in product(PICTURES, WORKERS):
        row = {"pictures": f"{images:,}", "workers": f"{workers:,}"}
        for variant in VARIANTS:
            one = find(results, what=SIMULATED, images=images, workers=workers, variant=variant)
            row.setdefault("at best", in_units(one["ideal_seconds"], TIME))
            row[variant] = f"{in_units(one['seconds'], TIME)}, {in_units(one['read_bytes'], BYTES)}"
        yield row


def show_waiting(results: Saved) -> Rows:
    """Tell how much longer than at best it takes, with few batches or many, in any order or neighbours to one worker."""
    costs, images = read_costs(results["costs"][SIMULATED]), 10**7
    for workers, placed in product((10, 100, 1000), (False, True)):
        cluster = Cluster(workers, peers=True)
        row = {"workers": f"{workers:,}", "batches go to": "who had the one before" if placed else "any"}
        for each in EACH:
            plan = plan_strips(costs, images, cluster)._replace(batches=each * workers, placed=placed)
            one = simulate(costs, images, cluster, plan)
            row[f"{each} a worker"] = f"{one.seconds / one.ideal_seconds:.2f} x, {in_units(one.read_bytes, BYTES)}"
        yield row


def show_whole(results: Saved) -> Rows:
    """Tell, by kind and floor, what the whole job takes where each worker has its blocks: 100 workers, and all sizes."""
    for found, images in product(results["kinds"], PICTURES):
        for joined in found["joins"]:
            name, spans = f"{found['kind']} {joined['floor']}", -(-images // joined["side"])
            score = find(results, what=name, images=images, workers=100, variant="blocks by worker")
            load = images * found["load_seconds"]
            row = {"pictures, floor": name, "pictures": f"{images:,}", "load": in_units(load / 100 / THREADS, TIME)}
            row["score"] = in_units(score["seconds"], TIME)
            serial = images * sum(found.get(f"{stage}_seconds", 0) for stage in SERIAL)
            row["one machine's stages"] = in_units(serial, TIME)
            row["store"] = in_units(images * found["store_bytes"], BYTES)
            row["list of tiles"] = in_units(spans * (spans + 1) / 2 * joined["tile_bytes"], BYTES)
            row["pairs stored"] = f"{joined['stored'] / joined['pairs'] * images**2 / 2:.2g}"
            hours = (load + score["core_seconds"]) / 3600
            yield row | {"core hours": f"{hours:,.0f}", "$": f"{hours * CORE_HOUR:,.2f}"}


TABLES: dict[str, Callable[[Saved], Rows]] = {
    "What a pair costs on one core, and what is read": show_costs,
    "What a picture costs": show_images,
    "Scoring on two Dask workers, a batch {batch_seconds:.2f} s, a task {serial_seconds:.3f} s": show_check,
    f"Scoring {SIMULATED}, workers of {THREADS} cores: time, and what is read": show_simulated,
    "Time beside the best, 10,000,000 photos, blocks by worker, by batches": show_waiting,
    "The whole job on 100 workers, blocks by worker": show_whole,
}


def save(results: Saved, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "scale.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    with (out / "scale.txt").open("w", encoding="utf-8") as file:
        for title, show in TABLES.items():
            rows = list(show(results))
            table = Table(title=title.format(**results), title_justify="left")
            for number, column in enumerate(rows[0]):
                table.add_column(column, justify="right" if number else "left")
            for row in rows:
                table.add_row(*row.values())
            for console in (Console(width=170), Console(width=170, file=file)):
                console.print(table)
    plot(results, out / "scale.png")


def plot(results: Saved, target: Path) -> None:
    from matplotlib import pyplot as plt  # noqa: PLC0415 - only here

    figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    views: list[tuple[str, Any, str, Any]] = [
        ("images", PICTURES, "workers", 100),
        ("workers", WORKERS, "images", 10**8),
    ]
    for panel, (along, values, fixed, value) in zip(axes, views, strict=True):
        for variant in VARIANTS:
            found = [find(results, what=SIMULATED, variant=variant, **{along: x, fixed: value}) for x in values]
            panel.plot(values, [min(one["seconds"] / 3600, 1e8) for one in found], "o-", label=variant)
        panel.set(xscale="log", yscale="log", xlabel=along, ylabel="hours", title=f"{SIMULATED}, {value:,} {fixed}")
    axes[0].legend()
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    main()
