"""The report as a desk, in headless Chromium with the keyboard alone: choosing, taking back, keeping, handing in."""

import json
from contextlib import closing, contextmanager
from pathlib import Path

import cv2
import pytest
from skimage import data

from imagetwins.matching.choices import read_choices
from imagetwins.reporting.run_page import build_report
from imagetwins.runtime.desk import Desk, open_desk
from imagetwins.store.record import RunStatus
from tests.support.pages import CHROMIUM, WIDTHS, open_browser, open_page, wait_for
from tests.support.past_runs import digest_all, image_table, write_run

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")

NASTY = "d <img src=x onerror=document.title='taken'>.png"
SIZES = {
    "2024/a.png": (900, 640, 480),
    "2024/a (1).png": (2_000, 320, 240),
    "b.png": (3_000, 640, 480),
    "phone/b.png": (2_000, 320, 240),
    "phone/b copy.png": (1_000, 160, 120),
    "c.png": (1_000, 640, 480),
    "c (1).png": (500, 640, 480),
    NASTY: (1_000, 640, 480),
    "d.png": (500, 640, 480),
    "e.png": (1_000, 640, 480),
    "reference/e.png": (500, 640, 480),
}
A, A1, B, B_PHONE, B_COPY, C, C1, D, D1, E, E_REFERENCE = range(len(SIZES))
SCORES = {
    (A, A1): (0.99, 0.98),
    (B, B_PHONE): (0.97, 0.96),
    (B, B_COPY): (0.95, 0.96),
    (C, C1): (0.95, 0.4),
    (D, D1): (0.93, 0.4),
    (E, E_REFERENCE): (0.98, 0.97),
}
PROPOSED = [("b.png", "stays"), ("b copy.png", "goes"), ("b.png", "goes")]
"""The first group of the page: the least alike match first."""

A_MOMENT_MS = 250
"""What a browser was told to store is on its way to its database, where it is lost if the tab is closed at once."""


def write_desk(place, *, moved, run_id="20261127T020000Z-1f2e"):
    """A run that found a pair, a family of three, two pairs in doubt, and a copy of a reference; and its report."""
    folder = place / "pictures"
    photo = cv2.resize(cv2.cvtColor(data.coffee(), cv2.COLOR_RGB2BGR), (48, 32))
    for number, name in enumerate(SIZES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(cv2.imencode(".png", cv2.convertScaleAbs(photo, beta=5 * number))[1].tobytes())
    paths = [str(folder / name) for name in SIZES]
    images = image_table(paths, digest_all(paths), sizes={str(folder / name): size for name, size in SIZES.items()})
    images["is_reference"] = [image == E_REFERENCE for image in range(len(SIZES))]
    images["mtime_ns"] = [1_700_000_000_000_000_000 + 10**9 * image for image in range(len(SIZES))]
    images["taken"] = [{C: "2024-05-01T12:00:00", C1: "2024-05-01T11:00:00"}.get(image) for image in range(len(SIZES))]
    run = write_run(place / "store", run_id, images, SCORES, folder=str(folder), moved=moved)
    if moved:
        for image in (A1, B_PHONE, B_COPY, E):
            target = folder / "Duplicates" / list(SIZES)[image]
            target.parent.mkdir(parents=True, exist_ok=True)
            Path(paths[image]).rename(target)
    build_report(run)
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_desk(tmp_path_factory.mktemp("desk"), moved=False)


@pytest.fixture(scope="module")
def moved_run(tmp_path_factory):
    return write_desk(tmp_path_factory.mktemp("moved"), moved=True)


@pytest.fixture(scope="module")
def browser():
    with open_browser() as opened:
        yield opened


@pytest.fixture
def page(run, browser):
    with open_page(run.report, browser, "desktop, light") as opened:
        yield opened


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def begin(page, tab="duplicates"):
    """Go to the first group of a tab as somebody does who has no mouse."""
    page.locator("[role=tab][aria-selected=true]").focus()
    press(page, *["ArrowLeft"] * 2, *["ArrowRight"] * ["duplicates", "review"].index(tab))
    tab_to(page, ".tile")


def tab_to(page, wanted, most=25):
    """Press the Tab key until what is wanted has the focus."""
    for _ in range(most):
        press(page, "Tab")
        if page.evaluate("wanted => document.activeElement.matches(wanted)", wanted):
            return
    raise AssertionError(f"{wanted} is not reached with the Tab key")


def states(page, group=0):
    """What is to be read on the pictures of a group that is shown: name and state."""
    return (
        page.locator(".group")
        .nth(group)
        .locator(".slot")
        .evaluate_all(
            "slots => slots.map((slot) => [slot.querySelector('.name').innerText, slot.querySelector('.state').innerText.replace(/^\\W+/, '')])"
        )
    )


def status(page, group=0):
    return page.locator(".group .status").nth(group).inner_text()


def at_hand(page):
    return page.evaluate("document.activeElement.title")


def said(page):
    return page.locator("#said").inner_text()


def chosen(page):
    """The pairs of images, those that move and those that are no duplicates."""
    choices = page.evaluate("makeChoices()")
    return [sorted((choice["image"], choice["kept"]) for choice in choices[key]) for key in ("move", "not_duplicates")]


AS_PROPOSED = [[(A1, A), (B_PHONE, B), (B_COPY, B), (E, E_REFERENCE)], []]


class TestChoosing:
    def test_what_the_run_proposes_is_chosen_and_what_it_asks_is_not(self, page):
        assert list(map(tuple, states(page))) == PROPOSED
        assert [status(page, group) for group in range(3)] == ["as proposed"] * 3
        assert chosen(page) == AS_PROPOSED
        assert page.locator("#dock b").inner_text() == "0 of 5 decided"
        assert "3 as proposed · 2 undecided" in page.locator("#dock").inner_text()

        begin(page, "review")
        assert {state for group in range(2) for _, state in states(page, group)} == {"undecided"}
        assert page.title() != "taken"

    def test_arrows_go_from_group_to_group_and_from_picture_to_picture(self, page):
        begin(page)
        walked = [at_hand(page)]
        for key in (
            "ArrowRight",
            "ArrowRight",
            "ArrowRight",
            "ArrowDown",
            "ArrowLeft",
            "ArrowDown",
            "ArrowDown",
            "ArrowUp",
        ):
            press(page, key)
            walked.append(at_hand(page))

        assert walked[:4] == ["b.png", "phone/b copy.png", "phone/b.png", "phone/b.png"]
        assert walked[4:] == ["reference/e.png", "reference/e.png", "2024/a.png", "2024/a.png", "reference/e.png"]

    def test_k_and_numbers_keep_one_and_go_on_to_the_next_that_is_open(self, page):
        begin(page)
        press(page, "ArrowRight", "k")
        assert [state for _, state in states(page)] == ["goes", "stays", "goes"]
        assert (status(page), at_hand(page)) == ("decided", "reference/e.png")
        assert "b copy.png stays" in said(page)
        assert chosen(page)[0] == [(A1, A), (B, B_COPY), (B_PHONE, B_COPY), (E, E_REFERENCE)]

        press(page, "ArrowUp", "3")
        assert [state for _, state in states(page)] == ["goes", "goes", "stays"]
        press(page, "ArrowUp", "9")
        assert [state for _, state in states(page)] == ["goes", "goes", "stays"], "there is no ninth"
        assert page.locator("#dock b").inner_text() == "1 of 5 decided"

    def test_n_keeps_all_and_says_so_of_each_pair(self, page):
        begin(page)
        press(page, "n")

        assert {state for _, state in states(page)} == {"stays"}
        assert status(page) == "not duplicates"
        assert chosen(page) == [[(A1, A), (E, E_REFERENCE)], [(B_PHONE, B), (B_PHONE, B_COPY), (B_COPY, B)]]

    def test_space_changes_one_picture_and_one_of_a_group_stays(self, page):
        begin(page)
        press(page, "ArrowRight", " ")
        assert [state for _, state in states(page)] == ["stays", "stays", "goes"]
        assert chosen(page)[1] == [(B_COPY, B)]
        press(page, " ", "ArrowLeft", " ")
        assert [state for _, state in states(page)] == ["stays", "goes", "goes"]
        assert "One of them stays" in said(page)

        press(page, "ArrowDown", "ArrowDown", " ")
        assert states(page, 2) == [["a.png", "goes"], ["a (1).png", "stays"]], "of two the other one stays"

    def test_zero_leaves_open_and_u_takes_back_step_by_step(self, page):
        begin(page)
        press(page, "0")
        assert status(page) == "undecided"
        assert chosen(page) == [[(A1, A), (E, E_REFERENCE)], []]

        press(page, "ArrowUp", "n", "k", "u")
        assert status(page) == "not duplicates"
        press(page, "u", "u")
        assert chosen(page) == AS_PROPOSED
        press(page, "u")
        assert said(page) == "There is nothing to take back."

    def test_a_reference_never_goes(self, page):
        begin(page)
        press(page, "ArrowDown", "2")
        assert "reference folder" in said(page)
        press(page, " ")
        assert "reference folder" in said(page)
        assert chosen(page) == AS_PROPOSED

    def test_the_last_one_says_what_is_left_elsewhere(self, page):
        begin(page, "review")
        press(page, "k", "n")

        assert said(page).endswith("Nothing is left to decide.")
        assert chosen(page)[1] == [(C1, C)]
        assert (D1, D) in chosen(page)[0]

        page.reload()
        begin(page, "review")
        press(page, "0", "ArrowUp")
        begin(page, "duplicates")
        press(page, "k", "k", "k")
        assert "1 group elsewhere is undecided" in said(page)
        tab_to(page, "#next")
        press(page, "Enter")
        assert at_hand(page) == NASTY

    def test_keys_do_nothing_in_a_field(self, page):
        page.locator("#find").focus()
        page.keyboard.type("kn0u1?  b")

        assert page.locator("#find").input_value() == "kn0u1?  b"
        assert chosen(page) == AS_PROPOSED
        assert page.locator("dialog.above").count() == 0

    def test_the_first_key_shows_what_is_at_hand_and_decides_nothing(self, page):
        page.evaluate("document.activeElement.blur(); groups.scrollIntoView({ behavior: 'instant' })")
        press(page, "k")
        assert chosen(page) == AS_PROPOSED
        assert (status(page), at_hand(page)) == ("as proposed", "b.png")
        press(page, "k")
        assert status(page) == "decided"

    def test_enter_shows_the_pair_and_a_question_mark_the_keys(self, page):
        begin(page)
        press(page, "ArrowRight", "Enter")
        assert page.locator("#pair").is_visible()
        press(page, "Escape", "?")
        assert "not duplicates: all stay" in page.locator("dialog.above").inner_text()
        press(page, "n", "Escape")
        assert chosen(page) == AS_PROPOSED
        assert at_hand(page) == "phone/b copy.png"


class TestByRule:
    def select(self, page, rule, folder=None):
        page.locator("#rule").select_option(rule)
        if folder:
            page.locator("#folder").select_option(folder)
        page.locator("#rules button").focus()
        press(page, "Enter")

    @pytest.mark.parametrize(
        ("rule", "stays"),
        [("pixels", {A, B}), ("bytes", {A1, B}), ("older", {A, B}), ("newer", {A1, B_COPY}), ("name", {A})],
    )
    def test_a_rule_keeps_one_of_each_group_that_it_tells_apart(self, page, rule, stays):
        self.select(page, rule)

        kept = {image for group in decided(page) for image, state in group if state == "stays"}
        assert kept - {E_REFERENCE} == stays
        press(page, "u")
        assert chosen(page) == AS_PROPOSED

    def test_when_a_picture_was_taken_is_more_than_when_its_file_was_changed(self, page):
        begin(page, "review")
        self.select(page, "older")

        assert sorted(decided(page)) == [[(C, "goes"), (C1, "stays")], [(D, "stays"), (D1, "goes")]]

    def test_a_folder_and_only_what_is_shown(self, page):
        page.fill("#find", "phone")
        self.select(page, "folder", "phone/")
        assert said(page).startswith("0 groups decided; 1 left as it was")

        page.fill("#find", "e.png")
        self.select(page, "folder", "reference/")
        assert said(page).startswith("1 group decided.")
        assert decided(page) == [[(E_REFERENCE, "stays"), (E, "goes")]]

    def test_all_are_accepted_or_none_is_a_duplicate(self, page):
        self.select(page, "proposed")
        assert page.locator("#dock b").inner_text() == "3 of 5 decided"
        self.select(page, "apart")
        assert chosen(page)[0] == []
        press(page, "u", "u")
        assert page.locator("#dock b").inner_text() == "0 of 5 decided"

    def test_only_what_is_left_is_shown(self, page):
        begin(page)
        press(page, "k")
        page.locator("#left").focus()
        press(page, " ")
        assert page.locator(".group").count() == 2
        self.select(page, "proposed")
        press(page, "Tab")
        page.locator("#left").focus()
        press(page, " ", " ")
        assert "All of these are decided." in page.locator("#groups").inner_text()


def decided(page):
    """The groups about which a person has said something: image and state."""
    groups = page.evaluate(
        "asked.filter((group) => group.isDecided).map((group) => group.pictures.map((image, i) => [images[image].id, group.states[i]]))"
    )
    return [[tuple(picture) for picture in group] for group in groups]


class TestAfterAMove:
    @pytest.fixture
    def page(self, moved_run, browser):
        with open_page(moved_run.report, browser, "desktop, light") as opened:
            yield opened

    def test_what_was_moved_is_left_alone_until_somebody_says_something(self, page):
        assert [state for _, state in states(page)] == ["stays", "moved", "moved"]
        assert status(page) == "moved"
        assert chosen(page) == [[], []]

        begin(page)
        press(page, "k")
        assert chosen(page) == [[], []], "to agree with what was done does nothing"

    def test_what_is_no_duplicate_is_put_back(self, page):
        begin(page)
        press(page, "ArrowRight", " ")

        assert [state for _, state in states(page)] == ["stays", "put back", "moved"]
        assert chosen(page) == [[], [(B_COPY, B)]]

    def test_another_one_may_stay(self, page):
        begin(page)
        press(page, "2")

        assert [state for _, state in states(page)] == ["goes", "put back", "moved"]
        assert chosen(page) == [[(B, B_COPY)], []]


class TestKeeping:
    def test_choices_survive_a_reload_and_the_closing_of_the_tab(self, page, run):
        begin(page)
        press(page, "2")
        begin(page, "review")
        press(page, "n")
        before = chosen(page)
        page.wait_for_timeout(A_MOMENT_MS)
        page.reload()
        wait_for(page, lambda: chosen(page) == before)
        assert page.locator("#dock b").inner_text() == "2 of 5 decided"

        other = page.context.new_page()
        other.goto(run.report.as_uri())
        wait_for(other, lambda: chosen(other) == before)
        begin(other, "review")
        press(other, "ArrowDown", "k")
        before = chosen(other)
        page.wait_for_timeout(A_MOMENT_MS)
        other.close()
        page.reload()
        wait_for(page, lambda: chosen(page) == before)

    def test_they_leave_as_a_file_that_fits_the_run_and_with_the_command(self, page, run):
        begin(page)
        press(page, "3")
        begin(page, "review")
        press(page, "n", "1")
        tab_to(page, "#leave")
        press(page, "Enter")
        with page.expect_download() as download:
            press(page, "Enter")
        text = Path(download.value.path()).read_bytes()

        choices = read_choices(run, text)
        assert [sorted(choices.moving.items()), choices.apart] == [
            [(A1, A), (B, B_PHONE), (B_COPY, B_PHONE), (C1, C), (E, E_REFERENCE)],
            [(D1, D)],
        ]
        assert json.loads(text)["not_duplicates"] == [{"image": D1, "path": "d.png", "kept": D, "kept_path": NASTY}]
        words = page.locator("dialog.above").inner_text()
        assert f"imagetwins apply {run.run_id} --choices choices.json --store {run.store}" in words
        assert "5 pictures go to Duplicates, 2 of them as proposed" in words

    def test_a_run_that_waits_is_answered(self, tmp_path, browser):
        run = write_desk(tmp_path, moved=False)
        with run.editing_record() as record:
            record.status = RunStatus.WAITING
        build_report(run)

        with open_page(run.report, browser, "desktop, light") as page:
            page.locator("#leave").focus()
            press(page, "Enter")
            assert (
                f"imagetwins approve {run.run_id} --choices choices.json" in page.locator("dialog.above").inner_text()
            )


class TestReach:
    def test_the_tab_key_goes_through_one_group_and_on(self, page):
        begin(page)
        press(page, "ArrowDown")
        tab_to(page, "#next", most=10)
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"

    def test_all_controls_and_groups_have_names_and_what_changes_is_said(self, page):
        begin(page, "review")
        nameless = page.locator("#pictures :is(button, select, input), #dock button").evaluate_all(
            "all => all.filter((one) => !(one.ariaLabel || one.innerText || one.labels?.length)).map((one) => one.outerHTML)"
        )
        assert nameless == []
        group = page.locator(".group").first
        assert group.get_attribute("aria-label") == "Group 1 of 2, 2 pictures: undecided"
        press(page, "k")
        assert group.get_attribute("aria-label") == "Group 1 of 2, 2 pictures: decided"
        assert page.locator("#said").get_attribute("role") == "status"

    def test_it_can_be_done_with_a_finger(self, run, browser):
        with open_page(run.report, browser, "phone, dark", has_touch=True) as page:
            page.locator(".only").nth(1).tap()
            assert [state for _, state in states(page)] == ["goes", "stays", "goes"]
            page.locator(".state").nth(2).tap()
            assert [state for _, state in states(page)] == ["goes", "stays", "stays"]
            page.locator(".group").nth(1).get_by_text("Not duplicates").tap()
            assert status(page, 1) == "not duplicates"
            page.locator("#undo").tap()
            assert status(page, 1) == "as proposed"
            assert min(page.locator(".verdict button").evaluate_all("all => all.map((one) => one.offsetHeight)")) >= 40


@contextmanager
def serving(desk, port=0):
    server = open_desk(desk, port)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def open_served(browser, address):
    context = browser.new_context(viewport={"width": WIDTHS["desktop"], "height": 844})
    with closing(context):
        page = context.new_page()
        problems = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(address)
        yield page
        assert problems == []


OUTCOME = {
    "run_id": "20261128T020000Z-2a3b",
    "moved": 3,
    "put_back": 0,
    "remembered": 1,
    "not_done": [{"path": "2024/a (1).png", "reason": "It changed since <b>."}],
    "undo": "imagetwins restore 20261128T020000Z-2a3b",
}


class TestWithTheServer:
    def test_choices_are_saved_loaded_and_applied_and_the_outcome_is_told(self, tmp_path, browser):
        run, applied = write_desk(tmp_path, moved=False), []

        def apply(_, choices):
            applied.append(choices)
            return OUTCOME

        with serving(Desk(run.store, apply)) as server, open_served(browser, server.address_of(run.run_id)) as page:
            assert page.locator("[data-tab=review]").get_attribute("aria-selected") == "true", (
                "what is asked comes first"
            )
            assert at_hand(page) == NASTY
            press(page, "n", "k")
            wait_for(page, run.choices.exists)
            wait_for(page, lambda: read_choices(run, run.choices.read_bytes()).moving.get(C1) == C)
            before = chosen(page)

            with open_served(browser, server.address_of(run.run_id)) as other:
                assert chosen(other) == before, "another browser knows it from the server"
                assert other.locator("#dock b").inner_text() == "2 of 5 decided"

            tab_to(page, "#leave")
            press(page, "Enter", "Enter")
            outcome = page.locator("dialog.above", has_text="Applied")
            outcome.wait_for()
            words = outcome.inner_text()
            for expected in (
                "3 pictures moved",
                "1 pair remembered",
                "2024/a (1).png It changed since <b>.",
                OUTCOME["undo"],
            ):
                assert expected in words
            assert applied[0].apart == [(D1, D)]
            assert applied[0].moving == dict(AS_PROPOSED[0]) | {C1: C}
            press(page, "Escape")
            page.locator("dialog.above").wait_for(state="detached")
            assert [status(page, group) for group in range(2)] == ["settled"] * 2

            begin(page)
            assert [status(page, group) for group in range(3)] == ["settled", "settled", "as proposed"]
            assert "It changed since" in page.locator(".group").nth(2).inner_text()
            press(page, "n")
            assert said(page) == "These are settled."

    def test_nothing_is_lost_where_the_server_has_ended(self, tmp_path, browser):
        run = write_desk(tmp_path, moved=False)
        desk = Desk(run.store, lambda *_: OUTCOME)

        with serving(desk) as server, open_served(browser, server.address_of(run.run_id)) as page:
            problem = page.locator("#dock .problem")
            server.stop()
            press(page, "k")
            wait_for(page, problem.is_visible)
            assert "Not saved" in problem.inner_text()
            tab_to(page, "#leave")
            press(page, "Enter", "Enter")
            assert "Not applied" in page.locator("dialog.above [role=alert]").inner_text()
            press(page, "Escape")
            page.locator("dialog.above").wait_for(state="detached")
            assert status(page) == "decided"

            with serving(desk, server.port):
                begin(page, "review")
                press(page, "ArrowDown", "k")
                all_of_it = dict(AS_PROPOSED[0]) | {C1: C, D1: D}
                wait_for(page, lambda: run.choices.is_file() and saved_moves(run) == all_of_it)
                wait_for(page, problem.is_hidden)


def saved_moves(run):
    return read_choices(run, run.choices.read_bytes()).moving
