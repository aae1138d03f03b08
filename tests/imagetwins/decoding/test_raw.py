"""Of a camera's raw file the preview is shown, as large as the picture is; it is no copy of the JPEG beside it."""

import numpy as np
from skimage.transform import rescale

from tests.support.decoding import decode_all
from tests.support.pictures import encode, oriented, photo, psd, raw, turned

SMALL = photo(48, 72)
WIDE = (rescale(SMALL, 2, channel_axis=2) * 255).astype(np.uint8)


def mean_difference(one, other):
    return np.abs(one.astype(int) - other).mean()


def test_the_size_is_that_of_the_picture_and_not_of_its_preview(tmp_path):
    files = {f"{turn}.dng": raw(WIDE, turn, preview=encode(SMALL, "JPEG", quality=95)) for turn in (1, 3, 6, 8)}
    shown = {f"{turn}.png": encode(turned(WIDE, turn), "PNG") for turn in (1, 3, 6, 8)}

    rows, thumbnails = decode_all(tmp_path, files | shown)

    for turn in (1, 3, 6, 8):
        row, expected = rows[f"{turn}.dng"], rows[f"{turn}.png"]
        assert (row.width_px, row.height_px, row.error) == (expected.width_px, expected.height_px, None)
        assert mean_difference(thumbnails[f"{turn}.dng"], thumbnails[f"{turn}.png"]) < 5
        assert (row.format, row.frames) == ("RAW", 1)
        assert (row.taken, row.camera) == ("2019-05-01T12:00:00.25", "Maker Model")


def test_a_preview_that_is_turned_already_or_says_how_to_turn_it_is_turned_once(tmp_path):
    upright = turned(WIDE, 6)
    previews = {
        "as stored": encode(WIDE, "JPEG"),
        "upright": encode(upright, "JPEG"),
        "says so": oriented(WIDE, "JPEG", 6),
    }
    files = {f"{name}.dng": raw(WIDE, 6, preview=preview) for name, preview in previews.items()}

    rows, thumbnails = decode_all(tmp_path, files | {"expected.png": encode(upright, "PNG")})

    expected = thumbnails.pop("expected.png")
    assert all(mean_difference(thumbnail, expected) < 5 for thumbnail in thumbnails.values())
    assert {(row.width_px, row.height_px) for row in rows.values()} == {(96, 144)}


def test_without_a_preview_it_is_developed(tmp_path):
    rows, thumbnails = decode_all(
        tmp_path,
        {f"{turn}.dng": raw(WIDE, turn, has_preview=False) for turn in (1, 6)}
        | {f"{turn}.png": encode(turned(WIDE, turn), "PNG") for turn in (1, 6)},
    )

    for turn in (1, 6):
        assert rows[f"{turn}.dng"].error is None
        assert (rows[f"{turn}.dng"].width_px, rows[f"{turn}.dng"].height_px) == ((144, 96) if turn == 1 else (96, 144))
        # Colours depend on how it is developed, shapes do not.
        one, other = (thumbnails[f"{turn}.{end}"].mean(axis=2).ravel() for end in ("dng", "png"))
        assert np.corrcoef(one, other)[0, 1] > 0.95


def test_under_the_name_of_a_tiff_it_is_none(tmp_path):
    rows, _ = decode_all(
        tmp_path, {"a.tif": raw(WIDE), "b.tif": raw(WIDE, is_dng=False), "c.tif": encode(WIDE, "TIFF")}
    )

    assert (rows["a.tif"].format, rows["c.tif"].format) == ("RAW", "TIFF")
    assert rows["b.tif"].format != "TIFF"


def test_what_is_no_raw_file_is_an_error_whatever_its_name(tmp_path):
    rows, _ = decode_all(
        tmp_path,
        {
            "text.nef": b"not a picture",
            "tiff.cr2": encode(WIDE, "TIFF"),
            "cut.dng": raw(WIDE)[:700],
            "damaged preview.dng": raw(WIDE, preview=encode(WIDE, "JPEG")[:-500]),
        },
    )

    assert all(row.error for row in rows.values())


def test_of_a_file_that_breaks_off_no_other_file_s_preview_is_shown(tmp_path):
    whole = {f"{number}.dng": raw(WIDE) for number in range(20)}
    cut = {f"{number} cut.dng": raw(WIDE)[:700] for number in range(20)}
    mixed = dict(pair for both in zip(whole.items(), cut.items(), strict=True) for pair in both)

    rows, _ = decode_all(tmp_path, mixed)

    assert {row.error is None for name, row in rows.items() if name in whole} == {True}
    assert {row.error is None for name, row in rows.items() if name in cut} == {False}


def test_the_layers_of_a_psd_are_extras(tmp_path):
    rows, _ = decode_all(tmp_path, {"flat.psd": psd(WIDE), "layers.psd": psd(WIDE, layers=layers(2))})

    assert [(row.frames, row.extras, row.error) for row in rows.values()] == [(1, 0, None), (1, 2, None)]


def layers(count):
    """Return the section of a PSD that has so many layers of one pixel (Adobe's specification, "Layer and mask information")."""
    channels = b"".join(number.to_bytes(2) + (3).to_bytes(4) for number in range(3))
    name = b"\1a\0\0"
    extra = bytes(8) + name
    record = b"".join(side.to_bytes(4) for side in (0, 0, 1, 1)) + (3).to_bytes(2) + channels
    record += b"8BIMnorm" + b"\xff\0\0\0" + len(extra).to_bytes(4) + extra
    pixels = count * 3 * b"\0\0\x80"
    info = count.to_bytes(2) + count * record + pixels
    info += bytes(len(info) % 2)
    return len(info).to_bytes(4) + info + bytes(4)
