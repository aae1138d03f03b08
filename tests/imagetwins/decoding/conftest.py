"""Settings that the tests of decoding share."""

import sys

import pytest


@pytest.fixture(scope="session", autouse=True)
def _bytecode(tmp_path_factory):
    """Have decoder processes compile numpy, OpenCV and Pillow once, and not each, where Python is to write no bytecode."""
    with pytest.MonkeyPatch.context() as patch:
        if sys.dont_write_bytecode:
            patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
            patch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("bytecode")))
        yield
