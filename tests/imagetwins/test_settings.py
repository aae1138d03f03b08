"""Where an installed command keeps what it makes: in one place, wherever it is given."""

from pathlib import Path

import pytest

from imagetwins import settings


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """A package in a folder that is no checkout, of a user whose home is empty, called in some other folder."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr(settings, "PROJECT", tmp_path / "site-packages")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.delenv("IMAGETWINS_STORE", raising=False)
    return tmp_path


def test_an_installed_command_keeps_its_data_in_the_home_and_not_where_it_is_called(installed):
    assert settings.data_directory() == installed / "home" / "imagetwins-data"
    assert settings.store_name() == str(installed / "home" / "imagetwins-data" / "store")


def test_no_part_of_the_usual_store_is_hidden_because_packaged_browsers_open_nothing_that_is(installed):
    inside_home = settings.data_directory().relative_to(installed / "home")
    assert not any(part.startswith(".") for part in inside_home.parts)


def test_whoever_names_a_place_for_data_gets_it(installed, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(installed / "share"))
    assert settings.data_directory() == installed / "share" / "imagetwins"
    monkeypatch.setenv("IMAGETWINS_STORE", "s3://bucket/store")
    assert settings.store_name() == "s3://bucket/store"


def test_a_checkout_keeps_its_data_in_itself(monkeypatch, tmp_path):
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr(settings, "PROJECT", tmp_path)
    assert settings.data_directory() == Path(tmp_path / "data")
