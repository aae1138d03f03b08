"""A photograph and pictures made of it, as small files: copies, and look-alikes that the guards hold back."""

import cv2
import numpy as np
import skimage.data

SIZE = 64


def astronaut(size=SIZE):
    """Return a photograph, (size, size, 3) uint8 BGR."""
    return cv2.resize(skimage.data.astronaut()[..., ::-1], (size, size), interpolation=cv2.INTER_AREA)


def dated(picture):
    """Return the picture with a small white date in its corner."""
    edited = picture.copy()
    edited[-9:-3, -22:-3] = (np.arange(19) % 3 > 0)[:, None] * np.uint8(255)
    return edited


def blurred(picture):
    return cv2.GaussianBlur(picture, (3, 3), 0.6)


def write(path, picture, *options):
    """Write a picture to a file of the format that its name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ok, content = cv2.imencode(path.suffix, np.ascontiguousarray(picture), options)
    assert ok
    path.write_bytes(content.tobytes())
    return path
