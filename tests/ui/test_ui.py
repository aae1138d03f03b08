"""The way of somebody who lives in Prefect's UI, in a real browser: form, run, gallery, approval, files.

IMAGETWINS_SCREENSHOTS=docs writes the README's pictures.
"""

import json
import os
import shutil
from pathlib import Path

import cv2
import pytest
import skimage.data
from playwright.sync_api import Error, sync_playwright
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey

from imagetwins.config.parameters import Options

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")

PATIENCE = 60_000
"""For a page to show something, in milliseconds: generous, the machine may be busy."""

FIRST_SCREEN = ["folder", "threshold (Optional)", "dry_run (Optional)", "options (Optional)"]

SOON = 10_000
"""For a press to show its effect, in milliseconds, before it is tried again."""


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        # In a container there may be no user but root, for whom Chromium has no sandbox.
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser):
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.set_default_timeout(PATIENCE)
    yield opened
    opened.close()


@pytest.fixture
def pictures(tmp_path):
    """Two photographs and two copies of each; the second copy of the first is to be left alone, that of the second is turned."""
    folder = tmp_path / "holiday"
    folder.mkdir()
    for name in ("chelsea", "coffee"):
        image = cv2.cvtColor(getattr(skimage.data, name)(), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / f"{name}.png"), image)
        cv2.imwrite(str(folder / f"{name} copy.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 90])
        small = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        if name == "coffee":
            small = cv2.rotate(small, cv2.ROTATE_90_CLOCKWISE)
        cv2.imwrite(str(folder / f"{name} small.png"), small)
    return folder


def take_picture(page, name):
    if folder := os.environ.get("IMAGETWINS_SCREENSHOTS"):
        page.wait_for_timeout(1500)
        page.screenshot(path=Path(folder) / f"{name}.png")


def open_form(page, service):
    page.goto(f"{service.url}/v2/deployments")
    page.get_by_role("link", name="on-demand").first.click()
    choose(page, page.get_by_role("button", name="Run", exact=True), page.get_by_role("menuitem", name="Custom run"))
    page.get_by_label("threshold").wait_for()


def choose(page, menu, item):
    """Open a menu and press one of its items, again if the page was drawn anew in between, which closes the menu."""
    for _ in range(5):
        menu.click()
        try:
            item.click(timeout=SOON)
        except Error:
            page.keyboard.press("Escape")
            continue
        return
    raise AssertionError(f"the menu did not stay open: {page.get_by_role('menuitem').all_inner_texts()}")


def test_the_form_explains_itself_and_refuses_what_is_out_of_bounds(page, service, pictures):
    open_form(page, service)
    assert page.get_by_text(
        "Two pictures match when their SSIM is this or more (-1 to 1; 1 is identical)."
    ).is_visible()
    threshold = page.get_by_label("threshold")
    assert threshold.input_value() == "0.9"
    assert (threshold.get_attribute("min"), threshold.get_attribute("max")) == ("-1", "1")
    page.get_by_label("folder").fill(str(pictures))
    threshold.fill("1.5")
    page.get_by_role("button", name="Submit").click()
    assert threshold.evaluate("field => field.validationMessage") == "Value must be less than or equal to 1."
    assert page.url.split("?")[0].endswith("/run"), "the form is still there"
    threshold.fill("0.95")
    page.evaluate("scrollTo(0, 0)")
    take_picture(page, "form")

    assert page.locator("label").all_inner_texts()[:5] == ["Run Name", *FIRST_SCREEN]
    page.get_by_role("tab", name="Choose").click()
    size = page.get_by_label("size (Optional)", exact=True)
    assert (size.input_value(), size.get_attribute("max")) == ("200", "1024")
    assert page.get_by_text(Options.model_fields["size"].description).is_visible()


def test_a_run_is_started_looked_at_approved_and_done(page, service, pictures):
    open_form(page, service)
    page.get_by_label("folder").fill(str(pictures))
    page.get_by_label("threshold").fill("0.8")
    page.get_by_role("tab", name="Choose").click()
    for parameter, value in (("orientations", "all"), ("approval", "always")):
        select = page.get_by_role("button", name=f"Select {parameter}")
        choose(page, select, page.get_by_role("option", name=value, exact=True))
    submit(page)
    run = str(service.find_run(pictures).id)
    service.wait_for_question(run)
    page.goto(f"{service.url}/v2/runs/flow-run/{run}")
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("imagetwins-gallery").first.wait_for()
    take_picture(page, "run")
    assert not (pictures / "Duplicates").exists(), "nothing moves before the answer"

    summary = show_artifact(page, service, run, "summary")
    summary.get_by_role("heading", name="4 duplicates among 6 pictures").wait_for()
    summary.get_by_text("imagetwins approve").wait_for()
    summary.get_by_text("too: 1 of the duplicates is turned or mirrored.").wait_for()
    gallery = show_artifact(page, service, run, "gallery")
    settled(
        page, gallery.locator("img"), "pictures => pictures.length == 8 && pictures.every(p => p.naturalWidth > 50)"
    )
    fits = "tables => tables.length == 1 && tables[0].scrollWidth <= tables[0].parentElement.clientWidth"
    settled(page, gallery.locator("table"), fits)
    gallery.get_by_text("(shown turned by 90 degrees counter-clockwise)").wait_for()
    take_picture(page, "gallery")

    page.goto(f"{service.url}/v2/runs/flow-run/{run}")
    answer(page, leave_alone="chelsea small.png", comment="sharper than it looks")
    service.wait_for(run, "Completed")
    assert {path.name for path in (pictures / "Duplicates").glob("[!.]*")} == {
        "chelsea.png",
        "coffee.png",
        "coffee small.png",
    }
    assert {path.name for path in pictures.glob("*.*")} == {"chelsea copy.jpg", "chelsea small.png", "coffee copy.jpg"}
    record = json.loads(next(service.store.glob(f"runs/*-{run[:8]}/run.json")).read_text())
    assert record["parameters"]["orientations"] == "all"
    assert record["approval"]["leave_alone"] == ["chelsea small.png"]
    assert record["approval"]["comment"] == "sharper than it looks"
    summary = show_artifact(page, service, run, "summary")
    summary.get_by_text(f"imagetwins restore {record['run_id']}").wait_for()
    take_picture(page, "summary")

    table = show_artifact(page, service, run, "decisions", "table-display")
    table.get_by_text("Duplicates/coffee small.png").wait_for()
    page.get_by_text("Look at them on the desk").wait_for()
    take_picture(page, "table")


def submit(page):
    """Press Submit until the form is gone: on a busy machine Prefect's form swallows a press that comes while it validates."""
    for _ in range(10):
        page.get_by_role("button", name="Submit").click()
        try:
            page.wait_for_url(lambda url: not url.split("?")[0].endswith("/run"), timeout=SOON)
        except Error:
            continue
        return
    raise AssertionError(f"the form was not taken: {page.locator(':invalid').count()} fields are marked")


def settled(page, found, condition):
    """Wait until `condition` holds of the elements found: Prefect draws an artifact again whenever it asks for it again."""
    for _ in range(PATIENCE // 200):
        if found.evaluate_all(condition):
            return
        page.wait_for_timeout(200)
    raise AssertionError(f"{condition} does not hold: {found.evaluate_all('all => all.map(one => one.outerHTML)')}")


def show_artifact(page, service, run, kind, place="markdown-display"):
    """Open the latest artifact of a kind that the run has; return its place on the page."""
    chosen = ArtifactFilter(
        flow_run_id=ArtifactFilterFlowRunId(any_=[run]), key=ArtifactFilterKey(any_=[f"imagetwins-{kind}"])
    )
    with service.client() as client:
        latest = max(client.read_artifacts(artifact_filter=chosen), key=lambda artifact: artifact.created)
    page.goto(f"{service.url}/v2/artifacts/artifact/{latest.id}")
    return page.get_by_test_id(place)


def answer(page, *, leave_alone, comment):
    choose(page, page.get_by_role("button", name="Open menu").first, page.get_by_role("menuitem", name="Resume"))
    form = page.get_by_role("dialog")
    form.get_by_text("4 files of").wait_for()
    form.get_by_role("switch").click()
    form.get_by_role("button", name="Add item").first.click()
    form.get_by_role("textbox").first.fill(leave_alone)
    form.get_by_label("Comment").fill(comment)
    take_picture(page, "approval")
    for _ in range(5):
        form.get_by_role("button", name="Resume").click()
        try:
            form.wait_for(state="hidden", timeout=SOON)
        except Error:  # A busy SQLite database may turn a request away; the form stays and says so.
            continue
        return
    raise AssertionError(f"the answer was not taken: {form.inner_text()}")
