"""Prefect's settings, read as Prefect reads them, but without it: to know which server is to be used must not take a second.

Prefect looks in the environment, then in `.env`, `prefect.toml` and `pyproject.toml` of the current folder, then in the active
profile. A test holds what is found here against what Prefect finds.
"""

import re
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagetwins import settings
from imagetwins.runtime.places import PROFILES

DEFAULT_PROFILE = "ephemeral"
"""The profile where none is chosen: it sets nothing that is asked for here."""


@dataclass(frozen=True)
class Setting:
    """A setting of Prefect's: its names in environments and profiles, and its place in a TOML file."""

    names: tuple[str, ...]
    place: tuple[str, ...]


API_URL = Setting(("PREFECT_API_URL",), ("api", "url"))
API_PASSWORD = Setting(("PREFECT_API_AUTH_STRING",), ("api", "auth_string"))
DATABASE_URL = Setting(
    ("PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL"),
    ("server", "database", "connection_url"),
)
EPHEMERAL_ENABLED = Setting(
    ("PREFECT_SERVER_EPHEMERAL_ENABLED", "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"), ("server", "ephemeral", "enabled")
)
PASSWORD = Setting(("PREFECT_SERVER_API_AUTH_STRING",), ("server", "api", "auth_string"))
PROFILES_PATH = Setting(("PREFECT_PROFILES_PATH",), ("profiles_path",))


def find_setting(setting: Setting) -> str | None:
    """Return the value of `setting`, None if it has been set nowhere."""
    return next(
        (str(value) for value in _iter_values(setting, [*_FOLDER, _in_profile]) if value not in (None, "")), None
    )


def _iter_values(setting: Setting, sources: Sequence[Any]) -> Iterator[Any]:
    yield from (settings.prefect_variable(name) for name in setting.names)
    for source in sources:
        yield from source(setting)


def _in_dotenv(setting: Setting) -> list[str]:
    text = _read(Path(".env"))
    names = "|".join(setting.names)
    return [
        found[2]
        for found in re.finditer(rf"^\s*(?:export\s+)?(?:{names})\s*=\s*(['\"]?)(.*?)\1\s*$", text, re.MULTILINE)
    ]


def _in_prefect_toml(setting: Setting) -> list[Any]:
    return [_find(_read_toml(Path("prefect.toml")), setting.place)]


def _in_pyproject(setting: Setting) -> list[Any]:
    return [_find(_read_toml(Path("pyproject.toml")), ("tool", "prefect", *setting.place))]


def _in_profile(setting: Setting) -> list[Any]:
    named = next((str(path) for path in _iter_values(PROFILES_PATH, _FOLDER) if path), None)
    profiles = _read_toml(Path(named) if named else settings.prefect_home() / PROFILES)
    active = settings.prefect_variable("PREFECT_PROFILE") or profiles.get("active") or DEFAULT_PROFILE
    return [_find(profiles, ("profiles", active, name)) for name in setting.names]


_FOLDER = (_in_dotenv, _in_prefect_toml, _in_pyproject)
"""What is looked through in the current folder, in this order."""


def _find(table: Any, place: Sequence[str]) -> Any:
    for name in place:
        table = table.get(name) if isinstance(table, dict) else None
    return table


def _read_toml(path: Path) -> dict[str, Any]:
    # What is no TOML, Prefect will complain of itself.
    with suppress(tomllib.TOMLDecodeError):
        return tomllib.loads(_read(path))
    return {}


def _read(path: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return path.read_text(encoding="utf-8")
    return ""
