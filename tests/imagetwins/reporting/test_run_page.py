"""The report holds what the run found, whatever the files are called, and loads nothing."""

import base64
import json
import os
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data
from skimage.metrics import structural_similarity

from imagetwins.config.parameters import Parameters
from imagetwins.matching.decisions import decide, set_decisions
from imagetwins.reasons import Reason, ReasonCode
from imagetwins.reporting import pictures
from imagetwins.reporting.run_page import build_report, plan_sections
from imagetwins.store.record import RunStatus
from imagetwins.store.runs import Run
from imagetwins.store.schemas import DECISIONS, Action
from imagetwins.store.tables import read_table, write_table
from tests.support.past_runs import comparison_table, digest_all, image_table, make_record, write_run

NASTY = "<img src=x onerror=alert(1)>.png"
NAMES = ["a.png", "b </script><script>alert(1)</script>.png", "c é\n'\".png", NASTY, "e.png", "broken.png", "page.png"]
# b and c are copies of a, the nasty one is in doubt, e is a near miss of all, broken was not read, page stands alone.
SCORES = {
    (0, 1): (0.97, 0.95),
    (0, 2): (0.93, 0.92),
    (0, 3): (0.95, 0.4),
    (0, 4): (0.88, 0.8),
    (1, 4): (0.87, 0.8),
    (2, 4): (0.86, 0.8),
    (1, 2): (0.89, 0.8),
}


class Page(HTMLParser):
    """What a browser would find: tags, the text outside scripts, and the JSON in them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.data, self.open = [], "", "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.open.append((tag, dict(attributes).get("id")))

    def handle_endtag(self, tag):
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, text):
        place = self.open[-1] if self.open else ("", None)
        if place == ("script", "data"):
            self.data += text
        elif place[0] not in {"script", "style"}:
            self.words += text


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "my <pictures> & more"
    folder.mkdir()
    photo = cv2.cvtColor(data.coffee(), cv2.COLOR_RGB2BGR)
    for number, name in enumerate(NAMES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        _, encoded = cv2.imencode(".png", cv2.convertScaleAbs(photo, beta=5 * number))
        (folder / name).write_bytes(encoded.tobytes())
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture
def run(tmp_path, folder):
    paths = [str(folder / name) for name in NAMES]
    images = image_table(paths, digest_all(paths), errors={str(folder / "broken.png"): "not a picture <b>"})
    return write_run(tmp_path / "store", "20261120T020000Z-1", images, SCORES, folder=str(folder), moved=False)


def read(run):
    build_report(run)
    page = Page(run.report.read_text(encoding="utf-8"))
    return page, json.loads(page.data)


def names_in(content, key):
    tab = next(tab for tab in content["tabs"] if tab["key"] == key)
    return [
        (content["images"][kept][0], [content["images"][member[0]][0] for member in members])
        for kept, members in tab["groups"]
    ]


def picture_of(content, name):
    number = next(image[7] for image in content["images"] if image[0] == name)
    encoded = base64.b64decode(content["header"] + content["pictures"][number], validate=True)
    return cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)


class TestContent:
    def test_groups_have_the_kept_picture_and_its_copies(self, run):
        _, content = read(run)

        assert names_in(content, "duplicates") == [("a.png", [NAMES[2], NAMES[1]])]
        assert names_in(content, "review") == [("a.png", [NASTY])]

    def test_a_near_miss_is_shown_once_for_two_groups_and_not_within_one(self, run):
        _, content = read(run)

        assert names_in(content, "near") == [("a.png", ["e.png"])]

    def test_what_was_left_out_and_what_followed_is_told(self, run):
        with run.editing_record() as record:
            record.left_out.update({"<b>.lrdata/": 1, "._*": 3})
            record.counts.update({"moved": 1, "companions": 2})

        page, _ = read(run)

        assert "Left out: 1 folder (<b>.lrdata) and 3 files (3 ._*)." in page.words
        assert "moved, with 2 that belong to them" in page.words

    def test_of_several_folders_names_begin_with_theirs_and_each_has_its_own_link(self, tmp_path, folder):
        other = tmp_path / "other"
        other.mkdir()
        (other / "a.png").write_bytes((folder / "a.png").read_bytes())
        paths = [str(folder / "a.png"), str(other / "a.png"), str(folder / NAMES[1])]
        images = image_table(paths, digest_all(paths))
        scores = {(0, 1): (0.97, 0.95), (0, 2): (0.96, 0.95)}
        options = {"folder": str(folder), "more_folders": [str(other)], "into": str(tmp_path / "aside")}

        page, content = read(write_run(tmp_path / "store", "1", images, scores, moved=False, **options))
        _, across = read(write_run(tmp_path / "store", "2", images, scores, moved=False, across=True, **options))

        assert names_in(content, "duplicates") == [
            (f"{folder.name}/a.png", [f"{folder.name}/{NAMES[1]}", "other/a.png"])
        ]
        assert names_in(across, "duplicates") == [(f"{folder.name}/a.png", ["other/a.png"])]
        links = {image[0]: image[2] for image in content["images"]}
        assert links["other/a.png"] == (other / "a.png").as_uri()
        assert links[f"{folder.name}/a.png"] == (folder / "a.png").as_uri()
        assert f"2 duplicates in {folder.name} and other" in page.words
        assert f"pictures in {folder} and {other} was compared" in page.words

    def test_scores_are_the_tables(self, run):
        _, content = read(run)

        duplicates = next(tab for tab in content["tabs"] if tab["key"] == "duplicates")
        assert [member[1:4] for member in duplicates["groups"][0][1]] == [[0.93, 0.92, 0.92], [0.97, 0.95, 0.95]]

    def test_each_picture_has_its_id_and_its_dates_and_no_row_ends_with_nothing(self, tmp_path, folder):
        paths = [str(folder / name) for name in ("a.png", "e.png", "c é\n'\".png")]
        images = image_table(paths, digest_all(paths))
        images["taken"] = ["2019-05-01T12:00:00.25", None, None]

        _, content = read(
            write_run(tmp_path / "store", "1", images, {(1, 2): (0.95, 0.9)}, folder=str(folder), moved=False)
        )

        # Image 0 matches nothing, and is not shown.
        assert [(image[0], image[8:]) for image in content["images"]] == [
            ("e.png", [1, 1_700_000_000]),
            ("c é\n'\".png", [2, 1_700_000_000]),
        ]

        scores = {(0, 1): (0.97, 0.95)}
        _, content = read(write_run(tmp_path / "store", "2", images, scores, folder=str(folder), moved=False))

        assert [image[8:] for image in content["images"]] == [
            [0, 1_700_000_000, "2019-05-01T12:00:00.25"],
            [1, 1_700_000_000],
        ]

    def test_a_match_in_doubt_has_a_hint_in_plain_words(self, run):
        _, content = read(run)

        members = {key: tab["groups"][0][1][0] for tab in content["tabs"] if (key := tab["key"]) != "near"}
        assert "Look at the lines" in content["hints"][members["review"][7]]
        assert len(members["duplicates"]) == 6

    def test_orientations_are_those_that_turn_the_other_picture_to_match(self, tmp_path, folder):
        paths = [str(folder / name) for name in ("a.png", "e.png", "page.png", NASTY)]
        scores = {(0, 1): (0.97, 0.95, 6), (0, 2): (0.96, 0.95), (0, 3): (0.88, 0.9, 8)}
        sizes = {path: (10 * size, 640, 480) for size, path in enumerate(paths, 1)} | {paths[1]: (20, 480, 640)}
        images = image_table(paths, digest_all(paths), sizes=sizes)
        options = {"folder": str(folder), "moved": False, "orientations": "all"}

        page, content = read(write_run(tmp_path / "store", "1", images, scores, **options))
        _, largest = read(write_run(tmp_path / "store", "2", images, scores, keep="size", **options))

        def turned(content):
            members = [member for tab in content["tabs"] for _, members in tab["groups"] for member in members]
            return {member[1]: member[6:] for member in members}

        assert turned(content) == {0.97: [6], 0.96: [], 0.88: [8]}
        # The second picture of the best pair is kept, and the first one is turned the other way.
        assert turned(largest) == {0.97: [8], 0.88: [8]}
        assert "too: 1 of the duplicates is turned or mirrored" in page.words
        assert content["orientations"]["8"] == "turned by 90 degrees counter-clockwise"

    def test_pictures_are_embedded_and_look_like_their_files(self, run, folder):
        _, content = read(run)

        shown = picture_of(content, "a.png")
        original = cv2.resize(cv2.imread(str(folder / "a.png")), shown.shape[1::-1], interpolation=cv2.INTER_AREA)
        assert structural_similarity(shown, original, channel_axis=-1) > 0.9

    def test_the_funnel_the_unreadable_and_the_parameters_are_told(self, run):
        page, _ = read(run)

        for words in ("21", "scored exactly", "not a picture <b>", "max_aspect_change", "matches: 0.9 or more"):
            assert words in page.words

    def test_undo_is_told_after_moves_only(self, run):
        page, _ = read(run)
        assert "restore" not in page.words

        with run.editing_record() as record:
            record.counts["moved"] = 2
        page, _ = read(run)
        assert f"imagetwins restore {run.run_id}" in page.words

    def test_a_moved_file_is_found_where_it_is(self, tmp_path, folder):
        paths = [str(folder / name) for name in ("a.png", "e.png")]
        run = write_run(
            tmp_path / "store", "1", image_table(paths, digest_all(paths)), {(0, 1): (0.99, 0.98)}, folder=str(folder)
        )
        (folder / "Duplicates").mkdir()
        (folder / "e.png").rename(folder / "Duplicates/e.png")

        _, content = read(run)

        assert [image[1] for image in content["images"]] == [None, "Duplicates/e.png"]
        assert all(image[7] is not None for image in content["images"])

    def test_a_restored_file_is_shown_where_it_is_again(self, tmp_path, folder):
        paths = [str(folder / name) for name in ("a.png", "e.png")]
        run = write_run(
            tmp_path / "store", "1", image_table(paths, digest_all(paths)), {(0, 1): (0.99, 0.98)}, folder=str(folder)
        )

        _, content = read(run)
        assert [image[1] for image in content["images"]] == [None, None]

        with run.editing_record() as record:
            record.status = RunStatus.RESTORED
        assert "This run was undone." in read(run)[0].words

    def test_a_moved_file_whose_name_is_not_utf8_is_found(self, tmp_path, folder):
        shown = [str(folder / "a.png"), str(folder / "b\\xff.png")]
        images = image_table(shown)
        images["path_bytes"] = [None, os.fsencode(folder) + b"/b\xff.png"]
        run = write_run(tmp_path / "store", "1", images, {(0, 1): (0.99, 0.98)}, folder=str(folder))
        (folder / "Duplicates").mkdir()
        moved = os.fsencode(folder) + b"/Duplicates/b\xff.png"
        Path(os.fsdecode(moved)).write_bytes((folder / "e.png").read_bytes())

        _, content = read(run)

        assert content["images"][1][7] is not None
        assert content["images"][1][2].endswith("/Duplicates/b%FF.png")

    def test_a_file_that_vanished_or_changed_since_has_no_picture_and_the_page_says_so(self, run, folder):
        (folder / NASTY).unlink()
        (folder / "e.png").write_bytes((folder / "a.png").read_bytes())

        page, content = read(run)

        rows = {image[0]: image for image in content["images"]}
        assert (rows[NASTY][2], rows[NASTY][7]) == (None, "no longer there")
        assert (rows["e.png"][2], rows["e.png"][7]) == ("", "changed since")
        assert "Of 2 files there is no picture any more: 1 changed since, 1 no longer there." in page.words

    def test_a_vanished_file_is_shown_by_a_copy_of_it(self, tmp_path, folder):
        paths = [str(folder / name) for name in ("a.png", "e.png")]
        (folder / "e.png").write_bytes((folder / "a.png").read_bytes())
        images = image_table(paths, digest_all(paths))
        run = write_run(tmp_path / "store", "1", images, {(0, 1): (1.0, 1.0)}, folder=str(folder), moved=False)
        (folder / "a.png").unlink()

        _, content = read(run)

        assert [(image[0], image[2], image[7]) for image in content["images"]] == [("a.png", None, 0), ("e.png", "", 0)]

    def test_nothing_found(self, tmp_path, folder):
        run = write_run(tmp_path / "store", "1", image_table([str(folder / "a.png")]), {}, folder=str(folder))

        page, content = read(run)

        assert "No duplicates in my <pictures> & more" in page.words
        assert content["images"] == []

    def test_the_bytes_to_gain_are_those_of_the_duplicates(self, tmp_path, folder):
        paths = [str(folder / name) for name in ("a.png", "e.png")]
        images = image_table(
            paths, digest_all(paths), sizes={paths[0]: (7_000_000, 640, 480), paths[1]: (2_000_000, 640, 480)}
        )
        run = write_run(tmp_path / "store", "1", images, {(0, 1): (0.99, 0.98)}, folder=str(folder), moved=False)

        page, _ = read(run)

        assert "2 MB" in page.words
        assert "7 MB" not in page.words

    def test_commands_name_the_store_as_a_shell_takes_it(self, tmp_path, folder):
        paths = [str(folder / name) for name in ("a.png", "e.png")]
        store = tmp_path / "a store; of 'mine'"
        run = write_run(store, "1", image_table(paths, digest_all(paths)), {(0, 1): (0.99, 0.98)}, folder=str(folder))

        page, _ = read(run)

        (command,) = re.findall(r"imagetwins restore 1.*?(?=Copy)", page.words)
        assert shlex.split(command) == ["imagetwins", "restore", "1", "--store", str(store)]

    def test_a_match_is_no_near_miss_and_a_pair_at_the_floor_is_one(self, tmp_path, folder):
        paths = [str(folder / name) for name in (*NAMES[:4], "e.png")]
        scores = {(0, 1): (0.95, 0.9), (2, 3): (0.95, 0.9), (1, 3): (0.9, 0.9), (3, 4): (0.85, 0.9)}
        run = write_run(tmp_path / "store", "1", image_table(paths), scores, folder=str(folder), moved=False)

        _, content = read(run)

        assert names_in(content, "near") == [(NASTY, ["e.png"])]

    def test_what_stayed_is_told_with_the_reason(self, run, folder):
        decisions = read_table(run.decisions, DECISIONS)
        set_decisions(decisions, [1], Action.NOT_MOVED, [Reason(ReasonCode.SOURCE_CHANGED)])
        set_decisions(decisions, [6], Action.NOT_MOVED, [Reason(ReasonCode.MODIFIED)])
        write_table(decisions, DECISIONS, run.decisions / "decisions.parquet")

        page, content = read(run)

        assert names_in(content, "stayed") == [("a.png", [NAMES[1]])]
        assert str(folder / "page.png") in page.words
        assert str(Reason(ReasonCode.MODIFIED)) in page.words


class TestSafety:
    def test_names_become_no_markup(self, run):
        page, content = read(run)

        assert not [tag for tag, attributes in page.tags if "onerror" in attributes or tag == "b</script"]
        assert len([tag for tag, _ in page.tags if tag == "script"]) == 4
        assert any("alert(1)" in image[0] for image in content["images"])

    def test_nothing_is_loaded(self, run):
        page, _ = read(run)

        addresses = [a.get(name) for _, a in page.tags for name in ("src", "href", "xlink:href") if a.get(name)]
        assert not [address for address in addresses if not address.startswith(("#", "data:"))]
        policy = next(a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a)
        assert policy.startswith("default-src 'none'; img-src data:")

    def test_building_twice_gives_the_same_file(self, run):
        first, second = build_report(run).read_bytes(), build_report(run).read_bytes()

        assert first == second


class TestSize:
    def test_pictures_beyond_the_budget_are_left_out_and_the_page_says_so(self, run, monkeypatch):
        monkeypatch.setattr(pictures, "PICTURE_BUDGET", 30_000)

        page, content = read(run)

        assert 0 < sum(map(len, content["pictures"])) <= 30_000
        assert re.search(r"leaves out \d pictures", page.words)

    def test_the_most_doubtful_have_pictures_first(self, run, monkeypatch):
        _, content = read(run)
        monkeypatch.setattr(pictures, "PICTURE_BUDGET", len(content["pictures"][0]) + len(content["pictures"][1]))

        _, content = read(run)

        assert {image[0] for image in content["images"] if image[7] is not None} == {"a.png", NASTY}

    def test_equal_contents_share_a_picture(self, tmp_path, folder):
        paths = [str(folder / name) for name in ("a.png", "e.png")]
        (folder / "e.png").write_bytes((folder / "a.png").read_bytes())
        images = image_table(paths, digest_all(paths))
        run = write_run(tmp_path / "store", "1", images, {(0, 1): (1.0, 1.0)}, folder=str(folder), moved=False)

        _, content = read(run)

        assert len(content["pictures"]) == 1


class TestSections:
    def test_a_stopped_run_has_all_its_moves_under_review(self):
        images = image_table(["/p/a.png", "/p/b.png"])
        pairs = comparison_table({(0, 1): (0.95, 0.9)})
        decisions = decide(images, pairs, Parameters(folder="/p", max_move_share=0.1))

        sections = plan_sections(decisions, pairs, 0.9)

        assert [len(sections[name]) for name in ("review", "near", "duplicates", "stayed")] == [1, 0, 0, 0]


def test_a_run_that_was_pruned_has_no_report(tmp_path):
    run = Run(tmp_path, "1")
    run.write_record(make_record("1"))

    with pytest.raises(Exception, match="pruned"):
        build_report(run)


def test_pictures_that_were_not_compared_are_counted_and_few_of_them_named(tmp_path):
    paths = ["/p/broken.png", "/p/icon.png", *(f"/p/{number}.svg" for number in range(50))]
    images = image_table(paths, errors=dict.fromkeys(paths, "no"))
    images["error_code"] = [None, "too-small"] + ["format-not-read"] * 50
    run = write_run(tmp_path, "1", images, {}, folder="/p", min_side=64)
    with run.editing_record() as record:
        record.counts.update({"not_read": 50, "too_small": 1})

    words = Page(build_report(run).read_text(encoding="utf-8")).words

    assert "52 files left alone" in words
    assert "Not read: 50 SVG." in words
    assert "1 picture was not compared: " in words
    assert [path in words for path in ("/p/broken.png", "/p/icon.png", "/p/0.svg")] == [True, False, False]
