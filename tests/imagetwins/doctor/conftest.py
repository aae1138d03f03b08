"""A user of whom nothing is set, and what an examination said of a subject."""

import sys

import pytest


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch, tmp_path):
    for name in ("IMAGETWINS_ROOTS", "IMAGETWINS_WEBHOOK", "IMAGETWINS_CACHE_GB", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("IMAGETWINS_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    # Settings of Prefect are looked for in the current folder, too.
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    if "prefect" not in sys.modules:
        yield
        return
    from prefect.settings import PREFECT_API_URL, temporary_settings  # noqa: PLC0415 - another test has imported it

    # Other tests of this process have a server of their own.
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        yield


@pytest.fixture
def told():
    """A function that returns level and words of the one finding about a subject."""

    def find(findings, subject):
        (found,) = [finding for finding in findings if finding.subject == subject]
        assert bool(found.remedy) == (found.level != "ok"), found
        return found.level, found.what

    return find
