"""What can be written, and that nobody else can write in the directory of this user."""

import os

import pytest

from imagetwins.storage import can_be_written, private_directory

IS_ROOT = os.geteuid() == 0


@pytest.fixture
def shared(tmp_path, monkeypatch):
    """The system's temporary directory, which all users share."""
    directory = tmp_path / "shared"
    directory.mkdir()
    directory.chmod(0o1777)
    monkeypatch.setattr("tempfile.tempdir", str(directory))
    return directory


def test_what_can_be_written(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "link").symlink_to(tmp_path)
    for name, expected in {
        ".": True,
        "new": True,
        "new/er": True,
        "link/new": True,
        "file": False,
        "file/below": False,
        "dangling": False,
        "dangling/below": False,
    }.items():
        assert can_be_written(tmp_path / name) is expected, name
    assert not list(tmp_path.glob("new*"))


@pytest.mark.skipif(IS_ROOT, reason="root may write everywhere")
def test_a_folder_that_others_may_write_alone_cannot_be(tmp_path):
    tmp_path.chmod(0o555)
    assert not can_be_written(tmp_path / "new")


def test_the_private_directory_is_this_users_alone(shared):
    private = private_directory()
    assert private.parent == shared
    assert private.stat().st_mode & 0o7777 == 0o700
    assert private_directory() == private


def make_link(path, elsewhere):
    elsewhere.mkdir(0o700)
    path.symlink_to(elsewhere)


def give_away(path, _elsewhere):
    path.mkdir(0o700)
    os.chown(path, 65534, 65534)


def let_in(mode):
    def make(path, _elsewhere):
        path.mkdir()
        path.chmod(mode)

    return make


@pytest.mark.parametrize(
    "make",
    [
        make_link,
        let_in(0o777),
        let_in(0o770),
        let_in(0o755),
        lambda path, _: path.touch(),
        pytest.param(give_away, marks=pytest.mark.skipif(not IS_ROOT, reason="only root can give files away")),
    ],
)
def test_what_another_may_have_made_is_not_used(shared, tmp_path, make):
    make(shared / f"imagetwins-{os.getuid()}", tmp_path / "elsewhere")
    with pytest.raises(OSError, match=f"imagetwins-{os.getuid()}"):
        private_directory()


def test_nor_one_that_others_can_put_another_in_the_place_of(shared):
    shared.chmod(0o777)
    with pytest.raises(PermissionError, match="set TMPDIR"):
        private_directory()
