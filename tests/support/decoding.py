"""Decode pictures that are given as the contents of files."""

import numpy as np

from imagetwins.decoding.model import DecodeSettings
from imagetwins.decoding.pool import decode_files

SIZE = 64
FULL = DecodeSettings(SIZE)
REDUCED = DecodeSettings(SIZE, decoding="reduced")


def decode_all(folder, contents, settings=FULL):
    """Write `contents` (name -> bytes) to `folder` and decode them; return the rows and the thumbnails, by name."""
    paths = [folder / name for name in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        path.write_bytes(content)
    thumbnails = np.zeros((len(paths), settings.size, settings.size, 3), np.uint8)
    rows = decode_files(paths, settings, thumbnails)
    return dict(zip(contents, rows, strict=True)), dict(zip(contents, thumbnails, strict=True))
