"""What is left out by default, and what patterns of a run's own change about it."""

import itertools

import pathspec
import pytest

from imagetwins.config.patterns import compile_patterns

LEFT_OUT = [
    ".git/", "a/.Trash-1000/", ".Trashes/", ".recycle/", ".@__thumb/", ".thumbnails/", ".AppleDouble/",
    "$RECYCLE.BIN/", "$Recycle.Bin/", "RECYCLER/", "#recycle/", "a/b/#Recycle/", "@Recycle/", "trashbox/", "files_trashbin/",
    "Network Trash Folder/", "lost+found/", "FOUND.000/", "System Volume Information/", "#snapshot/", "@Recently-Snapshot/",
    "~snapshot/", "@eaDir/", "a/@eaDir/", "Photos Library.photoslibrary/", "Old.PhotoLibrary/", "A.aplibrary/",
    "Catalog Previews.lrdata/", "iPod Photo Cache/", "Photo Booth Library/", "Session/CaptureOne/Cache/",
    "upload/thumbs/0f8fad5b-d9cb-469f-a165-70867728950e/", "data/appdata_oc1x/preview/",
    "profile/0f8fad5b-d9cb-469f-a165-70867728950e/", "a/encoded-video/0f8fad5b-d9cb-469f-a165-70867728950e/", "storage/cache/thumbnails/",
    "__MACOSX/", "web/_vti_cnf/", "@__thumb/",
    ".trashed-1700000000-IMG_1.jpg", "DCIM/.pending-1700000000-IMG_1.jpg",
]  # fmt: skip

TAKEN_IN = [
    "a.jpg", ".a.jpg", "recycle/", "Recycle Bin/", "Trash/", "thumbs/", "2019 thumbs/", "thumbnails/", "preview/", "Cache/",
    "snapshot/", "Originals/", "Duplicates/", "a.photoslibrary", "photoslibrary/", "a#recycle/", "found/", "RECYCLER.jpg",
    "eaDir/", "lrdata/", "trashed-1.jpg", "profile/", "upload/0f8fad5b-d9cb-469f-a165-70867728950e/", "encoded-video/2024/", "backups/",
]  # fmt: skip


@pytest.mark.parametrize("name", LEFT_OUT)
def test_trash_thumbnails_and_the_innards_of_libraries_are_left_out(name):
    assert compile_patterns([])(name)
    assert not compile_patterns([], defaults=False)(name)


@pytest.mark.parametrize("name", TAKEN_IN)
def test_what_only_looks_like_it_is_taken_in(name):
    assert compile_patterns([])(name) is None


def test_own_patterns_add_to_the_default_ones_and_undo_them():
    find = compile_patterns(["", "*.gif", "raw/", "!@eaDir/", "!.shown/"])

    assert (find("a/b.gif"), find("raw/"), find(".hidden/")) == ("*.gif", "raw/", ".*/")
    assert find("@eaDir/") is find(".shown/") is find(".shown/a.jpg") is find("a.GIF") is None


PATTERNS = [
    "*.gif", "*.GIF", "raw/", "/f.png", "sub/*.gif", "**/cache/x", "[x].png", r"\#a", "a?c", "!*.gif", "!raw/", "*", "# no pattern",
    "foo  ", r"foo\ ", "  foo", "a!b", "caf\u00e9*", "foo/**", "*/",
]  # fmt: skip

NAMES = [
    "a.gif", "A.GIF", "raw", "raw/", "sub/raw/", "f.png", "sub/f.png", "sub/a.gif", "x/cache/x", "[x].png", "x.png", "#a", "abc",
    "a!b", "foo", "foo ", "  foo", "foo  ", "foo/a", "foo/", "caf\u00e9.jpg", "", "# no pattern",
]  # fmt: skip


@pytest.mark.parametrize("patterns", [*([one] for one in PATTERNS), *map(list, itertools.permutations(PATTERNS, 2))])
def test_own_patterns_decide_as_pathspec_decides(patterns):
    find, oracle = compile_patterns(patterns, defaults=False), pathspec.PathSpec.from_lines("gitignore", patterns)

    assert [find(name) is not None for name in NAMES] == [oracle.match_file(name) for name in NAMES]
