"""What is listed, what is a row with its reason, and what is never touched."""

import os
import socket
import stat
from collections import Counter
from pathlib import Path

import pytest

from imagetwins.decoding.model import MAX_BYTES
from imagetwins.errors import ParameterError
from imagetwins.scanning.candidates import APPLE_DOUBLE_MAGIC, list_candidates
from imagetwins.storage import DUPLICATES, MARKER
from tests.support.inodes import number_inodes
from tests.support.pictures import encode, photo, tiny_png

PNG = tiny_png(0)


def fill(folder, *names, content=PNG):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def listed(folder, *, recursive=True, exclude=(), reference=(), skip=(), **more):
    return list_candidates(folder, recursive=recursive, exclude=exclude, reference=reference, skip=skip, **more)


def names(folder, **options):
    return [str(file.location.relative_to(folder)) for file in listed(folder, **options)]


def test_rows_are_sorted_and_tell_size_and_time(tmp_path):
    fill(tmp_path, "b.png", "a/c.png", "a.png", "B.png", "a b.png")
    os.utime(tmp_path / "a.png", ns=(1, 1_700_000_000_123_456_789))

    files = listed(tmp_path)

    assert names(tmp_path) == ["B.png", "a b.png", "a.png", "a/c.png", "b.png"]
    assert (files[2].size_bytes, files[2].mtime_ns) == (len(PNG), 1_700_000_000_123_456_789)
    assert all(file.error is None and not file.is_reference and file.location.is_absolute() for file in files)


def test_an_empty_folder(tmp_path):
    assert listed(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "content", "is_listed"),
    [
        ("a.JPG", b"", True),
        ("a.heic", b"x", True),
        ("a.txt", b"text", False),
        ("a.txt", PNG, True),
        ("a", encode(photo(), "JPEG"), True),
        ("a", encode(photo(), "WEBP"), True),
        ("a", encode(photo(), "AVIF"), True),
        ("a", encode(photo(), "GIF"), True),
        ("a", encode(photo(), "JPEG2000"), True),
        ("a.NEF", b"", True),
        # Of most cameras' raw files the first bytes are those of a TIFF.
        ("raw", encode(photo(), "TIFF"), False),
        ("letter", b"BM, dear", False),
        ("empty", b"", False),
        (".imagetwins-0123.part", PNG, False),
    ],
)
def test_a_candidate_has_a_suffix_or_first_bytes_of_a_picture(tmp_path, name, content, is_listed):
    fill(tmp_path, name, content=content)

    assert names(tmp_path) == [name] * is_listed


@pytest.mark.parametrize(
    "suffixes",
    [
        ["jpg", "jpeg", "jpe", "jfif"],
        ["png", "apng"],
        ["gif", "webp", "avif"],
        ["bmp", "dib"],
        ["tif", "tiff"],
        ["jp2", "j2k"],
        ["ppm", "pgm", "pbm", "pnm"],
        ["heic", "heif", "jxl", "psd"],
    ],
)
def test_what_people_call_pictures_is_listed_whatever_is_in_it(tmp_path, suffixes):
    called = [f"a.{suffix}" for suffix in suffixes] + [f"B.{suffix.upper()}" for suffix in suffixes]
    fill(tmp_path, *called, content=b"?")

    assert names(tmp_path) == sorted(called)


def test_a_bare_codestream_of_jpeg_2000_is_known_by_its_first_bytes(tmp_path):
    fill(tmp_path, "a", content=encode(photo(), "JPEG2000", no_jp2=True))

    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes().startswith(b"\xff\x4f\xff\x51")


def test_a_pattern_of_folders_leaves_files_of_that_name_alone(tmp_path):
    fill(tmp_path, ".a.png", "raw.png", ".hidden/b.png", "raw/c.png", "sub/raw.png/d.png")

    assert names(tmp_path, exclude=[".*/", "raw.png/", "raw/"]) == [".a.png", "raw.png"]


@pytest.mark.parametrize(("size_bytes", "is_read"), [(MAX_BYTES, True), (MAX_BYTES + 1, False)])
def test_a_file_that_is_larger_than_what_is_read_has_an_error(tmp_path, size_bytes, is_read):
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(size_bytes)

    (found,) = listed(tmp_path)

    assert found.error == (None if is_read else f"{MAX_BYTES + 1} bytes, more than the {MAX_BYTES} that are read")


def test_sub_folders_only_if_asked(tmp_path):
    fill(tmp_path, "a.png", "sub/b.png")

    assert names(tmp_path, recursive=False) == ["a.png"]


def test_duplicates_and_the_store_are_never_entered(tmp_path):
    fill(tmp_path, "a.png", f"{DUPLICATES}/b.png", f"sub/{DUPLICATES}/c.png", "store/runs/d.png")

    assert names(tmp_path, skip=[tmp_path / "store"]) == ["a.png", f"sub/{DUPLICATES}/c.png"]
    assert names(tmp_path, skip=[tmp_path / "sub/../store", Path("/nowhere")]) == ["a.png", f"sub/{DUPLICATES}/c.png"]


def test_exclude_is_like_a_gitignore(tmp_path):
    fill(tmp_path, "a.gif", "sub/b.gif", "raw/c.png", "sub/raw/d.png", "sub/e.png", "[x].png", "f.png")

    assert names(tmp_path, exclude=["*.gif", "raw/", "/f.png"]) == ["[x].png", "sub/e.png"]
    assert names(tmp_path, exclude=["*", "!\\[x\\].png"]) == ["[x].png"]
    assert len(names(tmp_path, exclude=["sub/*.gif"])) == 6
    with pytest.raises(ParameterError, match="exclude"):
        names(tmp_path, exclude=["!"])


def test_what_is_left_out_is_counted(tmp_path):
    fill(
        tmp_path, "a.png", "b.gif", "sub/c.gif", "@eaDir/a.png", "sub/@eaDir/c.png", ".git/d.png", f"{DUPLICATES}/a.png"
    )
    fill(tmp_path, "$RECYCLE.BIN/a.png", os.fsdecode(b"\xff.lrdata/e.png"), "store/f.png", "sub/.trashed-17-x.png")

    left_out = Counter()
    assert names(tmp_path, exclude=["*.gif"], skip=[tmp_path / "store"], left_out=left_out) == ["a.png"]

    assert left_out == {
        "@eaDir/": 2, ".git/": 1, "$RECYCLE.BIN/": 1, r"\xff.lrdata/": 1, f"{DUPLICATES}/": 1, "store/": 1, "*.gif": 2,
        ".trashed-*": 1,
    }  # fmt: skip
    assert len(names(tmp_path, default_excludes=False)) == 10


def test_the_live_picture_is_listed_and_its_deleted_copy_is_not(tmp_path):
    trash = ["$RECYCLE.BIN/S-1-5-21/$R1.png", "#recycle/cat.png", "@Recycle/cat.png", ".Trash-1000/files/cat.png"]
    fill(tmp_path, "album/cat.png", *trash)

    assert names(tmp_path) == ["album/cat.png"]


def test_of_photo_servers_and_storage_boxes_the_originals_are_listed(tmp_path):
    user = "0f8fad5b-d9cb-469f-a165-70867728950e"
    originals = [f"immich/upload/{user}/3a/7c/x.jpg", "immich/library/admin/2024/y.jpg", "nextcloud/ann/files/z.jpg"]
    derived = [f"immich/{folder}/{user}/3a/x.jpg" for folder in ("thumbs", "profile", "encoded-video")]
    derived += ["nextcloud/ann/files_trashbin/files/z.jpg.d17", "nextcloud/ann/files_versions/z.jpg.v17"]
    derived += ["nextcloud/appdata_oc1x/preview/a/b/256-256.png", "@eaDir/z.jpg/SYNOPHOTO_THUMB_M.jpg"]
    derived += ["#snapshot/monday/z.jpg", "lost+found/#17.jpg", "System Volume Information/z.jpg"]
    fill(tmp_path, *originals, *derived)

    left_out = Counter()
    assert names(tmp_path) == names(tmp_path, exclude=["*.gif"], left_out=left_out) == sorted(originals)
    assert left_out[f"thumbs/{user}/"] == left_out["appdata_oc1x/preview/"] == 1
    assert len(names(tmp_path, default_excludes=False)) == len([*originals, *derived])


def test_a_picture_of_a_format_that_is_not_read_is_a_row_that_says_so(tmp_path):
    fill(tmp_path, "a.TGA", "b.svg", content=b"not a picture of ours")
    fill(tmp_path, "site.ico")
    (tmp_path / "c.tga").hardlink_to(tmp_path / "a.TGA")

    rows = {file.location.name: (file.error, file.error_code, file.is_read) for file in listed(tmp_path)}

    assert rows["a.TGA"] == ("TGA is not read; convert it to PNG to have it compared", "format-not-read", False)
    assert rows["b.svg"][0].startswith("SVG is not read")
    # Most icons of web sites are PNGs.
    assert rows["site.ico"] == (None, None, True)
    assert "hard link" in rows["c.tga"][0]


def test_formats_and_small_files_are_left_out_and_counted(tmp_path):
    fill(tmp_path, "a.png", "named so.JPG", "without")
    fill(tmp_path, "b.gif", "c.tga", content=b"x" * 99)
    left_out = Counter()

    assert names(tmp_path, formats="PNG,GIF", min_bytes=100, left_out=left_out) == ["a.png", "without"]
    assert left_out == {"JPEG": 1, "TGA": 1, "smaller than 100 bytes": 1}
    assert names(tmp_path, min_bytes=99) == ["a.png", "b.gif", "c.tga", "named so.JPG", "without"]


def test_what_also_belongs_to_a_picture_that_is_left_out_stays_with_it(tmp_path):
    fill(tmp_path, "a.jpg", "a.nef", "a.xmp", "b.jpg", "b.png", "b.xmp", "b.jpg.xmp")

    found, chosen = (
        {file.location.name: sorted(one.location.name for one in file.companions) for file in files}
        for files in (listed(tmp_path), listed(tmp_path, formats="JPEG"))
    )

    assert (found["b.jpg"], found["b.png"]) == (["b.jpg.xmp", "b.xmp"], ["b.xmp"])
    # A raw file that is not compared is still the picture's own.
    assert chosen == {"a.jpg": ["a.nef", "a.xmp"], "b.jpg": ["b.jpg.xmp"]}


def test_a_folder_with_our_marker_is_never_entered_and_one_without_is(tmp_path):
    fill(tmp_path, "a/cat.png", f"a/{DUPLICATES}/zcat.png", f"a/{DUPLICATES}/sub/zcat.png", f"b/{DUPLICATES}/own.png")
    fill(tmp_path, f"a/{DUPLICATES}/{MARKER}", content=b"")

    left_out = Counter()
    assert names(tmp_path, left_out=left_out) == ["a/cat.png", f"b/{DUPLICATES}/own.png"]
    assert left_out == {f"{DUPLICATES}/": 1}


@pytest.mark.parametrize(
    ("name", "content", "beside", "is_listed"),
    [
        ("._a.jpg", APPLE_DOUBLE_MAGIC + b"\0\2", None, False),
        ("._a.jpg", b"Mac OS X", "a.jpg", False),
        ("._a.jpg", b"", "a.jpg", False),
        ("._a.jpg", PNG, "b.jpg", True),
        ("._.png", PNG, "a.png", True),
        ("a.jpg", APPLE_DOUBLE_MAGIC, None, True),
    ],
)
def test_what_macos_keeps_beside_a_picture_is_no_broken_picture(tmp_path, name, content, beside, is_listed):
    fill(tmp_path, *[beside] * (beside is not None))
    fill(tmp_path, f"sub/{name}" if name == "a.jpg" else name, content=content)

    left_out = Counter()
    found = names(tmp_path, left_out=left_out)

    assert (any(one.endswith(name) for one in found if one != beside), left_out["._*"]) == (is_listed, not is_listed)


def test_reference_folders_outside_and_inside(tmp_path):
    folder = fill(tmp_path / "folder", "z.png", "kept/b.png")
    reference = fill(tmp_path / "album", "a.png", "sub/c.png", f"{DUPLICATES}/d.png")

    files = listed(folder, reference=[folder / "kept", reference, reference / "sub"])

    assert [(str(file.location.relative_to(tmp_path)), file.is_reference) for file in files] == [
        ("folder/kept/b.png", True),
        ("folder/z.png", False),
        ("album/a.png", True),
        ("album/sub/c.png", True),
    ]


def test_a_folder_inside_a_reference_folder_is_all_reference(tmp_path):
    fill(tmp_path, "a.png", "folder/b.png")

    files = listed(tmp_path / "folder", reference=[tmp_path])

    assert [(file.location.name, file.is_reference) for file in files] == [("b.png", True), ("a.png", True)]


def test_links_are_not_followed(tmp_path):
    folder = fill(tmp_path / "folder", "a.png", "sub/b.png")
    fill(tmp_path / "outside", "c.png")
    (folder / "loop").symlink_to(folder)
    (folder / "sub/up").symlink_to("..")
    (folder / "out").symlink_to(tmp_path / "outside")
    (folder / "out.png").symlink_to(tmp_path / "outside/c.png")
    (folder / "broken.png").symlink_to("nothing")
    (folder / "again.png").symlink_to("a.png")

    assert names(folder) == ["a.png", "sub/b.png"]


@pytest.mark.parametrize("number", [0, 12], ids=["none", "one of another disk"])
def test_files_and_folders_whose_inodes_are_alike_are_not_taken_for_one(number, tmp_path, monkeypatch):
    fill(tmp_path, "a.png", "a/b.png", "c/d.png", "c/e.png", "c/f/g.png")
    for position, path in enumerate(tmp_path.rglob("*")):
        # Where there is no inode at all, times that are the same say nothing.
        os.utime(path, ns=(1, position if number else 1))
    with monkeypatch.context() as patch:
        number_inodes(patch, number)
        files = listed(tmp_path, more_folders=[tmp_path / "c"], reference=[tmp_path / "c/f"])

    assert [str(file.location.relative_to(tmp_path)) for file in files] == [
        "a.png",
        "a/b.png",
        "c/d.png",
        "c/e.png",
        "c/f/g.png",
    ]
    assert [file.error for file in files] == [None] * 5


def test_of_hard_links_the_first_counts(tmp_path):
    fill(tmp_path, "b.png", "sub/d.png")
    (tmp_path / "c.png").hardlink_to(tmp_path / "b.png")
    (tmp_path / "a.png").hardlink_to(tmp_path / "b.png")

    errors = {file.location.name: file.error for file in listed(tmp_path)}

    assert errors["a.png"] is None
    assert errors["d.png"] is None
    assert "hard link" in errors["b.png"]
    assert str(tmp_path / "a.png") in errors["c.png"]


def test_what_is_no_file_is_never_opened(tmp_path, monkeypatch):
    fill(tmp_path, "a.png")
    os.mkfifo(tmp_path / "fifo.png")
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
    if os.geteuid() == 0:
        os.mknod(tmp_path / "device.gif", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    opened = []
    real_open = os.open
    monkeypatch.setattr(os, "open", lambda path, *rest, **more: opened.append(path) or real_open(path, *rest, **more))

    errors = {file.location.name: file.error for file in listed(tmp_path)}

    assert errors.pop("a.png") is None
    assert set(errors) == {"fifo.png", "socket.jpg"} | ({"device.gif"} if os.geteuid() == 0 else set())
    assert all("not a regular file" in error for error in errors.values())
    assert opened == []


def test_a_folder_that_cannot_be_read_is_a_row(tmp_path, monkeypatch):
    fill(tmp_path, "a.png", "locked/b.png", "z.png")
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    # Root may read everything: the refusal has to be made.
    monkeypatch.setattr(os, "scandir", refuse)

    rows = [(file.location.name, file.error) for file in listed(tmp_path)]

    assert rows == [("a.png", None), ("locked", "cannot be read: Permission denied"), ("z.png", None)]


def test_names_of_every_kind(tmp_path):
    raw = [
        b"n" * 251 + b".png",
        b"\xff\xfe.png",
        b"[a]*?.png",
        b"-rf.png",
        b"a\nb\x1b[31m.png",
        b"<script>.png",
        b".png",
    ]
    raw += ["図 naïve.png".encode(), b"a.png", b"A.png", b" .png", b"a'\"$(x).png"]
    fill(tmp_path, *map(os.fsdecode, raw))

    assert [os.fsencode(file.location.name) for file in listed(tmp_path)] == sorted(raw)


@pytest.mark.slow
def test_ten_thousand_files(tmp_path):
    for number in range(10_000):
        (tmp_path / f"{number}.png").touch()

    assert len(listed(tmp_path)) == 10_000
