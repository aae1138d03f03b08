"""The report in headless Chromium: what it shows, how it is used, and that it stays on this machine."""

import hashlib
import shutil

import cv2
import pytest
from playwright.sync_api import sync_playwright
from skimage import data

from imagetwins.reporting.run_page import build_report
from tests.support.past_runs import image_table, write_run

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")

NASTY = "d <img src=x onerror=document.title='taken'>.png"
NAMES = ["a.png", "b.png", "c.png", NASTY, "e.png"]
SCORES = {(0, 1): (0.97, 0.95), (0, 2): (0.93, 0.92), (0, 3): (0.95, 0.4), (0, 4): (0.88, 0.8)}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    photo = cv2.cvtColor(data.coffee(), cv2.COLOR_RGB2BGR)
    for number, name in enumerate(NAMES):
        _, encoded = cv2.imencode(".png", cv2.convertScaleAbs(photo, beta=5 * number))
        (folder / name).write_bytes(encoded.tobytes())
    digests = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in NAMES]
    images = image_table([str(folder / name) for name in NAMES], digests)
    return build_report(
        write_run(tmp_path_factory.mktemp("store"), "1", images, SCORES, folder=str(folder), moved=False)
    )


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture(params=["desktop, light", "phone, dark"])
def page(report, browser, request):
    """The page, which must say nothing on the console, ask for nothing, and be no wider than its window."""
    width, theme = (390, "dark") if "phone" in request.param else (1280, "light")
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=theme)
    opened, complaints = context.new_page(), []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on(
        "request", lambda asked: None if asked.url.startswith(("file:", "data:")) else complaints.append(asked.url)
    )
    opened.goto(report.as_uri())
    yield opened
    assert complaints == []
    assert opened.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    context.close()


def names(page):
    return page.locator(".tile .name").all_inner_texts()


def test_the_kept_picture_comes_first_and_the_lowest_score_next(page):
    assert names(page) == ["a.png", "c.png", "b.png"]
    assert page.locator(".tile img").first.evaluate("image => image.naturalWidth") > 0


def test_tabs_filter_and_names_stay_text(page):
    page.click("[data-tab=review]")
    assert names(page) == ["a.png", NASTY]
    assert "detail" in page.inner_text(".why")
    assert page.title() != "taken"

    page.click("[data-tab=near]")
    assert names(page) == ["a.png", "e.png"]


def test_finding_a_path(page):
    page.fill("#find", "C.PNG")
    assert names(page) == ["a.png", "c.png", "b.png"]

    page.fill("#find", "nowhere")
    assert names(page) == []
    assert "No path contains these words." in page.inner_text("#groups")


def test_a_click_shows_the_pair_and_where_it_differs(page):
    page.locator(".tile").nth(1).click()

    dialog = page.locator("dialog")
    assert "SSIM 0.9300" in dialog.inner_text()
    assert dialog.locator("img.map").evaluate("image => image.naturalWidth") == 100
    page.keyboard.press("ArrowRight")
    assert "SSIM 0.9700" in dialog.inner_text()
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_the_theme_can_be_switched(page):
    def paper():
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    before = paper()
    page.click("#theme")
    assert paper() != before
    page.click("#theme")
    assert paper() == before


def test_a_pair_in_doubt_has_a_first_and_a_second_and_a_duplicate_what_became_of_it(page):
    def titles():
        return page.locator("dialog figcaption b").all_inner_texts()

    page.locator(".tile").nth(1).click()
    assert titles() == ["Kept", "Would move", "Difference"]
    page.keyboard.press("Escape")

    page.click("[data-tab=review]")
    page.locator(".tile").nth(1).click()
    assert titles() == ["First", "Second", "Difference"]
