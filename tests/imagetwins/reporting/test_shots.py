"""What audits and the report say of matches that are two shots by their EXIF, where a run keeps those."""

import json
import re

import pytest

from imagetwins.reporting.advice import describe_shots
from imagetwins.reporting.files import explain_file, explain_pair
from imagetwins.reporting.run_page import build_report
from imagetwins.reporting.thresholds import audit_threshold
from tests.support.past_runs import image_table, make_record, write_run

PATHS = [f"/pictures/{name}.jpg" for name in "abc"]
SECOND = "2024-08-12T10:00:00"
SCORES = {(0, 1): (0.95, 0.95), (0, 2): (0.89, 0.95)}


def write(store, burst):
    images = image_table(PATHS).assign(taken=[SECOND, "2024-08-12T10:00:01", "2024-08-12T10:00:02"])
    parameters = {"folder": "/pictures", "burst": burst}
    return write_run(store, f"20261120T020000Z-{burst}", images, SCORES, **parameters)


def test_files_and_pairs_that_are_kept_say_so_at_every_threshold(tmp_path):
    run = write(tmp_path, "keep")
    times = "they were taken at different times, 2024-08-12 10:00:00 and 2024-08-12 10:00:01"
    assert explain_file(run, "b.jpg").verdict == f"kept: another shot than a.jpg: {times}."
    assert explain_pair(run, "a.jpg", "b.jpg").verdict == f"no match: SSIM 0.9500, but {times} (burst keep)."
    assert explain_pair(run, "b.jpg", "c.jpg").verdict.startswith("no match: proven")
    assert audit_threshold(run, 0.88).counts == {"duplicate": 0, "review": 0, "kept": 3, "unreadable": 0}


@pytest.mark.parametrize(("burst", "counts"), [("review", (0, 2)), ("move", (2, 0))])
def test_other_runs_decide_at_other_thresholds_as_they_were_asked(tmp_path, burst, counts):
    audit = audit_threshold(write(tmp_path, burst), 0.88)
    assert (audit.counts["duplicate"], audit.counts["review"]) == counts


def test_two_shots_are_no_near_miss_of_a_run_that_keeps_them(tmp_path):
    near = {}
    for burst in ("keep", "review"):
        page = build_report(write(tmp_path, burst)).read_text()
        (content,) = re.findall(r'<script type="application/json"[^>]*>(\{.*?)</script>', page, re.DOTALL)
        near[burst] = [tab["groups"] for tab in json.loads(content)["tabs"] if tab["key"] == "near"]
    assert near["keep"] == [[]]
    assert len(near["review"][0]) == 1


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({}, ""),
        ({"burst": "move"}, ""),
        ({"burst": "keep"}, "2 pairs would match, but are two shots by EXIF, and kept (burst keep)."),
        ({"burst": "keep", "rule": "plain"}, ""),
    ],
)
def test_how_many_they_were_is_said_in_a_sentence(parameters, words):
    record = make_record(counts={"other_shots": 2}, parameters={"folder": "/pictures"} | parameters)
    assert describe_shots(record) == words
