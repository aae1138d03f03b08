"""A table is whole or what it was before, all its parts count, and integers stay integers where one is missing."""

import resource

import numpy as np
import pandas as pd
import pytest

from imagetwins.errors import StoreError
from imagetwins.store.schemas import COMPARISONS, IMAGES
from imagetwins.store.tables import as_frame, count_rows, read_table, write_table
from tests.support.past_runs import comparison_table, image_table


def test_integers_stay_integers_where_one_is_missing(tmp_path):
    images = image_table(["/p/a.png", "/p/bad.png"], errors={"/p/bad.png": "no picture"})
    pairs = comparison_table({(0, 1): (0.95, 0.9), (0, 2): (1.0, None)})
    write_table(images, IMAGES, tmp_path / "images.parquet")
    write_table(pairs, COMPARISONS, tmp_path / "pairs.parquet")

    width = read_table(tmp_path / "images.parquet", IMAGES)["width_px"]
    difference = read_table(tmp_path / "pairs.parquet", COMPARISONS)["max_difference"]

    assert (width.dtype, width.tolist()) == (pd.Int32Dtype(), [640, pd.NA])
    assert (difference.dtype, difference.tolist()) == (pd.UInt8Dtype(), [pd.NA, 3])


def test_the_rows_of_all_parts_are_counted(tmp_path):
    for number, count in enumerate((3, 0, 5, 2)):
        paths = [f"/p/{image}.png" for image in range(count)]
        write_table(image_table(paths), IMAGES, tmp_path / f"part-{number}.parquet")
    assert count_rows(tmp_path) == 10
    (tmp_path / "part-9.parquet").write_bytes(b"PAR1 cut short")
    with pytest.raises(StoreError, match="is damaged"):
        count_rows(tmp_path)


def test_a_table_that_the_disk_has_no_room_for_leaves_the_old_one(tmp_path):
    table = tmp_path / "part-0.parquet"
    write_table(comparison_table({(0, 1): (0.95, 0.9)}), COMPARISONS, table)
    old, rng = table.read_bytes(), np.random.default_rng(0)
    rest = {"detail_ssim": rng.random(5_000), "max_difference": [None] * 5_000, "verified": [True] * 5_000}
    ids = np.arange(5_000, dtype=np.int32)
    large = as_frame({"image1": ids, "image2": ids + 1, "ssim": rng.random(5_000)} | rest, COMPARISONS)

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_table(large, COMPARISONS, table)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert [file.name for file in tmp_path.iterdir()] == ["part-0.parquet"]
    assert table.read_bytes() == old
