"""What a flow imports: a person waits for all of it, before every run."""

import subprocess
import sys

import pytest

UNUSED = {
    "prefect.server.api.server": "1.4 s, and of use in the server alone",
    "duckdb": "answers questions about past runs",
    "matplotlib": "draws the page of a calibration",
    "skimage": "the oracle of the tests; the engine computes its score without it",
    "scipy.ndimage": "as above; Numba itself asks for the version of SciPy",
    "distributed": "an extra: --dask",
    "s3fs": "an extra: buckets",
    "gcsfs": "an extra: buckets",
    "rawpy": "for cameras' raw files, in the processes that decode",
}
"""Modules that no flow needs before its first stage, and why."""


@pytest.mark.parametrize("flow", ["deduplicate", "restore", "apply", "rethreshold"])
def test_a_flow_imports_nothing_that_its_first_stage_does_not_need(flow):
    code = f"import sys, flows.{flow}; print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(shown.stdout.split()) & set(UNUSED) == set()
