"""The formats that a run is asked for, as a person writes them."""

import pytest

from imagetwins.config.formats import split_formats
from imagetwins.config.parameters import Parameters, check_parameters
from imagetwins.errors import ParameterError


@pytest.mark.parametrize(
    ("formats", "names"),
    [
        ("all", None),
        (" ALL ", None),
        ("jpg", {"JPEG"}),
        ("jpg, .jpeg,JPEG", {"JPEG"}),
        ("heic,raw,Tiff", {"HEIF", "RAW", "TIFF"}),
    ],
)
def test_words_are_names_and_suffixes(formats, names):
    assert split_formats(Parameters(folder="/p", formats=formats).formats) == names


@pytest.mark.parametrize("word", ["tga", "jpg heic", "", "*"])
def test_an_unknown_word_is_refused_with_those_that_are_known(tmp_path, word):
    with pytest.raises(ParameterError, match=rf"formats=.*unknown format '{word.replace('*', '[*]')}'.*JPEG, PNG.*jpg"):
        check_parameters({"folder": str(tmp_path), "formats": f"png,{word}"})
