"""One table of formats: whatever has an entry is listed and decoded."""

import sys

import pytest

from imagetwins.decoding import formats, pool
from imagetwins.decoding.formats import (
    FORMATS,
    NOT_READ,
    RAW,
    Format,
    decoded_formats,
    find_format,
    name_not_read,
    picture_suffixes,
)
from imagetwins.decoding.pool import close_decoders
from imagetwins.scanning.candidates import list_candidates
from tests.support.decoding import decode_all
from tests.support.pictures import damaged, pictures, tiny_png


def listed(folder):
    return [file.location.name for file in list_candidates(folder, recursive=True, exclude=[], reference=[], skip=[])]


def pictures_of(known):
    """Return the tests' pictures of a format whose names say so."""
    return [picture for picture in pictures() if picture.format == known.name and picture.name.endswith(known.suffixes)]


@pytest.mark.parametrize("known", FORMATS, ids=lambda known: known.name)
def test_what_has_a_decoder_is_listed_and_decoded(tmp_path, known):
    contents = {picture.name: picture.content for picture in pictures_of(known)}

    rows, _ = decode_all(tmp_path, contents)

    assert contents
    assert listed(tmp_path) == sorted(contents)
    assert {(row.format, row.error) for row in rows.values()} == {(known.name, None)}


@pytest.mark.parametrize("known", FORMATS, ids=lambda known: known.name)
def test_only_formats_with_magic_are_listed_without_a_suffix(tmp_path, known):
    for number, picture in enumerate(pictures_of(known)):
        (tmp_path / str(number)).write_bytes(picture.content)

    # Of raw files, most begin like a TIFF.
    assert len(listed(tmp_path)) == (len(pictures_of(known)) if known.magic and known is not RAW else 0)


def test_every_suffix_and_every_magic_is_listed(tmp_path):
    names = {f"empty{suffix}": b"" for known in FORMATS for suffix in known.suffixes}
    names |= {f"LOUD{suffix.upper()}": b"" for known in FORMATS for suffix in known.suffixes}
    names |= {f"{known.name} {at} {text.hex()}": bytes(at) + text for known in FORMATS for at, text in known.magic}
    cut = {f"cut {name}": content[:-1] for name, content in names.items() if content}
    for name, content in (names | cut).items():
        (tmp_path / name).write_bytes(content)

    assert listed(tmp_path) == sorted(names)


def test_every_suffix_that_is_not_read_is_listed_and_none_is_read(tmp_path):
    for one in NOT_READ:
        (offset, magic), *_ = one.magic or [(0, b"")]
        for suffix in one.suffixes:
            (tmp_path / f"a{suffix}").write_bytes(bytes(offset) + magic + b"...")
            (tmp_path / f"other{suffix}").write_bytes(b"...")

    suffixes = {suffix: not one.magic for one in NOT_READ for suffix in one.suffixes}
    found = {f"a{suffix}" for suffix in suffixes} | {
        f"other{suffix}" for suffix, suffices in suffixes.items() if suffices
    }
    assert set(listed(tmp_path)) == found
    assert not picture_suffixes() & suffixes.keys()
    assert {name_not_read(suffix.upper()) for suffix in suffixes} == {one.name for one in NOT_READ}
    assert name_not_read(".png") is None


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("jpg", "JPEG"),
        (".JPEG", "JPEG"),
        ("heic", "HEIF"),
        ("raw", "RAW"),
        ("nef", "RAW"),
        ("tiff", "TIFF"),
        ("jp2", "JPEG2000"),
    ],
)
def test_a_person_calls_a_format_by_its_name_or_a_suffix(word, name):
    assert find_format(word).name == name
    assert find_format(f"{word}x") is None


def test_what_is_no_picture_is_an_error_that_names_those_that_are(tmp_path):
    rows, _ = decode_all(tmp_path, {"text.png": b"not a picture", "broken.heic": damaged()["picture.heic"]})

    assert rows["text.png"].error == "not a picture of a known format: " + ", ".join(decoded_formats())
    assert "begins like a HEIF" in rows["broken.heic"].error


@pytest.mark.parametrize(
    ("name", "library"), [("plain.heic", "pillow_heif"), ("plain.jxl", "pillow_jxl"), ("turned.1.dng", "rawpy")]
)
def test_without_its_library_a_format_is_an_error_that_names_it(tmp_path, monkeypatch, name, library):
    (content,) = (picture.content for picture in pictures() if picture.name == name)
    close_decoders()
    without = f"import sys; sys.modules[{library!r}] = None; from imagetwins.decoding import program; program.main()"
    monkeypatch.setattr(pool, "DECODER_COMMAND", [sys.executable, "-P", "-c", without])

    rows, _ = decode_all(tmp_path, {name: content, "a.png": tiny_png(0)})

    close_decoders()
    assert f"read by {library.replace('_', '-')}, which is not installed" in rows[name].error
    assert rows["a.png"].error is None


def test_a_new_entry_is_all_that_a_new_format_needs_to_be_listed(tmp_path, monkeypatch):
    for name, content in {"a.fits": b"", "b": bytes(50) + b"SIMPLE", "c.txt": b""}.items():
        (tmp_path / name).write_bytes(content)
    assert listed(tmp_path) == []

    monkeypatch.setattr(formats, "FORMATS", (*FORMATS, Format("FITS", (".fits",), ((50, b"SIMPLE"),))))

    assert listed(tmp_path) == ["a.fits", "b"]
    assert decoded_formats()[-1] == "FITS"
