"""Decoders that are missing are named, with their formats."""

from imagetwins import ssim
from imagetwins.decoding.formats import FORMATS, Format
from imagetwins.doctor.pictures import examine_formats, examine_kernels, find_missing


def test_every_format_can_be_read_here(told):
    assert told(list(examine_formats()), "formats") == ("ok", ", ".join(known.name for known in FORMATS))


def test_a_decoder_that_is_not_there_is_said():
    said = find_missing(Format("XYZ", (".xyz",), decoder="pillow", plugin="no_such_plugin.XyzPlugin"))
    assert said == "No module named 'no_such_plugin'"


def test_the_kernels_of_this_processor_are_named(told):
    level, what = told(list(examine_kernels()), "kernels")
    assert level == "ok"
    assert what.startswith(f"{ssim.choose_kernels().label}: ")


def test_kernels_that_cannot_be_kept_are_a_warning(told, monkeypatch):
    monkeypatch.setattr(ssim, "KEEPS_KERNELS", False)
    assert told(list(examine_kernels()), "kernels")[0] == "warning"
