"""How long it takes to settle 300 matches that a program cannot decide, and whether they are settled for good: keys and seconds.

    python -m benchmarks.review [--matches 300] [--out benchmarks/results]

Makes the matches of `labelled/matches.py`, half of them copies, half of them other pictures, and goes the whole way with the
commands that a person would use: `imagetwins run` finds them and moves none; `imagetwins review` opens the desk, in headless
Chromium; a person is played who knows the truth, and has the keyboard alone: the first half is settled in the list, the second in the
dialog that shows a pair large, and *Apply* moves the copies. Then the night after: the same folder is run again. At the end
the folder must be what the labels say, and nothing may be asked again; else this fails.

What is counted: every key, and the machine's seconds from a key until its effect is painted. How long a person looks is the person's
own; `with people` adds for every match what the keystroke-level model (Card, Moran and Newell, 1980) takes for one decision and one
key, and nothing for looking.

*Before* is what the same took without the desk. A match in doubt could not be moved by an answer at all: the person had the plain rule hold
back nothing (`--rule plain --approval always`, with `imagetwins serve`), looked at a page of which 40 groups were shown at once, and typed the
names of the files that shall stay: `imagetwins approve RUN --leave NAME --leave NAME ...`. The characters of that command are counted, with names
as short as it takes them; and on the next night the same names again. Which of two copies stays could not be said.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from benchmarks.labelled.matches import Match, iter_matches
from benchmarks.ssim_join import describe_machine
from imagetwins.runtime.server import QUIET
from imagetwins.storage import DUPLICATES

IMAGETWINS = Path(sys.executable).with_name("imagetwins")
KEY_SECONDS, MENTAL_SECONDS = 0.28, 1.35
"""Of an average typist, and of one decision (Card, Moran and Newell, The keystroke-level model, CACM 23(7), 1980)."""

GROUPS_A_PAGE = 40
"""Of the report before there was a desk."""

PATIENCE_SECONDS = 120
README = "| {what} | {before} | {now} |"


@dataclass
class Settled:
    """What it took to settle the matches: keys, and the milliseconds of each decision in the list and in the dialog."""

    keys: int = 0
    milliseconds: dict[str, list[float]] = field(default_factory=lambda: {"list": [], "dialog": []})
    opening_seconds: float = 0.0
    applying_seconds: float = 0.0
    outcome: str = ""

    @property
    def decisions(self) -> int:
        return sum(map(len, self.milliseconds.values()))

    @property
    def machine_seconds(self) -> float:
        waited = sum(map(sum, self.milliseconds.values())) / 1000
        return waited + self.opening_seconds + self.applying_seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--matches", type=int, default=300)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    matches = list(iter_matches(options.matches))
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        folder, store = place / "pictures", place / "store"
        write_matches(matches, folder)
        first = run_night(folder, store, place)
        check(first["review"] == len(matches), f"{first['review']} matches are for review")
        with serve_desk(store, place) as address:
            settled = settle_all(address, matches)
        problems = compare_with_truth(matches, folder)
        check(not problems, f"{len(problems)} files are not where they belong, as {problems[:3]}")
        second = run_night(folder, store, place)
        asked = second["review"] + second["duplicates"]
        check(asked == 0, f"{asked} matches were asked about again")
    lines = list(describe(matches, settled, second))
    machine = ", ".join(f"{name} {value}" for name, value in describe_machine().items())
    report = "\n".join([machine, "", *lines])
    (options.out / "review.txt").write_text(report + "\n", encoding="utf-8")
    print(report)


def check(holds: bool, problem: str) -> None:
    if not holds:
        raise SystemExit(f"{problem}: that should not be.")


def write_matches(matches: Sequence[Match], folder: Path) -> None:
    for match in matches:
        for name, content in zip((match.first, match.second), match.contents, strict=True):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)


def environment(place: Path) -> dict[str, str]:
    """Return what the commands see: quiet settings, and nothing of the user's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "IMAGETWINS_"))}
    return kept | QUIET | {"PREFECT_HOME": str(place / "prefect")}


def run_night(folder: Path, store: Path, place: Path) -> dict[str, Any]:
    """Run as a schedule would, and return what the run says."""
    command = [IMAGETWINS, "run", folder, "--store", store, "--json"]
    done = subprocess.run(command, env=environment(place), capture_output=True, text=True, check=True)
    said: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return said


@contextmanager
def serve_desk(store: Path, place: Path) -> Iterator[str]:
    """Start `imagetwins review`, yield the address that it prints, and end it."""
    command = [IMAGETWINS, "review", "--no-browser", "--store", store]
    with subprocess.Popen(
        command, env=environment(place), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            found = re.search(r"http://\S+", line)
            if not found:
                raise SystemExit(f"imagetwins review said {line!r}, and no address.")
            yield found[0]
        finally:
            process.terminate()
            process.communicate(timeout=PATIENCE_SECONDS)


# -- the person ------------------------------------------------------------------------------------------------------


def settle_all(address: str, matches: Sequence[Match]) -> Settled:
    """Settle `matches` on the page at `address` with the keyboard alone."""
    truth = {name: match for match in matches for name in (match.first, match.second)}
    settled = Settled()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        begin = time.perf_counter()
        page.goto(address)
        press(page, "g", settled)  # To the first match that is undecided.
        settled.opening_seconds = time.perf_counter() - begin
        decide(page, "list", "here.group", len(matches) // 2, truth, settled)
        press(page, "Enter", settled)
        press(page, "d", settled)  # Their difference, which shows a face, or a name, that a small picture hides.
        decide(page, "dialog", "groupOf.get(seen.member)", len(matches) - len(matches) // 2, truth, settled)
        press(page, "Escape", settled)
        apply(page, settled)
        browser.close()
    return settled


def press(page: Page, key: str, settled: Settled) -> float:
    """Press a key; return the milliseconds until what it did was painted."""
    begin = time.perf_counter()
    page.keyboard.press(key)
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)))")
    settled.keys += 1
    return 1000 * (time.perf_counter() - begin)


def decide(page: Page, where: str, group: str, count: int, truth: dict[str, Match], settled: Settled) -> None:
    """Decide about `count` matches, each as its label says, with one key."""
    for _ in range(count):
        first, second = page.evaluate(f"{group}.pictures.map((image) => images[image].path)")
        match = truth[first]
        check(match is truth[second], f"{first} and {second} are shown as a match")
        # Of a copy, the one whose name says nothing of a copy stays.
        key = "n" if not match.is_copy else "1" if first == match.first else "2"
        settled.milliseconds[where].append(press(page, key, settled))


def apply(page: Page, settled: Settled) -> None:
    """Apply what was chosen, and read what the page says of it."""
    begin = time.perf_counter()
    press(page, "a", settled)
    press(page, "Enter", settled)
    outcome = page.locator("dialog.above h2", has_text=re.compile("^Applied$"))
    outcome.wait_for(timeout=1000 * PATIENCE_SECONDS)
    settled.applying_seconds = time.perf_counter() - begin
    settled.outcome = " ".join(page.locator("dialog.above li").all_inner_texts())


def compare_with_truth(matches: Sequence[Match], folder: Path) -> list[str]:
    """Return the files that are not where their labels want them: copies in `Duplicates`, all others where they were."""
    wanted = {path: path for match in matches for path in (match.first, match.second)}
    wanted |= {match.second: f"{DUPLICATES}/{match.second}" for match in matches if match.is_copy}
    there = {str(file.relative_to(folder)) for file in folder.rglob("*.jpg")}
    return sorted(set(wanted.values()) ^ there)


# -- what is told ----------------------------------------------------------------------------------------------------


def describe(matches: Sequence[Match], settled: Settled, second_night: dict[str, int]) -> Iterator[str]:
    """Yield the lines of the result, the README's table among them."""
    typed = len(plan_command(matches))
    pages = -(-len(matches) // GROUPS_A_PAGE)
    before, now = (
        with_people(typed + pages - 1, len(matches)),
        with_people(settled.keys, len(matches)) + settled.machine_seconds,
    )
    yield f"{len(matches)} matches for review, {sum(match.is_copy for match in matches)} of them copies, settled with the keyboard alone:"
    yield f"{settled.keys} keys, {settled.machine_seconds:.1f} s of the machine: {settled.opening_seconds:.1f} to open the page, {settled.applying_seconds:.1f} to apply."
    for where, times in settled.milliseconds.items():
        yield f"A decision in the {where}: median {statistics.median(times):.0f} ms until the next match is painted, worst {max(times):.0f} ms, of {len(times)}."
    yield f"The page said: {settled.outcome}"
    yield "All copies lie in Duplicates, all other pictures where they were."
    yield (
        f"The second night: {second_night['duplicates']} duplicates, {second_night['review']} for review, "
        f"{second_night['remembered']} pairs kept apart as a person had said."
    )
    yield ""
    yield "| to settle | before | now |"
    yield "|---|---|---|"
    yield README.format(
        what=f"keys for {len(matches)} matches",
        before=f"{typed:,} characters, and {pages - 1} pages turned",
        now=f"{settled.keys:,}",
    )
    yield README.format(
        what="with people who decide and type, and do not look", before=minutes(before), now=minutes(now)
    )
    yield README.format(
        what="asked again the next night",
        before=f"all {sum(not match.is_copy for match in matches)} that are no copies",
        now="none",
    )


def plan_command(matches: Sequence[Match]) -> str:
    """Return the command that answered for all matches at once, before there was a desk."""
    # By the plain rule the one that is listed later moves: "IMG_0001 (1).jpg" comes before "IMG_0001.jpg".
    stays = "".join(f" --leave {shlex.quote(max(match.first, match.second))}" for match in matches if not match.is_copy)
    return f"imagetwins approve latest{stays}\n"


def with_people(keys: int, decisions: int) -> float:
    return keys * KEY_SECONDS + decisions * MENTAL_SECONDS


def minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min"


if __name__ == "__main__":
    main()
