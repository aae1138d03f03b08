"""The same flow on a Dask cluster: the same tables, workers that die and join, and workers that must not be used."""

import shutil
import sys
import time
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import cv2
import numpy as np
import pandas as pd
import pytest
import skimage.data
from prefect.settings import PREFECT_API_URL

from imagetwins.config.parameters import check_parameters
from imagetwins.errors import ClusterError
from imagetwins.store.provenance import describe_installation
from imagetwins.store.runs import Run, list_runs
from imagetwins.store.schemas import COMPARISONS, DECISIONS, IMAGES
from imagetwins.store.tables import read_table
from tasks.load import load_images
from tests.support import network
from tests.support.flows import deduplicate
from tests.support.service import slow_disk

COUNT = 128
"""Eight batches load so many pictures on one or two cores, and ten score them."""

DASK = Path(sys.executable).with_name("dask")
CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Crops of photographs, every fourth with a copy, and a file that is no picture."""
    home = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(3)
    photos = [skimage.data.astronaut(), skimage.data.coffee(), skimage.data.chelsea()]
    for number in range(COUNT - 1):
        if number % 4 != 3:
            photo = photos[number % 3]
            y, x = rng.integers(0, np.array(photo.shape[:2]) - 200)
            picture = photo[y : y + 200, x : x + 200]
        cv2.imwrite(str(home / f"{number:03}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 95 - number % 4 * 10])
    (home / "broken.jpg").write_bytes(b"\xff\xd8\xff no more")
    return home


class Machines(network.Network):
    """A scheduler, and machines for workers that all reach Prefect's server."""

    def start_scheduler(self):
        self.scheduler = f"tcp://{self.add('scheduler')}:8786"
        self.start("scheduler", DASK, "scheduler", "--host", self.machines["scheduler"], "--no-dashboard")

    def add_machine(self, name):
        self.add(name)
        self.forward(name, urlsplit(PREFECT_API_URL.value()).port)

    def start_worker(self, name, *before, **environment):
        options = ["--no-nanny", "--nthreads", "1", "--no-dashboard", "--local-directory", self.logs]
        command = [DASK, "worker", self.scheduler, "--host", self.machines[name], *options]
        return self.start(name, *before, *command, **environment)


@pytest.fixture(scope="module")
def machines(tmp_path_factory, request):
    if reason := network.why_not():
        pytest.skip(reason)
    request.getfixturevalue("prefect_server")
    with Machines(tmp_path_factory.mktemp("machines")) as machines:
        machines.start_scheduler()
        for name in ("one", "two", "three"):
            machines.add_machine(name)
        yield machines


def look_through(folder, store, **more):
    summary = deduplicate(str(folder), dry_run=True, size=48, audit_floor=-1.0, store=str(store), **more)
    return Run(store, summary["run_id"])


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_run_whose_worker_is_killed_and_another_joins_has_the_tables_of_a_local_run(machines, folder, tmp_path):
    # Stores of their own: what one run has loaded, the next one on the same store need not.
    local, store = look_through(folder, tmp_path / "local"), tmp_path / "remote"
    # It is to be met in the middle of loading, by a test that may be slow itself: each batch is two such files.
    first = machines.start_worker("one", **slow_disk(folder, ".parquet", seconds=1))
    parts = []

    def kill_and_replace():
        wait_for(lambda: len(list(store.glob("images/*/part-*"))) > 1)
        first.kill()
        machines.start_worker("two")
        parts.extend(store.glob("images/*/part-*"))

    killer = Thread(target=kill_and_replace)
    killer.start()
    remote = look_through(folder, store, dask=machines.scheduler)
    killer.join()
    assert 2 <= len(parts) < 8, "killed in the middle of loading"
    for table, schema in (("images", IMAGES), ("comparisons", COMPARISONS), ("decisions", DECISIONS)):
        expected, found = (read_table(getattr(run, table), schema) for run in (local, remote))
        pd.testing.assert_frame_equal(found, expected, check_exact=True)
    for what in ("counts", "funnel"):
        assert getattr(remote.read_record(), what) == getattr(local.read_record(), what)
    assert remote.read_record().counts["errors"] == 1
    assert remote.read_record().counts["duplicates"] > 20


def test_workers_with_another_version_or_without_the_store_are_refused_before_any_batch(machines, folder, tmp_path):
    from distributed import Client  # noqa: PLC0415 - an extra

    store, other = tmp_path / "store", tmp_path / "other"
    store.mkdir()
    for package in ("imagetwins", "tasks", "flows"):
        shutil.copytree(CHECKOUT / package, other / package, ignore=shutil.ignore_patterns("__pycache__"))
    with (other / "imagetwins" / "ssim" / "reference.py").open("a") as source:
        source.write("# Another version.\n")
    machines.start_worker("one", PYTHONPATH=str(other))
    machines.start_worker("three", "sh", "-c", f'mount -t tmpfs none {store}; exec "$0" "$@"')
    with Client(machines.scheduler, set_as_default=False) as client:
        wait_for(
            lambda: all(
                any(machines.machines[name] in worker for worker in workers(client)) for name in ("one", "three")
            )
        )
        with pytest.raises(ClusterError) as refused:
            look_through(folder, store, dask=machines.scheduler)
        (run,) = list_runs(store)
        said = refused.value.args[0]
        assert f"tcp://{machines.machines['one']}:" in said
        assert "imagetwins 0" in said
        assert describe_installation()["imagetwins"] in said
        assert f"tcp://{machines.machines['three']}:" in said
        assert f"does not see the store {store}" in said
        assert f"tcp://{machines.machines['two']}:" not in said
        # One that joins when the others have been looked at meets its first batch.
        wrong = next(worker for worker in workers(client) if machines.machines["one"] in worker)
        late = client.submit(load_images.fn, run, check_parameters({"folder": str(folder)}), 0, 16, workers=[wrong])
        with pytest.raises(ClusterError, match=f"{wrong} has imagetwins"):
            late.result(timeout=120)
    assert run.read_record().status == "failed"
    assert not run.images.exists()


def workers(client):
    return client.scheduler_info(n_workers=-1)["workers"]
