"""Compiled kernels are loaded only from where nobody else can have put them, and are never a reason not to run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from imagetwins import ssim

IS_ROOT = os.geteuid() == 0
PROGRAM = """
from numba import config
from imagetwins import ssim
from imagetwins.ssim.features import dot
print(ssim.KEEPS_KERNELS, config.CACHE_DIR, dot.stats.cache_path)
"""


def import_engine(place, **more):
    """Import the engine in a process of its own; return whether it keeps kernels, its directory, and that of a kernel."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(place)} | more
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split()


def test_each_state_of_the_sources_has_its_directory_in_the_place_that_is_named(tmp_path):
    keeps, directory, kernels = import_engine(tmp_path)
    assert (keeps, directory) == ("True", str(tmp_path / ssim._name_kernels()))
    assert Path(kernels).parent == Path(directory)


def test_what_is_compiled_for_another_processor_has_its_own(tmp_path):
    lesser = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    directories = [import_engine(tmp_path, **told)[1] for told in ({}, lesser, lesser)]
    assert directories[0] != directories[1] == directories[2]


def test_a_place_that_cannot_be_written_is_passed_over(tmp_path):
    (tmp_path / "file").touch()
    keeps, directory, _ = import_engine(tmp_path / "file")
    assert directory != str(tmp_path / "file" / ssim._name_kernels())
    assert keeps == str(directory.startswith(str(Path(ssim.__file__).parent)))


def let_in_others(directory):
    directory.mkdir()
    directory.chmod(0o777)


def give_away(directory):
    directory.mkdir()
    os.chown(directory, 65534, 65534)


@pytest.mark.parametrize(
    "make",
    [
        let_in_others,
        pytest.param(give_away, marks=pytest.mark.skipif(not IS_ROOT, reason="only root can give files away")),
    ],
)
def test_kernels_that_another_may_have_put_there_are_not_loaded(tmp_path, make):
    make(tmp_path / ssim._name_kernels())
    _, directory, kernels = import_engine(tmp_path)
    assert not Path(directory).is_relative_to(tmp_path)
    assert not Path(kernels).is_relative_to(tmp_path)


def test_without_any_place_a_process_has_its_own_and_removes_it(tmp_path, monkeypatch):
    monkeypatch.setattr(ssim, "_FOLDER", tmp_path / "file" / "installation")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "file").touch()
    assert not ssim._is_ours(tmp_path / "file" / "installation")
    own = Path(ssim._make_own_cache())
    assert own.parent == tmp_path
    assert own.stat().st_mode & 0o777 == 0o700


WARMING = """
import sys
from pathlib import Path
from numba.core.dispatcher import Dispatcher
from imagetwins.ssim import warming
from tests.support.kernels import kernels_within
modules = [module for name, module in sys.modules.items() if name.startswith("imagetwins.ssim")]
kernels = {value for module in modules for value in vars(module).values() if isinstance(value, Dispatcher)}
assert not any(one.signatures for one in kernels)
warming.warm_up()
assert warming.is_grey.signatures
warming.compile_kernels()
within = set().union(*(kernels_within(one) for one in kernels if one.signatures))
kept = {one for one in kernels if [*Path(one.stats.cache_path).glob(f"*.{one.py_func.__name__}-*.nbi")]}
print(len(kernels), *(one.py_func.__name__ for one in kernels - (within & kept)))
"""


@pytest.mark.slow
def test_all_kernels_are_compiled_before_the_first_run():
    """Each is called, or is part of one that is called, and is kept.

    `make test` has compiled them before, from nothing and with warnings as errors; so here they are only loaded, in a second
    and not in 30, and what is part of another is known from what that one calls.
    """
    command = [sys.executable, "-W", "error", "-c", WARMING]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.stderr == ""
    count, *missing = ended.stdout.split()
    assert int(count) > 20
    assert not missing
