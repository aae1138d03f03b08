"""Make the pictures of the README: the report and the calibration page of the sample folder, as a browser shows them.

Builds the samples, runs `imagetwins run` and `imagetwins calibrate` on them as a user would, and takes the pictures in
headless Chromium, in both themes and at a phone's width.

    python benchmarks/pictures.py [--out docs]
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from imagetwins.demo import build_samples
from imagetwins.store.runs import Run

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
DESKTOP, PHONE = (1100, 1300), (390, 844)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, open_browser() as browser:
        folder, store = Path(temporary) / "holidays", Path(temporary) / "store"
        print(f"{build_samples(folder)} samples")
        # Calibrated first: a run moves the copies away.
        calibration = Path(ask("calibrate", folder, store)["page"])
        report = Run(store, ask("run", folder, store)["run_id"]).report
        shoot(browser, report, out / "report.png", DESKTOP, "light")
        shoot(browser, report, out / "report-dark.png", DESKTOP, "dark")
        shoot(browser, report, out / "report-phone.png", PHONE, "dark", scroll_to="#pictures")
        shoot(browser, report, out / "difference.png", (1200, 760), "light", click=".tile >> nth=1")
        shoot(browser, calibration, out / "calibration.png", DESKTOP, "light")


def ask(command: str, folder: Path, store: Path) -> dict[str, str]:
    """Return what `imagetwins COMMAND FOLDER` answers as JSON."""
    program = Path(sys.executable).with_name("imagetwins")
    arguments = [program, command, str(folder), "--store", str(store), "--json"]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True)
    answer: dict[str, str] = json.loads(done.stdout)
    return answer


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start the system's Chromium if there is one, else Playwright's own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield browser
        browser.close()


def shoot(
    browser: Browser,
    page_file: Path,
    target: Path,
    size: tuple[int, int],
    theme: str,
    click: str = "",
    scroll_to: str = "",
) -> None:
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=theme)
    page = context.new_page()
    page.goto(page_file.as_uri())
    if click:
        page.click(click)
    if scroll_to:
        page.eval_on_selector(scroll_to, "element => element.scrollIntoView({behavior: 'instant'})")
    page.wait_for_timeout(300)
    page.screenshot(path=str(target))
    context.close()
    print(f"{target}  {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
