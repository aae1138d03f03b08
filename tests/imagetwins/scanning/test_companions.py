"""Which files belong to a picture by their names, and what they are called when it is renamed."""

import pytest

from imagetwins.scanning.companions import MAX_FILM_BYTES, find_companions, rename_companion
from imagetwins.storage import Found

LONG = "a picture whose name is so long that Google cuts it off.jpg"


def companions(names, *, pictures=(".jpg", ".JPG", ".heic", ".png"), sizes=None):
    """Return the names of what belongs to each picture among `names`."""
    files = [Found(f"/f/{name}", "file", (sizes or {}).get(name, 1)) for name in names]
    listed = [file.path for file in files if file.location.suffix in pictures]
    found = find_companions(listed, files)
    return {
        picture.removeprefix("/f/"): sorted(file.path.removeprefix("/f/") for file in some)
        for picture, some in found.items()
        if some
    }


@pytest.mark.parametrize(
    ("picture", "name"),
    [
        ("b.jpg", "b.xmp"),
        ("b.jpg", "b.jpg.xmp"),
        ("B.JPG", "b.Xmp"),
        ("b.jpg", "b.AAE"),
        ("b.heic", "b.MOV"),
        ("b.jpg", "b.mp4"),
        ("PXL_1.MP.jpg", "PXL_1.MP"),
        ("b.jpg", "b.NEF"),
        ("b.jpg", "b.dng"),
        ("b.jpg", "b.jpg.pp3"),
        ("b.jpg", "._b.jpg"),
        ("b.jpg", "b.jpg.json"),
        ("b.jpg", "b.jpg.supplemental-metadata.json"),
        ("b.jpg", "b.jpg.suppl.json"),
        ("b.jpg", "b.jpg..json"),
        ("b(1).jpg", "b.jpg(1).json"),
        ("b(1).jpg", "b.jpg.supplemental-metadata(1).json"),
        ("b(1).jpg", "b(1).jpg.json"),
        (LONG, f"{LONG[:46]}.json"),
        ("a/b [1]'\n.jpg", "a/b [1]'\n.xmp"),
    ],
)
def test_what_belongs_to_a_picture(picture, name):
    assert companions([picture, name, "z.jpg", "notes.txt", "other/b.xmp"]) == {picture: [name]}


@pytest.mark.parametrize(
    "name",
    [
        "b.json", "b.txt", "b.jpg.txt", "b.jpg.supplementary.json", "c.xmp", "bb.xmp", "b", "b.thm", "a/b.xmp", "b.jpg(2).json",
        "._c.jpg", ".b.jpg", "b.jpg.mov", "b (2).xmp",
    ],
)  # fmt: skip
def test_what_only_looks_like_it(name):
    assert companions(["b.jpg", name]) == {}


def test_a_long_film_is_no_part_of_its_poster():
    names = ["b.jpg", "b.mov", "c.jpg", "c.mov"]
    assert companions(names, sizes={"b.mov": MAX_FILM_BYTES, "c.mov": MAX_FILM_BYTES + 1}) == {"b.jpg": ["b.mov"]}


def test_what_shares_the_stem_of_several_belongs_to_all_of_them():
    assert companions(["b.jpg", "b.png", "b.xmp", "b.png.xmp"]) == {
        "b.jpg": ["b.xmp"],
        "b.png": ["b.png.xmp", "b.xmp"],
    }


@pytest.mark.parametrize("raws", [(), (".nef",)], ids=["raw files are no pictures", "raw files are pictures"])
def test_a_raw_file_belongs_to_the_picture_beside_it_and_not_the_other_way_round(raws):
    found = companions(["b.jpg", "b.nef", "b.nef.xmp", "b.xmp", "c.nef", "c.xmp"], pictures=(".jpg", *raws))

    if raws:
        expected = {"b.jpg": ["b.nef", "b.xmp"], "b.nef": ["b.nef.xmp", "b.xmp"], "c.nef": ["c.xmp"]}
    else:
        expected = {"b.jpg": ["b.nef", "b.nef.xmp", "b.xmp"]}
    assert found == expected


@pytest.mark.parametrize(
    ("name", "picture", "renamed", "expected"),
    [
        ("b.xmp", "b.jpg", "b (2).jpg", "b (2).xmp"),
        ("b.jpg.xmp", "b.jpg", "b (2).jpg", "b (2).jpg.xmp"),
        ("B.MOV", "b.jpg", "b (2).jpg", "b (2).MOV"),
        ("b.nef.xmp", "b.jpg", "b (2).jpg", "b (2).nef.xmp"),
        ("._b.jpg", "b.jpg", "b (2).jpg", "._b (2).jpg"),
        ("PXL_1.MP", "PXL_1.MP.jpg", "PXL_1.MP (2).jpg", "PXL_1.MP (2)"),
        ("b.jpg(1).json", "b(1).jpg", "b(1) (2).jpg", "b.jpg(1).json"),
        ("B.xmp", "b.jpg", "b.jpg", "B.xmp"),
    ],
)
def test_it_has_its_pictures_new_name(name, picture, renamed, expected):
    assert rename_companion(name, picture, renamed) == expected
