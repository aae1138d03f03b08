"""The command line: arguments to flows and questions, answers to the terminal. Nothing is decided here."""

import datetime as dt
import functools
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from imagetwins.cli import rendering
from imagetwins.cli.options import takes_parameters
from imagetwins.config.parameters import check_local_folder, check_parameters
from imagetwins.decoding.formats import decoded_formats, undecoded_formats
from imagetwins.errors import ImagetwinsError, ParameterError
from imagetwins.reporting import audit as questions
from imagetwins.runtime.server import prepare_environment, running_server
from imagetwins.runtime.settings import PROJECT, check_places, resolve_store
from imagetwins.runtime.waiting import settle_waiting
from imagetwins.store.runs import find_run
from imagetwins.text import amount

FAILED, WRONG_USE = 1, 2
"""Exit codes; 0 is done, and 2 is also what typer itself exits with."""

app = typer.Typer(
    name="imagetwins",
    help="Find the duplicate and near-duplicate images of a folder by exact all-pairs SSIM, and move them. Undoable.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# Where nobody looks, in a pipe or a log, a table need not be as narrow as a terminal.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
complaints = Console(stderr=True, highlight=False)

FORMATS_HELP = (
    f"Formats: {', '.join(decoded_formats())}, told by content, not by name. "
    f"{', '.join(undecoded_formats())} files are listed, but cannot be read."
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, on the last line.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show Prefect's log.")]
Store = Annotated[
    str | None,
    typer.Option(help="Folder of the tables and journals, or its URL. Default: IMAGETWINS_STORE, else data/store."),
]
RunId = Annotated[str, typer.Argument(metavar="RUN", help='A run\'s id, the beginning of one, or "latest".')]


@contextmanager
def _errors() -> Iterator[None]:
    """End with a message and an exit code, instead of a traceback, on what a user can mend."""
    try:
        yield
    except ParameterError as error:
        complaints.print(f"[red]Wrong use:[/] {rendering.literal(str(error))}")
        raise typer.Exit(WRONG_USE) from None
    except (ImagetwinsError, OSError) as error:
        complaints.print(f"[red]Failed:[/] {rendering.literal(str(error))}")
        raise typer.Exit(FAILED) from None
    except KeyboardInterrupt:
        complaints.print("Interrupted, between two moves if any. `imagetwins audit latest` tells what was done.")
        raise typer.Exit(FAILED) from None


def _call_flow(call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run a flow against the server that runs, or against the embedded one, with progress bars in a terminal."""
    from imagetwins.runtime.approval import asker  # noqa: PLC0415 - imports Prefect, which takes a second or two
    from imagetwins.runtime.observer import announcer, listener  # noqa: PLC0415

    with running_server() as server:
        if server is None:
            complaints.print(
                "Starting Prefect's embedded server, about 10 s (`imagetwins serve` keeps one running) ..."
            )
        with rendering.progress_bars(complaints) as bars:
            listener.set(bars)
            announcer.set(lambda text: complaints.print(rendering.literal(text)))
            if complaints.is_terminal:
                asker.set(functools.partial(rendering.ask_in_terminal, complaints))
            return call()


def _print_json(answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")


@app.command(epilog=FORMATS_HELP)
@takes_parameters()
def run(given: dict[str, Any], *, json: Json = False, verbose: Verbose = False) -> None:
    """Find the duplicates of FOLDER and move them to its sub-folder Duplicates."""
    with _errors():
        check_places(check_parameters(given))
        _run(given, json, verbose)


def _run(given: dict[str, Any], json: bool, verbose: bool) -> None:
    prepare_environment(verbose=verbose)
    from flows.deduplicate import deduplicate  # noqa: PLC0415

    _show_run(_call_flow(lambda: deduplicate(**given)), given["store"], json)


def _show_run(summary: dict[str, Any], store: str | None, json: bool) -> None:
    done = find_run(resolve_store(store), summary["run_id"])
    rendering.print_run(console, questions.audit_run(done))
    console.print(f"Report:  {rendering.literal(str(done.report))}")
    if json:
        _print_json(summary)


@app.command()
def restore(run_id: RunId, *, store: Store = None, json: Json = False, verbose: Verbose = False) -> None:
    """Undo a run: move its files back to where they came from. Nothing is ever overwritten."""
    with _errors():
        find_run(resolve_store(store), run_id)
        prepare_environment(verbose=verbose)
        from flows.restore import restore as restore_images  # noqa: PLC0415

        answer = _call_flow(lambda: restore_images(run_id, store))
        rendering.print_restore(console, answer)
        if json:
            _print_json(answer)
        if answer["not_restored"]:
            raise typer.Exit(FAILED)


@app.command()
def audit(
    run_id: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help='A run\'s id, its beginning, or "latest".')
    ] = None,
    *,
    threshold: Annotated[float | None, typer.Option(help="What RUN would have decided at this threshold.")] = None,
    why: Annotated[str | None, typer.Option(metavar="FILE", help="Why this file of RUN moved, or why not.")] = None,
    pair: Annotated[
        tuple[str, str] | None, typer.Option(metavar="FILE FILE", help="The score of two files of RUN.")
    ] = None,
    file: Annotated[str | None, typer.Option(help="What every run decided about this file, across renames.")] = None,
    compare: Annotated[
        tuple[str, str] | None, typer.Option(metavar="RUN RUN", help="What changed between two.")
    ] = None,
    store: Store = None,
    json: Json = False,
    parquet: Annotated[Path | None, typer.Option(metavar="OUT", help="Write the table of the answer to OUT.")] = None,
) -> None:
    """Question past runs, from their tables alone: all of them, or one, or one file or pair of it."""
    with _errors():
        place = resolve_store(store)
        settle_waiting(place)
        answer = _ask(place, run_id, threshold=threshold, why=why, pair=pair, file=file, compare=compare)
        if parquet:
            questions.write_answer(rendering.table_of(answer), parquet)
            console.print(f"The table is in {rendering.literal(str(parquet))}")
        if json:
            _print_json(questions.to_plain(answer))
        elif not parquet:
            rendering.print_answer(console, answer)


def _ask(  # noqa: PLR0911 - one question a line
    place: Path,
    run_id: str | None,
    *,
    threshold: float | None,
    why: str | None,
    pair: tuple[str, str] | None,
    file: str | None,
    compare: tuple[str, str] | None,
) -> Any:
    if file:
        return questions.find_history(place, file)
    if compare:
        return questions.compare_runs(*(find_run(place, name) for name in compare))
    if run_id is None:
        if threshold is not None or why or pair:
            raise ParameterError("--threshold, --why and --pair ask about one run: name it, or say latest.")
        return questions.audit_runs(place)
    asked = find_run(place, run_id)
    if why:
        return questions.explain_file(asked, why)
    if pair:
        return questions.explain_pair(asked, *pair)
    if threshold is not None:
        return questions.audit_threshold(asked, threshold)
    return questions.audit_run(asked)


@app.command()
def apply(
    run_id: RunId,
    threshold: Annotated[float, typer.Option(help="The threshold to apply, not below the run's audit floor.")],
    *,
    dry_run: Annotated[bool, typer.Option(help="Decide and report, but move nothing.")] = False,
    store: Store = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Move the duplicates that a past run's scores give at another threshold, computing nothing again."""
    with _errors():
        questions.check_floor(find_run(resolve_store(store), run_id), threshold)
        prepare_environment(verbose=verbose)
        from flows.apply import apply as apply_run  # noqa: PLC0415

        _show_run(_call_flow(lambda: apply_run(run_id, threshold, dry_run, store)), store, json)


@app.command()
def report(run_id: RunId, *, store: Store = None, json: Json = False) -> None:
    """Build the HTML report of a run again, from its tables and the pictures as they are now."""
    with _errors():
        from imagetwins.reporting.run_page import build_report  # noqa: PLC0415 - draws: imports that take a second

        path = build_report(find_run(resolve_store(store), run_id))
        console.print(f"The report: {rendering.literal(str(path))}")
        if json:
            _print_json({"report": str(path)})


@app.command()
def calibrate(
    folder: Annotated[str, typer.Argument(help="The folder of pictures to calibrate for.", show_default=False)],
    *,
    pictures: Annotated[int, typer.Option(min=2, max=2000, help="How many of its pictures to sample.")] = 120,
    seed: Annotated[int, typer.Option(min=0, help="Decides the sample, and how its pictures are changed.")] = 0,
    exclude: Annotated[list[str], typer.Option(help="Patterns, as in a .gitignore, to leave out.")] = [],  # noqa: B006
    store: Store = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Measure which size, threshold and guard fit a folder, on copies of its own pictures. Nothing moves."""
    with _errors():
        check_local_folder("folder", folder)
        prepare_environment(verbose=verbose)
        from flows.calibrate import calibrate as calibrate_images  # noqa: PLC0415

        answer = _call_flow(lambda: calibrate_images(folder, pictures, seed, exclude, store))
        console.print(f"[bold]{rendering.literal(answer['reason'])}[/]\n")
        console.print(f"Try it:        [bold]{rendering.literal(answer['command'])}[/]", soft_wrap=True)
        console.print(f"The evidence:  {rendering.literal(answer['page'])}", soft_wrap=True)
        if json:
            _print_json(answer)


@app.command()
def prune(
    older_than: Annotated[int, typer.Option(min=0, metavar="DAYS", help="Prune runs that are older than this.")],
    *,
    dry_run: Annotated[bool, typer.Option(help="Show what would be freed, but remove nothing.")] = False,
    store: Store = None,
    json: Json = False,
) -> None:
    """Remove the scores and reports of old runs. What `restore` needs stays, and so does what was decided."""
    with _errors():
        before = dt.datetime.now(dt.UTC) - dt.timedelta(days=older_than)
        place = resolve_store(store)
        pruned = questions.plan_pruning(place, before) if dry_run else questions.prune_runs(place, before).table
        freed = int(pruned["freed_bytes"].sum())
        console.print(
            f"{amount(len(pruned), 'run')}, {freed / 1e6:,.1f} MB {'would be freed' if dry_run else 'freed'}."
        )
        if json:
            _print_json({"runs": questions.to_plain(pruned), "freed_bytes": freed})


@app.command()
def demo(*, json: Json = False, verbose: Verbose = False) -> None:
    """Build a sample folder of real photographs, find its duplicates and move them."""
    with _errors():
        samples = PROJECT / "data" / "samples" if (PROJECT / "pyproject.toml").exists() else Path("data/samples")
        from imagetwins.demo import build_samples  # noqa: PLC0415 - draws, too

        console.print(f"{build_samples(samples)} sample pictures in {samples}")
        _run({"folder": str(samples), "store": None}, json, verbose)


@app.command()
def approve(
    run_id: RunId,
    *,
    reject: Annotated[bool, typer.Option("--reject", help="Move nothing.")] = False,
    leave: Annotated[list[str], typer.Option(metavar="FILE", help="Leave this file alone; may be repeated.")] = [],  # noqa: B006 - typer's own
    comment: Annotated[str, typer.Option(help="Kept with the run.")] = "",
    store: Store = None,
) -> None:
    """Answer a run that waits for approval: move its duplicates, or, with --reject, none."""
    with _errors():
        place = resolve_store(store)
        settle_waiting(place)
        waiting = find_run(place, run_id)
        prepare_environment(verbose=False)
        from imagetwins.runtime.approval import Approval, send_answer  # noqa: PLC0415

        with running_server():
            send_answer(waiting, Approval(approve=not reject, leave_alone=leave, comment=comment))
        console.print(f"Run {waiting.run_id} goes on as soon as a worker takes it up.")


@app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def serve(context: typer.Context) -> None:
    """Run Prefect's server, its UI, the nightly schedule and the runs, in this terminal; --help tells more."""
    # Deployments know the flows, and not the other way round: hence a program of its own.
    os.execv(sys.executable, [sys.executable, "-m", "imagetwins.cli.serve", *context.args])  # noqa: S606


def main() -> None:
    """Run the command line."""
    app()
