"""How fast the SSIM join is: against scikit-image's loop, by threshold, by folder size; its funnel and its memory.

Writes a table, a plot and all numbers to the results folder. A whole run takes some minutes.

    python -m benchmarks.ssim_join [--corpus FOLDER] [--images 2000] [--largest 20000] [--out benchmarks/results]

FOLDER has the sub-folders `photos` and `charts`; without it, scikit-image's photographs and drawn charts are used. They
are grown to `--images` by seeded cropping and perturbing, with copies among them. "wall" is time on the clock, "core" the
processor time of all threads: on a machine that is busy otherwise, only the second means much.
"""

import argparse
import json
import multiprocessing
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
from rich.console import Console
from rich.table import Table
from skimage.metrics import structural_similarity

from benchmarks.corpora import Corpus, iter_grown, read_pictures, to_thumbnails, write_corpus
from benchmarks.floor import measure_floor
from imagetwins import ssim

mpl.use("Agg")
SIZE = 200
THRESHOLDS = (0.9, 0.8, 0.7)
BOUNDING = [name for name in ssim.stage_labels() if name not in {"known", "identical", "scored"}]
"""The stages of the join that prove pairs to be below the floor."""

CORES = os.cpu_count() or 1
CHUNK = 64
console = Console(width=140)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--largest", type=int, default=20_000)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    results: dict[str, Any] = {"machine": describe_machine(), "kinds": [], "scaling": []}
    for kind in ("photos", "charts"):
        pictures = read_pictures(kind, options.corpus)
        with tempfile.TemporaryDirectory() as temporary:
            corpus = write_corpus(kind, pictures, options.images, Path(temporary) / "pictures")
            results["kinds"].append(in_new_process(measure_kind, corpus, Path(temporary) / "workspace"))
        show_kind(results["kinds"][-1])
    for count in (n for n in (250, 1000, 2500, 5000, 10_000, 20_000) if n <= options.largest):
        results["scaling"].append(in_new_process(measure_size, options.corpus, count))
    show_scaling(results)
    save(results, options.out)


def describe_machine() -> dict[str, Any]:
    return {
        "cores": CORES,
        "machine": platform.machine(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
    }


def in_new_process(work: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Run `work` where nothing ran before, so that its peak memory is its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(work, *arguments).result()


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return the result, the time on the clock and the processor time of all threads, in seconds."""
    wall, core = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - core


def measure_kind(corpus: Corpus, workspace: Path) -> dict[str, Any]:
    cv2.setNumThreads(1)
    files, n = corpus.files, len(corpus.files)
    with ThreadPoolExecutor(CORES) as threads:
        found: dict[str, Any] = {"kind": corpus.kind, "images": n, "pairs": n * (n - 1) // 2}
        found["floor"] = measure_floor(files)._asdict()
        thumbnails = to_thumbnails((read(file) for file in files), SIZE)
        warm_up(thumbnails[:8])
        found["prepare"] = prepare(workspace, thumbnails, threads.map)
        found["loop"] = measure_loop(thumbnails)
        found["exhaustive"] = [
            measure_exhaustive(name, chosen) for name, chosen in exhaustive_sets(thumbnails).items() if len(chosen) > 8
        ]
        found["joins"] = [join(workspace, n, threshold, threshold - 0.05, threads.map) for threshold in THRESHOLDS]
    for joined in found["joins"]:
        joined["speedup"] = found["loop"]["seconds"] * found["pairs"] / joined["wall"]
        joined["speedup_core"] = found["loop"]["core"] * found["pairs"] / (joined["core"] / CORES)
    return found


def read(file: Path) -> Any:
    return cv2.imread(str(file), cv2.IMREAD_COLOR)


def warm_up(thumbnails: Any) -> None:
    """Compile, or load from the cache, everything that is timed."""
    with tempfile.TemporaryDirectory() as temporary:
        for floor in (-1.0, 0.5):
            prepare(Path(temporary), thumbnails, map)
            join(Path(temporary), len(thumbnails), 0.9, floor, map)


def prepare(workspace: Path, thumbnails: Any, mapper: Callable[..., Any]) -> dict[str, float]:
    n = len(thumbnails)
    ssim.create_workspace(workspace, n, SIZE)

    def one(start: int) -> None:
        part = thumbnails[start : start + CHUNK]
        ssim.prepare_images(workspace, start + np.arange(len(part)), part)

    _, wall, core = timed(lambda: list(mapper(one, range(0, n, CHUNK))))
    return {"wall": wall, "core": core, "core_ms_an_image": core / n * 1e3}


def join(workspace: Path, n: int, threshold: float, floor: float, mapper: Callable[..., Any]) -> dict[str, Any]:
    """Plan and join the first `n` rows; the plan is part of the time."""

    def work() -> Any:
        plan = ssim.plan_join(workspace, workspace / "plan", np.arange(n), threshold=threshold, floor=floor)
        return plan, list(mapper(lambda batch: ssim.join_batch(workspace / "plan", batch), plan.batches))

    (plan, results), wall, core = timed(work)
    counts = {name: sum(result.counts[name] for result in results) for name in results[0].counts}
    microseconds = wall / max(plan.n_pairs, 1) * 1e6
    return {
        "threshold": threshold,
        "floor": floor,
        "wall": wall,
        "core": core,
        "us_a_pair": microseconds,
        "counts": counts,
    }


def measure_loop(thumbnails: Any, pairs: int = 300) -> dict[str, float]:
    """Time scikit-image on a sample of pairs, after as many that are not counted: its first calls are twice as slow."""
    rng = np.random.default_rng(0)
    chosen = rng.integers(0, len(thumbnails), (2 * pairs, 2))

    def loop(part: Any) -> None:
        for i, j in part:
            structural_similarity(thumbnails[i], thumbnails[j], channel_axis=-1)

    _, first, _ = timed(lambda: loop(chosen[:20]))
    loop(chosen[20:pairs])
    _, wall, core = timed(lambda: loop(chosen[pairs:]))
    return {"pairs_timed": pairs, "seconds": wall / pairs, "core": core / pairs, "seconds_first_20": first / 20}


def exhaustive_sets(thumbnails: Any, count: int = 320) -> dict[str, Any]:
    is_grey = (thumbnails == thumbnails[..., :1]).all((1, 2, 3))
    rng = np.random.default_rng(0)
    flat = np.array([np.full((SIZE, SIZE, 3), level, np.uint8) for level in rng.permutation(256)[:count]])
    return {"colour": thumbnails[~is_grey][:count], "grey": thumbnails[is_grey][:count], "flat": flat}


def measure_exhaustive(name: str, thumbnails: Any) -> dict[str, Any]:
    """Score every pair on one core."""
    with tempfile.TemporaryDirectory() as temporary:
        prepare(Path(temporary), thumbnails, map)
        joined = join(Path(temporary), len(thumbnails), -1.0, -1.0, map)
    pairs = len(thumbnails) * (len(thumbnails) - 1) // 2
    return {
        "set": name,
        "pairs": pairs,
        "ms_a_pair": joined["core"] / pairs * 1e3,
        "verified": joined["counts"]["verified"],
    }


def measure_size(corpus: Path | None, count: int) -> dict[str, Any]:
    """Join `count` photos at 0.9, and take the peak memory of the process."""
    pictures = read_pictures("photos", corpus)
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(CORES) as threads:
        workspace = Path(temporary)
        ssim.create_workspace(workspace, count, SIZE)
        warm_up(to_thumbnails(iter(pictures[:8]), SIZE))
        grown = (picture for picture, _ in iter_grown(pictures, count))
        for start in range(0, count, CHUNK):
            part = to_thumbnails((next(grown) for _ in range(min(CHUNK, count - start))), SIZE)
            ssim.prepare_images(workspace, start + np.arange(len(part)), part)
        joined = join(workspace, count, 0.9, 0.85, threads.map)
    return joined | {"images": count, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def show_kind(found: dict[str, Any]) -> None:
    n, loop = found["images"], found["loop"]
    table = Table(title=f"{n} {found['kind']}, {found['pairs']:,} pairs, {CORES} cores")
    for column in (
        "what",
        "wall s",
        "core s",
        "us a pair",
        "x loop",
        "x loop, core",
        f"pairs left after {' / '.join(BOUNDING)}",
    ):
        table.add_column(column, justify="left" if column == "what" else "right")
    estimate = loop["seconds"] * found["pairs"]
    label = f"scikit-image's loop (extrapolated from {loop['pairs_timed']} pairs)"
    table.add_row(label, f"{estimate:,.0f}", "", f"{loop['seconds'] * 1e6:,.0f}", "1", "1", "")
    for one in found["exhaustive"]:
        factor = f"{loop['core'] * 1e3 / one['ms_a_pair']:,.0f}"
        table.add_row(
            f"engine, exhaustive, {one['set']}, one core", "", "", f"{one['ms_a_pair'] * 1e3:.1f}", "", factor, ""
        )
    for joined in found["joins"]:
        table.add_row(
            f"engine at {joined['threshold']}, floor {joined['floor']:.2f}",
            f"{joined['wall']:.2f}",
            f"{joined['core']:.2f}",
            f"{joined['us_a_pair']:.3f}",
            f"{joined['speedup']:,.0f}",
            f"{joined['speedup_core']:,.0f}",
            " / ".join(f"{share:.3%}" for share in survivors(joined, found["pairs"])),
        )
    table.add_row(
        "floor: imread and INTER_AREA", f"{found['floor']['wall']:.2f}", f"{found['floor']['core']:.2f}", *[""] * 4
    )
    prepared = found["prepare"]
    label = f"preparation ({prepared['core_ms_an_image']:.2f} core ms an image)"
    table.add_row(label, f"{prepared['wall']:.2f}", f"{prepared['core']:.2f}", *[""] * 4)
    console.print(table)


def survivors(joined: dict[str, Any], pairs: int) -> list[float]:
    counts, left, shares = joined["counts"], pairs - joined["counts"]["identical"], []
    for stage in BOUNDING:
        left -= counts[stage]
        shares.append(left / pairs)
    return shares


def show_scaling(results: dict[str, Any]) -> None:
    table = Table(title="photos at 0.9, by folder size")
    for column in ("images", "wall s", "core s", "us a pair", "peak MB"):
        table.add_column(column, justify="right")
    for one in results["scaling"]:
        row = (
            f"{one['images']:,}",
            f"{one['wall']:.2f}",
            f"{one['core']:.2f}",
            f"{one['us_a_pair']:.3f}",
            f"{one['peak_mb']:,.0f}",
        )
        table.add_row(*row)
    if len(results["scaling"]) > 1:
        images, core = (np.log([one[name] for one in results["scaling"]]) for name in ("images", "core"))
        results["exponent"] = float(np.polyfit(images, core, 1)[0])
        table.caption = f"core time grows with images^{results['exponent']:.2f}"
    console.print(table)


def save(results: dict[str, Any], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "ssim_join.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    recorder = Console(width=140, record=True, file=(out / "ssim_join.txt").open("w", encoding="utf-8"))
    global console  # noqa: PLW0603 - the same tables once more, for the file
    console, shown = recorder, console
    for found in results["kinds"]:
        show_kind(found)
    show_scaling(results)
    console = shown
    plot(results, out / "ssim_join.png")
    console.print(f"saved {out}/ssim_join.json, .txt, .png")


def plot(results: dict[str, Any], target: Path) -> None:
    from matplotlib import pyplot as plt  # noqa: PLC0415 - only here

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for found in results["kinds"]:
        left.plot(THRESHOLDS, [joined["speedup_core"] for joined in found["joins"]], "o-", label=found["kind"])
    left.set(yscale="log", xlabel="threshold (floor 0.05 below)", title="times faster than scikit-image's loop")
    left.legend()
    right.plot(
        [one["images"] for one in results["scaling"]], [one["core"] for one in results["scaling"]], "o-", label="join"
    )
    right.set(
        xscale="log", yscale="log", xlabel="photos", ylabel="core seconds at 0.9", title="cost against folder size"
    )
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    main()
