"""The floor of a folder: all its files are read, and a file that is no picture is no measurement."""

import sys

import cv2
import numpy as np
import pytest

from benchmarks import floor
from benchmarks.floor import measure_floor
from benchmarks.waiting import run


def write_pictures(folder, count):
    files = [folder / f"{number}.png" for number in range(count)]
    for file in files:
        assert cv2.imwrite(str(file), np.zeros((300, 400, 3), np.uint8))
    return files


def test_the_floor_is_the_time_of_all_files(tmp_path):
    found = measure_floor(write_pictures(tmp_path, 20))
    assert 0 < found.wall < 60
    assert 0 < found.core < 60


def test_a_file_that_is_not_read_is_no_part_of_a_floor(tmp_path):
    (tmp_path / "damaged.png").write_bytes(b"no picture")
    with pytest.raises(cv2.error):
        measure_floor([*write_pictures(tmp_path, 2), tmp_path / "damaged.png"])


def test_it_is_a_program_that_others_are_compared_with(tmp_path):
    write_pictures(tmp_path, 3)
    took, said = run([sys.executable, floor.__file__, tmp_path], {})
    assert "of all cores" in said
    assert took.cpu > 0
