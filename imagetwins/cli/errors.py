"""How commands end: one enum of exit codes, and the one mapping of errors to them."""

import atexit
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import NoReturn

import typer
from rich.console import Console

from imagetwins.cli.markup import escape_markup
from imagetwins.errors import ImagetwinsError, ParameterError, ServerLostError


class ExitStatus(IntEnum):
    """What a command ends with. 2 is also what typer itself exits with."""

    DONE = 0
    FAILED = 1
    WRONG_USE = 2


@contextmanager
def exiting_on_errors(stderr: Console) -> Iterator[None]:
    """End with a message and an exit code, instead of a traceback, on what a user can mend.

    Raises:
        typer.Exit: with an `ExitStatus`.
    """
    try:
        yield
    except ParameterError as error:
        stderr.print(f"[red]Wrong use:[/] {escape_markup(str(error))}")
        raise typer.Exit(ExitStatus.WRONG_USE) from None
    except ServerLostError as error:
        stderr.print(f"[red]Failed:[/] {escape_markup(str(error))}")
        # At a usual end Prefect tries for minutes to send its last events to a server that is gone.
        _end_at_once(ExitStatus.FAILED)
    except (ImagetwinsError, OSError) as error:
        stderr.print(f"[red]Failed:[/] {escape_markup(str(error))}")
        raise typer.Exit(ExitStatus.FAILED) from None
    except KeyboardInterrupt as interrupt:
        # Threads of the run may still have something to log, which Prefect can no longer send: none of it is for a user.
        logging.raiseExceptions = False
        stderr.print(
            str(interrupt) or "Interrupted, between two moves if any. `imagetwins audit latest` shows what was done."
        )
        raise typer.Exit(ExitStatus.FAILED) from None


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
