"""Which copies this project, czkawka and difPy find, and which look-alikes they take for copies, kind by kind.

The peers live in an environment of their own: `python -m venv peers && peers/bin/pip install difPy==4.2.1 czkawka`.

    python -m benchmarks.accuracy --peers peers/bin/python [--corpus FOLDER] [--out benchmarks/results]

The corpus (labelled/corpus.py) is made anew each time, the same one: copies, changed as programs and people change pictures, and
look-alikes, that a person calls different pictures. Two files are copies of each other exactly if they have the same label.

What counts, the same for all tools:

- *Moved* is every file that a tool puts into a group, but for the first of the group by its path, which is kept. A tool is
  asked for the groups of one kind's folder alone (of copies: with the originals), and of all folders together.
- *Recall* of a kind: the moved files whose kept file has their label, as a share of those that could be moved: all but one of
  each label.
- *False moves*: the moved files whose kept file has another label. One that is in several groups is false if it is so in one.

Ours is `imagetwins run --dry-run` on the whole corpus. What it would have decided without each of its guards, and on one kind
alone, is decided from that run's tables: the scores of a pair depend on no other picture. `with review` is the recall if a
person says yes to every right match that is for review.

czkawka's package has hashes of 8 x 8 bits only; those of 16 x 16 and 32 x 32 are computed here in the same way (grey, Lanczos,
each pixel against its right neighbour) of the formats that it reads, and a file joins the nearest file that is kept before it,
within the distance. The distances are those of czkawka's presets. difPy's `similar` compares pictures of any dimensions here;
`duplicates` is its default.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageOps
from rich.console import Console
from rich.table import Table

from benchmarks.labelled.copies import CHANGES
from benchmarks.labelled.corpus import COPIES, LOOKALIKE, ORIGINALS, write_corpus
from benchmarks.labelled.sources import read_sources
from imagetwins.config.parameters import Parameters
from imagetwins.matching.decisions import Decider
from imagetwins.matching.verification import decide_verified
from imagetwins.scanning.thumbnails import ThumbnailLoader, decoded_thumbnails
from imagetwins.settings import count_cores
from imagetwins.storage.location import parse_location
from imagetwins.store.runs import find_run
from imagetwins.store.schemas import COMPARISONS, IMAGES, VERIFIED, Action
from imagetwins.store.tables import read_table

TOGETHER = "all together"
Moves = dict[str, list[str]]
"""For each moved file, the files that are kept for it."""

Scopes = dict[str, list[str]]
"""For each kind, and for all together, the folders of the corpus that a tool looks at."""

GUARDS: dict[str, dict[str, Any]] = {
    "detail": {"min_detail_ssim": -1.0},
    "local": {"min_local_ssim": -1.0},
    "peak": {"max_peak_difference": 1e9},
    "colour": {"max_colour_difference": 1e9},
    "aspect": {"max_aspect_change": 1e9},
    "burst": {"burst": "move"},
}
"""What switches each guard off; a guard that this version has no parameter for is passed over."""

CZKAWKA_LEVELS = (1, 2, 5, 7, 14, 20)
HASH_LEVELS = {16: (2, 5, 15, 30, 40), 32: (4, 10, 20, 40)}
CZKAWKA = """
import json, sys, time
from pathlib import Path
from czkawka import ImageSimilarity
home, scopes, levels = json.load(sys.stdin)
for level in levels:
    begin, found = time.perf_counter(), {}
    for name, folders in scopes.items():
        finder = ImageSimilarity()
        finder.set_directories([Path(home) / folder for folder in folders])
        finder.set_similarity(level)
        found[name] = [[str(file) for file in group] for group in finder.find_similar()]
        if len(found) == 1:
            seconds = time.perf_counter() - begin
    print(json.dumps({"tool": f"czkawka 8 x 8, {level}", "seconds": seconds, "groups": found}))
"""
DIFPY = """
import contextlib, io, json, sys, time
from pathlib import Path
import difPy
if __name__ == "__main__":
    home, scopes, _ = json.load(sys.stdin)
    seconds, groups = {}, {"duplicates": {}, "similar": {}}
    for name, folders in scopes.items():
        begin = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            pictures = difPy.build(*(f"{home}/{folder}" for folder in folders), show_progress=False)
        built = time.perf_counter()
        for kind in groups:
            start = time.perf_counter()
            with contextlib.redirect_stdout(io.StringIO()):
                result = difPy.search(pictures, similarity=kind, same_dim=kind == "duplicates", show_progress=False).result
            groups[kind][name] = [[str(Path(a)), *(str(Path(b[0])) for b in found)] for a, found in result.items()]
            seconds.setdefault(kind, built - begin + time.perf_counter() - start)
    for kind, found in groups.items():
        print(json.dumps({"tool": f"difPy, {kind}", "seconds": seconds[kind], "groups": found}))
"""


@dataclass
class Result:
    """What one tool, in one setting, moves: in each kind's folder alone, and in all together."""

    tool: str
    seconds: float | None
    moves: dict[str, Moves]
    review: dict[str, Moves] = field(default_factory=dict)


@dataclass(frozen=True)
class Score:
    """Of one kind, or of several added up: files, those that could be moved, that were moved rightly and falsely, or are for review."""

    files: int = 0
    movable: int = 0
    right: int = 0
    false: int = 0
    right_review: int = 0
    review: int = 0

    def __add__(self, other: "Score") -> "Score":
        return Score(*(one + two for one, two in zip(vars(self).values(), vars(other).values(), strict=True)))

    @property
    def recall(self) -> float:
        return self.right / self.movable

    @property
    def recall_with_review(self) -> float:
        return (self.right + self.right_review) / self.movable


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="the Python that has difPy and czkawka")
    parser.add_argument(
        "--corpus", type=Path, help="folder with the sub-folders photos and charts to make the corpus of"
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary).resolve() / "corpus"
        labels = write_corpus(read_sources(options.corpus), home)
        scopes = find_scopes(labels)
        results = run_ours(home, scopes, Path(temporary) / "store")
        if options.peers:
            czkawka = run_peer(options.peers, CZKAWKA, home, scopes, CZKAWKA_LEVELS)
            read = {path for path in labels if Path(path).suffix in find_suffixes(czkawka)}
            results += czkawka
            for size, levels in HASH_LEVELS.items():
                results += run_hashes(home, read, scopes, size, levels)
            results += run_peer(options.peers, DIFPY, home, scopes)
    scores = {result.tool: score_all(result, scopes, labels) for result in results}
    seconds = {result.tool: result.seconds for result in results}
    options.out.mkdir(parents=True, exist_ok=True)
    text = render(scores, seconds, len(labels))
    print(text)
    (options.out / "accuracy.txt").write_text(text, encoding="utf-8")
    answer = {"seconds": seconds, "scores": {tool: {k: vars(v) for k, v in by.items()} for tool, by in scores.items()}}
    answer["false moves of ours"] = list_false(results[0], labels)
    (options.out / "accuracy.json").write_text(json.dumps(answer) + "\n", encoding="utf-8")


def find_scopes(labels: Iterable[str]) -> Scopes:
    """Return all folders together, then each kind by its folder; copies are looked for beside the originals."""
    folders = sorted({path.rpartition("/")[0] for path in labels} - {ORIGINALS})
    changed = {f"{COPIES}/{kind}" for kind in CHANGES}
    return {TOGETHER: [""]} | {folder: [ORIGINALS, folder] if folder in changed else [folder] for folder in folders}


def is_within(path: str, folders: list[str]) -> bool:
    return any(path.startswith(f"{folder}/") for folder in folders if folder) or "" in folders


# Ours


def run_ours(home: Path, scopes: Scopes, store: Path) -> list[Result]:
    """Run `imagetwins run --dry-run` once, and decide from its tables in each scope, with all guards and without each."""
    program = Path(sys.executable).with_name("imagetwins")
    begin = time.perf_counter()
    subprocess.run(
        [program, "run", home, "--dry-run", "--json", "--store", store], check=True, capture_output=True, text=True
    )
    seconds = time.perf_counter() - begin
    run = find_run(parse_location(str(store)), "latest")
    images, comparisons = read_table(run.images, IMAGES), read_table(run.comparisons, COMPARISONS)
    parameters = run.read_record().parameters
    paths = [shorten(path, home) for path in images["path"]]
    load = decoded_thumbnails(lambda image: Path(images["path"].iat[image]), parameters.decode_settings)
    known = comparisons[comparisons["peak_difference"].notna()]
    results = []
    for name, change in list_settings().items():
        changed = parameters.model_copy(update=change)
        result = Result(name, None if change else seconds, {}, {})
        for scope, folders in scopes.items():
            within = np.array([is_within(path, folders) for path in paths])
            decisions, known = decide_within(images, comparisons, known, within, changed, load)
            for action, target in ((Action.WOULD_MOVE, result.moves), (Action.REVIEW, result.review)):
                chosen = decisions[decisions["action"] == action]
                target[scope] = {
                    shorten(moved, home): [shorten(kept, home)]
                    for moved, kept in zip(chosen["FullPath"], chosen["kept_path"], strict=True)
                }
        results.append(result)
    return results


def decide_within(
    images: pd.DataFrame,
    comparisons: pd.DataFrame,
    known: pd.DataFrame,
    within: NDArray[np.bool_],
    parameters: Parameters,
    load: ThumbnailLoader,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what a run on those images alone would have decided, and `known` with what had to be verified for it."""
    chosen, pairs = restrict(images, comparisons, within)
    _, known_pairs = restrict(images, known, within)
    image = np.flatnonzero(within)
    decisions, verified = decide_verified(
        Decider(chosen, pairs, parameters),
        lambda number: load(int(image[number])),
        count_cores(),
        known=known_pairs[VERIFIED.names],
    )
    again = verified.assign(**{name: image[verified[name].to_numpy(int)] for name in ("image1", "image2")})
    return decisions, pd.concat([known, again]).drop_duplicates(["image1", "image2"])


def list_settings() -> dict[str, dict[str, Any]]:
    """Return the default, each guard off in turn, and the plain rule: what differs from the default."""
    known = Parameters.model_fields
    off = {name: change for name, change in GUARDS.items() if set(change) <= set(known)}
    plain = {"rule": "plain"} if "rule" in known else {k: v for change in off.values() for k, v in change.items()}
    without = {f"ours, without {name}": change for name, change in off.items()}
    return {"ours": {}} | without | {"ours, plain rule": plain | {"grouping": "any"}}


def restrict(
    images: pd.DataFrame, comparisons: pd.DataFrame, within: NDArray[np.bool_]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables of a run on those images alone, numbered anew."""
    numbers = np.cumsum(within) - 1
    chosen = images[within].reset_index(drop=True)
    first, second = comparisons["image1"].to_numpy(), comparisons["image2"].to_numpy()
    pairs = comparisons[within[first] & within[second]].reset_index(drop=True)
    renumbered = {column: numbers[pairs[column].to_numpy()].astype(np.int32) for column in ("image1", "image2")}
    return chosen.assign(image=np.arange(len(chosen), dtype=np.int32)), pairs.assign(**renumbered)


# The peers


def run_peer(python: Path, program: str, home: Path, scopes: Scopes, levels: Iterable[int] = ()) -> list[Result]:
    with tempfile.TemporaryDirectory() as temporary:
        script = Path(temporary) / "peer.py"
        script.write_text(program, encoding="utf-8")
        given = json.dumps([str(home), scopes, list(levels)])
        done = subprocess.run([python, script], input=given, capture_output=True, text=True, check=True)
    results = []
    for line in done.stdout.splitlines():
        if line.startswith('{"tool"'):
            answer = json.loads(line)
            moves = {scope: to_moves(groups, home) for scope, groups in answer["groups"].items()}
            results.append(Result(answer["tool"], answer["seconds"], moves))
    return results


def to_moves(groups: list[list[str]], home: Path) -> Moves:
    """Return what moves if of each group the first file by path is kept."""
    moves: Moves = {}
    for group in groups:
        kept, *others = sorted(shorten(path, home) for path in group)
        for moved in others:
            moves.setdefault(moved, []).append(kept)
    return moves


def find_suffixes(results: list[Result]) -> set[str]:
    """Return the suffixes of the files that were put into groups: those of the formats that a tool reads."""
    paths = {path for result in results for moves in result.moves.values() for path in moves}
    return {Path(path).suffix for path in paths}


def run_hashes(home: Path, files: Iterable[str], scopes: Scopes, size: int, levels: Iterable[int]) -> list[Result]:
    """Group by gradient hashes of `size` x `size` bits, at each of the distances `levels`."""
    paths = sorted(files)
    begin = time.perf_counter()
    with ThreadPoolExecutor(count_cores()) as threads:
        hashes = np.array(list(threads.map(lambda path: gradient_hash(home / path, size), paths)))
    seconds = time.perf_counter() - begin
    within = {scope: np.array([is_within(path, folders) for path in paths]) for scope, folders in scopes.items()}
    results = []
    for level in levels:
        begin = time.perf_counter()
        moves = {TOGETHER: group_hashes(paths, hashes, level)}
        results.append(Result(f"hash {size} x {size}, {level}", seconds + time.perf_counter() - begin, moves))
        for scope, chosen in within.items():
            moves[scope] = group_hashes([paths[row] for row in np.flatnonzero(chosen)], hashes[chosen], level)
    return results


def gradient_hash(path: Path, size: int) -> NDArray[np.bool_]:
    with Image.open(path) as picture:
        small = (
            ImageOps.exif_transpose(picture)
            .convert("RGB")
            .convert("L")
            .resize((size + 1, size), Image.Resampling.LANCZOS)
        )
    levels = np.asarray(small)
    return (levels[:, :-1] < levels[:, 1:]).ravel()


def group_hashes(paths: list[str], hashes: NDArray[np.bool_], level: int) -> Moves:
    kept: list[int] = []
    moves: Moves = {}
    for row, path in enumerate(paths):
        distances = (hashes[kept] != hashes[row]).sum(axis=1)
        if kept and distances.min() <= level:
            moves[path] = [paths[kept[int(distances.argmin())]]]
        else:
            kept.append(row)
    return moves


def shorten(path: str, home: Path) -> str:
    return Path(path).relative_to(home).as_posix()


# Scores


def score_all(result: Result, scopes: Scopes, labels: dict[str, str]) -> dict[str, Score]:
    return {scope: score(result, scope, scopes[scope], labels) for scope in scopes}


def score(result: Result, scope: str, folders: list[str], labels: dict[str, str]) -> Score:
    within = [label for path, label in labels.items() if is_within(path, folders)]
    moved, review = result.moves[scope], result.review.get(scope, {})
    right = {path for path, kept in moved.items() if all(labels[one] == labels[path] for one in kept)}
    good = {path for path, kept in review.items() if labels[kept[0]] == labels[path]}
    return Score(
        len(within), len(within) - len(set(within)), len(right), len(moved) - len(right), len(good), len(review)
    )


def list_false(result: Result, labels: dict[str, str]) -> list[list[str]]:
    """Return the false moves in every scope: the moved file, and the kept."""
    found = {
        (path, one)
        for moves in result.moves.values()
        for path, kept in moves.items()
        for one in kept
        if labels[one] != labels[path]
    }
    return [list(pair) for pair in sorted(found)]


# The tables


def render(scores: dict[str, dict[str, Score]], seconds: dict[str, float | None], files: int) -> str:
    shown = choose_tools(scores)
    console = Console(width=180, record=True, file=open("/dev/null", "w"), highlight=False)  # noqa: PTH123, SIM115
    console.print(f"{files:,} files; what is counted: benchmarks/accuracy.py\n")
    console.print(_summary(scores, seconds))
    console.print(_by_kind("Recall of copies, each kind alone", COPIES, shown, lambda one: f"{one.recall:.2f}"))
    console.print(
        _by_kind("False moves among look-alikes, each kind alone", LOOKALIKE, shown, lambda one: f"{one.false or '-'}")
    )
    console.print(
        _by_kind("False moves among copies, each kind alone", COPIES, shown, lambda one: f"{one.false or '-'}")
    )
    return console.export_text()


def choose_tools(scores: dict[str, dict[str, Score]]) -> dict[str, dict[str, Score]]:
    """Return what the tables by kind show: ours, czkawka's strictest setting, the best by recall of each hash size, and difPy's."""
    best: dict[str, str] = {}
    for tool, by_kind in scores.items():
        method, _, level = tool.rpartition(", ")
        if level.isdigit() and (
            method not in best or total(by_kind, COPIES).recall > total(scores[best[method]], COPIES).recall
        ):
            best[method] = tool
    peers = [tool for tool in scores if tool == f"czkawka 8 x 8, {CZKAWKA_LEVELS[0]}" or tool in best.values()]
    tools = [tool for tool in scores if tool.startswith(("ours", "difPy"))]
    return {tool: scores[tool] for tool in [*tools, *peers]}


def total(by_kind: dict[str, Score], begin: str) -> Score:
    return sum((one for kind, one in by_kind.items() if kind.startswith(begin)), Score())


def _summary(scores: dict[str, dict[str, Score]], seconds: dict[str, float | None]) -> Table:
    table = Table(title="Summary", title_justify="left", box=None, pad_edge=False)
    for column in ("", "recall", "with review", "false, look-alikes", "false, copies", "review, look-alikes"):
        table.add_column(column, justify="right" if column else "left")
    for column in ("together: recall", "with review", "false", "seconds"):
        table.add_column(column, justify="right")
    for tool, by_kind in scores.items():
        copies, lookalikes, together = total(by_kind, COPIES), total(by_kind, LOOKALIKE), by_kind[TOGETHER]
        asks = tool.startswith("ours")
        table.add_row(
            tool,
            f"{copies.recall:.3f}",
            f"{copies.recall_with_review:.3f}" if asks else "",
            str(lookalikes.false),
            str(copies.false),
            str(lookalikes.review) if asks else "",
            f"{together.recall:.3f}",
            f"{together.recall_with_review:.3f}" if asks else "",
            str(together.false),
            "" if seconds[tool] is None else f"{seconds[tool]:.1f}",
        )
    return table


def _by_kind(title: str, begin: str, scores: dict[str, dict[str, Score]], cell: Callable[[Score], str]) -> Table:
    table = Table(title=f"\n{title}", title_justify="left", box=None, pad_edge=False)
    for column in ("", "movable" if begin == COPIES else "files", *scores):
        header = column.replace(", ", ",\n")
        table.add_column(header, justify="right" if column else "left", no_wrap=not column)
    first = next(iter(scores.values()))
    for kind, one in first.items():
        if kind.startswith(begin):
            count = one.movable if begin == COPIES else one.files
            table.add_row(kind.partition("/")[2], str(count), *(cell(by_kind[kind]) for by_kind in scores.values()))
    return table


if __name__ == "__main__":
    main()
