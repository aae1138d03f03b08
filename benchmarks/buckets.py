"""What a bucket costs: the same pictures listed, read and moved on the disk, and in S3 as a server on this machine plays it.

The server (moto, in Python) has the same cores, and answers in some milliseconds what S3 answers in tens; real buckets are
slower by request, and faster by how many they answer at once.

    python -m benchmarks.buckets [--pictures 400] [--moves 100] [--rounds 3] [--corpus FOLDER]
"""

import argparse
import hashlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from benchmarks.corpora import read_pictures, write_corpus
from benchmarks.stages import run_stages
from imagetwins.moving.execute import apply_moves
from imagetwins.moving.plan import PlannedMove
from imagetwins.moving.restore import restore_moves
from imagetwins.storage import DUPLICATES
from imagetwins.storage.location import parse_location
from imagetwins.storage.objects import filesystem, key_of
from imagetwins.store.runs import Run

START_SECONDS = 60
SHOWN = ("list", "load", "move", "restore")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--moves", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--corpus", type=Path)
    given = parser.parse_args()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(s3_server(home))
        folder, bucket = home / "pictures", parse_location("s3://pictures")
        write_corpus("photos", read_pictures("photos", given.corpus), given.pictures, folder)
        filesystem(bucket).mkdir(key_of(bucket))
        filesystem(bucket).put(str(folder), key_of(bucket / "all"), recursive=True)
        folders = {"disk": folder, "bucket": bucket / "all"}
        # In turn, so that a busy machine is busy for both. The first round compiles and imports.
        rounds = [
            {name: measure(place, home / f"{name} {number}", given.moves) for name, place in folders.items()}
            for number in range(given.rounds + 1)
        ]
    show(given.pictures, given.moves, rounds[1:])


@contextmanager
def s3_server(home: Path) -> Iterator[None]:
    """Start an S3 server, and name it to whatever in this process asks for S3."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    os.environ |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ |= {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "IMAGETWINS_CACHE": str(home / "caches")}
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            try:
                httpx.get(os.environ["AWS_ENDPOINT_URL"])
                break
            except httpx.HTTPError:
                time.sleep(0.1)
        yield
    finally:
        server.terminate()
        server.wait()


def measure(folder: Path, store: Path, moves: int) -> dict[str, float]:
    """Return the seconds of each stage, and of moving some pictures away and back."""
    seconds = run_stages(Run(store, "run"), folder).seconds
    planned = plan(folder, moves)
    start = time.perf_counter()
    outcomes = apply_moves(planned, store / "journal.jsonl")
    moved = time.perf_counter()
    restored = restore_moves(store / "journal.jsonl")
    seconds |= {"move": moved - start, "restore": time.perf_counter() - moved}
    if not all(outcome.moved for outcome in outcomes) or not all(outcome.restored for outcome in restored):
        sys.exit(f"not all were moved and restored: {outcomes} {restored}")
    return {name: seconds[name] for name in SHOWN}


def plan(folder: Path, moves: int) -> list[PlannedMove]:
    """Plan the move of the first pictures but one, which stays."""
    kept, *sources = sorted(folder.glob("*"), key=str)[: moves + 1]
    planned = []
    for image, source in enumerate(sources):
        content = source.read_bytes()
        mtime_ns = source.stat().st_mtime_ns if isinstance(source, Path) else 0
        digest = hashlib.sha256(content).hexdigest()
        target = folder / DUPLICATES / source.name
        planned.append(PlannedMove(image, source, target, len(content), mtime_ns, digest, kept))
    return planned


def show(pictures: int, moves: int, rounds: list[dict[str, dict[str, float]]]) -> None:
    print(f"{pictures} photos, {moves} moves, journal and store on the disk; median of {len(rounds)} rounds\n")
    print(f"{'':10}{'disk':>12}{'bucket':>12}{'ratio':>8}")
    for stage in SHOWN:
        disk, bucket = (statistics.median(one[name][stage] for one in rounds) for name in ("disk", "bucket"))
        print(f"{stage:10}{disk:10.2f} s{bucket:10.2f} s{bucket / disk:8.1f}")
    for stage in ("move", "restore"):
        disk, bucket = (moves / statistics.median(one[name][stage] for one in rounds) for name in ("disk", "bucket"))
        print(f"{stage + 's a s':10}{disk:12.0f}{bucket:12.0f}")


if __name__ == "__main__":
    main()
