"""What a run costs as a folder grows, and what the next one costs: 100 pictures more, then a tenth of them changed.

Pictures are crops of real ones, seeded, a tenth of them planted copies (benchmarks/corpora.py), as JPEGs of 320 x 240: much
smaller than photographs, so that 100,000 are soon written; decoding is a smaller share of the time than on a camera's.

    python -m benchmarks.growth [--corpus FOLDER] [--images 10000] [--out benchmarks/results]

The floor (`benchmarks/floor.py`) is that of the same files, right before the run. Memory is the highest sum, over this process
and its children, of what they have to themselves and of their share of what they share (PSS), without the pages of mapped
files, which the system takes back when it needs them; "RSS" counts those as well.
"""

import argparse
import json
import math
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.optimize import nnls

from benchmarks.corpora import Corpus, iter_grown, read_pictures
from benchmarks.floor import measure_floor
from benchmarks.stages import run_stages
from imagetwins.decoding.pool import close_decoders
from imagetwins.store.runs import Run
from imagetwins.store.schemas import COMPARISONS, IMAGES
from imagetwins.store.tables import read_table

CORES = os.cpu_count() or 1
WIDTH, HEIGHT = 320, 240
ADDED = 100
CHANGED = 0.1
SMALLEST = 1000
EXTRAPOLATED = 1_000_000
SECONDS_TO_SETTLE = 2.5
"""Files that changed later than this before a run are hashed again by the next one."""
console = Console(width=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--scratch", type=Path, help="where pictures and stores are written: 0.4 MB a picture")
    options = parser.parse_args()
    pictures = read_pictures("photos", options.corpus)
    steps = max(round(math.log10(options.images / SMALLEST) * 2), 0)
    counts = [round(options.images / 10 ** (step / 2)) for step in range(steps, -1, -1)]
    with tempfile.TemporaryDirectory(dir=options.scratch) as temporary:
        warm_up(pictures, Path(temporary) / "warm")
        results = [measure(pictures, count, Path(temporary) / str(count)) for count in counts]
    show(results)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "growth.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def warm_up(pictures: list[Any], place: Path) -> None:
    """Compile, or load from the cache, everything that is timed."""
    write_pictures(pictures, 60, place / "pictures")
    for number in range(2):
        run_stages(Run(place / "store", f"warm-{number}"), place / "pictures", audit_floor=-1.0)


def write_pictures(pictures: list[Any], count: int, folder: Path) -> Corpus:
    """Write `count` small pictures; more of them begin with the same ones."""
    folder.mkdir(parents=True, exist_ok=True)
    files, planted = [], []
    for position, (picture, original) in enumerate(iter_grown(pictures, count)):
        files.append(folder / f"{position:07}.jpg")
        write_picture(files[-1], picture)
        if original is not None:
            planted.append((original, position))
    return Corpus("photos", files, planted)


def write_picture(file: Path, picture: Any) -> None:
    small = cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(file), small, [cv2.IMWRITE_JPEG_QUALITY, 90])


def measure(pictures: list[Any], count: int, place: Path) -> dict[str, Any]:
    """Run on `count` pictures, then on 100 more, then with a tenth of them changed."""
    folder, store = place / "pictures", place / "store"
    whole = write_pictures(pictures, count + ADDED, folder)
    aside = [file.rename(place / file.name) for file in whole.files[count:]]
    time.sleep(SECONDS_TO_SETTLE)
    floor = measure_floor(whole.files[:count])
    found: dict[str, Any] = {"images": count, "floor": floor.wall}
    found["full"] = run_measured(Run(store, "20260101-full"), folder)
    found["recall"] = recall_of(Run(store, "20260101-full"), whole, count)
    for file in aside:
        file.rename(folder / file.name)
    time.sleep(SECONDS_TO_SETTLE)
    found["added"] = run_measured(Run(store, "20260102-added"), folder)
    change_some(whole.files)
    time.sleep(SECONDS_TO_SETTLE)
    found["changed"] = run_measured(Run(store, "20260103-changed"), folder)
    found["store_gb"] = sum(file.stat().st_blocks * 512 for file in store.rglob("*") if file.is_file()) / 1e9
    console.print(summary(found))
    return found


def change_some(files: list[Path]) -> None:
    """Write a mirrored picture into every tenth file."""
    for file in files[:: round(1 / CHANGED)]:
        write_picture(file, cv2.imread(str(file), cv2.IMREAD_COLOR)[:, ::-1])


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def run_measured(run: Run, folder: Path) -> dict[str, Any]:
    """Run from the start to the end, with the highest memory of all processes."""
    close_decoders()
    with watched_memory() as memory:
        record, seconds = timed(lambda: run_stages(run, folder, workers=CORES))
    plain = record.to_plain()
    found = {name: plain[name] for name in ("pairs_from_why", "seconds", "counts", "funnel")}
    return {"wall": seconds, **found, **memory.peaks}


class watched_memory:  # noqa: N801 - a context
    """Look every now and then at the memory of this process and its children."""

    def __init__(self) -> None:
        self.peaks = {"peak_mb": 0.0, "peak_rss_mb": 0.0}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            own, rss = memory_of_tree()
            self.peaks["peak_mb"] = max(self.peaks["peak_mb"], own)
            self.peaks["peak_rss_mb"] = max(self.peaks["peak_rss_mb"], rss)


def memory_of_tree() -> tuple[float, float]:
    """Return the MB of this process and its children: without, and with, the pages of mapped files."""
    children = Path("/proc/self/task").glob("*/children")
    processes = ["self", *(pid for file in children for pid in file.read_text().split())]
    own = rss = 0.0
    for process in processes:
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        kb = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith("kB")}
        own += (kb["Pss_Anon"] + kb["Pss_Shmem"]) / 1024
        rss += kb["Rss"] / 1024
    return own, rss


def recall_of(run: Run, corpus: Corpus, count: int) -> float:
    """Return the share of the planted copies that are found with their originals at the threshold."""
    planted = [(one, other) for one, other in corpus.planted if other < count]
    names = {Path(path).name: image for image, path in enumerate(read_table(run.images, IMAGES)["path"])}
    comparisons = read_table(run.comparisons, COMPARISONS)
    matches = comparisons[comparisons["ssim"] >= 0.9]
    found = set(zip(matches["image1"].tolist(), matches["image2"].tolist(), strict=True))
    ids = [sorted(names[corpus.files[place].name] for place in pair) for pair in planted]
    return sum(tuple(pair) in found for pair in ids) / len(ids)


def summary(found: dict[str, Any]) -> str:
    full = found["full"]
    scored = full["funnel"]["scored"] / full["funnel"]["pairs"]
    return (
        f"{found['images']:,}: full {full['wall']:.1f} s ({full['wall'] / found['floor']:.1f} floors, loading {full['seconds']['load'] / found['floor']:.2f}), "
        f"peak {full['peak_mb']:,.0f} MB, {scored:.4%} of the pairs scored, recall {found['recall']:.1%}; "
        f"+{ADDED}: {found['added']['wall']:.1f} s; {CHANGED:.0%} changed: {found['changed']['wall']:.1f} s; "
        f"{found['store_gb']:.2f} GB"
    )


def fit(counts: list[int], seconds: list[float], degree: int) -> tuple[float, float]:
    """Return the exponent of the power law between the two largest, and what a polynomial without negative terms gives.

    The polynomial, of `degree`, is the one that fits all points best by their relative errors; it is taken at EXTRAPOLATED.
    """
    powers = np.arange(degree + 1)
    weighted = np.power.outer(np.array(counts, float), powers) / np.array(seconds)[:, None]
    terms, _ = nnls(weighted, np.ones(len(counts)))
    exponent = np.log(seconds[-1] / seconds[-2]) / np.log(counts[-1] / counts[-2])
    return float(exponent), float(terms @ float(EXTRAPOLATED) ** powers)


def show(results: list[dict[str, Any]]) -> None:
    table = Table(title=f"photos of {WIDTH} x {HEIGHT}, threshold 0.9, {CORES} cores; seconds on the clock")
    stages = list(results[-1]["full"]["seconds"])
    for column in ("pictures", "run", "all", "x floor", "share", *stages, "MB", "RSS MB"):
        table.add_column(column, justify="right")
    for found in results:
        for name in ("full", "added", "changed"):
            one = found[name]
            shares = f"{one['wall'] / found['floor']:.2f}", f"{one['wall'] / found['full']['wall']:.1%}"
            seconds = (f"{one['seconds'][stage]:.1f}" for stage in stages)
            row = (f"{found['images']:,}", name, f"{one['wall']:.1f}", *shares, *seconds)
            table.add_row(*row, f"{one['peak_mb']:,.0f}", f"{one['peak_rss_mb']:,.0f}")
    console.print(table)
    for found in results:
        console.print(summary(found))
    if len(results) > 1:
        show_extrapolation(results)


def show_extrapolation(results: list[dict[str, Any]]) -> None:
    """Tell what the stages would take that grow with the pictures, and the one that grows with the pairs."""
    counts, total = [found["images"] for found in results], 0.0
    others = [stage for stage in results[0]["full"]["seconds"] if stage != "score"]
    for name, stages, degree in (("score", ["score"], 2), ("the other stages", others, 1)):
        seconds = [sum(found["full"]["seconds"][stage] for stage in stages) for found in results]
        exponent, extrapolated = fit(counts, seconds, degree)
        total += extrapolated
        console.print(f"{name}: n^{exponent:.2f} at the end; {extrapolated / 3600:.1f} h at {EXTRAPOLATED:,}")
    gigabytes = results[-1]["store_gb"] / counts[-1] * EXTRAPOLATED
    console.print(f"{EXTRAPOLATED:,} pictures: {total / 3600:.1f} h and {gigabytes:,.0f} GB, if it goes on like this")


if __name__ == "__main__":
    main()
