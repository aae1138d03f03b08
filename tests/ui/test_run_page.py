"""The report in headless Chromium: what it shows, how it is used, and that it stays on this machine."""

import base64
import itertools
import shlex

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps
from skimage import data
from skimage.metrics import structural_similarity

from imagetwins.reporting.run_page import build_report
from imagetwins.store.schemas import LINKS
from imagetwins.store.tables import write_table
from tests.support import thumbnails
from tests.support.pages import CHROMIUM, open_browser, open_page, wait_for
from tests.support.past_runs import digest_all, image_table, link_table, write_run

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
    paths = [str(folder / name) for name in NAMES]
    images = image_table(paths, digest_all(paths))
    run = write_run(tmp_path_factory.mktemp("store"), "1", images, SCORES, folder=str(folder), moved=False)
    run.journal.unlink()
    links = {f"{folder}/{name}": ("b.png", paths[1]) for name in (f"l{NASTY}", "cover.png")}
    write_table(link_table(links), LINKS, run.links / "part-0.parquet")
    return build_report(run)


@pytest.fixture(scope="module")
def browser():
    with open_browser() as opened:
        yield opened


@pytest.fixture(params=["desktop, light", "phone, dark"])
def page(report, browser, request):
    with open_page(report, browser, request.param) as opened:
        yield opened


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


def test_links_that_dangle_are_named_with_what_to_do(page):
    assert "2 symbolic links would dangle" in page.inner_text("#links h2")
    rows = page.locator("#links tr").all_inner_texts()[1:]
    assert [row.split("\t") for row in rows] == [[name, "b.png", "a.png"] for name in ("cover.png", f"l{NASTY}")]
    commands = shlex.split(page.inner_text("#links code"))
    assert commands[:4] == ["ln", "-sfn", "--", "a.png"]
    assert commands[4].endswith("/cover.png;")


def test_finding_a_path(page):
    page.fill("#find", "C.PNG")
    assert names(page) == ["a.png", "c.png", "b.png"]

    page.fill("#find", "nowhere")
    assert names(page) == []
    assert "No path contains these words." in page.inner_text("#groups")


def test_the_theme_can_be_switched(page):
    def paper():
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    before = paper()
    page.click("#theme")
    assert paper() != before
    page.click("#theme")
    assert paper() == before


def test_maps_are_drawn_for_pairs_that_are_seen_and_for_no_others(page):
    def count_drawn():
        return page.evaluate("document.querySelectorAll('.tile canvas:not([width=\"1\"])').length")

    page.set_viewport_size({"width": page.viewport_size["width"], "height": 300})
    page.locator("#maps").evaluate("box => box.click()")
    page.wait_for_timeout(300)
    assert count_drawn() == 0, "the pictures are further down"

    for number in range(2):
        page.locator(".tile canvas").nth(number).scroll_into_view_if_needed()
        wait_for(page, lambda: count_drawn() > number)  # noqa: B023 - called at once

    page.locator("#maps").evaluate("box => box.click()")
    page.locator("[data-tab=review]").evaluate("tab => tab.click()")
    assert count_drawn() == 0
    page.locator(".tile").nth(1).focus()
    wait_for(page, lambda: count_drawn() == 1)


@pytest.fixture(scope="module")
def plain(browser, report):
    opened = browser.new_page()
    opened.goto(report.as_uri())
    yield opened
    opened.close()


PACK = """
    const pack = (numbers) => {
        let text = "";
        for (const byte of new Uint8Array(numbers.buffer)) text += String.fromCharCode(byte);
        return btoa(text);
    };
    const unpack = (text) => Uint8ClampedArray.from(atob(text), (character) => character.charCodeAt(0));
"""
"""Arrays as base64: Playwright takes a second for a list of 100,000 numbers."""


def unpack(text, dtype, side):
    return np.frombuffer(base64.b64decode(text), dtype).reshape(side, side, -1)


def ask_map(page, first, second):
    """The map that the page computes of two (side, side, 3) uint8 pictures."""
    opaque = np.full(first.shape[:2], 255, np.uint8)
    rgba = [base64.b64encode(np.dstack([one, opaque])).decode() for one in (first, second)]
    script = f"([first, second, side]) => {{ {PACK} return pack(ssimMap(unpack(first), unpack(second), side)); }}"
    return unpack(page.evaluate(script, [*rgba, len(first)]), np.float64, len(first))[..., 0]


def expect_map(first, second):
    return structural_similarity(first, second, channel_axis=-1, full=True)[1].mean(axis=-1)


def list_pairs():
    rng = np.random.default_rng(0)
    for side in (16, 57, 200):
        photographs = thumbnails.photographs(side)
        noise = rng.integers(0, 256, (2, side, side, 3), np.uint8)
        blurred = cv2.GaussianBlur(photographs[0], (5, 5), 0)
        one_channel = photographs[1].copy()
        one_channel[..., 1] = 255 - one_channel[..., 1]
        yield f"photographs, {side}", photographs[0], photographs[2]
        yield f"a copy, {side}", photographs[0], blurred
        yield f"identical, {side}", photographs[3], photographs[3]
        yield f"one channel, {side}", photographs[1], one_channel
        yield f"noise, {side}", *noise
        yield f"flat, {side}", thumbnails.flat(side, 100), thumbnails.flat(side, 101)
        yield f"black and white, {side}", thumbnails.flat(side, 0), thumbnails.flat(side, 255)
        yield f"pages, {side}", thumbnails.page(side, 1), thumbnails.page(side, 2)


PAIRS = {name: pair for name, *pair in list_pairs()}


@pytest.mark.parametrize("name", PAIRS)
def test_the_map_is_that_of_scikit_image(plain, name):
    first, second = PAIRS[name]

    assert ask_map(plain, first, second) == pytest.approx(expect_map(first, second), abs=1e-9)


def ask_pixels(page, image, orientation, side):
    """The pixels of a picture of the page, turned."""
    look = f"async ([image, orientation]) => {{ {PACK} return pack((await pixelsOf(image, orientation)).data); }}"
    return unpack(page.evaluate(look, [image, orientation]), np.uint8, side)[..., :3]


def ask_drawn(page, member, side):
    """The map that the page draws of a pair, RGBA."""
    draw = f"""async (member) => {{
        {PACK}
        const canvas = mapOf(member);
        await drawMap(canvas);
        return pack(canvas.getContext("2d", {{ willReadFrequently: true }}).getImageData(0, 0, canvas.width, canvas.height).data);
    }}"""
    return unpack(page.evaluate(draw, member), np.uint8, side).astype(float)


def test_the_map_of_a_pair_is_that_of_the_pictures_which_the_page_shows(page):
    side = page.evaluate("pixelsOf(0, 1).then((pixels) => pixels.width)")
    pictures = [ask_pixels(page, image, 1, side) for image in range(len(NAMES))]
    original = cv2.resize(data.coffee(), (side, side), interpolation=cv2.INTER_AREA)
    assert structural_similarity(pictures[0], original, channel_axis=-1) > 0.9

    for first, second in itertools.combinations(range(len(NAMES)), 2):
        drawn = ask_drawn(page, {"kept": first, "image": second, "orientation": 1}, side)
        depth = np.clip(1 - expect_map(pictures[first], pictures[second]), 0, 1)[..., None]
        assert abs(drawn[..., 3:] - 255 * np.sqrt(depth)).max() <= 1
        # A canvas multiplies colours by alpha, and so keeps those of faint pixels roughly.
        colours = (1 - depth) * [255, 176, 0] + depth * [255, 0, 102]
        assert (abs(drawn[..., :3] - colours) * (drawn[..., 3:] > 64)).max() <= 3


# -- turned and mirrored pictures ------------------------------------------------------------------------------------


def exif_transpose(pixels, orientation):
    picture = Image.fromarray(pixels)
    picture.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(picture))


INVERSE = {6: 8, 8: 6}
WORDS = {
    2: "mirrored",
    3: "turned by 180 degrees",
    4: "mirrored top to bottom",
    5: "mirrored and turned by 90 degrees counter-clockwise",
    6: "turned by 90 degrees clockwise",
    7: "mirrored and turned by 90 degrees clockwise",
    8: "turned by 90 degrees counter-clockwise",
}


@pytest.fixture(scope="module")
def turned_report(tmp_path_factory):
    """One picture, and a copy of it for each orientation that shows it as it was."""
    folder = tmp_path_factory.mktemp("turned")
    paths = [str(folder / f"{orientation}.png") for orientation in range(9)]
    sizes = {}
    for orientation, path in enumerate(paths):
        copy = Image.fromarray(exif_transpose(data.coffee(), INVERSE.get(orientation, orientation or 1)))
        copy.save(path)
        sizes[path] = (50_000, *copy.size)
    scores = {(0, orientation): (1 - orientation / 100, 0.9, orientation) for orientation in range(1, 9)}
    images = image_table(paths, digest_all(paths), sizes=sizes)
    store = tmp_path_factory.mktemp("store")
    return build_report(write_run(store, "1", images, scores, folder=str(folder), moved=False, orientations="all"))


@pytest.fixture(params=["desktop, light", "phone, dark"])
def turned_page(turned_report, browser, request):
    with open_page(turned_report, browser, request.param) as opened:
        yield opened


def photograph(element):
    """What the browser paints of a picture, without the badge at its top, coarsely: a JPEG that was turned has other blocks."""
    pixels = cv2.imdecode(np.frombuffer(element.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    assert pixels.shape[1] / pixels.shape[0] == pytest.approx(1.5, abs=0.06)
    return cv2.resize(pixels[len(pixels) // 4 :], (32, 16), interpolation=cv2.INTER_AREA).astype(float)


def test_turned_pictures_are_shown_as_the_one_that_is_kept_and_it_is_said_how(turned_page):
    tiles = turned_page.locator(".tile")
    assert tiles.locator(".name").all_inner_texts() == [f"{number}.png" for number in (0, *range(8, 0, -1))]
    turned_page.locator("#pictures").scroll_into_view_if_needed()
    turned_page.locator("h1").hover()
    turned_page.evaluate("dock.hidden = true")  # It lies above what is at the window's edge.
    kept = photograph(tiles.nth(0).locator(".sheet"))
    assert abs(kept - kept[:, ::-1]).mean() > 20

    for orientation in range(1, 9):
        tile = tiles.nth(9 - orientation)
        assert abs(photograph(tile.locator(".sheet")) - kept).mean() < 10, orientation
        expected = [] if orientation == 1 else [f"Shown {WORDS[orientation]}"]
        assert tile.locator(".turned").all_inner_texts() == expected


def test_the_pixels_that_are_compared_are_turned_as_exif_has_it(turned_page):
    side = turned_page.evaluate("pixelsOf(0, 1).then((pixels) => pixels.width)")
    for image, orientation in itertools.product((0, 3), range(1, 9)):
        as_it_is = ask_pixels(turned_page, image, 1, side)
        assert np.array_equal(ask_pixels(turned_page, image, orientation, side), exif_transpose(as_it_is, orientation))


def test_the_map_of_a_turned_copy_is_that_of_the_turned_picture(turned_page):
    side = turned_page.evaluate("pixelsOf(0, 1).then((pixels) => pixels.width)")
    kept = ask_pixels(turned_page, 0, 1, side)
    for member in turned_page.evaluate("tabs.duplicates[0].members"):
        other = exif_transpose(ask_pixels(turned_page, member["image"], 1, side), member["orientation"])
        depth = np.clip(1 - expect_map(kept, other), 0, 1)
        assert depth.mean() < 0.1
        assert abs(ask_drawn(turned_page, member, side)[..., 3] - 255 * np.sqrt(depth)).max() <= 1
