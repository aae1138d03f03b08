"""How commands end: one enum of exit codes, and the one mapping of errors to them."""

import atexit
import errno
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import NoReturn

import typer
from rich.console import Console

from imagetwins.cli.answers import answering, print_error
from imagetwins.cli.markup import escape_markup
from imagetwins.errors import ImagetwinsError, ParameterError, ServerLostError
from imagetwins.text import describe_os_error


class ExitStatus(IntEnum):
    """What a command ends with. 2 is also what typer itself exits with."""

    DONE = 0
    FAILED = 1
    WRONG_USE = 2
    DUPLICATES = 3


EXIT_CODES = {
    ExitStatus.DONE: "done",
    ExitStatus.FAILED: "failed, or not all was done",
    ExitStatus.WRONG_USE: "wrong use",
    ExitStatus.DUPLICATES: "there are duplicates or matches for review (run --fail-on-duplicates)",
}
"""What the help says of each."""

_FULL = (errno.ENOSPC, errno.EDQUOT)

_MAKE_ROOM = (
    "Free some room on the disk, which is most likely that of the store, or name a store on another one with --store or "
    "IMAGETWINS_STORE; then do the same again."
)


@contextmanager
def exiting_on_errors(stderr: Console, *, json: bool = False) -> Iterator[None]:
    """End with a message and an exit code, instead of a traceback, on what a user can mend; with `json`, see `answers`.

    Raises:
        typer.Exit: with an `ExitStatus`.
    """
    with answering(json=json):
        try:
            yield
        except ParameterError as error:
            _say(stderr, "Wrong use", error)
            raise typer.Exit(ExitStatus.WRONG_USE) from None
        except ServerLostError as error:
            _say(stderr, "Failed", error)
            # At a usual end Prefect tries for minutes to send its last events to a server that is gone.
            _end_at_once(ExitStatus.FAILED)
        except (ImagetwinsError, OSError) as error:
            _say(stderr, "Failed", error)
            raise typer.Exit(ExitStatus.FAILED) from None
        except KeyboardInterrupt as interrupt:
            # Threads of the run may still have something to log, which Prefect can no longer send: none of it is for a user.
            logging.raiseExceptions = False
            message = "Interrupted, between two moves if any. `imagetwins audit latest` shows what was done."
            stderr.print(said := str(interrupt) or message)
            print_error(said)
            raise typer.Exit(ExitStatus.FAILED) from None
        except typer.Exit:
            raise
        except Exception as error:
            print_error(f"{type(error).__name__}: {error}")
            raise


def _say(stderr: Console, what: str, error: Exception) -> None:
    said = _describe(error)
    # Its remedy may be a command to copy, which no line break of ours may cut in two.
    stderr.print(f"[red]{what}:[/] {escape_markup(said)}", soft_wrap=True)
    print_error(said)


def _describe(error: Exception) -> str:
    if not isinstance(error, OSError):
        return str(error)
    said = describe_os_error(error)
    return f"{said}. {_MAKE_ROOM}" if error.errno in _FULL else said


@contextmanager
def ending_quickly() -> Iterator[None]:
    """Once the command in this block has ended, and all that is called at its end, let the process end without more ado.

    Python would take apart whatever was imported: that takes 0.7 s, and changes nothing any more.
    """
    status: list[int] = []

    def end() -> None:
        if status:
            _end_at_once(*status)

    # What is registered first is called last: whoever has something to write down does so before.
    atexit.register(end)
    try:
        yield
    except SystemExit as error:
        if isinstance(error.code, int):
            status.append(error.code)
        raise


def _end_at_once(status: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)
