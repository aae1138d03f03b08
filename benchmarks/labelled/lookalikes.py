"""Look-alikes: families of pictures that a person calls different, and that measures of similarity take for copies.

Each kind is a function that yields families; each picture of a family is another one than the others, by what a person reads
or looks for in it.
"""

import io
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from PIL.Image import Image as Picture

from benchmarks.labelled.drawing import (
    BOLD,
    GREY,
    INK,
    MONO,
    NAMES,
    PALE,
    SERIF,
    STREETS,
    Sheet,
    encode,
    encode_film,
    exif,
    font,
    sentence,
    to_array,
    to_picture,
)
from benchmarks.labelled.sources import Sources, shipped, shipped_faces

Made = tuple[str, bytes]
"""The suffix and the bytes of a file."""

Family = list[Made]
Kind = Callable[[Sources, np.random.Generator], Iterator[Family]]

FAMILIES, MEMBERS = 4, 3

# Each is given photographs of its own: a picture that two kinds shared would be a copy with two labels.
_BURSTS, _BRACKETS, _SURVEILLANCE = (0, 1, 2, 3, 8, 24, 9, 26), (4, 5, 6, 7), (12, 27, 10, 11)
_CAPTIONS, _DATE_STAMPS = (16, 17, 18, 19), (20, 21, 22, 23)


def _png(picture: Picture) -> Made:
    return ".png", encode(picture, "PNG")


def _jpeg(picture: Picture, quality: int = 92, exif: bytes = b"") -> Made:
    return ".jpg", encode(picture, "JPEG", quality=quality, exif=exif)


def _colour(rng: np.random.Generator, darkest: int = 30, lightest: int = 200) -> tuple[int, int, int]:
    red, green, blue = (int(part) for part in rng.integers(darkest, lightest, 3))
    return red, green, blue


def _amount(rng: np.random.Generator, least: int = 10, most: int = 2000) -> str:
    return f"{rng.uniform(least, most):,.2f}"


def _date(rng: np.random.Generator) -> str:
    return f"{rng.integers(1, 29):02}.{rng.integers(1, 13):02}.2026"


# Papers


def invoices(_sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """One form; other customers, dates and sums."""
    for number in range(FAMILIES):
        accent, company = _colour(rng), f"{STREETS[number].split()[0]} & Partners Ltd"
        items = [sentence(rng, 3) for _ in range(3 + number)]
        yield [_png(_invoice(accent, company, items, rng)) for _ in range(MEMBERS)]


def _invoice(accent: tuple[int, int, int], company: str, items: list[str], rng: np.random.Generator) -> Picture:
    sheet = Sheet(827, 1169)
    sheet.box((0, 0, 827, 90), accent)
    sheet.write(60, 28, company, 30, "white", BOLD)
    name, street = str(rng.choice(NAMES)), f"{rng.integers(1, 200)} {rng.choice(STREETS)}"
    for line, text in enumerate((name, street, f"{rng.integers(10000, 99999)} Newtown")):
        sheet.write(60, 150 + 24 * line, text, 16)
    sheet.write(560, 150, f"Invoice {rng.integers(1000, 9999)}", 18, face=BOLD)
    sheet.write(560, 178, f"Date {_date(rng)}", 16)
    sheet.line([(60, 300), (767, 300)], GREY, 2)
    for line, item in enumerate(items):
        sheet.write(60, 320 + 34 * line, item, 16)
        sheet.write(767, 320 + 34 * line, _amount(rng), 16, face=MONO, anchor="ra")
    bottom = 340 + 34 * len(items)
    sheet.line([(60, bottom), (767, bottom)], GREY, 2)
    sheet.write(60, bottom + 16, "Total", 20, face=BOLD)
    sheet.write(767, bottom + 16, _amount(rng, 1000, 9000), 20, face=BOLD, anchor="ra")
    for line, text in enumerate(("Payable within thirty days.", "Thank you for your order.", company)):
        sheet.write(60, 1020 + 22 * line, text, 14, GREY)
    return sheet.picture


def contracts(_sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """One contract: unsigned, signed by one side, signed by both."""
    for _ in range(FAMILIES):
        lines = [sentence(rng, 11) for _ in range(26)]
        strokes = [_scrawl(rng) for _ in range(2)]
        yield [_png(_contract(lines, strokes[:signed])) for signed in range(3)]


def _scrawl(rng: np.random.Generator) -> NDArray[np.float64]:
    steps = rng.normal(0, 1, (60, 2)).cumsum(axis=0)
    return (steps - steps.min(axis=0)) / np.ptp(steps, axis=0) * np.array([170, 44])


def _contract(lines: list[str], strokes: list[NDArray[np.float64]]) -> Picture:
    sheet = Sheet(827, 1169)
    sheet.write(413, 80, "AGREEMENT", 28, face=SERIF, anchor="mm")
    for number, line in enumerate(lines):
        sheet.write(80, 140 + 32 * number, line, 15, face=SERIF)
    for side, left in enumerate((80, 480)):
        sheet.line([(left, 1080), (left + 260, 1080)], INK)
        sheet.write(left, 1088, ("Buyer", "Seller")[side], 13, GREY)
    for left, stroke in zip((110, 510), strokes, strict=False):
        sheet.line([(left + float(x), 1035 + float(y)) for x, y in stroke], "#1a2a8a", 3)
    return sheet.picture


def numbered_pages(_sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """Sheets that are alike but for their number: separators, lined paper, exam sheets, a page left blank."""
    for number in range(FAMILIES):
        first = int(rng.integers(10, 90))
        yield [_png(_numbered_page(number, first + page)) for page in range(MEMBERS)]


def _numbered_page(style: int, page: int) -> Picture:
    sheet = Sheet(827, 1169)
    if style == 0:
        sheet.write(413, 560, "This page intentionally left blank", 20, face=SERIF, anchor="mm")
    elif style == 1:
        for line in range(30):
            sheet.line([(70, 120 + 32 * line), (760, 120 + 32 * line)], "#9db7d5")
    elif style == 2:
        sheet.box((60, 60, 767, 1040), outline=INK, width=2)
        sheet.write(80, 80, "Candidate number:                 Paper 2", 18)
    else:
        sheet.write(413, 480, "Section", 46, face=SERIF, anchor="mm")
        sheet.write(413, 570, str(page), 60, face=SERIF, anchor="mm")
        return sheet.picture
    sheet.write(413, 1110, str(page), 17, face=SERIF, anchor="mm")
    return sheet.picture


def text_pages(_sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """Pages of a book: every word is another."""
    for number in range(FAMILIES):
        size, face = 13 + 2 * number, (SERIF, MONO)[number % 2]
        family = []
        for _ in range(MEMBERS):
            sheet = Sheet(600, 900)
            for line in range(int(780 / (1.5 * size))):
                words = sentence(rng, 30)[: int(480 / (0.6 * size))]
                sheet.write(60, 60 + 1.5 * size * line, words, size, face=face)
            family.append(_png(sheet.picture))
        yield family


def letters(_sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """One letter to other people: the name in the first line, and the address."""
    for _ in range(FAMILIES):
        body = [sentence(rng, 11) for _ in range(18)]
        family = []
        for name in rng.choice(NAMES, MEMBERS, replace=False):
            sheet = Sheet(827, 1169)
            sheet.write(80, 150, str(name), 16, face=SERIF)
            sheet.write(80, 175, f"{rng.integers(1, 200)} {rng.choice(STREETS)}", 16, face=SERIF)
            sheet.write(80, 300, f"Dear {name},", 17, face=SERIF)
            for line, text in enumerate(body):
                sheet.write(80, 350 + 34 * line, text, 16, face=SERIF)
            family.append(_jpeg(sheet.picture, 85))
        yield family


def tables(_sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """One sheet of a spreadsheet with other figures."""
    for number in range(FAMILIES):
        rows, columns = 14 + 4 * number, 6
        heads = [sentence(rng, 1).title() for _ in range(columns)]
        family = []
        for _ in range(MEMBERS):
            sheet = Sheet(900, 60 + 30 * rows)
            for column, head in enumerate(heads):
                sheet.box((20 + 143 * column, 15, 163 + 143 * column, 45), "#e4ecf4", GREY)
                sheet.write(30 + 143 * column, 21, head, 15, face=BOLD)
                for row in range(rows - 1):
                    sheet.box((20 + 143 * column, 45 + 30 * row, 163 + 143 * column, 75 + 30 * row), outline=PALE)
                    sheet.write(155 + 143 * column, 51 + 30 * row, _amount(rng), 14, anchor="ra")
            family.append(_png(sheet.picture))
        yield family


def calendars(_sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """Months that begin on the same day of the week: name and year differ, and appointments."""
    names = ("March", "November", "June", "September", "April", "July", "January", "October", "May", "August")
    for number in range(FAMILIES):
        accent, start = _colour(rng), number % 7
        family = []
        for member in range(MEMBERS):
            sheet = Sheet(900, 700)
            sheet.box((0, 0, 900, 90), accent)
            sheet.write(40, 22, f"{names[(2 * number + member) % 10]} {2020 + 3 * number + member}", 40, "white", BOLD)
            for day in range(30):
                row, column = divmod(day + start, 7)
                left, top = 20 + 123 * column, 110 + 96 * row
                sheet.box((left, top, left + 115, top + 88), outline=PALE, width=2)
                sheet.write(left + 8, top + 6, str(day + 1), 18)
            booked = int(rng.integers(0, 30)) + start
            sheet.write(
                28 + 123 * (booked % 7), 150 + 96 * (booked // 7), str(rng.choice(NAMES)).split()[0], 15, "#b02020"
            )
            family.append(_png(sheet.picture))
        yield family


def music(_sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """Sheets of music: other notes on the same staves."""
    for number in range(FAMILIES):
        staves = 6 + number
        family = []
        for _ in range(MEMBERS):
            sheet = Sheet(700, 80 + 100 * staves)
            for staff in range(staves):
                top = 60 + 100 * staff
                for line in range(5):
                    sheet.line([(40, top + 10 * line), (660, top + 10 * line)])
                for note in range(14):
                    x, y = 80 + 41 * note, top + 5 * int(rng.integers(0, 9))
                    sheet.draw.ellipse((x - 6, y - 5, x + 6, y + 5), INK)
                    sheet.line([(x + 5, y), (x + 5, y - 32)], width=2)
            family.append(_png(sheet.picture))
        yield family


def tickets(_sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """Tickets to one event: other seats, and their bar codes."""
    for number in range(FAMILIES):
        accent, event = _colour(rng), sentence(rng, 3).title()
        family = []
        for _ in range(MEMBERS):
            sheet = Sheet(800, 320, "#faf6ec")
            sheet.box((0, 0, 560, 320), accent)
            sheet.write(30, 40, event, 34, "white", BOLD)
            sheet.write(30, 110, f"{12 + number} May 2026, 20:00, Great Hall", 20, "white")
            sheet.write(30, 230, f"Row {rng.integers(1, 30)}  Seat {rng.integers(1, 60)}", 28, "white")
            for bar in range(60):
                if rng.random() < 0.5:
                    sheet.box((600 + 2.7 * bar, 60, 602 + 2.7 * bar, 250), INK)
            sheet.write(680, 262, str(rng.integers(10**9, 10**10)), 16, face=MONO, anchor="ma")
            family.append(_png(sheet.picture))
        yield family


def badges(_sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """Badges of one company: other faces and names."""
    faces = shipped_faces()
    for number in range(FAMILIES):
        accent = _colour(rng)
        family = []
        for member in range(MEMBERS):
            sheet = Sheet(640, 400)
            sheet.box((0, 0, 640, 80), accent)
            sheet.write(24, 22, f"{STREETS[number]} Hospital", 28, "white", BOLD)
            face = faces[int(rng.integers(0, 100))].resize((150, 150), Image.Resampling.BICUBIC)
            sheet.picture.paste(face.convert("RGB"), (40, 130))
            sheet.write(230, 150, NAMES[(number * MEMBERS + member) % len(NAMES)], 26, face=BOLD)
            sheet.write(230, 200, "Nursing staff", 20, GREY)
            sheet.write(230, 240, f"No. {rng.integers(10000, 99999)}", 20)
            family.append(_png(sheet.picture))
        yield family


# Screens


def chats(_sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """One chat: the last message is another."""
    for number in range(FAMILIES):
        messages = [sentence(rng, int(rng.integers(3, 9))) for _ in range(7 + number)]
        yield [_png(_chat([*messages, sentence(rng, 4)], NAMES[number])) for _ in range(MEMBERS)]


def _chat(messages: list[str], name: str) -> Picture:
    sheet = Sheet(540, 1170, "#ece5dd")
    sheet.box((0, 0, 540, 90), "#075e54")
    sheet.write(90, 30, name, 24, "white")
    for number, message in enumerate(messages):
        own = number % 3 == 1
        width, top = 40 + 9.5 * len(message[:46]), 110 + 78 * number
        left = 520 - width if own else 20
        sheet.box((left, top, left + width, top + 58), "#dcf8c6" if own else "white", radius=12)
        sheet.write(left + 16, top + 18, message[:46], 16)
    return sheet.picture


def screenshots(_sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """One window, photographed at other times: the clock and the figures that are watched."""
    for number in range(FAMILIES):
        labels = [sentence(rng, 2).title() for _ in range(6)]
        accent = _colour(rng)
        family = []
        for _ in range(MEMBERS):
            sheet = Sheet(1024, 640, "#f3f4f6")
            sheet.box((0, 0, 1024, 34), "#30343a")
            sheet.write(1010, 9, f"{rng.integers(0, 24):02}:{rng.integers(0, 60):02}", 15, "white", anchor="ra")
            sheet.box((0, 34, 190, 640), "#e3e6ea")
            for line in range(9):
                sheet.write(
                    20, 70 + 40 * line, ("Home", "Load", "Disks", "Mail", "Users", "Jobs", "Logs", "Keys", "Help")[line]
                )
            for tile, label in enumerate(labels):
                left, top = 220 + 265 * (tile % 3), 70 + 270 * (tile // 3)
                sheet.box((left, top, left + 245, top + 245), "white", PALE, radius=8)
                sheet.write(left + 18, top + 16, label, 16, GREY)
                value = 40 + 10 * number + tile if tile != number else int(rng.integers(10, 99))
                sheet.write(left + 122, top + 125, f"{value} %", 44, accent, BOLD, "mm")
            family.append(_png(sheet.picture))
        yield family


def terminals(_sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """One terminal: the last lines are others."""
    for number in range(FAMILIES):
        lines = [sentence(rng, 8) for _ in range(22 + number)]
        family = []
        for _ in range(MEMBERS):
            sheet = Sheet(900, 620, "#101418")
            shown = [*lines, f"error {rng.integers(100, 999)}: {sentence(rng, 4)}"]
            for line, text in enumerate(shown):
                sheet.write(14, 12 + 23 * line, text, 15, "#c8d0c8", MONO)
            family.append(_png(sheet.picture))
        yield family


def slides(_sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """One slide as it builds up: a point more each time."""
    for number in range(FAMILIES):
        accent, points = _colour(rng), [sentence(rng, 6) for _ in range(MEMBERS + 1 + number % 2)]
        family = []
        for member in range(MEMBERS):
            sheet = Sheet(960, 540)
            sheet.box((0, 0, 960, 84), accent)
            sheet.write(40, 22, f"Results of {STREETS[number]}", 34, "white", BOLD)
            for line, point in enumerate(points[: len(points) - MEMBERS + 1 + member]):
                sheet.disc(62, 144 + 70 * line, 6, accent)
                sheet.write(84, 130 + 70 * line, point, 22)
            family.append(_png(sheet.picture))
        yield family


# Drawings


def charts(_sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """One chart with other numbers: bars, lines, points, pie."""
    for number in range(FAMILIES):
        values = rng.uniform(20, 80, (12, 1))
        yield [_png(_chart(number, values + rng.normal(0, 6, (12, 1)))) for _ in range(MEMBERS)]


def _chart(style: int, values: NDArray[np.float64]) -> Picture:
    figure = Figure(figsize=(6.4, 4.4), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    if style == 0:
        axes.bar(range(12), values[:, 0], color="tab:blue")
    elif style == 1:
        axes.plot(values, marker="o")
    elif style == 2:
        axes.scatter(range(12), values[:, 0], s=80)
    else:
        axes.pie(values[:5, 0], labels=[*"ABCDE"])
    if style < 3:
        axes.set_ylim(0, 100)
        axes.grid(visible=True)
    axes.set_title("Sales by month, in thousands")
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    return Image.open(drawn).convert("RGB")


def logos(_sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """One emblem for other teams: a letter, a word or a number differs."""
    for number in range(FAMILIES):
        outer, inner = _colour(rng), _colour(rng, 120, 250)
        family = []
        for member in range(MEMBERS):
            sheet = Sheet(500, 500)
            sheet.disc(250, 250, 230, outer)
            sheet.disc(250, 250, 170, inner)
            sheet.write(250, 45, ("UNITED", "ROVERS", "CITY", "OLYMPIC")[number], 26, "white", BOLD, "mm")
            sheet.draw.polygon([(250, 110), (350, 350), (150, 350)], outer)
            sheet.write(250, 285, ("ABC", "123", "XYZ", "789")[number][member], 70, "white", BOLD, "mm")
            family.append(_png(sheet.picture))
        yield family


def maps(_sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """One map with other routes and pins."""
    for _ in range(FAMILIES):
        base = _map(rng)
        family = []
        for _ in range(MEMBERS):
            sheet = Sheet(700, 700)
            sheet.picture.paste(base)
            x, y = rng.integers(150, 550, 2)
            route = [(float(x), float(y))]
            for step in range(4):
                x, y = (x + rng.integers(-90, 90), y) if step % 2 else (x, y + rng.integers(-90, 90))
                route.append((float(x), float(y)))
            sheet.line(route, "#2f6fe0", 6)
            sheet.disc(*route[-1], 11, "#d83030", "white", 3)
            family.append(_png(sheet.picture))
        yield family


def _map(rng: np.random.Generator) -> Picture:
    sheet = Sheet(700, 700, "#f2efe9")
    for _ in range(8):
        (x, y), (width, height) = rng.integers(0, 600, 2).tolist(), rng.integers(60, 200, 2).tolist()
        sheet.box((x, y, x + width, y + height), str(rng.choice(["#c8e6b8", "#aad3df", "#e8dcd0"])))
    for _ in range(26):
        at, tilt, broad = int(rng.integers(0, 700)), int(rng.integers(-60, 60)), int(rng.integers(3, 12))
        ends: list[tuple[float, float]] = [(at, 0), (at + tilt, 700)]
        sheet.line(ends if rng.random() < 0.5 else [(y, x) for x, y in ends], "white", broad)
    for _ in range(14):
        sheet.write(*rng.integers(20, 620, 2).tolist(), str(rng.choice(STREETS)), 12, GREY)
    return sheet.picture


def map_tiles(_sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """Other places on maps of one style; mostly sea, or land, with little in it."""
    for number in range(FAMILIES):
        ground, shape = ("#aad3df", "#f2efe9") if number % 2 else ("#f2efe9", "#ffffff")
        family = []
        for _ in range(MEMBERS):
            sheet = Sheet(256, 256, ground)
            if number % 2:
                x, y = rng.integers(60, 200, 2).tolist()
                sheet.disc(x, y, int(rng.integers(12, 34)), shape, GREY)
            else:
                at = int(rng.integers(20, 230))
                sheet.line([(at, 0), (at + int(rng.integers(-40, 40)), 256)], shape, 7)
            family.append(_png(sheet.picture))
        yield family


def qr_codes(_sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """Codes that say something else: alone, and small on a sheet."""
    for number in range(FAMILIES):
        family = []
        for _ in range(MEMBERS):
            code = cv2.QRCodeEncoder.create().encode(f"https://example.org/{rng.integers(10**11, 10**12)}")
            scale = (10, 8, 4, 3)[number]
            square = Image.fromarray(np.kron(code, np.ones((scale, scale), np.uint8)))
            if number < 2:
                family.append(_png(square))
                continue
            sheet = Sheet(600, 800)
            sheet.write(300, 120, "Scan to register", 34, face=BOLD, anchor="mm")
            sheet.picture.paste(square, (300 - square.width // 2, 400 - square.height // 2))
            sheet.write(300, 700, "Admission for one person", 18, GREY, anchor="mm")
            family.append(_png(sheet.picture))
        yield family


def diagrams(_sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """One diagram: a connection or a label is another."""
    for number in range(FAMILIES):
        names = [sentence(rng, 1).upper() for _ in range(6)]
        places = [(60 + 240 * (box % 3), 60 + 220 * (box // 3)) for box in range(6)]
        yield [_png(_diagram(names, places, number, member)) for member in range(MEMBERS)]


def _diagram(names: list[str], places: list[tuple[int, int]], family: int, member: int) -> Picture:
    sheet = Sheet(720, 440)
    links = [(0, 1), (1, 2), (2, 5), (5, 4), [(3, 4), (0, 3), (1, 4)][member] if family % 2 else (3, 4)]
    for start, end in links:
        (x1, y1), (x2, y2) = places[start], places[end]
        sheet.line([(x1 + 70, y1 + 40), (x2 + 70, y2 + 40)], INK, 3)
    for box, (x, y) in enumerate(places):
        changed = box == family and not family % 2
        sheet.box((x, y, x + 150, y + 80), "#e8f0fa", INK, 2, 6)
        sheet.write(x + 75, y + 40, f"{names[box][:8]} {'ABC'[member]}" if changed else names[box][:8], 17, anchor="mm")
    return sheet.picture


def chess(_sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """Positions of one game, a move apart."""
    for _ in range(FAMILIES):
        squares = rng.permutation(64)
        pieces = dict(zip(squares[:24].tolist(), rng.choice([*"♔♕♖♗♘♙♚♛♜♝♞♟"], 24), strict=True))
        family = []
        for member in range(MEMBERS):
            if member:
                pieces[int(squares[24 + member])] = pieces.pop(int(squares[member]))
            sheet = Sheet(480, 480)
            for square in range(64):
                x, y = 60 * (square % 8), 60 * (square // 8)
                sheet.box((x, y, x + 60, y + 60), "#f0d9b5" if (x + y) // 60 % 2 else "#b58863")
                if square in pieces:
                    sheet.write(x + 30, y + 30, str(pieces[square]), 44, anchor="mm")
            family.append(_png(sheet.picture))
        yield family


def faint_drawings(_sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """Other drawings with a hard pencil on white paper."""
    for number in range(FAMILIES):
        family = []
        for _ in range(MEMBERS):
            sheet = Sheet(600, 600)
            level = 246 - 4 * number
            for _ in range(5):
                points = [(float(x), float(y)) for x, y in rng.uniform(60, 540, (4, 2))]
                sheet.line([*points, points[0]], (level, level, level), 3)
            family.append(_png(sheet.picture))
        yield family


def emoji(_sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """One face with other mouths."""
    for number in range(FAMILIES):
        skin = _colour(rng, 180, 255)
        family = []
        for member in range(MEMBERS):
            sheet = Sheet(256, 256, (0, 0, 0, 0), "RGBA")
            sheet.disc(128, 128, 118, (*skin, 255))
            for eye in (88, 168):
                sheet.disc(eye, 100, 12 + number, (40, 40, 40, 255))
            box = (80, 130, 176, 196)
            if member == 0:
                sheet.draw.arc(box, 20, 160, (40, 40, 40, 255), 8)
            elif member == 1:
                sheet.draw.arc((80, 165, 176, 230), 200, 340, (40, 40, 40, 255), 8)
            else:
                sheet.line([(92, 178), (164, 178)], (40, 40, 40, 255), 8)
            family.append(_png(sheet.picture))
        yield family


def icons_white(_sources: Sources, _rng: np.random.Generator) -> Iterator[Family]:
    """Other glyphs in white, or nearly, on a transparent ground."""
    for number, (glyphs, size) in enumerate((("✂✈✉✏", 48), ("☎★☂♥", 96), ("☀☁☃♫", 128), ("←↑→↓", 64))):
        shade = (255, 255, 255, 245)[number]
        yield [_icon(glyph, size, (shade, shade, shade)) for glyph in glyphs]


def icons_dark(_sources: Sources, _rng: np.random.Generator) -> Iterator[Family]:
    """Other glyphs in a dark colour on a transparent ground."""
    for number, (glyphs, size) in enumerate((("✂✈✉✏", 48), ("☎★☂♥", 96), ("①②③④", 128), ("←↑→↓", 64))):
        yield [_icon(glyph, size, ((0, 0, 0), (60, 60, 60), (20, 40, 90), (120, 0, 0))[number]) for glyph in glyphs]


def _icon(glyph: str, size: int, colour: tuple[int, int, int]) -> Made:
    sheet = Sheet(size, size, (*colour, 0), "RGBA")
    sheet.write(size / 2, size / 2, glyph, size * 0.8, (*colour, 255), anchor="mm")
    return _png(sheet.picture)


def masks(_sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """Label masks: other regions, in grey levels 0 to 5."""
    for number in range(FAMILIES):
        family = []
        for _ in range(MEMBERS):
            mask = np.zeros((400, 400), np.uint8)
            for label in range(1, 3 + number):
                centre = tuple(rng.integers(60, 340, 2).tolist())
                cv2.ellipse(
                    mask, centre, tuple(rng.integers(20, 90, 2).tolist()), int(rng.integers(0, 180)), 0, 360, label, -1
                )
            family.append(_png(Image.fromarray(mask)))
        yield family


def colour_cards(_sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """Samples of paint: one colour each, of tones that a person tells apart."""
    for number in range(FAMILIES):
        base = np.array(_colour(rng, 60, 190))
        steps = [(0, 0, 0), (14, 0, 0), (0, 0, 14)]
        cards = [Image.new("RGB", (300, 200 + 20 * number), tuple((base + step).tolist())) for step in steps]
        yield [_png(card) for card in cards]


# Photographs


def bursts(sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """A camera's burst: a tenth of a second apart, something moved or changed its face. Half of them have lost their EXIF."""
    for number, which in enumerate(_BURSTS):
        photo = to_array(sources.others[which])
        centre, radius = _busiest(photo)
        family = []
        for member in range(MEMBERS):
            seen = _moved(photo, centre, radius, member, rng) + rng.normal(0, 1.5, photo.shape)
            taken = exif("2026:05:02 10:00:00", f"{100 * member:03}") if number % 2 else b""
            family.append(_jpeg(to_picture(seen), exif=taken))
        yield family


def _busiest(photo: NDArray[np.uint8]) -> tuple[tuple[int, int], int]:
    """Return a place in the middle of the photograph that has much detail, and the radius of what will move there."""
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32)
    radius = min(photo.shape[:2]) // 9
    detail = cv2.blur((grey - cv2.blur(grey, (9, 9))) ** 2, (radius, radius))
    border = 2 * radius
    inside = detail[border:-border, border:-border]
    y, x = np.unravel_index(int(inside.argmax()), inside.shape)
    return (int(x) + border, int(y) + border), radius


def _moved(
    photo: NDArray[np.uint8], centre: tuple[int, int], radius: int, step: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return the photograph with what is within `radius` turned by up to 25 degrees for each step, blended at its edge."""
    if step == 0:
        return photo.astype(np.float32)
    angle = step * float(rng.choice([-1, 1]) * rng.uniform(12, 25))
    turn = cv2.getRotationMatrix2D(centre, angle, 1.0)
    turn[:, 2] += rng.uniform(-0.3, 0.3, 2) * radius
    turned = cv2.warpAffine(photo, turn, photo.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    blend = np.zeros(photo.shape[:2], np.float32)
    cv2.circle(blend, centre, radius, 1.0, -1)
    blend = cv2.GaussianBlur(blend, (0, 0), radius / 8)[..., None]
    return blend * turned + (1 - blend) * photo


def brackets(sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """An exposure bracket on a tripod: a stop, or two, apart; EXIF has each exposure, and of half of them the instant in the second."""
    for number, which in enumerate(_BRACKETS):
        light = (to_array(sources.others[which]) / 255.0) ** 2.2
        family = []
        for member, stops in enumerate((0, -1, 1) if number % 2 else (0, -2, 2)):
            seen = 255 * np.clip(light * 2.0**stops, 0, 1) ** (1 / 2.2) + rng.normal(0, 1.5, light.shape)
            instant = f"{300 * member:03}" if number < len(_BRACKETS) // 2 else ""
            taken = exif("2026:05:03 09:00:00", instant, (1, round(125 / 2.0**stops)))
            family.append(_jpeg(to_picture(seen), exif=taken))
        yield family


def night(sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """Other scenes, nearly black."""
    for number in range(FAMILIES):
        family = []
        for member in range(MEMBERS):
            photo = to_array(sources.others[MEMBERS * number + member].resize((640, 480)))
            family.append(_jpeg(to_picture(photo * (0.02 + 0.015 * number) + rng.normal(0, 1, photo.shape)), 90))
        yield family


def surveillance(sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """A camera that stands still: nobody, somebody, somebody elsewhere; and the time in the corner."""
    for number, which in enumerate(_SURVEILLANCE):
        scene = sources.others[which].resize((640, 480))
        family = []
        for member in range(MEMBERS):
            sheet = Sheet(640, 480)
            sheet.picture.paste(scene)
            if member:
                x, y = int(rng.integers(80, 560)), int(rng.integers(240, 400))
                sheet.box((x - 10, y - 44, x + 10, y + 14), _colour(rng, 10, 90), radius=8)
                sheet.disc(x, y - 54, 9, "#b98a6a")
            sheet.write(
                12, 450, f"CAM {number + 1}  2026-05-04 0{member + 1}:{rng.integers(10, 60)}:12", 15, "white", MONO
            )
            family.append(_jpeg(sheet.picture, 85))
        yield family


def captions(sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """One photograph with other words on it."""
    for which in _CAPTIONS:
        photo = sources.others[which]
        family = []
        for _ in range(MEMBERS):
            sheet = Sheet(*photo.size)
            sheet.picture.paste(photo)
            place = (photo.width / 2, photo.height - 40)
            words = sentence(rng, 4).upper()
            sheet.draw.text(place, words, "white", font(30, BOLD), "mm", stroke_width=3, stroke_fill="black")
            family.append(_jpeg(sheet.picture, 88))
        yield family


def date_stamps(sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """A garden camera's pictures of the same view, days apart: the light flickers, and the date is another."""
    for which in _DATE_STAMPS:
        photo = to_array(sources.others[which]).astype(np.float32)
        family = []
        for member in range(MEMBERS):
            seen = to_picture(photo * (1 + 0.02 * member) + rng.normal(0, 1.5, photo.shape))
            sheet = Sheet(*seen.size)
            sheet.picture.paste(seen)
            sheet.write(seen.width - 14, seen.height - 30, _date(rng), 18, "#ff9020", MONO, "ra")
            family.append(_jpeg(sheet.picture, 88))
        yield family


def products(_sources: Sources, _rng: np.random.Generator) -> Iterator[Family]:
    """One product on white in other colours."""
    for number in range(FAMILIES):
        tones = (
            [(190, 30, 40), (30, 90, 190), (40, 130, 60)] if number % 2 else [(40, 44, 60), (60, 40, 44), (40, 58, 44)]
        )
        yield [_jpeg(_product(number, tone), 92) for tone in tones]


def _product(shape: int, tone: tuple[int, int, int]) -> Picture:
    sheet = Sheet(600, 600)
    if shape == 0:
        sheet.draw.polygon(
            [
                (190, 180),
                (260, 150),
                (340, 150),
                (410, 180),
                (480, 270),
                (420, 300),
                (400, 270),
                (400, 460),
                (200, 460),
                (200, 270),
                (180, 300),
                (120, 270),
            ],
            tone,
        )
    elif shape == 1:
        sheet.box((220, 200, 380, 420), tone, radius=24)
        sheet.draw.arc((350, 240, 450, 370), 270, 90, tone, 22)
    elif shape == 2:
        sheet.draw.polygon([(150, 380), (180, 300), (300, 300), (430, 350), (450, 390), (440, 410), (150, 410)], tone)
        sheet.box((145, 405, 455, 425), "#eeeeee", GREY)
    else:
        sheet.draw.polygon([(230, 180), (370, 180), (430, 320), (170, 320)], tone)
        sheet.box((292, 320, 308, 470), GREY)
        sheet.box((230, 465, 370, 482), GREY)
    return sheet.picture.filter(ImageFilter.GaussianBlur(1.2))


def textures(_sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """Other parts of one wall, meadow, path and tissue."""
    for name in ("brick.png", "grass.png", "gravel.png", "ihc.png"):
        whole = shipped(name)
        corners = [(0, 0), (whole.width - 250, 0), (0, whole.height - 250)]
        shift = int(rng.integers(0, 6))
        yield [_jpeg(whole.crop((x + shift, y, x + 244 + shift, y + 244)).resize((488, 488))) for x, y in corners]


def _tissue(name: str, rng: np.random.Generator, side: int = 240) -> NDArray[np.uint8]:
    whole = to_array(shipped(name))[..., 0]
    top, left = (int(rng.integers(0, length - side)) for length in whole.shape)
    return whole[top : top + side, left : left + side]


def scientific(_sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """Other specimens under one microscope, 10 or 12 bits kept in 16."""
    for number, name in enumerate(("cell.png", "ihc.png", "moon.png", "retina.jpg")):
        family = []
        for _ in range(MEMBERS):
            pixels = cv2.resize(_tissue(name, rng), (480, 480), interpolation=cv2.INTER_CUBIC).astype(np.uint16)
            deep = pixels * (16 if number % 2 else 4) + rng.integers(0, 4, pixels.shape).astype(np.uint16)
            suffix = ".png" if number < 2 else ".tif"
            family.append((suffix, cv2.imencode(suffix, deep.astype(np.uint16))[1].tobytes()))
        yield family


# Several pictures in a file


def _frames(first: Picture, rng: np.random.Generator, count: int) -> list[Picture]:
    """Return a title and the frames of a film after it."""
    frames, colour = [first], _colour(rng)
    x, y, radius = *rng.integers(60, 180, 2).tolist(), int(rng.integers(15, 40))
    dx, dy = rng.integers(-14, 14, 2).tolist()
    for step in range(1, count):
        sheet = Sheet(*first.size, "#203040")
        sheet.disc(x + dx * step, y + dy * step, radius, colour)
        frames.append(sheet.picture)
    return frames


def animations(_sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """Other films after one title, and the title alone: GIF, WebP, APNG; the last family differs in its last frame alone."""
    kinds = (("GIF", ".gif"), ("WEBP", ".webp"), ("PNG", ".png"), ("GIF", ".gif"))
    for number, (kind, suffix) in enumerate(kinds):
        title = Sheet(240, 240, "#203040")
        title.write(120, 120, f"FILM {number}", 40, "white", BOLD, "mm")
        options = {"duration": 100, "loop": 0} | ({"lossless": True} if kind == "WEBP" else {})
        if number < 3:
            films = [_frames(title.picture, rng, 8), _frames(title.picture, rng, 8), _frames(title.picture, rng, 12)]
        else:
            film = _frames(title.picture, rng, 8)
            films = [[*film, _frames(title.picture, rng, 2)[1]] for _ in range(MEMBERS)]
        family = [(suffix, encode_film(film, kind, **options)) for film in films]
        yield [*family, _png(title.picture)] if number < 3 else family


def documents(_sources: Sources, rng: np.random.Generator) -> Iterator[Family]:
    """Other documents with one cover, as TIFFs of several pages, and the cover alone."""
    for number in range(FAMILIES):
        cover = Sheet(420, 594)
        cover.box((0, 0, 420, 180), _colour(rng))
        cover.write(210, 90, "ANNUAL REPORT", 36, "white", BOLD, "mm")
        family = []
        for _ in range(MEMBERS):
            pages = [cover.picture]
            for page in range(2 + number % 2):
                sheet = Sheet(420, 594)
                for line in range(20):
                    sheet.write(40, 60 + 24 * line, sentence(rng, 6), 13)
                sheet.write(210, 570, str(page + 2), 12, anchor="mm")
                pages.append(sheet.picture)
            family.append((".tif", encode_film(pages, "TIFF", compression="tiff_lzw")))
        yield [*family, (".tif", encode(cover.picture, "TIFF", compression="tiff_lzw"))]


LOOKALIKES: dict[str, Kind] = {
    "invoices": invoices,
    "contracts, signed": contracts,
    "numbered pages": numbered_pages,
    "pages of text": text_pages,
    "letters": letters,
    "tables": tables,
    "calendars": calendars,
    "music": music,
    "tickets": tickets,
    "badges": badges,
    "chats": chats,
    "screenshots": screenshots,
    "terminals": terminals,
    "slides": slides,
    "charts": charts,
    "logos": logos,
    "maps": maps,
    "map tiles": map_tiles,
    "QR codes": qr_codes,
    "diagrams": diagrams,
    "chess": chess,
    "faint drawings": faint_drawings,
    "emoji": emoji,
    "icons, white": icons_white,
    "icons, dark": icons_dark,
    "label masks": masks,
    "colour cards": colour_cards,
    "bursts": bursts,
    "exposure brackets": brackets,
    "night": night,
    "surveillance": surveillance,
    "captions": captions,
    "date stamps": date_stamps,
    "products": products,
    "textures": textures,
    "10 and 12 bits in 16": scientific,
    "animations": animations,
    "documents": documents,
}
"""Each kind of look-alikes: its name, and what yields its families."""
