"""A run in a terminal: bars for the stages in their order; elsewhere only what is announced."""

import io

from rich.console import Console

from imagetwins.cli.observer import ask_in_terminal, following
from imagetwins.matching.approval import Answer, ApprovalRequest
from imagetwins.store.record import Stage
from tests.support.past_runs import image_table, write_run


def follow(console):
    with following(console) as observer:
        for stage in Stage:
            observer.stage_started(stage)
        observer.batches_done(Stage.LOAD, 1, 4)
        observer.announce("12 [b]pictures\x1b[2J")
    return console.file.getvalue()


def test_in_a_pipe_only_sentences_are_printed_and_names_do_nothing():
    assert follow(Console(file=io.StringIO(), width=80)) == "12 [b]pictures\\x1b[2J\n"


def test_a_terminal_shows_each_stage_with_its_number():
    shown = follow(Console(file=io.StringIO(), width=80, force_terminal=True, highlight=False))
    for number, stage in enumerate(Stage, 1):
        assert f"{number}/{len(Stage)} {stage}" in shown
    assert "1/4" in shown
    assert "12 [b]pictures\\x1b[2J" in shown


def test_the_terminal_asks_which_files_to_leave_alone(tmp_path, monkeypatch):
    scores = {(0, 1): (0.99, 0.98), (0, 2): (0.95, 0.9)}
    paths = ["/pictures/a.jpg", "/pictures/b.jpg", "/pictures/sub/c d.jpg"]
    run = write_run(tmp_path, "20260101T000000Z-00000000", image_table(paths), scores, moved=False)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\nnobody.jpg\nsub/c d.jpg\n\n"))
    shown = Console(file=io.StringIO(), width=200)
    answer = ask_in_terminal(shown, run, ApprovalRequest(moves=2, doubtful=0))
    assert answer == Answer(True, ["sub/c d.jpg"])
    assert "'nobody.jpg' is none of the files to move" in shown.file.getvalue()
