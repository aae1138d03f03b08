"""Whom `imagetwins serve` lets in, and what it takes for a folder."""

import pytest

from imagetwins.cli.serve import check_binding, check_folders
from imagetwins.errors import ParameterError


def test_other_machines_are_let_in_only_with_a_password(monkeypatch):
    monkeypatch.delenv("PREFECT_SERVER_API_AUTH_STRING", raising=False)
    check_binding("127.0.0.1")
    with pytest.raises(ParameterError, match="PREFECT_SERVER_API_AUTH_STRING"):
        check_binding("0.0.0.0")  # noqa: S104 - refused
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "user:secret")
    check_binding("0.0.0.0")  # noqa: S104


def test_only_folders_are_scheduled(tmp_path):
    with pytest.raises(ParameterError, match="does not exist"):
        check_folders([str(tmp_path / "missing")])
    assert check_folders([str(tmp_path)]) == [tmp_path.resolve()]
