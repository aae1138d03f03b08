"""Where symbolic links lead, as the kernel has it, without following one."""

import itertools
import os
from pathlib import Path

import pytest

from imagetwins.scanning.candidates import list_candidates
from imagetwins.scanning.links import find_targets
from tests.support.pictures import tiny_png

ROOT = "/p"
FILES = {"/p/a.png", "/p/sub/b.png", "/p/sub/deep/c.png"}


@pytest.mark.parametrize(
    ("links", "leads"),
    [
        ({"/p/l": "a.png"}, "/p/a.png"),
        ({"/p/l": "./sub/../sub//b.png"}, "/p/sub/b.png"),
        ({"/p/sub/l": "../a.png"}, "/p/a.png"),
        ({"/p/sub/l": "/p/a.png"}, "/p/a.png"),
        ({"/p/l": "../p/a.png"}, "/p/a.png"),
        ({"/p/l": "m", "/p/m": "a.png"}, "/p/a.png"),
        ({"/p/l": "d/b.png", "/p/d": "sub"}, "/p/sub/b.png"),
        ({"/p/l": "d/../b.png", "/p/d": "sub/deep"}, "/p/sub/b.png"),
        ({"/p/l": "d/c.png", "/p/d": "e/deep", "/p/e": "/p/sub/"}, "/p/sub/deep/c.png"),
        ({"/p/l": "sub"}, None),
        ({"/p/l": "d", "/p/d": "sub"}, None),
        ({"/p/l": "nothing"}, None),
        ({"/p/l": "/elsewhere/x.png"}, None),
        ({"/p/l": "l"}, None),
        ({"/p/l": "m/a.png", "/p/m": "l"}, None),
        ({"/p/l": "m", "/p/m": "l"}, None),
        ({"/p/l": "\udcff/../a.png"}, "/p/a.png"),
    ],
)
def test_what_a_link_leads_to(links, leads):
    assert find_targets(links, FILES, [ROOT]).get(next(iter(links))) == leads


def test_nothing_outside_is_asked_for_unless_a_file_would_be_there(monkeypatch):
    asked = []
    monkeypatch.setattr(Path, "samefile", lambda path, root: bool(asked.append((str(path), root))))
    links = {"/p/l": "/away/x.png", "/p/m": "/away/disk/sub/b.png", "/p/n": "/away/disk/a.png"}
    assert find_targets(links, FILES, [ROOT]) == {}
    assert asked == [("/away/disk", ROOT)]


def test_every_link_of_a_tree_leads_where_the_system_finds_it(tmp_path):
    root = tmp_path / "disk"
    for name in ("a.png", "sub/b.png", "sub/deep/c.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(tiny_png(0))
    (tmp_path / "home").symlink_to("disk")
    (root / "d").symlink_to("sub")
    (root / "sub/up").symlink_to("..")
    places = ["", "sub/", "sub/deep/"]
    says = [
        f"{start}{name}"
        for start in ("", "../", "d/", "../up/", f"{root}/d/../", f"{tmp_path}/home/", f"{tmp_path}/home/sub/up/d/")
        for name in ("a.png", "b.png", "sub/b.png", "up/a.png", "link 1", "link 20", "d", "deep/up/x")
    ]
    for number, (place, text) in enumerate(itertools.product(places, says)):
        (root / f"{place}link {number}").symlink_to(text)
    links = {}
    found = list_candidates(root, recursive=True, exclude=(), reference=(), skip=(), links=links)
    files = {file.path for file in found}

    expected = {link: path for link in links if (path := os.path.realpath(link)) in files}

    assert find_targets(links, files, [str(root)]) == expected
    assert len(links) == 2 + len(places) * len(says)
    assert len(expected) > 20


def test_links_that_are_left_out_are_not_read(tmp_path):
    for name in ("a.png", "sub/b.png", ".hidden/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(tiny_png(0))
        (tmp_path / name).with_suffix(".link").symlink_to(tmp_path / "a.png")
    (tmp_path / "x.old").symlink_to("a.png")
    for options, expected in (({}, {"a.link", "sub/b.link"}), ({"recursive": False}, {"a.link"})):
        links = {}
        list_candidates(
            tmp_path, **{"recursive": True, "exclude": ["*.old"], "reference": (), "skip": (), "links": links} | options
        )
        assert links == {str(tmp_path / name): str(tmp_path / "a.png") for name in expected}
