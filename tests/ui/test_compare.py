"""How the report shows a pair, in headless Chromium: each view, zoom, the original files, and what differs."""

import math

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw
from skimage import data

from imagetwins.reporting.run_page import build_report
from imagetwins.runtime.desk import Desk, open_desk
from tests.support.pages import CHROMIUM, open_browser, open_page, wait_for
from tests.support.past_runs import digest_all, image_table, write_run

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")

NASTY = "<img src=x onerror=document.title='taken'>"
NAMES = [
    "album/a.png",
    f"phone/{NASTY}.png",
    "wide.png",
    "cut.png",
    "upright.png",
    "turned.png",
    "same.tiff",
    "other.png",
]
DOUBTFUL, CUT, TURNED, UNKNOWN, CHANGED = (0, 1), (2, 3), (4, 5), (0, 6), (0, 7)
"""A pair that differs in one place; one of other shapes; one of which the second lies on its side; one whose second
the browser cannot show, and one whose second is another picture by now."""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    photo = Image.fromarray(data.coffee()).resize((480, 320))
    stamped = photo.copy()
    ImageDraw.Draw(stamped).rectangle((360, 240, 460, 300), fill="white")
    upright = Image.fromarray(data.chelsea()).resize((200, 300))
    made = [photo, stamped.resize((240, 160)), photo.crop((0, 0, 480, 120)), photo.crop((0, 0, 240, 240)), upright]
    made += [upright.transpose(Image.Transpose.ROTATE_90), photo, photo.rotate(180)]
    for name, picture in zip(NAMES, made, strict=True):
        (folder / name).parent.mkdir(exist_ok=True)
        picture.save(folder / name)
    paths = [str(folder / name) for name in NAMES]
    sizes = {path: ((folder / path).stat().st_size, *picture.size) for path, picture in zip(paths, made, strict=True)}
    images = image_table(paths, digest_all(paths), sizes=sizes)
    images["taken"] = ["2024-05-01T12:00:00", *[None] * (len(paths) - 1)]
    images["camera"] = ["Leica Q3", "Leica Q3", *[None] * (len(paths) - 2)]
    images["exposure"] = ["0.008 s, f/2.8", "0.008 s", *[None] * (len(paths) - 2)]
    scores = {
        DOUBTFUL: (0.95, 0.4),
        CUT: (0.93, 0.92),
        TURNED: (0.99, 0.98, 6),
        UNKNOWN: (0.97, 0.96),
        CHANGED: (0.94, 0.4),
    }
    options = {"folder": str(folder), "moved": False, "orientations": "all"}
    run = write_run(tmp_path_factory.mktemp("store"), "1", images, scores, **options)
    built = build_report(run)
    upright.save(paths[7])
    return built


@pytest.fixture(scope="module")
def browser():
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module", params=["desktop, light", "phone, dark"])
def opened(report, browser, request):
    with open_page(report, browser, request.param, has_touch=True) as opened:
        yield opened


@pytest.fixture
def page(opened):
    """The page as it is at first, of which tests show one pair after the other."""
    yield opened
    opened.evaluate("dialog.close(); setMode('side'); setSplit(50); dialog.close()")


def show(page, pair):
    """Show a pair of the run's images, and wait for its original files, or for what is found of them."""
    page.evaluate(
        """async ([kept, image]) => {
            const isIt = (member) => images[member.kept].id === kept && images[member.image].id === image;
            const { key } = data.tabs.find((tab) => tabs[tab.key].some((group) => group.members.some(isIt)));
            document.querySelector(`[data-tab=${key}]`).click();
            openPair(tabs[key].flatMap((group) => group.members).find(isIt));
            await Promise.all([seen.member.kept, seen.member.image].map((at) => loadOriginal(at).loaded));
            clearTimeout(loading);
            drawPair();
        }""",
        list(pair),
    )


def boxes(page, what=".sheet"):
    return page.locator(f"#pair-view {what}").evaluate_all(
        "all => all.map((one) => one.getBoundingClientRect().toJSON())"
    )


def photograph(page):
    """The pixels that the browser paints of the first view."""
    painted = np.frombuffer(page.locator("#pair-view .view").first.screenshot(), np.uint8)
    return cv2.imdecode(painted, cv2.IMREAD_COLOR).astype(int)


def cut(pixels, box, view):
    """The part of a photograph of `view` that `box` covers, without what is at its very edge."""
    left, top = box["x"] - view["x"], box["y"] - view["y"]
    return pixels[math.ceil(top) + 2 : int(top + box["height"]) - 2, math.ceil(left) + 2 : int(left + box["width"]) - 2]


def count_originals(page):
    return page.locator("#pair-view img.original").count()


def facts(page):
    rows = page.locator("#pair-facts tbody tr")
    return {
        row[0]: row[1:]
        for row in rows.evaluate_all("rows => rows.map((row) => [...row.cells].map((cell) => cell.innerText))")
    }


def test_a_click_shows_the_pair_and_escape_returns_to_where_one_was(page):
    page.click("[data-tab=review]")
    page.locator(".tile").nth(1).click()

    assert page.locator("#pair-title").inner_text() == "Pair 1 of 3 · SSIM 0.9300"
    assert page.locator("figcaption b").all_inner_texts() == ["First", "Second"]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.locator("#pair-title").inner_text() == "Pair 3 of 3 · SSIM 0.9500"
    assert page.locator("#pair-names").inner_text() == f"Pair 3 of 3: a.png and {NASTY}.png, SSIM 0.9500"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#pair-title").inner_text() == "Pair 3 of 3 · SSIM 0.9500"

    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()
    assert page.evaluate("document.activeElement.innerText.includes('.png')")
    # One goes on where one has come to.
    wait_for(page, lambda: page.evaluate("here.group.members.includes(seen.member)"))


def test_the_facts_of_both_are_told_and_those_that_differ_are_marked(page):
    show(page, DOUBTFUL)

    found = {
        title: [text.replace("\N{MULTIPLICATION SIGN}", "x") for text in both] for title, both in facts(page).items()
    }
    assert found["Pixels"] == ["480 x 320\n0.2 megapixels, larger", "240 x 160\n0.0 megapixels, smaller"]
    assert found["Taken"] == ["2024-05-01 12:00:00", "\N{EN DASH}"]
    assert found["Camera"] == ["Leica Q3", "Leica Q3"]
    assert found["Exposure"] == ["0.008 s, f/2.8", "0.008 s"]
    assert found["Folder"] == ["album/", "phone/"]
    assert found["Name"] == ["a.png", f"{NASTY}.png"]
    assert found["Shown"] == ["as it is", "as it is"]
    differing = page.locator("#pair-facts .differs th").all_inner_texts()
    assert differing == ["Pixels", "Bytes", "Taken", "Exposure", "Folder", "Name"]
    assert (
        "Look at the lines, the letters, the numbers. Where the pictures have detail their SSIM is 0.400, below 0.7."
        in page.inner_text("#pair-why")
    )
    assert page.title() != "taken"

    show(page, TURNED)
    assert facts(page)["Shown"] == ["as it is", "turned by 90 degrees clockwise"]


@pytest.mark.parametrize(
    ("key", "mode"), [("s", "side"), ("l", "slider"), ("b", "blink"), ("m", "map"), ("d", "absolute")]
)
def test_each_view_has_a_key_and_a_button(page, key, mode):
    show(page, DOUBTFUL)
    pressed = page.locator("[data-view][aria-pressed=true]")

    page.keyboard.press(key)
    assert pressed.evaluate_all("all => all.map((one) => one.dataset.view)") == [mode]

    page.keyboard.press("s" if key != "s" else "l")
    page.locator(f"[data-view={mode}]").click()
    assert pressed.evaluate_all("all => all.map((one) => one.dataset.view)") == [mode]
    assert page.locator("#pair-view .view").count() == (2 if mode == "side" else 1)
    assert page.locator("#pair-view canvas").count() == (mode == "map")
    assert page.evaluate("document.activeElement.id") == "pair-view", "a click leaves the keys to the pictures"


@pytest.mark.parametrize("key", ["s", "l", "b"])
def test_pictures_are_true_to_their_shape(page, key):
    show(page, CUT)
    page.keyboard.press(key)

    assert [box["width"] / box["height"] for box in boxes(page)] == [
        pytest.approx(4, abs=0.1),
        pytest.approx(1, abs=0.02),
    ]


def test_differences_are_those_of_the_shapes_that_were_compared(page):
    show(page, CUT)
    page.keyboard.press("d")

    assert [box["width"] / box["height"] for box in boxes(page)] == [pytest.approx(4, abs=0.1)] * 2
    assert "stretched to the shape of the first" in page.inner_text("#pair-under")


def test_the_original_files_are_shown_turned_to_match_and_small_pictures_where_there_are_none(page):
    show(page, DOUBTFUL)
    assert page.locator("figcaption .muted").all_inner_texts() == ["original", "original"]

    show(page, UNKNOWN)
    assert page.locator("figcaption .muted").all_inner_texts() == ["original", "small picture"]
    page.keyboard.press("d")
    assert count_originals(page) == 0, "only one of them would be sharp"

    page.keyboard.press("s")
    show(page, CHANGED)
    assert page.locator("figcaption .muted").all_inner_texts() == ["original", "small picture"]

    show(page, TURNED)
    page.keyboard.press("d")
    assert count_originals(page) == 2
    (view,), (box, _) = boxes(page, ".view"), boxes(page)
    assert cut(photograph(page), box, view).mean() < 40, "turned, it is the same picture"


def test_the_desks_server_shows_originals_too_and_previews_of_what_browsers_do_not_know(report, browser):
    def apply(*_arguments):
        raise AssertionError

    server = open_desk(Desk(report.parent.parent.parent, apply), port=0)
    page = browser.new_page()
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(server.address_of(report.parent.name))

    show(page, DOUBTFUL)
    assert page.locator("figcaption .muted").all_inner_texts() == ["original", "original"]
    show(page, UNKNOWN)
    assert page.locator("figcaption .muted").all_inner_texts() == ["original", "original"], (
        "as large as it is, of another format"
    )
    page.keyboard.press("d")
    (view,), (box, _) = boxes(page, ".view"), boxes(page)
    assert cut(photograph(page), box, view).mean() < 40
    assert complaints == []
    show(page, CHANGED)
    page.keyboard.press("s")
    assert page.locator("figcaption .muted").all_inner_texts() == ["original", "small picture"]
    page.close()
    server.stop()


def test_the_difference_is_black_but_where_they_differ(page):
    show(page, DOUBTFUL)
    page.keyboard.press("d")

    assert count_originals(page) == 2
    (view,), (box, _) = boxes(page, ".view"), boxes(page)
    painted = cut(photograph(page), box, view)
    height, width = painted.shape[:2]
    inside = painted[int(0.77 * height) : int(0.92 * height), int(0.77 * width) : int(0.94 * width)]
    assert inside.mean() > 200
    assert painted[: height // 2].mean() < 40
    assert "Of the original files." in page.inner_text("#pair-under")


def test_the_slider_shows_the_first_on_its_left_and_the_second_on_its_right(page):
    show(page, DOUBTFUL)
    page.keyboard.press("l")

    def is_white():
        (view,), (box, _) = boxes(page, ".view"), boxes(page)
        painted = cut(photograph(page), box, view)
        height, width = painted.shape[:2]
        return painted[int(0.8 * height), int(0.78 * width) : int(0.93 * width)].min() > 200

    assert is_white()
    for _ in range(10):
        page.keyboard.press(".")
    assert page.locator("#pair-split").input_value() == "100"
    assert not is_white()

    (view,) = boxes(page, ".view")
    page.mouse.move(view["x"] + 0.9 * view["width"], view["y"] + 60)
    page.mouse.down()
    page.mouse.move(view["x"] + 0.3 * view["width"], view["y"] + 60, steps=3)
    page.mouse.up()
    assert float(page.locator("#pair-split").input_value()) == pytest.approx(30, abs=1)
    assert is_white()
    page.locator("#pair-split").focus()
    page.keyboard.press("End")
    assert not is_white()
    assert page.locator("#pair-title").inner_text().endswith("SSIM 0.9500"), "the arrows are the slider's"


def test_blinking_shows_one_after_the_other_and_stops_for_who_changes_by_hand(page):
    show(page, DOUBTFUL)
    is_second = lambda: "second" in page.locator(".blink").get_attribute("class")  # noqa: E731
    page.keyboard.press("b")

    wait_for(page, is_second)
    wait_for(page, lambda: not is_second())
    page.keyboard.press("b")
    assert is_second()
    page.wait_for_timeout(900)
    assert is_second()
    page.keyboard.press("p")
    wait_for(page, lambda: not is_second())

    page.emulate_media(reduced_motion="reduce")
    page.keyboard.press("s")
    page.keyboard.press("b")
    page.wait_for_timeout(900)
    assert not is_second()
    page.emulate_media(reduced_motion="no-preference")


def test_both_pictures_are_enlarged_and_moved_together(page):
    show(page, CUT)
    whole = boxes(page)
    for _ in range(3):
        page.keyboard.press("+")

    larger = boxes(page)
    grown = [after["width"] / before["width"] for before, after in zip(whole, larger, strict=True)]
    assert grown == [pytest.approx(1.5**3, rel=0.01)] * 2
    page.keyboard.press("Shift+ArrowRight")
    moved = boxes(page)
    shares = [(before["x"] - after["x"]) / before["width"] for before, after in zip(larger, moved, strict=True)]
    assert shares == [pytest.approx(0.15 / 1.5**3, rel=0.05)] * 2

    view = boxes(page, ".view")[0]
    centre = view["x"] + view["width"] / 2, view["y"] + view["height"] / 2
    page.mouse.move(*centre)
    page.mouse.down()
    page.mouse.move(centre[0] + 20, centre[1], steps=4)
    page.mouse.up()
    assert boxes(page)[0]["x"] - moved[0]["x"] == pytest.approx(20, abs=1)
    page.keyboard.press("w")
    assert boxes(page) == whole


def test_the_wheel_enlarges_what_is_below_the_pointer(page):
    show(page, DOUBTFUL)
    page.keyboard.press("l")
    (before, _), (view,) = boxes(page), boxes(page, ".view")
    at = before["x"] + 0.8 * before["width"], before["y"] + 0.7 * before["height"]
    page.mouse.move(*at)
    for _ in range(4):
        page.mouse.wheel(0, -120)
    wait_for(page, lambda: boxes(page)[0]["width"] > 2 * before["width"])

    after = boxes(page)[0]
    assert (at[0] - after["x"]) / after["width"] == pytest.approx(0.8, abs=0.01)
    # Where the picture has room above and below, it stays in the middle.
    if after["height"] > view["height"]:
        assert 0.5 <= (at[1] - after["y"]) / after["height"] <= 0.71
    page.locator("[data-zoom=pixels]").click()
    assert boxes(page)[0]["width"] == pytest.approx(max(480, before["width"]), abs=1)


def test_two_fingers_enlarge_the_pictures(page):
    show(page, DOUBTFUL)
    before, view = boxes(page)[0], boxes(page, ".view")[0]
    centre = view["x"] + view["width"] / 2, view["y"] + view["height"] / 2
    session = page.context.new_cdp_session(page)

    def touch(kind, *spread):
        points = [{"x": centre[0] + half, "y": centre[1], "id": int(half > 0)} for half in spread]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", -20, 20)
    for half in (25, 30, 35, 40):
        touch("touchMove", -half, half)
    touch("touchEnd")

    assert boxes(page)[0]["width"] / before["width"] == pytest.approx(2, rel=0.1)
    assert page.evaluate("visualViewport.scale") == 1, "the page itself is as large as before"


def test_the_map_is_drawn_over_the_picture(page):
    show(page, DOUBTFUL)
    page.keyboard.press("m")

    canvas = page.locator("#pair-view canvas")
    has_colour = "canvas => canvas.getContext('2d', { willReadFrequently: true }).getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value > 0)"
    wait_for(page, lambda: canvas.evaluate(has_colour))


def test_keys_choose_what_becomes_of_the_pair_and_go_on_to_the_next_that_is_open(page):
    def chosen():
        pairs = page.evaluate("(({ move, not_duplicates }) => [move, not_duplicates])(makeChoices())")
        return [[(one["image"], one["kept"]) for one in some] for some in pairs]

    show(page, CUT)
    begin = chosen()
    said = page.locator("#pair-said")
    page.keyboard.press("n")
    assert (3, 2) in chosen()[1]
    assert page.locator("#pair-title").inner_text() == "Pair 2 of 3 · SSIM 0.9400"
    assert said.inner_text() == "wide.png stays, cut.png stays. not duplicates."
    page.keyboard.press("2")
    assert (0, 7) in chosen()[0]
    page.keyboard.press("k")
    assert (1, 0) in chosen()[0]
    assert "That was the last one" in said.inner_text()
    page.keyboard.press(" ")
    assert (1, 0) in chosen()[1]
    assert page.locator("[data-verdict][aria-pressed=true]").inner_text().startswith("Not duplicates")

    for _ in range(4):
        page.keyboard.press("u")
    assert chosen() == begin
    assert page.locator("#pair-title").inner_text() == "Pair 1 of 3 · SSIM 0.9300", "what is taken back is shown"
    assert page.locator("#pair-status").inner_text() == "Undecided."
    page.keyboard.press("u")
    assert said.inner_text() == "There is nothing to take back."

    page.locator("[data-verdict=first]").click()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("0")
    assert chosen() == begin


def test_everything_can_be_reached_and_is_named(page):
    """What a screen reader says of the dialog's controls."""
    show(page, DOUBTFUL)
    nameless = page.locator("dialog :is(button, input, a, summary, [tabindex])").evaluate_all(
        "all => all.filter((one) => !(one.ariaLabel || one.innerText)).map((one) => one.outerHTML)"
    )
    assert nameless == []

    reached = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "document.activeElement.id || document.activeElement.dataset.view || document.activeElement.innerText"
            )
        )
    assert {
        "side",
        "slider",
        "absolute",
        "pair-back",
        "pair-next",
        "pair-close",
        "pair-view",
        "Whole",
        "1:1",
    } <= reached
    assert page.locator("dialog").get_attribute("aria-labelledby") == "pair-title"
