"""What the pictures of the labelled corpus are drawn with: fonts that matplotlib ships, and files in memory."""

import functools
import io
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.Image import Image as Picture
from PIL.TiffImagePlugin import IFDRational

Colour = str | int | tuple[int, ...]
Box = tuple[float, float, float, float]

INK, GREY, PALE = "#222222", "#777777", "#dddddd"
SANS, BOLD, MONO, SERIF = "DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSerif"

NAMES = (
    *("Maria Keller", "Jonas Brandt", "Aisha Rahman", "Pedro Alvarez", "Li Wei", "Anna Nowak", "Tom Fischer"),
    *("Yuki Tanaka", "Sara Lindqvist", "Omar Haddad", "Elena Petrova", "Noah Williams"),
)
STREETS = ("Hill Road", "Mill Lane", "Station Street", "Park Avenue", "Church Walk", "Harbour Way", "Elm Close")
WORDS = (
    *("the", "window", "slides", "over", "both", "pictures", "and", "compares", "their", "means", "then"),
    *("what", "remains", "is", "structure", "light", "is", "taken", "away", "noise", "halves", "a"),
    *("page", "of", "text", "differs", "in", "every", "word", "while", "another", "looks", "alike"),
    *("by", "night", "copies", "move", "back", "by", "day", "with", "order", "letters", "follow"),
    *("under", "meeting", "agreed", "payment", "within", "thirty", "days", "of", "delivery", "according", "section"),
)


@functools.cache
def font(size: float, face: str = SANS) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / f"{face}.ttf"), size)


class Sheet:
    """A picture that is drawn on."""

    def __init__(self, width: int, height: int, colour: Colour = "white", mode: str = "RGB") -> None:
        self.picture = Image.new(mode, (width, height), colour)
        self.draw = ImageDraw.Draw(self.picture)

    def write(
        self,
        x: float,
        y: float,
        text: str,
        size: float = 16,
        colour: Colour = INK,
        face: str = SANS,
        anchor: str = "la",
    ) -> None:
        """Write at (x, y), the text's left ascender unless `anchor` says otherwise."""
        self.draw.text((x, y), text, fill=colour, font=font(size, face), anchor=anchor)

    def box(
        self, box: Box, fill: Colour | None = None, outline: Colour | None = None, width: int = 1, radius: float = 0
    ) -> None:
        self.draw.rounded_rectangle(box, radius, fill, outline, width)

    def line(self, points: list[tuple[float, float]], colour: Colour = INK, width: int = 1) -> None:
        self.draw.line(points, fill=colour, width=width)

    def disc(
        self,
        x: float,
        y: float,
        radius: float,
        fill: Colour | None = INK,
        outline: Colour | None = None,
        width: int = 1,
    ) -> None:
        self.draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill, outline, width)


def sentence(rng: np.random.Generator, words: int) -> str:
    return " ".join(str(word) for word in rng.choice(WORDS, words))


def encode(picture: Picture, kind: str, **options: Any) -> bytes:
    """Return the file that Pillow writes of `picture`."""
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def encode_film(frames: list[Picture], kind: str, **options: Any) -> bytes:
    """Return the file of several frames or pages that Pillow writes."""
    return encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)


def to_array(picture: Picture) -> NDArray[np.uint8]:
    return np.asarray(picture.convert("RGB"), np.uint8)


def to_picture(pixels: NDArray[Any]) -> Picture:
    """Return 8-bit RGB or grey pixels, rounded and clipped where they are others, as a picture."""
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def exif(taken: str, fraction: str = "000", exposure: tuple[int, int] = (1, 125), orientation: int = 1) -> bytes:
    """Return the EXIF of a camera: `taken` as 2026:05:01 12:00:00, and `fraction` of a second."""
    tags = Image.Exif()
    tags[0x010F], tags[0x0110], tags[0x0112] = "Camera maker", "Model 1", orientation
    details = tags.get_ifd(0x8769)
    details[0x9003], details[0x9291] = taken, fraction
    details[0x829A] = IFDRational(*exposure)
    return tags.tobytes()
