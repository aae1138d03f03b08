"""A run in a terminal: bars for the stages in their order; elsewhere only what is announced."""

import io

from rich.console import Console

from imagetwins.cli.observer import following
from imagetwins.store.record import Stage


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
