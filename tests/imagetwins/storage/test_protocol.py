"""What every kind of storage promises, asked of each kind: a disk, and a bucket in memory. (S3 is in test_buckets.py.)"""

import hashlib
import os
import uuid
from pathlib import Path

import pytest

from imagetwins.errors import StoreError
from imagetwins.reasons import ReasonCode, RefusedError
from imagetwins.storage import Listed, Storage, is_inside, parse_location, storage_of
from imagetwins.storage.objects import ObjectInfo, filesystem, key_of

NAMES = ["a.png", "b [1].png", "sub/c 图.png", "sub/deep/d"]


@pytest.fixture(params=["disk", "bucket"])
def folder(request, tmp_path):
    if request.param == "disk":
        return tmp_path / "folder"
    bucket = parse_location(f"memory://b-{uuid.uuid4().hex}")
    filesystem(bucket).mkdir(key_of(bucket))
    return bucket / "folder"


@pytest.fixture
def filled(folder):
    for name in NAMES:
        write(folder / name, name.encode())
    return folder


def write(location, content):
    with storage_of(location).writing(location) as temporary:
        temporary.write_bytes(content)
    return location


def listed(location, **changes):
    storage = storage_of(location)
    stamp = storage.stat(location)
    known = {"size_bytes": stamp.size_bytes, "mtime_ns": stamp.mtime_ns, "digest": storage.digest(location)}
    return Listed(location, **known | changes)


def test_each_kind_implements_all_of_it(folder):
    assert isinstance(storage_of(folder), Storage)
    with pytest.raises(TypeError):
        Storage()


def test_what_is_written_is_there_whole_with_its_stamp_and_digest(folder):
    location = write(folder / "sub/a [1].png", b"content")
    storage = storage_of(folder)
    assert storage.read_bytes(location) == b"content"
    assert storage.stat(location).size_bytes == 7
    assert storage.digest(location) == storage.digest(location, 7) == hashlib.sha256(b"content").hexdigest()
    write(location, b"another")
    assert storage.read_bytes(location) == b"another"
    assert storage.stat(folder / "none") is None
    assert storage.stat(folder / "sub") is None, "a folder is no file"


def test_an_error_while_writing_leaves_what_was_there(filled):
    location = filled / NAMES[0]

    def write_half():
        with storage_of(location).writing(location) as temporary:
            temporary.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    storage = storage_of(filled)
    assert storage.read_bytes(location) == NAMES[0].encode()
    assert len(storage.glob(filled, "*")) == 2


def test_a_file_that_is_not_there_is_an_error_of_the_system(folder):
    storage = storage_of(folder)
    for read in (storage.read_bytes, storage.digest):
        with pytest.raises(FileNotFoundError):
            read(folder / "none")
    with pytest.raises(FileNotFoundError, match="check the"):
        storage.find_folder(folder / "none")


def test_names_are_relative_to_a_folder_and_inside_it(filled):
    storage = storage_of(filled)
    assert storage.find_folder(filled) == filled
    assert storage.absolute(filled) == storage.resolve(filled) == filled
    assert storage.relative_name(filled / "sub/c 图.png", filled) == "sub/c 图.png"
    assert is_inside(filled / "sub", filled)
    assert is_inside(filled, filled)
    assert not is_inside(filled.parent / "folders", filled)
    other = Path("/") if str(filled).startswith("memory") else parse_location("memory://x")
    assert not is_inside(filled, other)
    assert "://" in storage.to_uri(filled)


def test_a_walk_finds_what_is_not_excluded_and_never_twice(filled):
    storage = storage_of(filled)

    def walk(root=filled, *, recursive=True, exclude=(), never=(), seen=None):
        seen = set() if seen is None else seen
        found = storage.walk(
            root, recursive=recursive, is_excluded=lambda name: name in exclude, never=never, seen=seen
        )
        return sorted(storage.relative_name(one.location, filled) for one in found)

    assert walk() == sorted(NAMES)
    assert walk(recursive=False) == sorted(NAMES[:2])
    assert walk(exclude=["sub/deep/", "a.png"]) == sorted(NAMES[1:3])
    assert walk(never=[filled / "sub"]) == sorted(NAMES[:2])
    seen = set()
    assert (walk(filled / "sub", seen=seen), walk(seen=seen)) == (sorted(NAMES[2:]), sorted(NAMES[:2]))


def test_what_a_walk_finds_has_a_validator_that_changes_with_the_content(filled):
    storage, location = storage_of(filled), filled / NAMES[0]

    def find():
        found = storage.walk(filled, recursive=False, is_excluded=lambda _: False, never=[], seen=set())
        return next(one for one in found if one.location == location)

    before, again = find(), find()
    assert (before.kind, before.size_bytes, before.error) == ("file", len(NAMES[0]), None)
    assert before.validator == again.validator != ""
    write(location, b"of another length")
    assert find().validator != before.validator


def test_patterns_match_part_by_part_and_names_are_taken_as_they_are(filled):
    storage = storage_of(filled)
    assert storage.glob(filled, "*.png") == [filled / "a.png", filled / "b [1].png"]
    assert storage.glob(filled, "sub/*") == [filled / "sub/c 图.png"]
    assert storage.glob(filled / "none", "*") == []
    assert storage.size_bytes(filled) == sum(len(name.encode()) for name in NAMES)
    assert storage.read_starts([filled / "a.png", filled / "none"], 1) == [b"a", b""]


def test_a_tree_is_removed_and_one_that_is_not_there_is_no_error(filled):
    storage = storage_of(filled)
    storage.remove_tree(filled / "sub")
    storage.remove_tree(filled / "a.png")
    storage.remove_tree(filled / "none")
    assert storage.glob(filled, "*") == [filled / "b [1].png"]
    assert storage.glob(filled, "sub/*.png") == []


def test_files_are_provided_on_this_machine_and_what_is_missing_has_an_error_or_no_file(filled):
    with storage_of(filled).fetching([filled / name for name in [*NAMES, "none"]]) as (files, errors):
        contents = [file().read_bytes() for file in files[:-1]]
        assert files[-1]().exists() is False
        assert contents == [name.encode() for name in NAMES]
        assert set(errors) <= {len(NAMES)}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, ReasonCode.MISSING_SINCE_RUN),
        (b"longer than before", ReasonCode.SIZE_CHANGED),
        (b"A.PNG", ReasonCode.CONTENT_CHANGED),
    ],
)
def test_a_change_since_it_was_listed_is_found(filled, content, code):
    location = filled / "a.png"
    known = listed(location)
    assert storage_of(location).find_change(known) is None
    if content is None:
        storage_of(location).remove_tree(location)
    else:
        write(location, content)
        if isinstance(location, Path):
            os.utime(location, ns=(0, known.mtime_ns))
    try:
        found = storage_of(location).find_change(known)
    except FileNotFoundError:
        # A disk says so itself.
        assert code is ReasonCode.MISSING_SINCE_RUN
    else:
        assert found.code is code


def test_a_source_that_is_gone_or_changed_is_not_moved(filled):
    mover, location = storage_of(filled).mover, filled / "a.png"
    known = listed(location)
    assert mover.check_source(known, filled) == storage_of(location).stat(location)
    write(location, b"edited, and longer")
    with pytest.raises(RefusedError, match="it changed since it was listed"):
        mover.check_source(known, filled)
    storage_of(location).remove_tree(location)
    with pytest.raises(RefusedError, match="no longer there"):
        mover.check_source(known, filled)


def test_a_taken_name_gets_a_number(filled):
    mover, target = storage_of(filled).mover, filled / "a.tar.png"
    names = [name.name for name, _ in zip(mover.iter_free_names(target), range(3), strict=False)]
    assert names == ["a.tar.png", "a.tar (2).png", "a.tar (3).png"]
    assert mover.is_taken(filled / "a.png")
    assert not mover.is_taken(target)


def test_a_log_is_appended_to_and_read_again(folder):
    storage, location = storage_of(folder), folder / "log.jsonl"
    assert storage.read_log(location) is None
    with storage.open_log(location) as log:
        assert log.content == b""
        log.append(b"one\n", flush=True)
        log.append(b"two\n", flush=False)
        log.flush()
    assert storage.read_log(location) == b"one\ntwo\n"
    with storage.open_log(location) as log:
        assert log.content == b"one\ntwo\n"
        with pytest.raises(StoreError, match="in use"):
            append_to_both(location, log)
        log.append(b"three\n", flush=True)
    assert storage.read_log(location).replace(b"first\n", b"") == b"one\ntwo\nthree\n"


def append_to_both(location, log):
    with storage_of(location).open_log(location) as other:
        log.append(b"first\n", flush=True)
        other.append(b"second\n", flush=True)


def test_a_location_of_another_kind_is_refused(folder):
    other = Path("/a") if str(folder).startswith("memory") else parse_location("memory://x/a")
    with pytest.raises(TypeError):
        storage_of(folder).stat(other)


@pytest.mark.parametrize(
    ("when", "mtime_ns"),
    [("9999-12-31T23:59:59+00:00", 2**63 - 1), ("2106-02-07T06:28:16+00:00", 2**32 * 10**9), (-2e10, 1 - 2**63)],
)
def test_objects_of_every_year_have_a_time_that_tables_hold(when, mtime_ns):
    assert ObjectInfo.of({"size": 1, "mtime": when}).mtime_ns == mtime_ns
