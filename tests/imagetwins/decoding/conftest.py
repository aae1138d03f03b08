"""Settings that the tests of decoding share."""

import sys

import pytest

from imagetwins.decoding import pool
from imagetwins.decoding.pool import close_decoders


@pytest.fixture(scope="session", autouse=True)
def _bytecode(tmp_path_factory):
    """Have decoder processes compile numpy, OpenCV and Pillow once, and not each, where Python is to write no bytecode."""
    with pytest.MonkeyPatch.context() as patch:
        if sys.dont_write_bytecode:
            patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
            patch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("bytecode")))
        yield


@pytest.fixture
def crashing_decoder(monkeypatch):
    """Decoder processes die of files whose names say so, or hang at them."""
    close_decoders()
    monkeypatch.setattr(pool, "DECODER_COMMAND", [sys.executable, "-P", "-m", "tests.support.crashing_decoder"])
    yield
    close_decoders()
