"""What the environment asks for: proxies, allowed folders, notifications, telemetry."""

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from imagetwins import settings
from imagetwins.config.folders import allowed_roots
from imagetwins.doctor.findings import Finding, ok, problem, warning
from imagetwins.errors import ImagetwinsError
from imagetwins.storage import is_path

CONNECT_SECONDS = 1.0


def examine_surroundings() -> Iterator[Finding]:
    """Yield what was found of settings that are not about one run."""
    yield from _examine_proxies()
    yield from _examine_roots()
    yield from _examine_webhook()
    yield from _examine_telemetry()


def _examine_proxies() -> Iterator[Finding]:
    proxies = {scheme: address for scheme, address in settings.proxies().items() if scheme != "no"}
    for address in sorted(set(proxies.values())):
        parts = urlsplit(address if "://" in address else f"http://{address}")
        # Not the address as it is: a password may be in it.
        shown = f"{parts.hostname}:{parts.port or 80}"
        named = ", ".join(f"{scheme}_proxy" for scheme in sorted(proxies) if proxies[scheme] == address)
        try:
            socket.create_connection((parts.hostname or "", parts.port or 80), timeout=CONNECT_SECONDS).close()
        except OSError as error:
            yield warning(
                "proxy",
                f"{shown} ({named}) does not answer: {error}",
                "Buckets, webhooks and servers elsewhere cannot be reached. Unset it, or name what is to be reached directly in "
                "NO_PROXY. This machine's own servers are always reached directly.",
            )
        else:
            yield ok("proxy", f"{shown} ({named}), but for this machine's own servers")


def _examine_roots() -> Iterator[Finding]:
    try:
        roots = allowed_roots()
    except ImagetwinsError as error:
        yield problem("allowed folders", f"IMAGETWINS_ROOTS: {error}", "Name folders and URLs, with colons between.")
        return
    if not roots:
        yield ok("allowed folders", "all (IMAGETWINS_ROOTS is not set)")
        return
    yield ok("allowed folders", ", ".join(map(str, roots)))
    for root in roots:
        if is_path(root) and not root.is_dir():
            yield warning(
                "allowed folders", f"{root} is no folder", "Correct IMAGETWINS_ROOTS: nothing can be run there."
            )


def _examine_webhook() -> Iterator[Finding]:
    url = settings.webhook_url()
    if url is None:
        return
    parts = urlsplit(url)
    if parts.scheme in {"http", "https"} and parts.hostname:
        # The rest of such an address is often a secret.
        yield ok("webhook", f"{parts.scheme}://{parts.hostname} is told of runs that failed or need a person")
    else:
        yield problem("webhook", "IMAGETWINS_WEBHOOK is no URL", "Give all of it, as in https://chat.example/hooks/1.")


def _examine_telemetry() -> Iterator[Finding]:
    # What the user has set holds, here as when a command sets what is not.
    library = settings.prefect_variable("DO_NOT_TRACK") or "1"
    server = settings.prefect_variable("PREFECT_SERVER_ANALYTICS_ENABLED") or "false"
    if library.lower() in {"1", "true", "yes"} and server.lower() in {"0", "false", "no", "off"}:
        yield ok("telemetry", "none: imagetwins has none, and Prefect's is off in all that it starts")
    else:
        yield warning(
            "telemetry",
            "Prefect's is on, as DO_NOT_TRACK or PREFECT_SERVER_ANALYTICS_ENABLED of this environment ask for",
            "To switch it off: unset both.",
        )
