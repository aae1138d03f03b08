"""Folders and stores in buckets, against an S3 server of the tests' own: the same tables, the same promises."""

import functools
import hashlib
import itertools
import logging
import sys
import threading
import uuid
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import fsspec.asyn
import numpy as np
import pandas as pd
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.server import ThreadedMotoServer

from benchmarks.stages import run_stages
from flows.apply import apply
from flows.restore import restore
from flows.rethreshold import rethreshold
from imagetwins.config.folders import check_folder, check_local_folder, resolve_store
from imagetwins.config.roots import check_roots, parse_roots
from imagetwins.decoding.model import DecodeSettings
from imagetwins.errors import FolderBusyError, ParameterError, StoreError
from imagetwins.moving.execute import apply_moves, recover_journal
from imagetwins.moving.journal import open_journal, read_journal
from imagetwins.moving.plan import PlannedCompanion, PlannedMove
from imagetwins.moving.restore import restore_moves
from imagetwins.reporting.files import explain_file, explain_pair, find_history
from imagetwins.reporting.runs import audit_run, compare_runs
from imagetwins.reporting.thresholds import audit_threshold
from imagetwins.scanning import candidates as listing
from imagetwins.scanning.candidates import list_candidates
from imagetwins.scanning.reading import decode_locations
from imagetwins.storage import DUPLICATES, FileStamp, leases, logs, storage_of
from imagetwins.storage import location as locations
from imagetwins.storage.leases import hold_lease
from imagetwins.storage.location import parse_location, to_json_name
from imagetwins.storage.objects import filesystem, key_of
from imagetwins.storage.reserved import LEASE, MARKER
from imagetwins.store.pruning import prune_runs
from imagetwins.store.runs import Run, find_run, list_runs
from imagetwins.store.schemas import COMPARISONS, DECISIONS, IMAGES
from imagetwins.store.tables import read_table
from tests.support.figures import FIGURES
from tests.support.flows import deduplicate
from tests.support.past_runs import make_record
from tests.support.pictures import encode, photo, tiny_png

SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"  # noqa: S105 - of a server that knows no others
KEY = "AKIAIOSFODNN7EXAMPLE"


@pytest.fixture(scope="session")
def s3_server():
    """The address of an S3 server on this machine: one for all tests, since its clients remember where they found it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    started = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        # At every request Moto looks twice through all its services for the one that is meant.
        find = functools.cache(DomainDispatcherApplication.get_backend_for_host)
        patch.setattr(DomainDispatcherApplication, "get_backend_for_host", find)
        started.start()
        host, port = started.get_host_and_port()
        yield f"http://{host}:{port}"
        started.stop()


@pytest.fixture(scope="module", autouse=True)
def caches(s3_server, tmp_path_factory):
    """The environment in which clients find the S3 server, and a place for caches."""
    directory = tmp_path_factory.mktemp("caches")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", s3_server)
        patch.setenv("AWS_ACCESS_KEY_ID", KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("IMAGETWINS_CACHE", str(directory))
        yield directory


def new_bucket(protocol):
    bucket = parse_location(f"{protocol}://b-{uuid.uuid4().hex}")
    filesystem(bucket).mkdir(key_of(bucket))
    return bucket


@pytest.fixture
def bucket():
    return new_bucket("s3")


@pytest.fixture(params=["s3", "memory"])
def any_bucket(request):
    return new_bucket(request.param)


def put(location, content):
    filesystem(location).pipe_file(key_of(location), content)
    return location


def snapshot(folder):
    """Return the content of every object below `folder`, but markers, by its name there."""
    files = filesystem(folder)
    start = len(key_of(folder).rstrip("/")) + 1
    return {name[start:]: files.cat_file(name) for name in files.find(key_of(folder)) if not name.endswith(MARKER)}


# -- names -----------------------------------------------------------------------------------------------------------


def test_a_name_is_a_path_or_a_url():
    assert parse_location("/a/b.png") == Path("/a/b.png")
    assert parse_location("file:///a/b%20c.png") == Path("/a/b c.png")
    assert to_json_name(parse_location("s3://bucket/a [1]/b #?%.png")) == "s3://bucket/a [1]/b #?%.png"
    assert parse_location("S3://bucket/a/") == parse_location("s3://bucket/a")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (f"s3://{KEY}:{SECRET}@bucket/a", "before its @.*environment"),
        ("https://host/a", "https:// is no kind of URL.*s3://"),
        ("s3://bucket/a/../b", "empty part"),
        ("s3://bucket//b", "empty part"),
        ("s3://", "empty part"),
    ],
)
def test_urls_that_are_refused(name, says):
    with pytest.raises(ParameterError, match=says) as refusal:
        check_folder("folder", name)
    assert SECRET not in str(refusal.value)
    assert KEY not in str(refusal.value)


def test_a_missing_package_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.setattr(locations, "find_spec", sys.modules.get)
    locations._check_protocol.cache_clear()
    with pytest.raises(ParameterError, match="s3fs: `pipx inject imagetwins s3fs`"):
        parse_location("s3://bucket/a")
    locations._check_protocol.cache_clear()


def test_a_bucket_that_is_not_there_or_not_ours(bucket, monkeypatch):
    with pytest.raises(ParameterError, match="does not exist"):
        check_folder("folder", f"{bucket}nothing/here")
    with pytest.raises(ParameterError, match="does not exist"):
        check_folder("folder", "s3://no-such-bucket/a")
    with pytest.raises(ParameterError, match="is in a bucket"):
        check_local_folder("folder", str(bucket))
    with pytest.raises(ParameterError, match="stand for patterns"):
        resolve_store(f"{bucket}a*b")
    put(bucket / "a/b.png", b"b")
    assert check_folder("folder", f"{bucket}a/") == bucket / "a"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    type(filesystem(bucket)).clear_instance_cache()
    monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)
    with pytest.raises(ParameterError, match=r"cannot be listed.*Credentials are taken from"):
        check_folder("folder", f"{bucket}a")
    type(filesystem(bucket)).clear_instance_cache()


def test_allowed_roots_may_be_urls(tmp_path):
    roots = parse_roots(f"{tmp_path}:s3://bucket/a:s3://other")
    check_roots(map(parse_location, (f"{tmp_path}/x", "s3://bucket/a", "s3://bucket/a/b", "s3://other/x")), roots)
    for outside in ("s3://bucket/ab", "s3://bucket", "memory://bucket/a", "/etc"):
        with pytest.raises(ParameterError, match="outside"):
            check_roots([parse_location(outside)], roots)
        with pytest.raises(ParameterError, match="outside"):
            check_roots([parse_location("s3://bucket/a")], [tmp_path])


# -- listing and reading ---------------------------------------------------------------------------------------------

NAMES = [
    "b.png", "a/c.png", "a.png", "a [1].png", "ünï 图.png", "#?%41.png", "-rf 'q\".png", "no suffix", "notes.txt",
    ".thumbs/a.png", "a/@eaDir/a.png", "a/@eaDir/b.png", "b/Duplicates/x.png", f"b/Duplicates/sub/{MARKER}",
    "b/Duplicates/sub/y.png", "b/Duplicates/sub/z/y.png", "._b.png", "Duplicates/a.png", "a/Duplicates/x.png", "reference/r.png", "store/x.png",
]  # fmt: skip


def test_the_same_names_are_listed_as_on_a_disk(any_bucket, tmp_path):
    folder = any_bucket / "pictures"
    for number, name in enumerate(NAMES):
        content = b"no picture" if name == "notes.txt" else tiny_png(number)
        put(folder / name, content)
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)

    def listed(home, **options):
        more = {"reference": [home / "reference"], "skip": [home / "store"], "left_out": (left_out := Counter())}
        found = list_candidates(home, exclude=["*41.png"], **more, **options)
        rows = [(storage_of(home).relative_name(one.location, home), one.size_bytes, one.is_reference) for one in found]
        return rows, left_out

    for recursive in (True, False):
        there, here = listed(folder, recursive=recursive), listed(tmp_path, recursive=recursive)
        assert there == here
        assert ("no suffix", len(tiny_png(7)), False) in here[0]
        assert here[1]["._*"] == here[1]["*41.png"] == 1
        assert (here[1]["@eaDir/"], here[1]["sub/"]) == (recursive, recursive)


def test_names_that_no_path_can_have_are_left_alone(bucket):
    for key in ("f/a//b.png", "f/./c.png", "f/../d.png", "f/sub/", "f/e.png"):
        filesystem(bucket).call_s3("put_object", Bucket=bucket.path.strip("/"), Key=key, Body=b"x")

    found = list_candidates(bucket / "f", recursive=True, exclude=[], reference=[], skip=[])

    assert [one.location for one in found] == [bucket / "f/e.png"]


def test_a_changed_object_is_told_by_its_tag_though_size_and_second_are_the_same(bucket):
    def listed():
        return list_candidates(bucket, recursive=True, exclude=[], reference=[], skip=[])[0]

    place = put(bucket / "a.png", b"one")
    before, again = listed(), listed()
    put(place, b"two")

    assert before.validator == again.validator != listed().validator


def test_an_object_that_is_too_large_is_a_row_and_is_not_fetched(bucket, monkeypatch):
    monkeypatch.setattr(listing, "MAX_BYTES", 4)
    put(bucket / "a.png", b"12345")

    found = list_candidates(bucket, recursive=True, exclude=[], reference=[], skip=[])

    assert found[0].error == "5 bytes, more than the 4 that are read"


def test_objects_are_decoded_as_files_are(any_bucket, tmp_path):
    contents = [encode(photo(40 + number, 50), "PNG") for number in range(20)] + [b"", b"no picture", None]
    for number, content in enumerate(contents):
        if content is not None:
            put(any_bucket / f"{number}.png", content)
            (tmp_path / f"{number}.png").write_bytes(content)

    def decoded(home):
        thumbnails = np.zeros((len(contents), 32, 32, 3), np.uint8)
        return decode_locations(
            [home / f"{n}.png" for n in range(len(contents))], DecodeSettings(32), thumbnails
        ), thumbnails

    (there, pixels_there), (here, pixels_here) = decoded(any_bucket), decoded(tmp_path)

    assert there[:-1] == here[:-1]
    assert there[-1].error == "no longer there"
    assert (pixels_there == pixels_here).all()


# -- moves -----------------------------------------------------------------------------------------------------------


NAMES_TO_MOVE = ("a.png", "sub/b.png")


class Job:
    """A folder with a kept object and two duplicates, one of which has its name taken in `Duplicates`."""

    def __init__(self, bucket, journal, moves=2):
        self.folder = bucket / f"pictures {uuid.uuid4().hex}"
        self.journal = journal
        self.before = {name: name.encode() * 30 for name in ("kept.png", "a.png", "sub/b.png")}
        self.before[f"{DUPLICATES}/a.png"] = b"taken"
        for name, content in self.before.items():
            put(self.folder / name, content)
        self.moves = [self.planned(number, name) for number, name in enumerate(NAMES_TO_MOVE[:moves])]

    def planned(self, image, name):
        content = self.before[name]
        source, target = self.folder / name, self.folder / DUPLICATES / name
        digest = hashlib.sha256(content).hexdigest()
        return PlannedMove(image, source, target, len(content), 0, digest, self.folder / "kept.png")

    def apply(self):
        return apply_moves(self.moves, self.journal)

    def check_all_moved_once(self):
        found = snapshot(self.folder)
        assert sorted(found.values()) == sorted(self.before.values())
        to = {"a.png": f"{DUPLICATES}/a (2).png", "sub/b.png": f"{DUPLICATES}/sub/b.png"}
        sources = {storage_of(self.folder).relative_name(move.source, self.folder) for move in self.moves}
        assert set(found) == {to[name] if name in sources else name for name in self.before}
        out = {t.source: t.target for t in read_journal(self.journal) if (t.state, t.direction) == ("done", "out")}
        assert out == {self.folder / name: self.folder / to[name] for name in sources}


@pytest.fixture
def new_job(bucket):
    """Make fresh jobs of which the first object is to move, with a journal in the bucket, too."""
    numbers = itertools.count()
    return lambda: Job(bucket, bucket / f"store/{next(numbers)}.jsonl", moves=1)


@pytest.mark.parametrize("is_local", [True, False])
def test_moves_and_restores(any_bucket, tmp_path, is_local):
    job = Job(any_bucket, (tmp_path if is_local else any_bucket / "store") / "journal.jsonl")

    outcomes = job.apply()
    job.check_all_moved_once()
    again = job.apply()
    restored = restore_moves(job.journal)

    assert [(outcome.moved, outcome.reason) for outcome in outcomes] == [(True, None)] * 2
    assert again == outcomes
    assert [(outcome.restored, outcome.reason) for outcome in restored] == [(True, None)] * 2
    assert snapshot(job.folder) == job.before
    assert restore_moves(job.journal) == []
    assert [outcome.moved for outcome in job.apply()] == [False] * 2


def test_what_was_put_aside_is_marked_until_all_of_it_is_back(any_bucket, tmp_path):
    def listed(home):
        found = list_candidates(home, recursive=True, exclude=[], reference=[], skip=[])
        return [storage_of(home).relative_name(one.location, home) for one in found]

    job = Job(any_bucket, tmp_path / "journal.jsonl")
    taken, marker = job.folder / DUPLICATES / "a.png", job.folder / DUPLICATES / MARKER
    filesystem(taken).rm_file(key_of(taken))
    before = listed(any_bucket)

    job.apply()
    assert listed(any_bucket) == [f"{job.folder.name}/kept.png"]
    with pytest.raises(ParameterError, match="put aside"):
        check_folder("folder", str(job.folder / DUPLICATES))
    assert b"imagetwins restore" in filesystem(marker).cat_file(key_of(marker))
    restore_moves(job.journal)

    assert listed(any_bucket) == before
    assert storage_of(marker).stat(marker) is None


class KilledError(BaseException):
    """Stands for the end of the process: nothing of ours catches it."""


@contextmanager
def at_each_call(act):
    """Call `act(call)` in place of each request, or few that belong together, to the server."""
    original = fsspec.asyn.sync
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fsspec.asyn, "sync", lambda *args, **options: act(lambda: original(*args, **options)))
        yield


def killed_after(moment, work):
    """Do `work` up to its `moment`-th request; False if it had ended."""
    calls = itertools.count(1)

    def act(call):
        answer = call()
        if next(calls) == moment:
            raise KilledError
        return answer

    with at_each_call(act):
        try:
            work()
        except KilledError:
            FIGURES["kills survived"] += 1
            return True
    return False


def kill_after_every_request(new_job, finish):
    """Apply jobs, killed after one request more each; by turns `finish` them, which checks that all has moved, and undo them."""
    kills = 0
    while killed_after(kills + 1, (job := new_job(kills)).apply):
        kills += 1
        assert set(job.before.values()) <= set(snapshot(job.folder).values())
        if kills % 2:
            finish(job)
        else:
            restore_moves(job.journal)
            assert snapshot(job.folder) == job.before
    finish(job)
    assert kills > 10


def test_killed_after_every_request_of_a_move(new_job):
    def finish(job):
        assert [outcome.reason for outcome in job.apply()] == [None]
        job.check_all_moved_once()

    kill_after_every_request(lambda _: new_job(), finish)


def test_killed_after_every_request_of_a_restore(new_job):
    kills = 0
    while True:
        (job := new_job()).apply()
        if not killed_after(kills + 1, lambda job=job: restore_moves(job.journal)):
            break
        kills += 1
        restore_moves(job.journal)
        assert snapshot(job.folder) == job.before
    assert kills > 10


class Following(Job):
    """A job whose picture has moved, and what belongs to it has not."""

    def __init__(self, bucket, journal):
        super().__init__(bucket, journal, moves=1)
        self.before["a.xmp"] = b"sidecar"
        put(self.folder / "a.xmp", b"sidecar")
        super().apply()
        picture = self.moves[0]
        self.moves = [replace(picture, companions=(PlannedCompanion(0, self.folder / "a.xmp", (picture.source,)),))]

    def check_all_moved(self):
        (outcome,) = self.apply()
        assert [companion.reason for companion in outcome.companions] == [None]
        found = snapshot(self.folder)
        assert (found[f"{DUPLICATES}/a (2).png"], found[f"{DUPLICATES}/a (2).xmp"]) == (
            self.before["a.png"],
            b"sidecar",
        )
        assert sorted(found.values()) == sorted(self.before.values())


def test_what_belongs_to_an_object_follows_it_and_comes_back(any_bucket, tmp_path):
    job = Following(any_bucket, tmp_path / "journal.jsonl")

    job.check_all_moved()
    restored = restore_moves(job.journal)

    assert [(outcome.path.name, outcome.reason) for outcome in restored] == [("a.png", None), ("a.xmp", None)]
    assert snapshot(job.folder) == job.before


@pytest.mark.slow
def test_killed_after_every_request_of_what_follows_an_object(bucket):
    kill_after_every_request(
        lambda kills: Following(bucket, bucket / f"store/{kills}.jsonl"), Following.check_all_moved
    )


@pytest.mark.parametrize("is_heard", [True, False])
def test_every_request_may_fail(new_job, is_heard):
    """Once before the server hears of it, once before its answer comes back."""
    moment, failed = 0, [True]
    while failed:
        moment += 1
        job, calls, failed = new_job(), itertools.count(1), []

        def act(call, calls=calls, moment=moment, failed=failed):
            if next(calls) != moment:
                return call()
            failed.append(moment)
            FIGURES["faults injected"] += 1
            if is_heard:
                call()
            raise ConnectionResetError("the network failed")

        with at_each_call(act):
            try:
                outcomes = job.apply()
            except (OSError, StoreError):
                # The journal cannot be read, or must be another's.
                outcomes = []
        found = snapshot(job.folder)
        for move, outcome in zip(job.moves, outcomes, strict=bool(outcomes)):
            assert outcome.moved == (not outcome.reason)
            assert (
                found[storage_of(job.folder).relative_name(outcome.new_path, job.folder)]
                == job.before[storage_of(job.folder).relative_name(move.source, job.folder)]
            )
        assert [outcome.reason for outcome in job.apply()] == [None]
        job.check_all_moved_once()
    assert moment > 10


@pytest.fixture
def job(bucket, tmp_path):
    return Job(bucket, tmp_path / "journal.jsonl")


def test_a_move_that_should_not_be_made_is_not(job):
    changed, vanished = job.moves
    put(changed.source, job.before["a.png"].swapcase())
    filesystem(vanished.source).rm_file(key_of(vanished.source))
    orphaned = replace(job.planned(2, "kept.png"), kept=job.folder / "gone.png")
    before = snapshot(job.folder)

    outcomes = apply_moves([changed, vanished, orphaned], job.journal)

    assert [outcome.moved for outcome in outcomes] == [False] * 3
    for outcome, words in zip(outcomes, ["changed", "no longer there", "kept for it"], strict=True):
        assert words in str(outcome.reason)
    assert snapshot(job.folder) == before


def test_a_name_taken_at_the_last_moment_is_not_replaced(job):
    """Another's object appears between the look and the copy: the server itself refuses."""

    def take():
        found = snapshot(job.folder)
        announced = read_journal(job.journal)
        if announced and announced[-1].state == "open" and not taken:
            taken.append(announced[-1].target)
            put(taken[0], b"another's")
        return found

    def act(call):
        if not inside:
            inside.append(True)
            take()
            inside.clear()
        return call()

    taken, inside = [], []
    with at_each_call(act):
        outcomes = apply_moves(job.moves[1:], job.journal)

    assert outcomes[0].new_path == job.folder / DUPLICATES / "sub/b (2).png"
    assert snapshot(job.folder)[f"{DUPLICATES}/sub/b.png"] == b"another's"


def test_an_object_that_changes_while_it_is_copied_stays(job):
    def act(call):
        answer = call()
        if inside:
            return answer
        inside.append(True)
        announced = read_journal(job.journal)
        if announced and announced[-1].copied and announced[-1].state == "open":
            put(job.moves[1].source, b"edited")
        inside.clear()
        return answer

    inside = []
    with at_each_call(act):
        apply_moves(job.moves[1:], job.journal)

    found = snapshot(job.folder)
    assert found["sub/b.png"] == b"edited"
    assert found[f"{DUPLICATES}/sub/b.png"] == job.before["sub/b.png"]


def test_what_an_object_has_beside_its_content_goes_with_it(job):
    source = job.moves[1].source
    bucket, key, _ = filesystem(source).split_path(key_of(source))
    told = {"ContentType": "image/png", "CacheControl": "no-store", "Metadata": {"camera": "x"}}
    filesystem(source).call_s3("put_object", Bucket=bucket, Key=key, Body=job.before["sub/b.png"], **told)

    target = job.apply()[1].new_path
    _, key, _ = filesystem(target).split_path(key_of(target))
    found = filesystem(target).call_s3("head_object", Bucket=bucket, Key=key)

    assert {name: found[name] for name in told} == told


def test_restore_overwrites_nothing(job):
    job.apply()
    put(job.folder / "a.png", b"new")
    put(job.folder / DUPLICATES / "sub/b.png", b"replaced")

    reasons = {outcome.path.name: str(outcome.reason) for outcome in restore_moves(job.journal)}

    assert "name" in reasons["a.png"]
    assert "replaced" in reasons["b.png"]
    assert snapshot(job.folder)["a.png"] == b"new"


def test_what_a_person_copied_back_counts_as_restored(job):
    target = job.apply()[1].new_path
    put(job.folder / "sub/b.png", job.before["sub/b.png"])
    filesystem(target).rm_file(key_of(target))

    outcomes = restore_moves(job.journal)

    assert [outcome.restored for outcome in outcomes] == [True, True]
    assert [str(outcome.reason) for outcome in outcomes if outcome.reason] == ["it was back already"]
    assert snapshot(job.folder) == job.before


def test_a_journal_in_a_bucket_has_pieces_and_one_writer(bucket, monkeypatch):
    monkeypatch.setattr(logs, "PIECE_BYTES", 1000)
    journal = bucket / "store/journal.jsonl"
    places_ = [bucket / f"{number}.png" for number in range(20)]
    with open_journal(journal) as first:
        for number, place in enumerate(places_):
            first.begin("out", number, place, place, FileStamp(0, number, 0, "tag"), "digest")
            first.void(first.transfers[-1], "no")
    assert [transfer.source for transfer in read_journal(journal)] == places_
    assert len(snapshot(journal)) > 3
    with open_journal(journal) as first, open_journal(journal) as second:
        first.begin("out", 0, places_[0], places_[0], FileStamp(0, 0, 0, "tag"), "digest")
        with pytest.raises(StoreError, match="in use"):
            second.begin("out", 0, places_[0], places_[0], FileStamp(0, 0, 0, "tag"), "digest")


# -- who is at work --------------------------------------------------------------------------------------------------


def test_runs_on_one_folder_of_a_bucket_exclude_each_other(bucket):
    folder = bucket / "a/b"
    with storage_of(folder).lock(folder, "run 1"):
        for other in (folder, bucket / "a", folder / "c"):
            with pytest.raises(FolderBusyError, match="run 1 holds 's3://"), storage_of(other).lock(other, "run 2"):
                pass
        with storage_of(bucket / "a/c").lock(bucket / "a/c", "run 3"):
            assert list(snapshot(folder)) == [f"{DUPLICATES}/{LEASE}"]
    assert snapshot(bucket) == {}


def test_another_machine_is_excluded_until_its_lease_has_run_out(bucket, monkeypatch):
    folder = bucket / "a"
    lease = folder / DUPLICATES / LEASE
    with hold_lease(lease, "run 1", "another machine"):
        with pytest.raises(FolderBusyError, match=r"run 1 holds it, on another machine.*10 minutes"):
            storage_of(folder).lock(folder, "run 2").__enter__()
        held = snapshot(folder)
        monkeypatch.setattr(leases.time, "time", lambda: 4e9)
        with storage_of(folder).lock(folder, "run 2"):
            replaced = snapshot(folder)
            assert replaced != held
            # The first, should it wake up, leaves the other's lease alone.
            ended = threading.Event()
            monkeypatch.setattr(leases, "RENEW_SECONDS", 0.01)
            leases._renew(lease, "run 1", "another machine", ended)
            assert snapshot(folder) == replaced


def test_a_lease_is_renewed_while_it_is_held(bucket, monkeypatch):
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.01)
    lease, renewed = bucket / LEASE, threading.Event()
    with hold_lease(lease, "run 1", "here"):
        first = snapshot(bucket)
        for _ in range(200):
            if snapshot(bucket) != first:
                renewed.set()
                break
    assert renewed.is_set()
    assert snapshot(bucket) == {}


def test_what_a_dead_holder_of_this_machine_left_is_taken_over(bucket, caches):
    folder = bucket / "a"
    with storage_of(folder).lock(folder, "run 1"):
        left = snapshot(folder)
    for name, content in left.items():
        put(folder / name, content)
    with storage_of(folder).lock(folder, "run 2"):
        assert snapshot(folder) != left
    assert (caches / "machine").exists()


# -- whole runs ------------------------------------------------------------------------------------------------------


def pictures():
    """Two photographs and copies of them, a name without a suffix, and what is no picture."""
    first, second = photo(96, 144), photo(144, 96)[::-1]
    brighter = np.clip(first.astype(int) + 3, 0, 255).astype(np.uint8)
    return {
        "a.png": encode(first, "PNG"),
        "b/copy [1].jpg": encode(first, "JPEG", quality=95),
        "b/brighter": encode(brighter, "PNG"),
        "c.png": encode(second, "PNG"),
        "c/c 图.png": encode(second, "PNG"),
        "broken.png": b"no picture",
        "notes.txt": b"notes",
    }


def fill(there, here):
    """Write the same pictures to a folder in a bucket and to one on the disk."""
    for name, content in pictures().items():
        put(there / name, content)
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_bytes(content)


def tables(run, folder):
    """Return the tables of a run, with names as seen from its folder, and without times."""
    found = [read_table(run.images, IMAGES).drop(columns="mtime_ns"), read_table(run.comparisons, COMPARISONS)]
    found.append(read_table(run.decisions, DECISIONS))
    shorten = {"path", "FullPath", "NewPath", "kept_path", "reason"}
    for table in found:
        for column in shorten & set(table.columns):
            table[column] = table[column].str.replace(f"{folder}/", "", regex=False)
    return found


IDS = ("20260102T000000Z-x", "20260103T000000Z-x")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs on a folder in a bucket with each kind of store, and one on the same pictures on the disk."""
    bucket, home = new_bucket("s3"), tmp_path_factory.mktemp("runs")
    there, here = bucket / "some/pictures", home / "pictures"
    fill(there, here)
    expected = Run(home / "expected", "20260101T000000Z-x")
    run_stages(expected, here, audit_floor=-1.0)
    stores, counts = {"in a bucket": bucket / "store", "on a disk": home / "store"}, {}
    for name, store in stores.items():
        first, second = (Run(store, run_id) for run_id in IDS)
        done = run_stages(first, there, audit_floor=-1.0), run_stages(second, there, threshold=0.99, audit_floor=0.8)
        counts[name] = [one.counts for one in done]
    return stores, counts, there, tables(expected, here)


@pytest.mark.parametrize("store", ["in a bucket", "on a disk"])
def test_the_tables_are_those_of_the_same_pictures_on_a_disk(runs, store):
    stores, _, there, expected = runs
    for found, wanted in zip(tables(Run(stores[store], IDS[0]), there), expected, strict=True):
        pd.testing.assert_frame_equal(found, wanted, check_exact=True)


@pytest.mark.parametrize("store", ["in a bucket", "on a disk"])
def test_a_second_run_decodes_nothing_anew(runs, store):
    stores, counts, _, _ = runs
    first, second = counts[store]
    # What is no picture is looked at again, as on a disk.
    assert (first["to_decode"], second["to_decode"], second["unchanged"]) == (6, 1, 5)
    assert (storage_of(stores[store]).local_directory(stores[store]) / "cache").is_dir()
    assert (stores[store] / "cache").exists() == (store == "on a disk")


def test_a_store_in_a_bucket_answers_what_one_on_a_disk_does(runs):
    stores, _, there, _ = runs
    answers = []
    for store in stores.values():
        first, second = (Run(store, run_id) for run_id in IDS)
        name = str(there / "b/copy [1].jpg")
        answers.append(
            [
                find_history(store, name),
                explain_file(first, "copy [1].jpg").table,
                explain_pair(first, name, str(there / "a.png")).table,
                audit_threshold(first, 0.9999).table,
                compare_runs(first, second).table,
                audit_run(first).table,
            ]
        )
        assert tuple(run.run_id for run in list_runs(store)) == IDS
    for in_bucket, on_disk in zip(*answers, strict=True):
        assert len(in_bucket)
        pd.testing.assert_frame_equal(in_bucket, on_disk)


def test_pruning_a_store_in_a_bucket_leaves_what_restore_needs(bucket):
    run = Run(bucket / "store", IDS[0])
    run.write_record(make_record(run.run_id, status="completed", created="2026-01-02T00:00:00+00:00"))
    put(run.comparisons / "part-0.parquet", b"scores")
    put(run.journal / "000000.jsonl", b"moves")

    freed = prune_runs(run.store, pd.Timestamp("2026-02-01", tz="UTC"))

    assert freed.freed_bytes == len(b"scores")
    assert set(snapshot(run.store)) == {f"runs/{IDS[0]}/journal.jsonl/000000.jsonl", f"runs/{IDS[0]}/run.json"}


@pytest.mark.usefixtures("prefect_server")
def test_a_run_its_undo_and_its_scores_at_another_threshold(bucket, tmp_path, caches, caplog):
    there = bucket / "some/pictures"
    fill(there, tmp_path)
    store = f"{bucket}store"
    before = snapshot(there)

    summary = deduplicate(str(there), store=store)
    after = snapshot(there)
    assert summary["moved"] == summary["duplicates"] == 3
    assert sorted(after.values()) == sorted(before.values())
    assert {name for name in after if name.startswith(DUPLICATES)} == {
        f"{DUPLICATES}/{name}" for name in ("b/copy [1].jpg", "b/brighter", "c/c 图.png")
    }

    assert rethreshold(summary["run_id"], 0.99999, store)["now"]["duplicate"] == 1
    assert restore("latest", store) == {"run_id": summary["run_id"], "restored": 3, "companions": 0, "not_restored": {}}
    assert snapshot(there) == before

    applied = apply(summary["run_id"], 0.99999, store=store)
    assert applied["moved"] == 1
    assert restore(applied["run_id"], store)["restored"] == 1
    assert snapshot(there) == before
    assert find_run(parse_location(store), summary["run_id"]).read_record().status == "restored"

    told = [*snapshot(bucket / "store").values(), caplog.text.encode()]
    told += [file.read_bytes() for file in caches.rglob("*") if file.is_file()]
    assert len(told) > 10
    for secret in (KEY, SECRET):
        assert not any(secret.encode() in content for content in told)


def test_an_interrupted_journal_is_recovered_before_a_new_run(bucket):
    job = Job(bucket, bucket / "store/runs/r/journal.jsonl")
    assert killed_after(12, job.apply)

    recovered = recover_journal(job.journal)

    assert all(transfer.state != "open" for transfer in [*recovered, *read_journal(job.journal)])
    assert sorted(snapshot(job.folder).values()) == sorted(job.before.values())
