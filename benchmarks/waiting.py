"""How long one waits: whole processes from start to exit, side by side in one run.

Writes a table, a plot and all numbers to the results folder. Takes about 25 minutes, most of them for 10,000 pictures.

    python -m benchmarks.waiting [--corpus FOLDER] [--peers PYTHON] [--sizes 5 900 10000] [--rounds 5]
        [--command IMAGETWINS] [--before IMAGETWINS] [--out benchmarks/results] [--readme README.md]

What is measured, in folders of pictures of 640 x 480, half of them copies of the other half:

- `imagetwins run --dry-run`, without a Prefect server and with one that runs already: the *first* run, in a fresh store; an
  *unchanged* folder; and *9 new* pictures in it;
- a *bare* Prefect flow, whose body is `return 1`, without and with that server: what any Prefect program costs;
- czkawka and difPy, which keep nothing between two runs, in the environment of `--peers`;
- the floor (`benchmarks/floor.py`): `cv2.imread` and a resize by INTER_AREA of the same files on all cores.

Every process is started anew, in each round all of them one after the other, so that a busy machine is busy for all; the median
of the rounds counts. Folders of more than 1,000 pictures are measured once, and not with `--before`, the `imagetwins` of another
checkout. Files, kernels and Prefect's databases are warm. The ratio is that to the bare flow of the same rounds, without a server
or with one. "CPU" is the processor time of a process and its children, but not of a server that ran before it.
`--readme` puts the table into that page, between its two comments that name this script.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import floor
from benchmarks.corpora import COPIES, Picture, copy_picture, crop_picture, read_pictures
from benchmarks.peers import CZKAWKA, DIFPY
from benchmarks.ssim_join import describe_machine
from imagetwins.runtime.server import QUIET, bypass_proxy_on_loopback, server_answers
from imagetwins.runtime.server_process import start_server
from imagetwins.settings import LOCAL_SERVER

mpl.use("Agg")
WIDTH, HEIGHT = 640, 480
NEW = 9
MANY = 1000
"""Above so many pictures there is one round: what is measured takes minutes, and the machine's moods matter less."""

LIMIT_SECONDS = 240.0
"""A process that takes longer is ended, and said to take longer."""

SECONDS_TO_SETTLE = 2.5
"""Files that changed later than this before a run are hashed again by the next one."""

EMBEDDED, RUNNING = "without a server", "with a server"
OURS = ("first run", "unchanged", f"{NEW} new")
READING = "imread and INTER_AREA"
PRESET = "5"
"""czkawka's similarity, of those that its own window offers: "high"."""

BARE = """
from prefect import flow

@flow
def bare():
    return 1

bare()
"""


@dataclass(frozen=True)
class Took:
    """What one process took: seconds on the clock and of the processors, and what it says its stages took."""

    wall: float
    cpu: float
    stages: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One kind of process, measured in every round: its name, and where it got its Prefect server, if it needs one."""

    name: str
    server: str | None
    took: list[Took]
    before: bool = False

    @property
    def wall(self) -> float:
        """The median seconds on the clock; infinite where the process was ended."""
        return statistics.median(one.wall for one in self.took)

    @property
    def cpu(self) -> float:
        """The median seconds of the processors."""
        return statistics.median(one.cpu for one in self.took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--peers", type=Path, help="the Python that has difPy and czkawka")
    parser.add_argument("--sizes", type=int, nargs="+", default=[5, 900, 10_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--command", type=Path, default=Path(sys.executable).with_name("imagetwins"))
    parser.add_argument("--before", type=Path, help="the imagetwins of another checkout, to compare with")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--readme", type=Path, help="the page into which the table is put")
    options = parser.parse_args()
    if server_answers(LOCAL_SERVER):
        parser.error(f"a Prefect server runs at {LOCAL_SERVER}, which runs without a server would use: stop it first")
    # Nothing of the user's settings counts.
    for name in [name for name in os.environ if name.startswith(("PREFECT_", "IMAGETWINS_"))]:
        del os.environ[name]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    bypass_proxy_on_loopback()
    pictures = read_pictures("photos", options.corpus)
    commands = {False: options.command} | ({True: options.before} if options.before else {})
    sizes = []
    with tempfile.TemporaryDirectory() as temporary:
        for size in options.sizes:
            bench = Bench(Path(temporary), commands if size <= MANY else {False: options.command}, options.peers)
            folder, new = write_folder(pictures, size, Path(temporary) / str(size))
            bench.warm_up(folder)
            rows = bench.measure(folder, new, options.rounds if size <= MANY else 1)
            sizes.append(to_plain(size, rows))
            show(sizes[-1:], Console(width=160))
    save({"machine": describe_machine(), "sizes": sizes}, options.out)
    if options.readme:
        page = options.readme.read_text(encoding="utf-8")
        options.readme.write_text(replace_table(page, sizes), encoding="utf-8")


def write_folder(pictures: list[Picture], size: int, place: Path) -> tuple[Path, list[Path]]:
    """Write `size` pictures, every other one a copy of the one before, and the NEW that come later, in a folder of their own."""
    rng = np.random.default_rng(0)
    folder, later = place / "pictures", place / "new"
    for number in range((size + 1) // 2):
        original = _crop(pictures, rng)
        _write(folder / f"{number:05}.jpg", original)
        if 2 * number + 1 < size:
            _write(folder / f"{number:05}_copy.jpg", copy_picture(original, COPIES[number % len(COPIES)]))
    for number in range(NEW):
        _write(later / f"new {number}.jpg", _crop(pictures, rng))
    return folder, sorted(later.iterdir())


def _crop(pictures: list[Picture], rng: np.random.Generator) -> Picture:
    part = crop_picture(pictures[rng.integers(len(pictures))], rng)
    return np.asarray(cv2.resize(part, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)


def _write(file: Path, picture: Picture) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), picture)


class Bench:
    """The commands that are measured, with homes and stores of their own in `place`."""

    def __init__(self, place: Path, commands: dict[bool, Path], peers: Path | None) -> None:
        self._place, self._commands = place, commands
        programs = {"bare": BARE, "czkawka": CZKAWKA, "difPy": DIFPY}
        # Not the names of the modules: the folder of a script is searched for these first.
        self._scripts = {name: place / f"run_{name}.py" for name in programs}
        for name, script in self._scripts.items():
            script.write_text(programs[name], encoding="utf-8")
        self._scripts[READING] = Path(floor.__file__)
        self._others = {READING: Path(sys.executable)} | (dict.fromkeys(("czkawka", "difPy"), peers) if peers else {})

    def warm_up(self, folder: Path) -> None:
        """Read the files, load or compile the kernels, and let Prefect make its databases."""
        self._read(folder, READING)
        for environment in (self._environment(EMBEDDED), self._environment(RUNNING)):
            self._run_bare(environment)
        for before in self._commands:
            self._run_ours(before, folder, self._new_store(), self._environment(EMBEDDED))
        time.sleep(SECONDS_TO_SETTLE)

    def measure(self, folder: Path, new: list[Path], rounds: int) -> list[Row]:
        """Measure everything in turn, `rounds` times."""
        rows: dict[tuple[str, str | None, bool], list[Took]] = {}
        for _ in range(rounds):
            for name, server, before, took in self._iter_round(folder, new):
                rows.setdefault((name, server, before), []).append(took)
                print(
                    f"{name:24} {server or '':18} {'before' if before else '':8} {took.wall:8.2f} s {took.cpu:8.2f} CPU"
                )
        return [Row(name, server, took, before) for (name, server, before), took in rows.items()]

    def _iter_round(self, folder: Path, new: list[Path]) -> Iterator[tuple[str, str | None, bool, Took]]:
        yield from self._iter_flows(folder, new, EMBEDDED, self._environment(EMBEDDED))
        with started_server(self._environment(RUNNING)) as api:
            environment = self._environment(RUNNING) | {"PREFECT_API_URL": api}
            # A server's first answers take longer than later ones.
            self._run_bare(environment)
            yield from self._iter_flows(folder, new, RUNNING, environment)
        for name in self._others:
            yield name, None, False, self._read(folder, name)

    def _iter_flows(
        self, folder: Path, new: list[Path], server: str, environment: dict[str, str]
    ) -> Iterator[tuple[str, str | None, bool, Took]]:
        yield "bare", server, False, self._run_bare(environment)
        for before in self._commands:
            store = self._new_store()
            for name in OURS[:2]:
                yield name, server, before, self._run_ours(before, folder, store, environment)
            with added(new, folder):
                yield OURS[2], server, before, self._run_ours(before, folder, store, environment)

    def _run_bare(self, environment: dict[str, str]) -> Took:
        return run([sys.executable, self._scripts["bare"]], environment)[0]

    def _run_ours(self, before: bool, folder: Path, store: Path, environment: dict[str, str]) -> Took:
        command = [self._commands[before], "run", folder, "--dry-run", "--store", store, "--json"]
        took, said = run(command, environment)
        return Took(took.wall, took.cpu, json.loads(said.strip().splitlines()[-1])["seconds"])

    def _read(self, folder: Path, name: str) -> Took:
        return run([self._others[name], self._scripts[name], folder, PRESET], self._environment(EMBEDDED))[0]

    def _new_store(self) -> Path:
        return Path(tempfile.mkdtemp(prefix="store-", dir=self._place))

    def _environment(self, server: str) -> dict[str, str]:
        """Return what a process sees: quiet settings, and a home of Prefect that is this run's own.

        Servers that run and those of one process have one each, so that none waits for the other's database.
        """
        return os.environ | QUIET | {"PREFECT_HOME": str(self._place / server)}


@contextmanager
def added(new: Iterable[Path], folder: Path) -> Iterator[None]:
    """Have the files `new` in `folder` for a while."""
    there = [file.rename(folder / file.name) for file in new]
    try:
        yield
    finally:
        for file, place in zip(there, new, strict=True):
            file.rename(place)


@contextmanager
def started_server(environment: dict[str, str]) -> Iterator[str]:
    """Start a Prefect server as `imagetwins serve` does, yield the address of its API, and stop it at the end."""
    server = start_server("127.0.0.1", 0, environment)
    try:
        server.wait()
        yield server.api
    finally:
        server.stop()


def run(command: Sequence[str | Path], environment: dict[str, str]) -> tuple[Took, str]:
    """Run `command` to its end; return what it took, infinity if it was ended after LIMIT_SECONDS, and what it printed."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as printed, tempfile.TemporaryFile("w+") as said:
        start = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=printed, stderr=said, start_new_session=True)
        timer = threading.Timer(LIMIT_SECONDS, os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        # Unlike `process.wait`, this tells what the process and its children had of the processors.
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        printed.seek(0)
        said.seek(0)
        if process.returncode == -signal.SIGKILL:
            return Took(float("inf"), float("inf")), ""
        if process.returncode:
            raise RuntimeError(f"{' '.join(map(str, command))} ended with {process.returncode}:\n{said.read()[-2000:]}")
        return Took(wall, usage.ru_utime + usage.ru_stime), printed.read()


def to_plain(size: int, rows: Sequence[Row]) -> dict[str, Any]:
    """Return what the files hold of a folder: of each row the medians, the ratio to its bare flow, and every round.

    "loading" is the stage `load` of first runs, in floors.
    """
    bare = {row.server: row for row in rows if row.name == "bare"}
    before = {(row.name, row.server): row for row in rows if row.before}
    floors = [row.wall for row in rows if row.name == READING]
    loads = [median_stages(row.took).get("load") for row in rows if row.name == OURS[0] and not row.before]
    return {
        "pictures": size,
        "loading": [seconds / floor for floor in floors for seconds in loads if seconds is not None],
        "rows": [
            _row_to_plain(row, bare.get(row.server), before.get((row.name, row.server)))
            for row in rows
            if not row.before
        ],
    }


def _row_to_plain(row: Row, bare: Row | None, before: Row | None) -> dict[str, Any]:
    plain: dict[str, Any] = {"name": row.name, "server": row.server}
    for kind, one in (("now", row), ("before", before)):
        if one is not None:
            plain[kind] = {
                "seconds": _finite(one.wall),
                "cpu_seconds": _finite(one.cpu),
                "ratio": one.wall / bare.wall if bare else None,
                "rounds": [_finite(took.wall) for took in one.took],
                "stages": median_stages(one.took),
            }
    return plain


def _finite(seconds: float) -> float | None:
    """Return `seconds` as JSON holds them, None for a process that was ended."""
    return round(seconds, 3) if seconds < LIMIT_SECONDS else None


def median_stages(took: Sequence[Took]) -> dict[str, float]:
    """Return the median seconds of each stage that every round has."""
    names = [name for name in took[0].stages if all(name in one.stages for one in took)]
    return {name: statistics.median(one.stages[name] for one in took) for name in names}


def show(sizes: Sequence[dict[str, Any]], console: Console) -> None:
    """Print the table: a row for each kind of process, and for each folder seconds, CPU seconds and the ratio."""
    has_before = any("before" in row for row in sizes[0]["rows"])
    table = Table(title="seconds from start to exit; x is the ratio to the bare flow of the same kind")
    table.add_column("process")
    for size in sizes:
        for name in ("s", "CPU", "x", *(("before", "x") if has_before else ())):
            table.add_column(f"{size['pictures']:,}\n{name}", justify="right")
    for position, row in enumerate(sizes[0]["rows"]):
        cells = [cell for size in sizes for cell in _cells(size["rows"][position], has_before=has_before)]
        table.add_row(label(row), *cells, end_section=label(row).startswith(f"imagetwins, {OURS[-1]}"))
    console.print(table)
    for size in sizes:
        for floors in size["loading"]:
            console.print(f"{size['pictures']:,} pictures: a first run's loading takes {floors:.2f} floors")


BEGIN, END = "<!-- benchmarks.waiting -->", "<!-- /benchmarks.waiting -->"


def replace_table(page: str, sizes: Sequence[dict[str, Any]]) -> str:
    """Return a page of Markdown with the table between its comments BEGIN and END.

    Raises:
        ValueError: it has no such comments.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"the page has no {BEGIN} and {END} to put the table between")
    lines = [["", *(f"{size['pictures']:,} pictures" for size in sizes)], ["---"] * (len(sizes) + 1)]
    for position, row in enumerate(sizes[0]["rows"]):
        cells = (size["rows"][position]["now"] for size in sizes)
        lines.append(
            [label(row), *(f"{_seconds(cell)} s{f' ({_ratio(cell)} x)' if cell['ratio'] else ''}" for cell in cells)]
        )
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{before}{begin}\n{table}\n{end}{after}"


def label(row: dict[str, Any]) -> str:
    """Return what a row is called."""
    name = {"bare": "bare Prefect flow"} | {ours: f"imagetwins, {ours}" for ours in OURS}
    return ", ".join(part for part in (name.get(row["name"], row["name"]), row["server"]) if part)


def _cells(row: dict[str, Any], *, has_before: bool) -> list[str]:
    now, before = row["now"], row.get("before")
    cells = [_seconds(now), "" if now["cpu_seconds"] is None else f"{now['cpu_seconds']:.2f}", _ratio(now)]
    if has_before:
        cells += [_seconds(before), _ratio(before)] if before else ["", ""]
    return cells


def _seconds(one: dict[str, Any]) -> str:
    return (
        f"> {LIMIT_SECONDS:.0f}"
        if one["seconds"] is None
        else f"{one['seconds']:.{1 if one['seconds'] >= 9.95 else 2}f}"
    )


def _ratio(one: dict[str, Any]) -> str:
    return "" if one["ratio"] is None else f"{one['ratio']:.2f}"


def save(results: dict[str, Any], out: Path) -> None:
    """Write the numbers, the table and the plot."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "waiting.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    with (out / "waiting.txt").open("w", encoding="utf-8") as file:
        show(results["sizes"], Console(width=160, file=file))
    plot(results["sizes"], out / "waiting.png")
    print(f"saved {out}/waiting.json, .txt, .png")


PREFECTS, OWN, OTHERS = "#9aa5b1", "#2f6fde", "#d9b48f"


def plot(sizes: Sequence[dict[str, Any]], target: Path) -> None:
    """Draw a panel for each folder: a bar for each process, of ours split in what a bare flow takes and the rest."""
    from matplotlib import pyplot as plt  # noqa: PLC0415 - only here

    rows = sizes[0]["rows"]
    figure, panels = plt.subplots(
        1,
        len(sizes),
        figsize=(4 + 3.2 * len(sizes), 0.8 + 0.36 * len(rows)),
        sharey=True,
        layout="constrained",
        squeeze=False,
    )
    for size, panel in zip(sizes, panels[0], strict=True):
        for place, row in enumerate(size["rows"]):
            _draw_row(panel, place, row["now"], row["server"] is not None)
            if before := row.get("before", {}).get("seconds"):
                panel.plot([before] * 2, [place - 0.38, place + 0.38], color="black", linewidth=1.5)
        panel.set_title(f"{size['pictures']:,} pictures", loc="left", fontsize=11)
        panel.set(xlabel="seconds", yticks=range(len(rows)), yticklabels=[label(row) for row in rows])
        panel.margins(x=0.22)
        panel.set_xlim(left=0)
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(left=False)
    panels[0][0].invert_yaxis()
    names = {"a bare Prefect flow": PREFECTS, "imagetwins beyond that": OWN, "without Prefect": OTHERS}
    keys: list[Any] = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in names.values()]
    labels = list(names)
    if any("before" in row for size in sizes for row in size["rows"]):
        keys.append(plt.Line2D([], [], color="black", linewidth=1.5, marker="|", linestyle=""))
        labels.append("before")
    figure.legend(keys, labels, loc="outside lower right", ncols=len(labels), frameon=False)
    figure.savefig(target, dpi=110, facecolor="white")
    plt.close(figure)


def _draw_row(panel: Any, place: int, now: dict[str, Any], is_flow: bool) -> None:
    seconds = LIMIT_SECONDS if now["seconds"] is None else now["seconds"]
    bare = seconds / now["ratio"] if is_flow else 0.0
    first = min(bare, seconds) if is_flow else seconds
    panel.barh(place, first, 0.7, color=PREFECTS if is_flow else OTHERS)
    panel.barh(place, seconds - first, 0.7, left=first, color=OWN)
    said = f" {_seconds(now)} s" + (f" ({_ratio(now)} x)" if is_flow and seconds > first else "")
    panel.text(seconds, place, said, va="center", fontsize=8)


if __name__ == "__main__":
    main()
