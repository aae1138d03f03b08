"""A run in a terminal: bars for the stages in their order; elsewhere only what is announced."""

import io
import time

import pytest
from rich.console import Console
from rich.text import Text

from imagetwins.cli.observer import LABELS, ask_in_terminal, following
from imagetwins.matching.approval import Answer, ApprovalRequest
from imagetwins.store.record import Stage
from imagetwins.store.runs import Run
from tests.support.past_runs import image_table, write_run

SHOW_CURSOR, UP_AND_ERASED = "\x1b[?25h", "\x1b[1A\x1b[2K"


def terminal(width=80):
    return Console(file=io.StringIO(), width=width, force_terminal=True, highlight=False, _environ={})


def follow(console):
    with following(console) as observer:
        observer.run_started(Run(None, "1"))
        for stage in Stage:
            observer.stage_started(stage)
        observer.announce("12 [b]pictures\x1b[2J")
    return console.file.getvalue()


def drawn(console, *reports):
    """What is in the last line of a terminal after some reports of one stage: (done, total, unit, part)."""
    with following(console) as observer:
        observer.stage_started(Stage.LOAD)
        for report in reports:
            observer.progressed(Stage.LOAD, *report)
        observer._progress.refresh()
        return console.file.getvalue().splitlines()[-1]


def test_in_a_pipe_only_sentences_are_printed_and_names_do_nothing():
    assert follow(Console(file=io.StringIO(), width=80)) == "12 [b]pictures\\x1b[2J\n"


def test_a_terminal_that_cannot_move_its_cursor_gets_sentences_alone():
    dumb = Console(file=io.StringIO(), width=80, force_terminal=True, _environ={"TERM": "dumb"})
    assert follow(dumb).replace("\n", "") == "12 [b]pictures\\x1b[2J"


def test_a_terminal_shows_each_stage_with_its_number_in_words():
    shown = follow(terminal())
    for number, stage in enumerate(Stage, 1):
        assert f"{number}/{len(Stage)} {stage.label}" in shown
    assert "12 [b]pictures\\x1b[2J" in shown


def test_what_is_no_run_has_no_numbers():
    console = terminal()
    with following(console) as observer:
        observer.progressed("sample", 1, 4)
        observer.progressed(Stage.SCORE, 1, 4)
        observer._progress.refresh()
    assert LABELS["sample"] in console.file.getvalue()
    assert f"/{len(Stage)} " not in console.file.getvalue()


@pytest.mark.parametrize(
    ("reports", "said"),
    [
        ([], ""),
        ([(1, None, "file")], "1 file "),
        ([(1200, None, "file")], "1,200 files "),
        ([(0, 900, "picture")], "0/900 pictures "),
        ([(0, 900, "picture"), (64, None, "", 0), (113, None, "", 7), (70, None, "", 0)], "183/900 pictures "),
        # A batch tells how far it is, and its end is told once more.
        ([(0, 900, "picture"), (64, None, "", 5), (100, 900, "picture", 5)], "100/900 pictures "),
        ([(0, 0, "picture")], "0/0 pictures "),
        ([(1, 4, "")], "25 % "),
        ([(3, 3, "file"), (1, 16, "sample picture")], "1/16 sample pictures "),
    ],
)
def test_a_bar_says_how_much_is_done(reports, said):
    assert said in drawn(terminal(), *reports)


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_a_bar_has_one_line_in_any_terminal(width):
    console = terminal(width)
    assert "Loading" in drawn(console, (123_456, 10_000_000, "picture"), (234_567, None, "", 2))
    assert console.file.getvalue().count(UP_AND_ERASED) == 1
    # The terminal writes "^C" where the cursor is.
    rows = Text.from_ansi(console.file.getvalue()).plain.split("\n")
    assert max(map(len, rows)) <= width - 2


def test_a_stage_is_over_when_the_next_begins_and_not_when_its_bar_is_full():
    console = terminal()
    with following(console) as observer:
        observer.progressed(Stage.LOAD, 900, 900, "picture")
        observer._progress.refresh()
        assert "✓" not in console.file.getvalue()
        observer.stage_started(Stage.PLAN)
        observer._progress.refresh()
        assert "✓" in console.file.getvalue()


def test_the_time_left_is_told():
    console = terminal()
    with following(console) as observer:
        for done in (1, 2, 3):
            observer.progressed(Stage.MOVE, done, 1_000_000, "file")
            time.sleep(0.02)
        observer._progress.refresh()
        assert " left" in console.file.getvalue()


@pytest.mark.parametrize("ending", [RuntimeError, KeyboardInterrupt])
def test_bars_are_gone_and_the_cursor_is_back_when_a_run_ends_early(ending):
    console = terminal()
    with pytest.raises(ending), following(console) as observer:  # noqa: PT012 - the bars must be there
        for stage in Stage:
            observer.stage_started(stage)
        raise ending
    after = console.file.getvalue().rpartition(SHOW_CURSOR)[2]
    assert after.count(UP_AND_ERASED) == len(Stage)
    assert not after.rpartition("\x1b[2K")[2].strip()


def test_the_terminal_asks_which_files_to_leave_alone(tmp_path, monkeypatch):
    scores = {(0, 1): (0.99, 0.98), (0, 2): (0.95, 0.9)}
    paths = ["/pictures/a.jpg", "/pictures/b.jpg", "/pictures/sub/c d.jpg"]
    run = write_run(tmp_path, "20260101T000000Z-00000000", image_table(paths), scores, moved=False)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\nnobody.jpg\nsub/c d.jpg\n\n"))
    shown = Console(file=io.StringIO(), width=200)
    answer = ask_in_terminal(shown, run, ApprovalRequest(moves=2, doubtful=0))
    assert answer == Answer(True, ["sub/c d.jpg"])
    assert "'nobody.jpg' is none of the files to move" in shown.file.getvalue()


def test_the_time_that_a_person_takes_to_answer_is_known(tmp_path, monkeypatch):
    run = write_run(tmp_path, "1", image_table(["/pictures/a.jpg", "/pictures/b.jpg"]), {(0, 1): (0.99, 0.98)})
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    console = terminal()
    with following(console) as observer:
        observer.stage_started(Stage.DECIDE)
        assert observer.approve(run, ApprovalRequest(moves=1, doubtful=0)) == Answer(approve=False)
        observer.stage_started(Stage.MOVE)
        assert observer.asked_seconds > 0
