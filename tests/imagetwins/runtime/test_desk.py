"""The desk's server, asked over HTTP: it answers the page that it has handed out itself, and refuses whoever else asks, for whatever else."""

import json
import os
import socket
import threading
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from PIL import Image

from imagetwins.errors import FolderBusyError, ImagetwinsError, ServerError
from imagetwins.runtime import desk as desk_module
from imagetwins.runtime.desk import PLACE, Desk, open_desk
from tests.support.past_runs import digest_all, image_table, write_run

RUN = "20261120T020000Z-1"
NAMES = ["a.jpg", "</script><script>alert(1)</script>.jpg", "c.tif", "gone.jpg"]
ANSWER = {
    "run_id": "new",
    "moved": 1,
    "put_back": 0,
    "remembered": 0,
    "not_done": [],
    "undo": "imagetwins restore new",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("desk") / "pictures"
    folder.mkdir()
    pixels = np.random.default_rng(1).integers(0, 255, (30, 60, 3), np.uint8)
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def run(home):
    paths = [str(home / name) for name in NAMES]
    images = image_table(paths, digest_all(paths)).assign(
        size_bytes=[Path(path).stat().st_size for path in paths],
        width_px=60,
        height_px=30,
        format=["JPEG", "JPEG", "TIFF", "JPEG"],
    )
    for name in ("width_px", "height_px"):
        images[name] = images[name].astype("Int32")
    scores = {(0, 1): (0.95, 0.9), (0, 2): (0.95, 0.9), (0, 3): (0.95, 0.2)}
    written = write_run(home.parent / "store", RUN, images, scores, folder=str(home), moved=False, size=32)
    written.journal.unlink()
    (home / "gone.jpg").unlink()
    return written


class Applying:
    """What the desk is given to apply choices: notes them, and answers, or fails, as a test wants."""

    def __init__(self):
        self.given, self.error, self.begun, self.ends = [], None, threading.Event(), threading.Event()
        self.ends.set()

    def __call__(self, run, choices):
        self.given.append((run.run_id, choices))
        self.begun.set()
        assert self.ends.wait(30)
        if self.error:
            raise self.error
        return ANSWER | {"images": 4}


@pytest.fixture(scope="module")
def server(run):
    served = open_desk(Desk(run.store, Applying()), 0)
    yield served
    served.stop()


@pytest.fixture
def applying(server):
    server.desk.apply = Applying()
    return server.desk.apply


@pytest.fixture
def page(server):
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}/{RUN}/", timeout=60) as client:
        yield client


@pytest.fixture
def token(server):
    return {"token": server.desk.token}


@pytest.fixture
def header(server):
    return {"X-Imagetwins-Token": server.desk.token}


def choices(run_id=RUN, image=1, path=None):
    path = NAMES[image] if path is None else path
    return {
        "run_id": run_id,
        "move": [{"image": image, "path": path, "kept": 0, "kept_path": "a.jpg"}],
        "not_duplicates": [],
    }


def told(answer):
    """What the page is told: the content of its element."""
    start = PLACE.partition(">")[0].removeprefix("<script")
    element = answer.text.partition(f"{start}>")[2]
    return json.loads(element.partition("</script>")[0])


def test_the_page_is_the_report_with_what_the_desk_tells_it(page, token, run):
    answer = page.get("./", params=token)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert told(answer) == {"token": token["token"], "choices": None, "can_apply": True}
    assert PLACE in run.report.read_text(), "the file itself tells nobody"
    assert token["token"] not in run.report.read_text()


def test_the_page_runs_its_own_scripts_alone(page, token):
    page.put("choices", headers={"X-Imagetwins-Token": token["token"]}, json=choices())
    answers = [page.get("./", params=token) for _ in range(2)]
    assert told(answers[0])["choices"] == choices()
    for answer in answers:
        nonce = answer.text.partition('<script nonce="')[2].partition('"')[0]
        assert len(nonce) > 16
        assert f"script-src 'nonce-{nonce}'" in answer.headers["content-security-policy"]
        assert "alert(1)" in answer.text
        # A name could end no element, and begin none.
        assert "<script>" not in answer.text
        assert (
            answer.text.count("<script")
            == answer.text.count(f'<script nonce="{nonce}"')
            == answer.text.count("</script>")
        )
    assert answers[0].headers["content-security-policy"] != answers[1].headers["content-security-policy"]


def test_no_answer_is_kept_framed_sniffed_or_told_to_others(page, token, header, applying):
    answers = [
        page.get("./", params=token),
        page.get("file/0", params=token),
        page.get("file/9", params=token),
        page.get("./"),
        page.get("./nothing", params=token),
        page.put("choices", headers=header, json=choices()),
        page.post("apply", headers=header, json=choices()),
        page.post("apply", headers=header, json=choices(image=9, path="x")),
    ]
    for answer in answers:
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers
    assert len(applying.given) == 1


ASKED = [
    ("GET", "./"),
    ("GET", "file/0"),
    ("PUT", "choices"),
    ("POST", "apply"),
    ("GET", "nothing"),
    ("OPTIONS", "apply"),
]


@pytest.mark.parametrize(("method", "address"), ASKED)
@pytest.mark.parametrize("given", ["", "wrong", "tökén", "first half"])
def test_without_the_token_nobody_learns_or_does_anything(page, token, applying, run, method, address, given):
    run.choices.unlink(missing_ok=True)
    wrong = token["token"][:10] if given == "first half" else given
    sent = {"params": {"token": wrong}, "headers": {b"X-Imagetwins-Token": wrong.encode()}} if given else {}
    answer = page.request(method, address, json=choices(), **sent)
    assert answer.status_code == 403
    assert "`imagetwins review` prints a new one" in answer.json()["error"]
    assert applying.given == []
    assert not run.choices.exists()


@pytest.mark.parametrize(("method", "address"), [("PUT", "choices"), ("POST", "apply")])
def test_an_address_alone_changes_nothing(page, token, applying, run, method, address):
    run.choices.unlink(missing_ok=True)
    assert page.request(method, address, params=token, json=choices()).status_code == 403
    assert (applying.given, run.choices.exists()) == ([], False)


def test_a_header_alone_shows_nothing(page, header):
    assert page.get("./", headers=header).status_code == 403
    assert page.get("file/0", headers=header).status_code == 403


FOREIGN = {
    "Origin": (
        "http://evil.example",
        "null",
        "https://127.0.0.1:{}",
        "http://127.0.0.1",
        "http://localhost:{}",
        "",
    ),
    "Host": (
        "evil.example",
        "evil.example:{}",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.0.0.1.evil.example:{}",
        "[::1]:{}",
        "",
    ),
}
"""What names the page of somebody else, and what another name of this machine."""


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize(("method", "address"), ASKED[:4])
def test_pages_of_others_and_other_names_of_this_machine_are_refused(
    page, server, token, header, applying, method, address, name
):
    for value in FOREIGN[name]:
        named = {name: value.format(server.port)}
        answer = page.request(method, address, params=token, headers=header | named, json=choices())
        assert (answer.status_code, list(answer.json())) == (403, ["error"]), value
    assert applying.given == []


def test_its_own_page_is_let_in_by_both_names(page, server, token, header, applying):
    for name in ("127.0.0.1", "localhost"):
        host = f"{name}:{server.port}"
        own = header | {"Host": host, "Origin": f"http://{host}"}
        assert page.get("./", params=token, headers=own).status_code == 200
        assert page.post("apply", headers=own, json=choices()).status_code == 200
    assert len(applying.given) == 2


def test_it_listens_on_this_machine_alone(server):
    with socket.socket() as other, pytest.raises(OSError, match="refused"):
        # All of 127.0.0.0/8 is this machine; a socket on all addresses would take the call.
        other.connect(("127.0.0.2", server.port))


@pytest.mark.parametrize(
    ("method", "address"),
    [("POST", "./"), ("PUT", "apply"), ("GET", "apply"), ("GET", "choices"), ("DELETE", "choices"), ("POST", "file/0")],
)
def test_only_what_is_named_can_be_asked(page, token, header, applying, method, address):
    answer = page.request(method, address, params=token, headers=header)
    assert (answer.status_code, list(answer.json())) == (405, ["error"])
    assert applying.given == []


@pytest.mark.parametrize(
    "address",
    [
        "file/-1",
        "file/a.jpg",
        "file/0/..",
        "file/%2e%2e%2frun.json",
        "file/..%2f..%2frun.json",
        "run.json",
        "journal.jsonl",
        "../",
        "../../etc/passwd",
    ],
)
def test_no_name_from_outside_is_a_file(page, token, address):
    answer = page.get(address, params=token)
    assert (answer.status_code, list(answer.json())) == (404, ["error"])


@pytest.mark.parametrize(
    "run_id", ["other", "20261120T020000Z-2", "..", "%2e%2e", ".", "a%2fb", "20261120T020000Z-", "*", "latest"]
)
def test_no_run_but_by_its_whole_id(server, token, header, run_id):
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as client:
        # As it is: httpx would tidy up the dots.
        target = {"extensions": {"target": f"/{run_id}/?token={token['token']}".encode()}}
        assert client.get("/", **target).status_code == 404
        target = {"extensions": {"target": f"/{run_id}/apply".encode()}}
        assert client.post("/", headers=header, json=choices(run_id), **target).status_code == 404


def test_originals_are_shown_as_what_they_are(page, token, home):
    answer = page.get("file/0", params=token)
    assert (answer.headers["content-type"], answer.content) == ("image/jpeg", (home / "a.jpg").read_bytes())


def test_what_browsers_do_not_know_is_decoded_in_its_shape(page, token):
    answer = page.get("file/2", params=token)
    assert answer.headers["content-type"] == "image/jpeg"
    assert cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR).shape == (30, 60, 3)


def test_of_what_is_gone_or_another_nothing_is_shown(page, token, home):
    answer = page.get("file/3", params=token)
    assert (answer.status_code, answer.json()["error"].endswith("is no longer there.")) == (404, True)
    answer = page.get("file/4", params=token)
    assert (answer.status_code, "has no picture 4" in answer.json()["error"]) == (404, True)
    content = (home / "a.jpg").read_bytes()
    try:
        (home / "a.jpg").write_bytes(b"secret of another kind")
        answer = page.get("file/0", params=token)
    finally:
        (home / "a.jpg").write_bytes(content)
    assert (answer.status_code, "has changed since the run" in answer.json()["error"]) == (404, True)


def test_a_link_in_the_place_of_a_picture_is_not_followed(page, token, home, tmp_path):
    content = (home / "a.jpg").read_bytes()
    secret = tmp_path / "secret"
    secret.write_bytes(content)
    (home / "a.jpg").unlink()
    try:
        (home / "a.jpg").symlink_to(secret)
        assert page.get("file/0", params=token).status_code == 404
    finally:
        (home / "a.jpg").unlink()
        (home / "a.jpg").write_bytes(content)


def test_choices_are_kept_and_come_with_the_page(page, token, header, run):
    answer = page.put("choices", headers=header, json=choices(image=2))
    assert (answer.status_code, answer.content) == (204, b"")
    assert told(page.get("./", params=token))["choices"] == choices(image=2)
    assert json.loads(run.choices.read_text()) == choices(image=2)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no choices"),
        (b"[]", "no choices"),
        (b"\xff", "no choices"),
        (json.dumps(choices("other")).encode(), "about run 'other'"),
        (json.dumps(choices(path="a.jpg")).encode(), "calls image 1 'a.jpg'"),
    ],
)
@pytest.mark.parametrize(("method", "address"), [("PUT", "choices"), ("POST", "apply")])
def test_what_is_no_choices_about_the_run_is_neither_kept_nor_applied(
    page, header, run, applying, method, address, body, words
):
    page.put("choices", headers=header, json=choices(image=2))
    answer = page.request(method, address, headers=header, content=body)
    assert (answer.status_code, words in answer.json()["error"]) == (400, True)
    assert applying.given == []
    assert json.loads(run.choices.read_text()) == choices(image=2)


def test_what_is_too_large_is_not_read_to_its_end(page, header, monkeypatch, applying):
    monkeypatch.setattr(desk_module, "MAX_BODY_BYTES", 1000)
    answer = page.post("apply", headers=header, content=json.dumps(choices()) + " " * 1000)
    assert (answer.status_code, "1,000 bytes" in answer.json()["error"]) == (413, True)
    assert applying.given == []


def test_damaged_choices_on_the_disk_are_passed_over(page, token, run):
    run.choices.write_text("{")
    assert told(page.get("./", params=token))["choices"] is None


def test_applying_keeps_applies_and_tells(page, header, applying, run):
    run.choices.unlink(missing_ok=True)
    answer = page.post("apply", headers=header, json=choices())
    assert (answer.status_code, answer.json()) == (200, ANSWER)
    ((run_id, given),) = applying.given
    assert (run_id, given.moving) == (RUN, {1: 0})
    assert json.loads(run.choices.read_text()) == choices()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (FolderBusyError("busy"), 409),
        (ServerError("no server"), 503),
        (ImagetwinsError("no longer waits"), 409),
        (PermissionError(13, "Permission denied"), 404),
        (RuntimeError("a mistake of ours"), 500),
    ],
)
def test_what_goes_wrong_is_one_sentence(page, header, applying, error, status):
    applying.error = error
    answer = page.post("apply", headers=header, json=choices())
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert str(error) in answer.json()["error"]
    assert "Traceback" not in answer.text


def test_while_one_applies_another_may_not_but_the_page_is_there(page, token, header, applying):
    applying.ends.clear()
    first = threading.Thread(
        target=httpx.post, args=[f"{page.base_url}apply"], kwargs={"headers": header, "json": choices(), "timeout": 60}
    )
    first.start()
    try:
        assert applying.begun.wait(30)
        second = page.post("apply", headers=header, json=choices())
        assert page.get("file/0", params=token).status_code == 200
    finally:
        applying.ends.set()
        first.join()
    assert (second.status_code, "just now" in second.json()["error"]) == (409, True)
    assert len(applying.given) == 1
    assert page.post("apply", headers=header, json=choices()).status_code == 200


@pytest.mark.usefixtures("applying")
def test_the_page_is_built_anew_when_something_happened_and_only_then(page, token, header, run):
    page.get("./", params=token)

    def built():
        page.get("./", params=token)
        return run.report.stat().st_mtime_ns

    first = built()
    assert built() == first
    os.utime(run.record_file)
    second = built()
    assert second > first
    page.post("apply", headers=header, json=choices())
    third = built()
    assert third > second
    run.report.write_text("of an older version")
    assert PLACE in (built() and run.report.read_text())
    run.report.unlink()
    assert built() > third


def test_two_desks_have_different_tokens_and_ports(server, run):
    with pytest.raises(ServerError, match=f"port {server.port}: Address already in use"):
        open_desk(Desk(run.store, Applying()), server.port)
    other = open_desk(Desk(run.store, Applying()), 0)
    try:
        assert other.desk.token != server.desk.token
        assert len(other.desk.token) >= 32
        assert httpx.get(other.address_of(RUN), timeout=60).status_code == 200
        assert httpx.get(server.address_of(RUN).replace(str(server.port), str(other.port))).status_code == 403
    finally:
        other.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(other.address_of(RUN))
