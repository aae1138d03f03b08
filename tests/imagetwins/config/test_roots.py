"""Nothing outside the allowed roots, whatever links and dots say."""

from pathlib import Path

import pytest

from imagetwins.config.roots import check_roots
from imagetwins.errors import ParameterError


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root/pictures").mkdir(parents=True)
    (tmp_path / "rootless").mkdir()
    (tmp_path / "root/out").symlink_to(tmp_path / "rootless")
    (tmp_path / "in").symlink_to(tmp_path / "root/pictures")
    return tmp_path / "root"


@pytest.mark.parametrize("inside", [".", "pictures", "pictures/not yet/there", "pictures/../pictures", "../in"])
def test_inside(root, inside):
    check_roots([root / inside], [root])
    check_roots([root / inside], [Path("/nowhere"), root])


@pytest.mark.parametrize("outside", ["..", "../rootless", "out", "out/new", "pictures/../../rootless", "/", "/etc"])
def test_outside(root, outside):
    with pytest.raises(ParameterError, match="outside") as error:
        check_roots([root, root / outside], [root])

    assert str((root / outside).resolve()) in str(error.value)
    assert str(root) in str(error.value)


def test_no_roots_no_limit():
    check_roots([Path("/etc")], [])


def test_a_root_may_be_a_link(root, tmp_path):
    check_roots([root / "pictures/a"], [tmp_path / "in"])
    with pytest.raises(ParameterError):
        check_roots([root], [tmp_path / "in"])
