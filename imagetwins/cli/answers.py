"""What a script reads: with --json, one JSON object on standard output, and nothing else there.

Tables, sentences and bars are for people: without --json the answer is on standard output and the rest on standard error; with it
all of that is on standard error, whoever prints it. An error is an object, too: {"error": "..."}.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console, ConsoleDimensions
from typer.core import TyperGroup

from imagetwins.cli.dashes import HELP_OPTION, advise_dash, explain_dash, find_hidden_help

JSON_OPTION = "--json"

Json = Annotated[
    bool,
    typer.Option(
        JSON_OPTION,
        help="Print one JSON object on standard output and all else on standard error; of an error, an object with the key error.",
    ),
]


class _Output:
    """Standard output as it was, for one object."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.is_used = False

    def write(self, answer: Any) -> None:
        self.is_used = True
        # A file's name may be no text that standard output can take; as ASCII it is.
        self._stream.write(json.dumps(answer, allow_nan=False) + "\n")
        self._stream.flush()


_output: ContextVar[_Output | None] = ContextVar("output", default=None)
"""Where the object goes; None where nobody asked for one."""


@contextmanager
def answering(*, json: bool) -> Iterator[None]:
    """With `json`, keep standard output in this block for what `print_json` or `print_error` writes."""
    if not json:
        yield
        return
    token = _output.set(_Output(sys.stdout))
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _output.reset(token)


def print_json(answer: Any) -> None:
    """Print the answer of a command that was asked for JSON."""
    output = _output.get()
    if output is None:
        raise RuntimeError("nobody asked for JSON: enter `answering` first")
    output.write(answer)


def print_error(message: str) -> None:
    """Print an error in place of the answer, if JSON was asked for and there was no answer yet."""
    output = _output.get()
    if output and not output.is_used:
        output.write({"error": message})


class AnswerConsole(Console):
    """Prints answers; where nobody looks, in a pipe or a log, a table need not be as narrow as a terminal."""

    @property  # type: ignore[misc]  # nobody sets it
    def size(self) -> ConsoleDimensions:
        return super().size if self.is_terminal else ConsoleDimensions(160, 25)


class Commands(TyperGroup):
    """Our commands. What is wrong with the options of one is an object, too, if --json is among them.

    It says how to name a file or a folder that begins with -, where one may have been meant.
    """

    def invoke(self, ctx: Any) -> Any:
        arguments = list(ctx.args)
        try:
            if hidden := find_hidden_help(arguments):
                ctx.fail(f"{hidden!r} would be read as {HELP_OPTION}. {explain_dash(hidden)}")
            return super().invoke(ctx)
        except Exception as error:
            # Of the library that parses options; which one that is depends on typer's version.
            if hasattr(error, "format_message"):
                _add_advice(error, advise_dash(arguments, getattr(error, "option_name", "")))
                if JSON_OPTION in arguments:
                    with answering(json=True):
                        print_error(error.format_message())
            raise


def _add_advice(error: Any, advice: str) -> None:
    if advice and advice not in error.format_message():
        error.message, error.possibilities = f"{error.format_message().rstrip('.')}. {advice}", None
