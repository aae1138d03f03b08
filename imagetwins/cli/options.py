"""The parameters of a run as options of a command: names, types, defaults and help come from `Parameters`."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_args, get_origin

import typer
from pydantic import ByteSize

from imagetwins.config.parameters import Parameters

Store = Annotated[str | None, typer.Option(help=Parameters.model_fields["store"].description)]

FOLDERS = ("folder", "more_folders")
"""The parameters that are arguments of a command, and not options."""


def takes_parameters(*, without: tuple[str, ...] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for every field of `Parameters`, handed to it as the dictionary `given`.

    The folders are its arguments, as many as there are.
    """
    fields = {name: field for name, field in Parameters.model_fields.items() if name not in (*FOLDERS, *without)}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [entry for name, entry in inspect.signature(command).parameters.items() if name != "given"]
        options = [_folders(), *(_option(name, field) for name, field in fields.items())]

        @functools.wraps(command)
        def wrapped(**values: Any) -> None:
            first, *more = values.pop("folders")
            given = {"folder": first, "more_folders": more} | {name: values.pop(name) for name in fields}
            command(given=given, **values)

        signature = inspect.Signature([*options, *own])
        wrapped.__signature__ = signature  # type: ignore[attr-defined]
        wrapped.__annotations__ = {name: entry.annotation for name, entry in signature.parameters.items()}
        return wrapped

    return decorate


def _folders() -> inspect.Parameter:
    text = " ".join(str(Parameters.model_fields[name].description) for name in FOLDERS)
    annotation = Annotated[list[str], typer.Argument(metavar="FOLDER", help=text, show_default=False)]
    return inspect.Parameter("folders", inspect.Parameter.KEYWORD_ONLY, annotation=annotation)


def _option(name: str, field: Any) -> inspect.Parameter:
    kind, text = _plain_type(field.annotation), str(field.description)
    option = typer.Option(help=text, show_default=field.default not in (None, []))
    annotation, default = Annotated[kind, option], field.default
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _plain_type(kind: Any) -> Any:
    """Return `kind` without the limits that pydantic checks: the same check, with the same words, for every caller."""
    if get_origin(kind) is Annotated:
        return _plain_type(get_args(kind)[0])
    if kind is ByteSize:
        return str
    if kind is not None and type(None) in get_args(kind):
        return _plain_type(next(part for part in get_args(kind) if part is not type(None))) | None
    return kind
