"""Which entries of the memory a person means, and what audits and the report say of them."""

import json
import re

import pytest

from imagetwins.errors import ParameterError, StoreError
from imagetwins.reporting.advice import describe_remembered
from imagetwins.reporting.files import explain_file, explain_pair
from imagetwins.reporting.remembered import find_about, find_entries, find_said, tell_said
from imagetwins.reporting.run_page import build_report
from imagetwins.reporting.thresholds import audit_threshold
from imagetwins.storage import parse_location
from imagetwins.store.memory import Source, Verdict, list_entries, read_memory, remember_files, remember_pairs
from tests.support.audited import PATHS, SCORES
from tests.support.past_runs import image_table, make_record, write_run

APART, BACK = Verdict.NOT_DUPLICATES, Verdict.PUT_BACK


@pytest.fixture
def said(run):
    """b is no duplicate of a, d no near one of f, and e had moved as a duplicate of d."""
    remember_pairs(run, [(1, 0), (5, 3)], APART, Source.DESK, "two <b>days</b> [red]")
    remember_pairs(run, [(4, 3)], BACK, Source.RESTORE)
    return run


def names_of(entries):
    return [f"{row.path1[-5:-4]}{row.path2[-5:-4]}" for row in entries.itertuples()]


@pytest.mark.usefixtures("said")
def test_entries_are_found_by_the_path_of_a_file_or_its_end(store):
    entries = list_entries(store)
    assert names_of(find_about(entries, "/pictures/d.jpg")) == ["fd", "ed"]
    assert names_of(find_about(entries, "d.jpg")) == ["fd", "ed"]
    assert names_of(find_about(entries, "ictures/d.jpg")) == []
    assert names_of(find_about(entries, "none.jpg")) == []


def test_entries_are_found_by_what_is_in_a_file_now(store, tmp_path, monkeypatch):
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
    remember_files(store, parse_location(str(tmp_path / "a")), parse_location(str(tmp_path / "b")))
    (tmp_path / "a").rename(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    entries = list_entries(store)
    assert len(find_about(entries, "elsewhere")) == 1
    assert len(find_about(entries, "a")) == 1
    assert len(find_about(entries, "c")) == 0


@pytest.mark.usefixtures("said")
def test_entries_are_named_by_number_by_file_and_by_run(store):
    numbers = dict(zip(names_of(list_entries(store)), list_entries(store)["id"], strict=True))
    assert names_of(find_entries(store, [numbers["ba"], numbers["ed"][:6]], None)) == ["ba", "ed"]
    assert names_of(find_entries(store, ["/pictures/d.jpg"], None)) == ["fd", "ed"]
    assert names_of(find_entries(store, ["e.jpg"], "latest")) == ["ba", "fd", "ed"]


@pytest.mark.usefixtures("said")
@pytest.mark.parametrize(
    ("names", "run_id", "message"),
    [
        (["0123"], None, "neither the number of anything"),
        (["none.jpg"], None, "neither the number of anything"),
        (["b.jpg", "none.jpg"], None, "'none.jpg' is neither"),
        ([], "20261121", "nothing is remembered of run 20261121T020000Z-2"),
    ],
)
def test_a_name_of_nothing_is_refused(store, names, run_id, message):
    write_run(store, "20261121T020000Z-2", image_table(PATHS), SCORES)
    with pytest.raises(ParameterError, match=message):
        find_entries(store, names, run_id)
    with pytest.raises(StoreError, match="no run"):
        find_entries(store, [], "none")


def test_a_short_name_of_files_in_several_places_is_refused(said, store):
    remember_pairs(said, [(6, 3)], APART, Source.DESK)
    with pytest.raises(ParameterError, match=r"may be any of 2 files: '/pictures/a.jpg', '/pictures/sub/a.jpg'"):
        find_entries(store, ["a.jpg"], None)
    assert names_of(find_entries(store, ["/pictures/a.jpg"], None)) == ["ba"]


def test_what_was_said_is_told_in_words_with_the_number(said, store):
    (entry,) = find_said(store, ["digest of /pictures/b.jpg"])["id"]
    (sentence,) = tell_said(find_said(store, ["digest of /pictures/a.jpg", "digest of /pictures/b.jpg"]))
    assert sentence.startswith("b.jpg and a.jpg are no duplicates, as ")
    assert sentence.endswith(f"(desk, run {said.run_id}): two <b>days</b> [red] ({entry})")
    (back,) = tell_said(find_said(store, ["digest of /pictures/e.jpg"]))
    assert back.startswith("e.jpg had moved as a duplicate of d.jpg, and was put back by ")
    assert tell_said(find_said(store, ["digest of /pictures/a.jpg", "digest of /pictures/c.jpg"])) == []


def test_of_equal_files_it_is_said_that_all_stay(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text("same")
    rows = remember_files(tmp_path, parse_location(str(tmp_path / "a")), parse_location(str(tmp_path / "b")))
    (sentence,) = tell_said(find_said(tmp_path, list(rows["digest1"])))
    assert sentence.startswith("no two files with the content of a are duplicates, as ")
    assert find_said(tmp_path, ["another"]).empty
    assert len(find_said(tmp_path, [*rows["digest1"], *rows["digest2"]])) == 1


def test_a_run_before_it_says_that_it_moved_and_what_was_said_since(said):
    answer = explain_file(said, "b.jpg")
    assert answer.verdict.startswith("moved: matches a.jpg")
    assert len(answer.remembered) == 1
    assert answer.thresholds.set_index("threshold")["action"][0.9] == "kept"
    pair = explain_pair(said, "/pictures/a.jpg", "b.jpg")
    assert pair.verdict.startswith("match: SSIM 0.9500 decided about b.jpg")
    assert pair.remembered == answer.remembered
    assert explain_pair(said, "/pictures/a.jpg", "c.jpg").remembered == []
    audit = audit_threshold(said, 0.9)
    assert audit.table.set_index("FullPath")["becomes"].to_dict() == {
        "/pictures/b.jpg": "kept", "/pictures/c.jpg": "duplicate"
    }  # fmt: skip


@pytest.mark.usefixtures("said")
def test_a_run_after_it_says_that_they_are_kept_apart_and_who_said_so(store):
    memory, late = read_memory(store), "2099-11-21T02:00:00+00:00"
    later = write_run(store, "20991121T020000Z-2", image_table(PATHS), SCORES, created=late, memory=memory)
    assert explain_file(later, "/pictures/a.jpg").verdict.startswith("kept: no duplicate of b.jpg, as ")
    # Of b there is more to say.
    assert explain_file(later, "b.jpg").verdict == "kept: it ranks before its 1 copy."
    assert explain_file(later, "e.jpg").verdict.startswith("review: e.jpg had moved as a duplicate of d.jpg")
    pair = explain_pair(later, "/pictures/a.jpg", "b.jpg")
    assert pair.verdict == "kept apart: SSIM 0.9500, but a person said that they are no duplicates."
    assert explain_pair(later, "d.jpg", "f.jpg").verdict.startswith("no match: SSIM 0.8800")
    assert audit_threshold(later, 0.9).table.empty


def test_what_is_kept_apart_is_nobodys_near_miss(run):
    def find_near():
        build_report(run)
        (content,) = re.findall(
            r'<script type="application/json"[^>]*>(\{.*?)</script>', run.report.read_text(), re.DOTALL
        )
        (tab,) = [tab for tab in json.loads(content)["tabs"] if tab["key"] == "near"]
        return [kept for kept, _ in tab["groups"]]

    before = find_near()
    remember_pairs(run, [(5, 3)], APART, Source.DESK)
    assert len(find_near()) == len(before) - 1


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({}, ""),
        ({"remembered": 1}, "1 match kept apart"),
        ({"remembered_review": 2}, "2 pictures for review instead of moved"),
        ({"remembered": 2, "remembered_review": 1}, "2 matches kept apart, 1 picture for review"),
    ],
)
def test_what_came_of_it_is_said_in_a_sentence(counts, words):
    record = replace_counts(counts)
    assert words in describe_remembered(record)
    assert bool(words) == bool(describe_remembered(record))


def replace_counts(counts):
    return make_record().model_copy(update={"counts": make_record(counts=counts).counts})
