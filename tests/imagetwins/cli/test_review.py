"""`imagetwins review` as a person starts it: the latest run with something to decide, applied from the page, ended with Ctrl-C."""

import json
import signal
from contextlib import suppress

import cv2
import httpx
import pytest
import skimage.data

from imagetwins.cli.review import choose_run
from imagetwins.errors import StoreError
from imagetwins.reporting.advice import count_open
from imagetwins.store.record import RunStatus
from imagetwins.store.runs import list_runs
from tests.support.commands import Home
from tests.support.past_runs import image_table, make_record, write_run

REVIEW, SURE = {(0, 1): (0.95, 0.2)}, {(0, 1): (0.95, 0.9)}


def write(store, run_id, scores, **parameters):
    return write_run(store, run_id, image_table(["/p/a.jpg", "/p/b.jpg"]), scores, **parameters)


def test_the_latest_run_with_something_to_decide_is_chosen_of_each_folder_the_last(tmp_path):
    with pytest.raises(StoreError, match="imagetwins run FOLDER --dry-run"):
        choose_run(tmp_path)
    first = write(tmp_path, "1", SURE, folder="/a")
    assert choose_run(tmp_path) == first, "nothing to decide, but the only one"
    second = write(tmp_path, "2", REVIEW, folder="/b")
    assert choose_run(tmp_path) == second
    third = write(tmp_path, "3", SURE, folder="/a", dry_run=True, moved=False)
    assert choose_run(tmp_path) == third, "what it proposes"
    fourth = write(tmp_path, "4", SURE, folder="/a")
    assert choose_run(tmp_path) == second, "the last one of /a has settled it"
    write(tmp_path, "5", SURE, folder="/b")
    assert choose_run(tmp_path).run_id == "5", "the latest"
    with fourth.editing_record() as record:
        record.status = RunStatus.WAITING
    assert choose_run(tmp_path) == fourth


def test_what_is_open_depends_on_where_the_run_stands():
    counts = {"review": 2, "duplicates": 3}
    assert count_open(make_record(status="completed", counts=counts)) == 2
    assert count_open(make_record(status="waiting", counts=counts)) == 5
    for status in ("failed", "superseded", "running", "restored"):
        assert count_open(make_record(status=status, counts=counts)) == 0


@pytest.fixture
def folder(tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name, quality in (("a.jpg", 95), ("b.jpg", 80)):
        picture = cv2.resize(skimage.data.chelsea(), (120, 90))
        cv2.imwrite(str(pictures / name), picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return pictures


@pytest.mark.usefixtures("prefect_server")
def test_what_is_chosen_in_the_page_is_applied_and_ctrl_c_ends_it_well(service, folder, tmp_path):
    home, api = Home(tmp_path), {"PREFECT_API_URL": f"{service.url}/api"}
    assert home.run("run", folder, "--dry-run", "--size", "32", **api).returncode == 0
    (run,) = list_runs(home.store)
    review = home.start("review", "--no-browser", **api)
    try:
        address = review.stdout.readline().removeprefix("Open ").strip()
        page = httpx.get(address, timeout=60)
        token = address.partition("token=")[2]
        assert (page.status_code, run.run_id in address, f'"token": "{token}"' in page.text) == (200, True, True)
        pair = {"image": 0, "path": "a.jpg", "kept": 1, "kept_path": "b.jpg"}
        chosen = json.dumps({"run_id": run.run_id, "move": [pair], "not_duplicates": []})
        post, header = f"{address.partition('?')[0]}apply", {"X-Imagetwins-Token": token}
        answer = httpx.post(post, headers=header, content=chosen, timeout=120)
        assert (answer.status_code, answer.json()["moved"], answer.json()["not_done"]) == (200, 1, []), answer.text
        assert (folder / "Duplicates/a.jpg").exists()
        again = httpx.post(post, headers=header, content=chosen, timeout=120)
        assert (again.status_code, again.json()["moved"]) == (200, 0), again.text
        (folder / "b.jpg").unlink()
        swapped = chosen.replace('"a.jpg"', '"x"')
        assert httpx.post(post, headers=header, content=swapped, timeout=120).status_code == 400
    finally:
        review.send_signal(signal.SIGINT)
        out, err = review.communicate(timeout=60)
    assert review.returncode == 0, err
    assert "1 picture to decide about" in err
    assert "Stopped." in err
    assert "Traceback" not in err
    assert "Your choices: 1 picture moved" in out
    assert f"Undo:  imagetwins restore {answer.json()['run_id']}" in out
    with pytest.raises(httpx.ConnectError), suppress(httpx.ReadError):
        httpx.get(address)


def test_a_run_that_is_not_there_and_a_port_that_is_taken_are_sentences(service, tmp_path):
    home = Home(tmp_path)
    missing = home.run("review", "--no-browser")
    assert (missing.returncode, "no run to review" in missing.stderr_text) == (1, True)
    write(home.store, "20261120T020000Z-1", REVIEW)
    taken = home.run("review", "--no-browser", "--port", service.port)
    assert (taken.returncode, "Address already in use" in taken.stderr_text) == (1, True)
    assert "Traceback" not in taken.stderr_text
