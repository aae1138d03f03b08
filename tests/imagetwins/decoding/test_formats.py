"""One table of formats: whatever has an entry is listed, and decoded if the entry says so."""

import pytest

from imagetwins.decoding import formats
from imagetwins.decoding.formats import FORMATS, Format, decoded_formats
from imagetwins.scanning.candidates import list_candidates
from tests.support.decoding import decode_all
from tests.support.pictures import damaged, pictures


def listed(folder):
    return [file.location.name for file in list_candidates(folder, recursive=True, exclude=[], reference=[], skip=[])]


def pictures_of(known):
    """Return the tests' pictures of a format whose names say so."""
    return [picture for picture in pictures() if picture.format == known.name and picture.name.endswith(known.suffixes)]


@pytest.mark.parametrize("known", [known for known in FORMATS if known.decoder], ids=lambda known: known.name)
def test_what_has_a_decoder_is_listed_and_decoded(tmp_path, known):
    contents = {picture.name: picture.content for picture in pictures_of(known)}

    rows, _ = decode_all(tmp_path, contents)

    assert contents
    assert listed(tmp_path) == sorted(contents)
    assert {(row.format, row.error) for row in rows.values()} == {(known.name, None)}


@pytest.mark.parametrize("known", [known for known in FORMATS if known.decoder], ids=lambda known: known.name)
def test_only_formats_with_magic_are_listed_without_a_suffix(tmp_path, known):
    for number, picture in enumerate(pictures_of(known)):
        (tmp_path / str(number)).write_bytes(picture.content)

    assert len(listed(tmp_path)) == (len(pictures_of(known)) if known.magic else 0)


def test_every_suffix_and_every_magic_is_listed(tmp_path):
    names = {f"empty{suffix}": b"" for known in FORMATS for suffix in known.suffixes}
    names |= {f"LOUD{suffix.upper()}": b"" for known in FORMATS for suffix in known.suffixes}
    names |= {f"{known.name} {at} {text.hex()}": bytes(at) + text for known in FORMATS for at, text in known.magic}
    cut = {f"cut {name}": content[:-1] for name, content in names.items() if content}
    for name, content in (names | cut).items():
        (tmp_path / name).write_bytes(content)

    assert listed(tmp_path) == sorted(names)


def test_what_has_no_decoder_is_an_error_that_names_those_that_have(tmp_path):
    rows, _ = decode_all(tmp_path, {"picture.heic": damaged()["picture.heic"]})

    assert rows["picture.heic"].error == "not a picture of a known format: " + ", ".join(decoded_formats())


def test_a_new_entry_is_all_that_a_new_format_needs_to_be_listed(tmp_path, monkeypatch):
    for name, content in {"a.fits": b"", "b": bytes(50) + b"SIMPLE", "c.txt": b""}.items():
        (tmp_path / name).write_bytes(content)
    assert listed(tmp_path) == []

    monkeypatch.setattr(formats, "FORMATS", (*FORMATS, Format("FITS", (".fits",), ((50, b"SIMPLE"),))))

    assert listed(tmp_path) == ["a.fits", "b"]
    assert decoded_formats()[-1] == "FITS"
