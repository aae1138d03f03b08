"""Whether a report of 2,000 groups scrolls without a stutter, and how long its keys take, in headless Chromium.

Makes a run over made-up pictures and its report, as `benchmarks.report_size` does, opens it, and scrolls the list of groups by the
wheel, 400 pixels at a time, to its end. Measured are the times between frames, beside those of an empty page that is scrolled in
the same way at the same time of day: a browser without a graphics card on a busy machine misses frames by itself; and the tasks
of the page's own thread that took more than 50 ms, which is what a person notices (https://www.w3.org/TR/longtasks-1/).
Then the keys: milliseconds from a key to the next frame, for "n" in 100 groups, for a rule over all groups, and for `u`.

    python -m benchmarks.desk_scroll [--groups 2000] [--copies 1]
"""

import argparse
import json
import shutil
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from benchmarks.report_size import build_run
from imagetwins.reporting.run_page import build_report

WHEEL_PX = 400
KEYS = 100
EMPTY = "data:text/html,<body style='height:600000px;background:linear-gradient(white,gray)'>"
"""As long as the page, with nothing on it."""

WATCH = """
    window.frames_ms = []; window.long_ms = [];
    new PerformanceObserver((list) => list.getEntries().forEach((one) => window.long_ms.push(one.duration))).observe({ type: "longtask" });
    let last = performance.now();
    const tick = (now) => { window.frames_ms.push(now - last); last = now; requestAnimationFrame(tick); };
    requestAnimationFrame(tick);
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=2_000)
    parser.add_argument("--copies", type=int, default=1, help="of every kept picture")
    options = parser.parse_args()
    for line in iter_measured(options.groups, options.copies):
        print(line)


def iter_measured(groups: int, copies: int) -> Iterator[str]:
    """Yield what is measured of a report of so many groups, each of so many copies of a kept picture, as lines."""
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        run, _ = build_run(Path(temporary), groups * (1 + copies), copies)
        report = build_report(run)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        empty = browser.new_page(viewport={"width": 1280, "height": 860})
        empty.goto(EMPTY)
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        page.goto(report.as_uri())
        ready_ms = page.evaluate("performance.now()")
        yield f"{groups:,} groups, {report.stat().st_size / 1e6:.1f} MB, open after {ready_ms:.0f} ms"
        yield "| page | frames | median ms | 95 % | 99 % | worst | tasks above 50 ms |"
        yield "|---" * 7 + "|"
        for name, one, pixels in (("empty", empty, 100_000), ("desk", page, 100_000), ("desk, again", page, 100_000)):
            one.bring_to_front()
            yield describe_frames(name, *scroll(one, pixels))
        yield json.dumps(time_keys(page))
        browser.close()


def scroll(page: Page, pixels: int) -> tuple[list[float], list[float]]:
    """Scroll down from the top, at most so far; return the times between frames, and the long tasks, in ms."""
    page.evaluate("scrollTo({ top: 0, behavior: 'instant' })")
    page.evaluate(WATCH)
    page.mouse.move(640, 430)
    for _ in range(0, pixels, WHEEL_PX):
        page.mouse.wheel(0, WHEEL_PX)
        page.wait_for_timeout(16)
        if page.evaluate("scrollY + innerHeight > document.documentElement.scrollHeight - 10"):
            break
    return page.evaluate("[window.frames_ms.slice(2), window.long_ms]")  # type: ignore[no-any-return]


def describe_frames(name: str, frames: Sequence[float], long: Sequence[float]) -> str:
    """Return a row of the table."""
    cuts = statistics.quantiles(frames, n=100)
    return (
        f"| {name} | {len(frames):,} | {cuts[49]:.1f} | {cuts[94]:.1f} | {cuts[98]:.1f} | {max(frames):.1f} "
        f"| {len(long)}{f', the longest {max(long):.0f}' if long else ''} |"
    )


def time_keys(page: Page) -> dict[str, float]:
    """Return how long keys take until what they do is on the screen, in ms."""
    page.evaluate("focusOn(shown[0], 0)")
    decided = [time_key(page, "n") for _ in range(KEYS)]
    rule = time_press(page, "rules.querySelector('#rule').value = 'bytes'; selectByRule()")
    page.evaluate("focusOn(shown[0], 0)")
    return {
        "n, median": round(statistics.median(decided), 1),
        "n, worst": round(max(decided), 1),
        "rule over all": round(rule, 1),
        "undo it": round(time_key(page, "u"), 1),
    }


def time_key(page: Page, key: str) -> float:
    event = f"document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {{ key: '{key}', bubbles: true }}))"
    return time_press(page, event)


def time_press(page: Page, script: str) -> float:
    """Return the milliseconds that `script` takes, and the frame after it."""
    timed = f"""() => new Promise((done) => requestAnimationFrame(() => {{
        const begin = performance.now();
        {script};
        requestAnimationFrame(() => {{ const channel = new MessageChannel(); channel.port1.onmessage = () => done(performance.now() - begin); channel.port2.postMessage(0); }});
    }}))"""
    return page.evaluate(timed)  # type: ignore[no-any-return]


if __name__ == "__main__":
    main()
