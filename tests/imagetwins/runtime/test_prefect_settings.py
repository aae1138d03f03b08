"""What is found without Prefect is what Prefect finds."""

import json
import subprocess
import sys

import pytest

from imagetwins.runtime.prefect_settings import API_URL, DATABASE_URL, EPHEMERAL_ENABLED, find_setting

PREFECT = """
import json
from prefect.settings import get_current_settings
found = get_current_settings()
print(json.dumps([found.api.url, found.server.database.connection_url.get_secret_value(), found.server.ephemeral.enabled]))
"""

PROFILES = """
active = "mine"
[profiles.mine]
PREFECT_API_URL = "http://profile.example/api"
PREFECT_API_DATABASE_CONNECTION_URL = "sqlite+aiosqlite:////profile.db"
PREFECT_SERVER_ALLOW_EPHEMERAL_MODE = "true"
[profiles.other]
PREFECT_API_URL = "http://other.example/api"
"""
PREFECT_TOML = """
[api]
url = "http://toml.example/api"
[server.database]
connection_url = "sqlite+aiosqlite:////toml.db"
[server.ephemeral]
enabled = true
"""
PYPROJECT = """
[tool.prefect.api]
url = "http://pyproject.example/api"
"""
DOTENV = """
# PREFECT_API_URL=http://comment.example/api
export PREFECT_API_URL="http://dotenv.example/api"
PREFECT_SERVER_DATABASE_CONNECTION_URL = 'sqlite+aiosqlite:////dotenv.db'
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to be in, with a home of Prefect's; settings of the tester's are left out."""
    for setting in (API_URL, DATABASE_URL, EPHEMERAL_ENABLED):
        for name in setting.names:
            monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("PREFECT_PROFILE", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("files", "environment"),
    [
        ({"home/profiles.toml": PROFILES}, {}),
        ({"home/profiles.toml": PROFILES}, {"PREFECT_PROFILE": "other"}),
        ({"home/profiles.toml": PROFILES}, {"PREFECT_API_URL": "http://environment.example/api"}),
        ({"home/profiles.toml": PROFILES, "prefect.toml": PREFECT_TOML}, {}),
        ({"home/profiles.toml": PROFILES, "pyproject.toml": PYPROJECT}, {}),
        ({"prefect.toml": PREFECT_TOML, "pyproject.toml": PYPROJECT}, {}),
        ({"prefect.toml": PREFECT_TOML, ".env": DOTENV}, {}),
        ({".env": DOTENV}, {"PREFECT_API_URL": "http://environment.example/api"}),
        ({"elsewhere.toml": PROFILES, ".env": "PREFECT_PROFILES_PATH=elsewhere.toml"}, {}),
        ({"elsewhere.toml": PROFILES, "prefect.toml": 'profiles_path = "elsewhere.toml"'}, {}),
        ({"elsewhere.toml": PROFILES}, {"PREFECT_PROFILES_PATH": "elsewhere.toml"}),
    ],
)
@pytest.mark.slow
def test_a_setting_is_found_where_prefect_finds_it(place, monkeypatch, files, environment):
    for name, text in files.items():
        (place / name).write_text(text)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    shown = subprocess.run([sys.executable, "-c", PREFECT], capture_output=True, text=True, check=True).stdout
    url, database, ephemeral = json.loads(shown)

    assert find_setting(API_URL) == url
    # Prefect has a default for these, and we need to know only what is set.
    assert find_setting(DATABASE_URL) in {database, None}
    assert str(find_setting(EPHEMERAL_ENABLED)).lower() in {str(ephemeral).lower(), "none"}


@pytest.mark.parametrize("text", ["not [ toml", "", "active = 3\nprofiles = 4"])
def test_files_that_say_nothing_set_nothing(place, text):
    for name in ("home/profiles.toml", "prefect.toml", "pyproject.toml", ".env"):
        (place / name).write_text(text)
    assert find_setting(API_URL) is None


def test_what_a_profile_forbids_is_found(place):
    (place / "home/profiles.toml").write_text(PROFILES.replace('"true"', "false"))
    assert find_setting(EPHEMERAL_ENABLED) == "False"
    assert find_setting(DATABASE_URL) == "sqlite+aiosqlite:////profile.db"


@pytest.mark.usefixtures("place")
def test_without_any_file_nothing_is_set():
    assert find_setting(API_URL) is None
