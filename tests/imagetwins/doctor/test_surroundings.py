"""Settings of the environment: what is wrong is said, and no secret is."""

import socket

import pytest

from imagetwins.doctor.surroundings import examine_surroundings


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_where_nothing_is_set_all_is_well():
    assert {finding.level for finding in examine_surroundings()} == {"ok"}


def test_a_proxy_that_does_not_answer_is_a_warning(told, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:secret@127.0.0.1:{port}")
    level, what = told(list(examine_surroundings()), "proxy")
    assert level == "warning"
    assert what.startswith(f"127.0.0.1:{port} (https_proxy) does not answer")


def test_a_proxy_that_answers_is_told_without_its_password(told, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        port = proxy.getsockname()[1]
        monkeypatch.setenv("http_proxy", f"http://user:secret@127.0.0.1:{port}")
        found = told(list(examine_surroundings()), "proxy")
    assert found == ("ok", f"127.0.0.1:{port} (http_proxy), but for this machine's own servers")


def test_a_root_that_is_no_folder_is_a_warning(monkeypatch, tmp_path):
    monkeypatch.setenv("IMAGETWINS_ROOTS", f"{tmp_path}:{tmp_path / 'gone'}")
    found = [
        (finding.level, finding.what) for finding in examine_surroundings() if finding.subject == "allowed folders"
    ]
    assert found == [("ok", f"{tmp_path}, {tmp_path / 'gone'}"), ("warning", f"{tmp_path / 'gone'} is no folder")]


@pytest.mark.parametrize(("url", "level"), [("https://chat.example/hooks/secret", "ok"), ("hooks/secret", "problem")])
def test_a_webhook_is_told_without_what_is_secret_in_it(told, monkeypatch, url, level):
    monkeypatch.setenv("IMAGETWINS_WEBHOOK", url)
    found = told(list(examine_surroundings()), "webhook")
    assert found[0] == level
    assert "secret" not in found[1]


@pytest.mark.parametrize(("name", "value"), [("DO_NOT_TRACK", "0"), ("PREFECT_SERVER_ANALYTICS_ENABLED", "true")])
def test_telemetry_that_the_environment_asks_for_is_a_warning(told, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert told(list(examine_surroundings()), "telemetry")[0] == "warning"
