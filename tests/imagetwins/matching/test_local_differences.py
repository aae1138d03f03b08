"""What differs in one place is for review, and what differs everywhere a little moves: from pictures to decisions."""

import itertools

import cv2
import numpy as np
import pandas as pd
import pytest
from skimage import data

from imagetwins import ssim
from imagetwins.calibration.distortions import plant_copy
from imagetwins.config.parameters import Parameters
from imagetwins.matching.decisions import decide
from imagetwins.matching.reuse import to_table
from tests.support.past_runs import image_table

SIZE = 200
COPIES = ("halved", "doubled", "jpeg30", "jpeg60", "grey", "brightened")
PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket", "camera", "coins")


def photograph(name):
    pixels = getattr(data, name)()
    return cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR if pixels.ndim == 2 else cv2.COLOR_RGB2BGR)


def write(page, words, x, y, scale=1.0, ink=(0, 0, 0)):
    cv2.putText(page, words, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, ink, max(1, round(2 * scale)), cv2.LINE_AA)


def form(name, amount):
    """An invoice on a sheet of A4 at 150 dpi."""
    page = np.full((1754, 1240, 3), 255, np.uint8)
    cv2.rectangle(page, (0, 0), (1240, 160), (120, 60, 20), -1)
    write(page, "ACME LTD", 80, 110, 2.5, (255, 255, 255))
    write(page, f"Customer: {name}", 80, 320, 1.5)
    for line in range(8):
        y = 520 + 60 * line
        write(page, f"item number {line + 1}, as ordered", 80, y)
        cv2.line(page, (80, y + 20), (1160, y + 20), (180, 180, 180), 2)
    write(page, f"Total {amount}", 780, 1060, 1.5)
    for line in range(6):
        write(page, "payable within thirty days to the account below", 80, 1300 + 50 * line, 0.9, (90, 90, 90))
    return page


def chat(last):
    """A telephone's screen with the same messages and another last one."""
    page = np.full((2160, 1080, 3), (221, 229, 236), np.uint8)
    cv2.rectangle(page, (0, 0), (1080, 180), (84, 94, 7), -1)
    for number, words in enumerate(["are you coming tonight", "yes, at eight", "who brings the cake", "I do", last]):
        left, y = (40, 420)[number % 2], 260 + 300 * number
        cv2.rectangle(page, (left, y), (left + 620, y + 180), (255, 255, 255) if number % 2 else (198, 248, 220), -1)
        write(page, words, left + 30, y + 110, 1.5)
    return page


def burst(face):
    """A second of the same scene, with a little noise, in which one thing differs."""
    rng = np.random.default_rng(face)
    scene = photograph("coffee").copy()
    if face:
        other = photograph(PHOTOGRAPHS[face + 1])[100:160, 100:172]
        scene[150:210, 250:322] = other
    return np.clip(scene + rng.normal(0, 3, scene.shape), 0, 255).astype(np.uint8)


def ticket(number):
    page = np.full((600, 900, 3), (200, 230, 250), np.uint8)
    cv2.rectangle(page, (20, 20), (880, 580), (60, 60, 160), 8)
    write(page, "THEATRE TICKET", 90, 160, 2.5)
    write(page, f"row 4, seat {number}", 90, 420, 2)
    return page


def chart(label):
    page = np.full((480, 640, 3), 255, np.uint8)
    for line in range(7):
        cv2.line(page, (60, 60 + 60 * line), (600, 60 + 60 * line), (220, 220, 220), 1)
    points = np.array([(60 + 20 * x, int(240 + 150 * np.sin(x / 3))) for x in range(28)])
    cv2.polylines(page, [points], isClosed=False, color=(200, 80, 30), thickness=3)
    write(page, label, 180, 40, 0.8)
    return page


def stamped(date):
    picture = photograph("astronaut").copy()
    if date:
        write(picture, date, 280, 490, 0.8, (20, 140, 255))
    return picture


LOOK_ALIKES = {
    "forms": [form("Anna Miller", "1,204.50"), form("Bo Li", "87.00"), form("Carla Rossi", "640.99")],
    "chats": [chat("see you then"), chat("sorry, I am ill"), chat("bring your sister")],
    "bursts": [burst(0), burst(1), burst(2)],
    "tickets": [ticket(11), ticket(27), ticket(58)],
    "charts": [chart("rainfall in May"), chart("sunshine in June"), chart("harvest, in tons")],
    "date stamps": [stamped(""), stamped("12.08.2024"), stamped("30.11.1999")],
}


def compare(directory, pictures):
    thumbnails = np.array([cv2.resize(p, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for p in pictures])
    rows = np.arange(len(pictures))
    ssim.create_workspace(directory, len(pictures), SIZE)
    ssim.prepare_images(directory, rows, thumbnails)
    plan = ssim.plan_join(directory, directory / "plan", rows, threshold=0.9, floor=0.85)
    return pd.concat([to_table(ssim.join_batch(directory / "plan", batch)) for batch in plan.batches])


def decide_about(pictures, pairs, **rules):
    """Return the actions for pictures of one shape."""
    images = image_table([f"/f/{image}.png" for image in range(len(pictures))])
    return decide(images, pairs, Parameters(folder="/f", **rules))["action"].tolist()


@pytest.mark.parametrize("kind", LOOK_ALIKES)
def test_pictures_that_differ_in_one_place_are_for_review(tmp_path, kind):
    pictures = LOOK_ALIKES[kind]
    pairs = compare(tmp_path, pictures)
    assert decide_about(pictures, pairs) == ["kept", "review", "review"]
    assert decide_about(pictures, pairs, min_local_ssim=-1) == ["kept", "would move", "would move"]


@pytest.mark.parametrize("kind", LOOK_ALIKES)
def test_and_so_are_those_that_were_compressed_or_halved_too(tmp_path, kind):
    first, second, third = LOOK_ALIKES[kind]
    pictures = [first, plant_copy(second, "jpeg60", None), plant_copy(third, "halved", None)]
    assert "would move" not in decide_about(pictures, compare(tmp_path, pictures))


def test_true_copies_still_move(tmp_path):
    originals = [photograph(name) for name in PHOTOGRAPHS] + [pictures[0] for pictures in LOOK_ALIKES.values()]
    copies = [plant_copy(picture, kind, None) for picture, kind in itertools.product(originals, COPIES)]
    pictures = originals + copies
    pairs = compare(tmp_path, pictures)
    plain, guarded = (decide_about(pictures, pairs, min_local_ssim=limit) for limit in (-1, 0.85))
    movable = [with_guard for without, with_guard in zip(plain, guarded, strict=True) if without == "would move"]
    assert len(movable) > 0.8 * len(copies)
    assert movable.count("would move") >= 0.97 * len(movable)
