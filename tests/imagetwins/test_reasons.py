"""Every code has its sentence, and nobody else writes one."""

import string

import pytest

from imagetwins.reasons import _SENTENCES, Reason, ReasonCode, RefusedError

DETAILS = {
    "other": "c.png", "before": "matches a.png", "why": "it is gone", "who": "ann", "decided": "2026-11-27T09:50:12+00:00", "source": "desk",
    "more": 2, "moved": "d.png",
    "kept": "a.png", "count": 2, "first": "1x2", "second": "2x1", "detail": 0.3, "local": 0.4, "limit": 0.7, "difference": 9, "moves": 3,
    "movable": 4, "error": "Permission denied", "comment": "mine", "now": 0.5, "then": 0.25, "run_id": "r1", "changes": "size",
    "worker": "the Dask worker at x", "store": "/s", "directory": "/d", "there": "1", "here": "2", "example": "/a", "server": "u",
    "picture": "b.png", "format": "TGA", "side": 20,
}  # fmt: skip


@pytest.mark.parametrize("code", ReasonCode)
def test_each_code_has_a_sentence_with_its_details(code):
    said = str(Reason(code, DETAILS))
    assert said
    assert "{" not in said
    sentence = _SENTENCES[code]
    for _, name, _, _ in string.Formatter().parse(sentence) if isinstance(sentence, str) else ():
        assert name is None or str(DETAILS[name])[:5] in said


def test_a_reason_is_data():
    reason = Reason.of(ReasonCode.LOW_DETAIL_SSIM, detail=0.5, limit=0.7)
    assert reason == Reason(ReasonCode.LOW_DETAIL_SSIM, {"detail": 0.5, "limit": 0.7})
    assert str(reason) == "where the pictures have detail their SSIM is 0.500, below 0.7"
    assert RefusedError(reason).reason is reason


@pytest.mark.parametrize(("comment", "said"), [("", "not approved"), ("not today", "not approved: not today")])
def test_a_comment_is_added_where_there_is_one(comment, said):
    assert str(Reason.of(ReasonCode.NOT_APPROVED, comment=comment)) == said


@pytest.mark.parametrize(
    ("details", "end"),
    [
        ({}, "as ann said on 2026-11-27 09:50 UTC (desk)"),
        ({"run_id": "r1"}, "as ann said on 2026-11-27 09:50 UTC (desk, run r1)"),
        ({"run_id": float("nan"), "why": "two cats"}, "as ann said on 2026-11-27 09:50 UTC (desk): two cats"),
    ],
)
def test_who_said_so_when_where_and_why(details, end):
    said = {name: DETAILS[name] for name in ("who", "decided", "source")} | {"other": "c.png", "more": 0}
    assert str(Reason.of(ReasonCode.KEPT_APART, **said, **details)) == f"kept: no duplicate of c.png, {end}"


def test_an_error_of_the_system_is_told_with_its_file():
    assert str(Reason.of_os_error(PermissionError(13, "Permission denied", "/a"))) == "Permission denied: /a"
    assert str(Reason.of_os_error(OSError("no more"))) == "no more"
