"""What this project, czkawka and difPy find in the same folder of planted copies, and how long they take.

The peers live in an environment of their own: `python -m venv peers && peers/bin/pip install difPy czkawka`.

    python -m benchmarks.peers --peers peers/bin/python [--corpus FOLDER] [--images 450] [--out benchmarks/results]

`--images` of each kind are written (see corpora.py). A pair is right if both pictures come from the same original. The
floor is that of `benchmarks/floor.py`.
"""

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.corpora import read_pictures, write_corpus
from benchmarks.floor import measure_floor
from benchmarks.ssim_join import CORES, warm_up
from imagetwins import ssim
from imagetwins.decoding.model import DecodeSettings
from imagetwins.decoding.pool import close_decoders, decode_files

Pair = tuple[int, int]
SIZE, CHUNK = 200, 32
CZKAWKA = """
import json, sys, time
from pathlib import Path
from czkawka import ImageSimilarity
begin = time.perf_counter()
finder = ImageSimilarity()
finder.set_directories([Path(sys.argv[1])])
finder.set_similarity(int(sys.argv[2]))
groups = [[path.name for path in group] for group in finder.find_similar()]
print(json.dumps({"seconds": time.perf_counter() - begin, "groups": groups}))
"""
DIFPY = """
import json, sys, time
from pathlib import Path
import difPy
if __name__ == "__main__":
    begin = time.perf_counter()
    pictures = difPy.build(sys.argv[1], show_progress=False)
    found = difPy.search(pictures, similarity="similar", same_dim=False, show_progress=False).result
    groups = [[Path(a).name, Path(b[0]).name] for a, matches in found.items() for b in matches]
    print(json.dumps({"seconds": time.perf_counter() - begin, "groups": groups}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="the Python that has difPy and czkawka")
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--images", type=int, default=450)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "pictures"
        families = write_families(options.corpus, options.images, folder)
        rows = [to_floor_row(folder), *measure_engine(folder, families, Path(temporary) / "workspace")]
        if options.peers:
            rows += [
                measure_peer(f"czkawka, {n}", options.peers, CZKAWKA, folder, families, str(n)) for n in (2, 5, 10, 15)
            ]
            rows.append(measure_peer("difPy, similar", options.peers, DIFPY, folder, families))
    show(rows)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "peers.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def write_families(corpus: Path | None, count: int, folder: Path) -> dict[str, str]:
    """Write photos and charts; return the name of the original of every file."""
    families = {}
    for kind in ("photos", "charts"):
        written = write_corpus(kind, read_pictures(kind, corpus), count, folder / kind)
        names = []
        for position, file in enumerate(written.files):
            names.append(file.rename(file.with_stem(f"{kind}-{position:06}")).name)
        original = {copy: names[place] for place, copy in written.planted}
        families |= {name: original.get(position, name) for position, name in enumerate(names)}
    return families


def judge(name: str, seconds: float, pairs: Iterable[tuple[str, str]], families: dict[str, str]) -> dict[str, Any]:
    """Return recall over all pairs of one original, and the pairs that are not of one."""
    found = {tuple(sorted(pair)) for pair in pairs}
    right = {pair for pair in found if families[pair[0]] == families[pair[1]]}
    members: dict[str, list[str]] = {}
    for file, family in families.items():
        members.setdefault(family, []).append(file)
    planted = sum(len(list(combinations(files, 2))) for files in members.values())
    return {"tool": name, "seconds": seconds, "recall": len(right) / planted, "false": len(found) - len(right)}


def to_floor_row(folder: Path) -> dict[str, Any]:
    files = sorted(folder.rglob("*.*"))
    return {"tool": f"imread and INTER_AREA, {len(files)} pictures", "seconds": measure_floor(files).wall}


def measure_engine(folder: Path, families: dict[str, str], workspace: Path) -> list[dict[str, Any]]:
    """Load once and join at two thresholds; the seconds of each include the loading."""
    files = sorted(folder.rglob("*.*"))
    warm_up(np.random.default_rng(0).integers(0, 256, (8, SIZE, SIZE, 3)).astype(np.uint8))

    def load(start: int) -> None:
        part = files[start : start + CHUNK]
        thumbnails = np.zeros((len(part), SIZE, SIZE, 3), np.uint8)
        decoded = decode_files(part, DecodeSettings(SIZE), thumbnails)
        assert not any(one.error for one in decoded)
        ssim.prepare_images(workspace, start + np.arange(len(part)), thumbnails)

    rows = []
    with ThreadPoolExecutor(CORES) as threads:
        begin = time.perf_counter()
        ssim.create_workspace(workspace, len(files), SIZE)
        list(threads.map(load, range(0, len(files), CHUNK)))
        loading = time.perf_counter() - begin
        close_decoders()
        for threshold in (0.9, 0.8):
            begin = time.perf_counter()
            plan = ssim.plan_join(
                workspace, workspace / "plan", np.arange(len(files)), threshold=threshold, floor=threshold - 0.05
            )
            results = list(threads.map(lambda batch: ssim.join_batch(workspace / "plan", batch), plan.batches))
            seconds = loading + time.perf_counter() - begin
            for guard in (-1.0, 0.7):
                pairs = ((files[i].name, files[j].name) for i, j in iter_matches(results, threshold, guard))
                name = f"SSIM {threshold}" + (f" + detail {guard}" if guard >= 0 else "")
                rows.append(judge(name, seconds, pairs, families))
    return rows


def iter_matches(results: list[ssim.JoinResult], threshold: float, guard: float) -> Iterable[Pair]:
    for result in results:
        trusted = np.where(np.isnan(result.detail_ssim), result.max_difference <= 8, result.detail_ssim >= guard)
        chosen = (result.ssim >= threshold) & (trusted | (guard < 0))
        yield from zip(result.image1[chosen].tolist(), result.image2[chosen].tolist(), strict=True)


def measure_peer(
    name: str, python: Path, program: str, folder: Path, families: dict[str, str], *more: str
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as temporary:
        script = Path(temporary) / "peer.py"
        script.write_text(program, encoding="utf-8")
        done = subprocess.run([python, script, folder, *more], capture_output=True, text=True, check=False)
    if done.returncode:
        return {"tool": name, "error": done.stderr.strip().splitlines()[-1]}
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    pairs = (pair for group in answer["groups"] for pair in combinations(group, 2))
    return judge(name, answer["seconds"], pairs, families)


def show(rows: list[dict[str, Any]]) -> None:
    table = Table(title="the same folder of planted copies")
    for column in ("tool", "seconds", "x floor", "recall", "false pairs"):
        table.add_column(column, justify="left" if column == "tool" else "right")
    for row in rows:
        if "error" in row:
            table.add_row(row["tool"], row["error"])
            continue
        found = (f"{row['recall']:.3f}", f"{row['false']:,}") if "recall" in row else ("", "")
        table.add_row(row["tool"], f"{row['seconds']:.1f}", f"{row['seconds'] / rows[0]['seconds']:.1f}", *found)
    Console().print(table)


if __name__ == "__main__":
    main()
