"""Where no usual place can be written, another is found and named, or one sentence says which variable to set."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from imagetwins import settings
from imagetwins.errors import ParameterError
from imagetwins.runtime.places import check_prefect_home, check_temporary_directory, use_writable_places
from imagetwins.storage import private_directory
from tests.support.pictures import encode, photo
from tests.support.service_user import NOBODY, ServiceUser, why_not

NAMES = ("HOME", "IMAGETWINS_CACHE", "XDG_CACHE_HOME", "PREFECT_HOME", "MPLCONFIGDIR")


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Sets variables of the environment that has none of NAMES; what the code under test sets is taken back afterwards."""
    for name in (*NAMES, "NUMBA_CACHE_DIR", "PREFECT_SERVER_DATABASE_CONNECTION_URL"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    return monkeypatch.setenv


@pytest.fixture
def nowhere(tmp_path):
    """A folder that not even root can make."""
    (tmp_path / "file").touch()
    return tmp_path / "file" / "folder"


def chosen():
    use_writable_places()
    return {name: os.environ[name] for name in NAMES if name in os.environ}


def test_where_all_can_be_written_nothing_is_set(environment, tmp_path):
    environment("HOME", str(tmp_path))
    assert chosen() == {"HOME": str(tmp_path)}


def test_a_user_without_a_home_has_a_private_directory(environment, nowhere):
    environment("HOME", str(nowhere))
    private = private_directory()
    assert chosen() == {
        "HOME": str(nowhere),
        "IMAGETWINS_CACHE": str(private),
        "PREFECT_HOME": str(private / "prefect"),
        "MPLCONFIGDIR": str(private / "matplotlib"),
    }
    assert settings.prefect_home() == private / "prefect"
    check_prefect_home()


@pytest.mark.parametrize("name", ["IMAGETWINS_CACHE", "XDG_CACHE_HOME"])
def test_a_cache_that_is_named_takes_all(environment, nowhere, tmp_path, name):
    environment("HOME", str(nowhere))
    environment(name, str(tmp_path / "cache"))
    assert chosen()["PREFECT_HOME"] == str(settings.cache_directory() / "prefect")
    assert settings.cache_directory().is_relative_to(tmp_path / "cache")


def test_what_the_user_has_named_stays(environment, nowhere):
    given = {name: str(nowhere / name) for name in NAMES}
    for name, place in given.items():
        environment(name, place)
    assert chosen() == given


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("has_profile", [True, False])
def test_a_profile_of_prefects_that_can_only_be_read_is_read(environment, tmp_path, has_profile):
    environment("HOME", str(tmp_path))
    home = tmp_path / ".prefect"
    home.mkdir()
    if has_profile:
        (home / "profiles.toml").touch()
    home.chmod(0o555)
    assert ("PREFECT_HOME" in chosen()) is not has_profile


@pytest.mark.usefixtures("environment")
def test_a_user_whom_the_system_does_not_know_has_a_home_that_is_not_there(monkeypatch):
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    assert chosen()["HOME"] == str(settings.NO_HOME)


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("/tmp")])  # noqa: S108
def test_where_nothing_can_be_written_a_sentence_says_which_variable_to_set(environment, nowhere, tmp_path, make):
    environment("HOME", str(nowhere))
    make(tmp_path / "temporary" / f"imagetwins-{os.getuid()}")
    assert chosen() == {"HOME": str(nowhere)}
    with pytest.raises(ParameterError, match=r"folder/\.prefect' cannot be written\. Set PREFECT_HOME"):
        check_prefect_home()
    environment("PREFECT_SERVER_DATABASE_CONNECTION_URL", "postgresql+asyncpg://somewhere")
    check_prefect_home()


def test_without_a_temporary_directory_a_sentence_says_so(monkeypatch, nowhere):
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", lambda: [str(nowhere)])
    with pytest.raises(ParameterError, match="Set TMPDIR"):
        check_temporary_directory()


@pytest.fixture
def user():
    # Not in pytest's own directory, which other users may not enter.
    with TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield ServiceUser(Path(directory) / "home")


@pytest.mark.slow
@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_a_service_user_without_a_home_runs_on_an_installation_that_it_may_only_read(user):
    folder = user.home / "pictures"
    folder.mkdir()
    for name, kind in (("a.png", "PNG"), ("b.webp", "WEBP")):
        (folder / name).write_bytes(encode(photo(), kind, quality=95))
    private = user.home / f"imagetwins-{NOBODY if os.geteuid() == 0 else os.geteuid()}"
    private.mkdir(0o700)
    user.bring_kernels(private / "kernels")
    user.own()

    ended = user.imagetwins("run", folder, "--store", user.home / "store")

    said = " ".join(ended.stderr.split())
    assert (ended.returncode, "Traceback" in said) == (0, False), ended.stderr
    assert f"server in {private}/prefect ..." in said
    assert "1 moved" in ended.stdout
    assert (private / "prefect/prefect.db").exists()
    assert not list(user.installation.rglob("*.nb[ic]"))

    refused = user.imagetwins("run", folder)
    assert refused.returncode == 2
    assert "Name another with --store or IMAGETWINS_STORE" in " ".join(refused.stderr.split())
