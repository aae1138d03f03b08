"""Pages in headless Chromium, and what holds for each of them."""

import shutil
from contextlib import contextmanager

from playwright.sync_api import sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WIDTHS = {"desktop": 1280, "phone": 390}


@contextmanager
def open_browser():
    with sync_playwright() as playwright:
        # In a container there may be no user but root, for whom Chromium has no sandbox.
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@contextmanager
def open_page(report, browser, device, **options):
    """The page on a `device` like "phone, dark", which must say nothing on the console, ask for nothing, and be no wider than its window."""
    kind, theme = device.split(", ")
    context = browser.new_context(viewport={"width": WIDTHS[kind], "height": 844}, color_scheme=theme, **options)
    opened, complaints = context.new_page(), []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on(
        "request", lambda asked: None if asked.url.startswith(("file:", "data:")) else complaints.append(asked.url)
    )
    opened.goto(report.as_uri())
    yield opened
    assert complaints == [], complaints
    assert opened.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    context.close()


def wait_for(page, is_so):
    """Wait until `is_so()`; the page's own policy forbids Playwright's way, which evaluates text."""
    for _ in range(100):
        if is_so():
            return
        page.wait_for_timeout(50)
    raise AssertionError("not within five seconds")
