"""The desk's server: the reports of a store's runs, on this machine alone, with which a person's choices are kept and applied.

All addresses are below `/<run id>/`. What keeps others out:

- It listens on 127.0.0.1. Whoever asks must know the token, which is made anew for each server: in the address of what a browser opens,
  in a header of what the page sends.
- A page of another site is refused by its `Origin`, and a name of another site that resolves to this machine by its `Host`; no
  answer may be read by, shown in or kept by another page.
- No name of a file comes from the browser: runs are looked up by their ids, pictures by their numbers in a run's tables.
- A page may run its own scripts alone: each answer names them by a number of its own.
"""

import json
import os
import re
import secrets
import socket
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from imagetwins.errors import FolderBusyError, ImagetwinsError, ParameterError, ServerError, StoreError
from imagetwins.matching.choices import Choices, parse_choices, read_choices
from imagetwins.reporting.originals import read_original
from imagetwins.reporting.run_page import build_report
from imagetwins.storage import Location, storage_of
from imagetwins.store.runs import Run

HOST = "127.0.0.1"
TOKEN_HEADER = "X-Imagetwins-Token"  # noqa: S105 - the name of a header
MAX_BODY_BYTES = 32 << 20
"""Choices about 100,000 pictures with long names are half of that."""

PLACE = '<script type="application/json" id="desk">null</script>'
"""Where a report, which is the same file from a disk, learns that it came from here."""

POLICY = (
    "default-src 'none'; img-src 'self' data: blob:; style-src 'unsafe-inline'; script-src 'nonce-{nonce}'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""Of every answer; that of a report has a policy of its own."""

NOT_KNOWN = "this address is not, or no longer, one of the desk's: it is another for each start. `imagetwins review` prints a new one."

Apply = Callable[[Run, Choices], dict[str, Any]]
"""Applies checked choices about a run, and returns what became of them, as `reporting.applied` says it."""


@dataclass
class Desk:
    """What the server serves.

    Attributes:
        store: the store whose runs it shows.
        apply: applies choices; called in any thread, one call at a time.
        token: who knows it may use the desk.
    """

    store: Location
    apply: Apply
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    _applying: threading.Lock = field(default_factory=threading.Lock)
    _building: threading.Lock = field(default_factory=threading.Lock)
    _outdated: set[str] = field(default_factory=set)

    def find_run(self, run_id: str) -> Run:
        """Return the run with exactly this id.

        Raises:
            StoreError: the store has none.
        """
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*", run_id):
            raise HTTPException(HTTPStatus.NOT_FOUND, "no run has such an id.")
        run = Run(self.store, run_id)
        run.read_record()
        return run

    def read_page(self, run: Run) -> str:
        """Return the report of `run`, built anew where the run has changed since."""
        with self._building:
            if run.run_id in self._outdated or _is_outdated(run):
                build_report(run)
                self._outdated.discard(run.run_id)
            return storage_of(run.report).read_bytes(run.report).decode()

    def read_saved(self, run: Run) -> dict[str, Any] | None:
        """Return the choices that are kept of `run`; None if there are none that can be read."""
        try:
            choices = parse_choices(storage_of(run.choices).read_bytes(run.choices), str(run.choices))
        except (FileNotFoundError, ParameterError):
            return None
        return choices.model_dump(mode="json")

    def save(self, run: Run, body: bytes) -> Choices:
        """Check the choices in `body`, and keep them.

        Raises:
            ParameterError: they do not fit the run.
        """
        choices = read_choices(run, body)
        with storage_of(run.choices).writing(run.choices) as temporary:
            temporary.write_text(choices.model_dump_json(), encoding="utf-8")
        return choices

    def apply_body(self, run: Run, body: bytes) -> dict[str, Any]:
        """Keep the choices in `body`, apply them, and return what became of them.

        Raises:
            FolderBusyError: others are being applied.
            ImagetwinsError: they cannot be applied.
        """
        if not self._applying.acquire(blocking=False):
            raise FolderBusyError("choices are being applied just now. Wait for those.")
        try:
            choices = self.save(run, body)
            answer = self.apply(run, choices)
            return {name: answer[name] for name in ("run_id", "moved", "put_back", "remembered", "not_done", "undo")}
        finally:
            self._outdated.add(run.run_id)
            self._applying.release()


def _is_outdated(run: Run) -> bool:
    """Whether the report of `run` is gone, of an older version, or older than what is known of the run."""
    storage = storage_of(run.report)
    report = storage.stat(run.report)
    if report is None or PLACE.encode() not in storage.read_bytes(run.report):
        return True
    known = (storage.stat(source) for source in (run.record_file, run.journal))
    return any(stamp is not None and stamp.mtime_ns > report.mtime_ns for stamp in known)


# -- what may ask ----------------------------------------------------------------------------------------------------


class Guard:
    """Refuses whoever is not the page that the desk itself has handed out, before anything else is looked at."""

    def __init__(self, app: ASGIApp, desk: Desk) -> None:
        self._app = app
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope)
        problem = _find_foreign(request, scope["server"][1]) or self._find_stranger(request)
        answer: ASGIApp = _answer_error(HTTPStatus.FORBIDDEN, problem) if problem else self._app
        await answer(scope, receive, send)

    def _find_stranger(self, request: Request) -> str | None:
        given = request.query_params if request.method == "GET" else request.headers
        token = given.get("token" if request.method == "GET" else TOKEN_HEADER, "")
        return None if secrets.compare_digest(token.encode(), self._desk.token.encode()) else NOT_KNOWN


def _find_foreign(request: Request, port: int) -> str | None:
    """Return why a request does not come from a page of this server, by the names that the browser gives."""
    own = {f"{name}:{port}" for name in (HOST, "localhost")}
    host = request.headers.get("host", "")
    if host not in own:
        return f"this machine is not called {host!r} here: use http://{HOST}:{port}."
    origin = request.headers.get("origin")
    if origin is not None and origin != f"http://{host}":
        return f"a page of {origin!r} may not use the desk."
    return None


# -- the answers -----------------------------------------------------------------------------------------------------


def make_app(desk: Desk) -> ASGIApp:
    """Return the application that serves `desk`."""

    async def show(request: Request) -> Response:
        return await run_in_threadpool(_show, desk, request.path_params["run_id"])

    async def save(request: Request) -> Response:
        body = await _read_body(request)
        await run_in_threadpool(lambda: desk.save(desk.find_run(request.path_params["run_id"]), body))
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=HEADERS)

    async def apply(request: Request) -> Response:
        body = await _read_body(request)
        answer = await run_in_threadpool(lambda: desk.apply_body(desk.find_run(request.path_params["run_id"]), body))
        return JSONResponse(answer, headers=HEADERS)

    async def show_file(request: Request) -> Response:
        run_id, image = request.path_params["run_id"], request.path_params["image"]
        original = await run_in_threadpool(lambda: read_original(desk.find_run(run_id), image))
        return Response(original.content, media_type=original.media_type, headers=HEADERS)

    routes = [
        Route("/{run_id}/", show, methods=["GET"]),
        Route("/{run_id}/choices", save, methods=["PUT"]),
        Route("/{run_id}/apply", apply, methods=["POST"]),
        Route("/{run_id}/file/{image:int}", show_file, methods=["GET"]),
    ]
    handlers: dict[Any, Callable[[Request, Any], Awaitable[Response]]] = {
        HTTPException: _explain_http,
        ImagetwinsError: _explain,
        OSError: _explain,
        Exception: _explain_unexpected,
    }
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    return Guard(app, desk)


def _show(desk: Desk, run_id: str) -> Response:
    run = desk.find_run(run_id)
    page, nonce = desk.read_page(run), secrets.token_urlsafe(16)
    told = json.dumps({"token": desk.token, "choices": desk.read_saved(run), "can_apply": True})
    # No name in it, whatever the file is called, can end the element.
    page = page.replace(PLACE, PLACE.replace("null", told.replace("<", "\\u003c")), 1)
    # Names are escaped in the page: every <script in it is the page's own.
    page = page.replace("<script", f'<script nonce="{nonce}"')
    policy = {"Content-Security-Policy": POLICY.format(nonce=nonce)}
    return Response(page.encode(errors="replace"), media_type="text/html", headers=HEADERS | policy)


async def _read_body(request: Request) -> bytes:
    """Return the body of a request.

    Raises:
        HTTPException: it is longer than any choices.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {MAX_BODY_BYTES:,} bytes are no choices."
            )
    return bytes(body)


def _answer_error(status: int, said: str) -> Response:
    return JSONResponse({"error": said}, status, headers=HEADERS)


async def _explain_http(_request: Request, error: HTTPException) -> Response:
    return _answer_error(error.status_code, error.detail)


async def _explain(_request: Request, error: ImagetwinsError | OSError) -> Response:
    statuses: dict[type[Exception], HTTPStatus] = {
        ParameterError: HTTPStatus.BAD_REQUEST,
        FolderBusyError: HTTPStatus.CONFLICT,
        ServerError: HTTPStatus.SERVICE_UNAVAILABLE,
        StoreError: HTTPStatus.NOT_FOUND,
        OSError: HTTPStatus.NOT_FOUND,
    }
    found = (status for kind, status in statuses.items() if isinstance(error, kind))
    return _answer_error(next(found, HTTPStatus.CONFLICT), str(error))


async def _explain_unexpected(_request: Request, error: Exception) -> Response:
    return _answer_error(HTTPStatus.INTERNAL_SERVER_ERROR, f"this should not happen: {error!r}. Nothing more was done.")


# -- the server ------------------------------------------------------------------------------------------------------


class DeskServer:
    """A desk that is served in a thread of its own.

    Attributes:
        desk: what is served.
        port: where.
    """

    def __init__(self, desk: Desk, listening: socket.socket) -> None:
        self.desk, self.port = desk, int(listening.getsockname()[1])
        config = uvicorn.Config(
            make_app(desk),
            lifespan="off",
            log_level="critical",
            access_log=False,
            server_header=False,
            # Whoever waits for an answer at the end is told by the page that the desk has ended.
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listening],), daemon=True)

    def address_of(self, run_id: str) -> str:
        """Return where a browser finds a run; `{run}` gives the pattern for all."""
        return f"http://{HOST}:{self.port}/{run_id}/?token={self.desk.token}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End it, and return when it has ended."""
        self._server.should_exit = True
        self._thread.join()


def open_desk(desk: Desk, port: int) -> DeskServer:
    """Serve `desk` on `port` of 127.0.0.1, 0 for any free one, and return its server.

    Raises:
        ServerError: the port is taken.
    """
    try:
        listening = socket.create_server((HOST, port))
    except OSError as error:
        raise ServerError(
            f"the desk cannot listen on {HOST}, port {port}: {os.strerror(error.errno or 0)}. Name another port, or leave it out for a free one."
        ) from None
    server = DeskServer(desk, listening)
    server.start()
    return server
