"""Why the first run takes longer is said before it, and never again."""

import io

from numba import config
from rich.console import Console

from imagetwins.cli.listing import announce_compiling


def test_before_the_first_run_it_is_said_that_kernels_are_compiled_and_never_after(monkeypatch, tmp_path):
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    said = []
    for file in (None, tmp_path / "kernel.nbi"):
        if file:
            file.touch()
        printed = io.StringIO()
        announce_compiling(Console(file=printed))
        said.append(printed.getvalue())

    assert said[0].startswith("The first run compiles what compares pictures")
    assert said[1] == ""
