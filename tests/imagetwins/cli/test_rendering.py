"""Answers as a terminal shows them: paths short, columns that fit, nothing that a name can do to the screen."""

import io

import pandas as pd
from rich.console import Console

from imagetwins.cli.rendering import print_answer, print_frame, print_run
from imagetwins.reporting.runs import audit_run
from tests.support.past_runs import image_table, write_run


def shown(frame, title="Run 1"):
    printed = io.StringIO()
    print_frame(Console(file=printed, width=80), pd.DataFrame(frame), title)
    return [line.split() for line in printed.getvalue().splitlines() if line.strip()]


def test_paths_lose_the_folder_that_all_are_in_and_scores_have_four_digits():
    frame = {"path": ["/p/a b/c.png", "/p/d.png"], "kept_path": ["/p/e.png", None], "ssim": [0.9, None]}

    assert shown(frame) == [
        ["Run", "1,", "in", "/p"],
        ["path", "kept_path", "ssim"],
        ["a", "b/c.png", "e.png", "0.9000"],
        ["d.png", "-", "-"],
    ]


def test_columns_that_say_nothing_are_left_out():
    frame = {"path": ["/p/a.png"], "image": [3], "digest": ["0f"], "other_name": [None], "reason": ["kept"]}

    assert shown(frame)[1:] == [["path", "reason"], ["a.png", "kept"]]


def test_names_that_are_no_absolute_paths_stay_whole_and_harmless():
    assert shown({"path": ["a/[red]b.png", "/a/\x1b[2J.png"]}) == [
        ["Run", "1"],
        ["path"],
        ["a/[red]b.png"],
        [r"/a/\x1b[2J.png"],
    ]


def test_a_run_says_what_it_left_out(tmp_path):
    run = write_run(tmp_path, "20260101T000000Z-00000000", image_table(["/pictures/a.png"]), {})
    with run.editing_record() as record:
        record.left_out.update({"[red]/": 1, "._*": 2})
    printed = io.StringIO()

    print_run(Console(file=printed, width=80), audit_run(run))

    assert "Left out: 1 folder ([red]) and 2 files (2 ._*).\n" in printed.getvalue()


def test_formats_that_are_not_read_are_one_line_however_many_there_are(tmp_path):
    paths = ["/p/broken.png", *(f"/p/{number}.svg" for number in range(50))]
    images = image_table(paths, errors=dict.fromkeys(paths, "no") | {"/p/broken.png": "damaged"})
    images["error_code"] = [None] + ["format-not-read"] * 50
    run = write_run(tmp_path, "1", images, {}, folder="/p")
    printed = io.StringIO()

    print_run(Console(file=printed, width=200), audit_run(run))

    lines = printed.getvalue().splitlines()
    assert [line.split() for line in lines if ".png" in line] == [["broken.png", "damaged"]]
    assert sum(".svg" in line for line in lines) == 1
    assert any(line.startswith("Not read: 50 SVG. ") for line in lines)


def test_an_audit_names_the_kernels_and_that_of_an_older_run_does_not(tmp_path):
    run = write_run(tmp_path, "1", image_table(["/p/a.png"]), {}, folder="/p")
    for kernels, words in ((None, ""), ("avx2", "Compared with the kernels for avx2.\n")):
        with run.editing_record() as record:
            record.kernels = kernels
        printed = io.StringIO()
        print_answer(Console(file=printed, width=80), audit_run(run))
        assert ("kernels" in printed.getvalue()) == bool(words)
        assert words in printed.getvalue()


def test_a_duplicate_is_shown_with_its_three_scores_and_a_review_with_its_reason(tmp_path):
    images = image_table(["/p/a.png", "/p/b.png", "/p/c.png"])
    run = write_run(tmp_path, "1", images, {(0, 1): (0.97, 0.95), (0, 2): (0.93, 0.4)}, folder="/p")
    printed = io.StringIO()

    print_run(Console(file=printed, width=100), audit_run(run))

    lines = [line.split() for line in printed.getvalue().splitlines() if line.strip()]
    assert lines[1][:5] == ["picture", "kept", "SSIM", "detail", "local"]
    assert lines[2] == ["b.png", "a.png", "0.9700", "0.9500", "0.9500", "moved"]
    assert lines[4] == ["picture", "kept", "SSIM", "why"]
    assert lines[5][:3] == ["c.png", "a.png", "0.9300"]


def test_in_a_narrow_terminal_names_have_the_room_of_two_scores(tmp_path):
    name = "a name of thirty characters.png"
    images = image_table(["/p/a.png", f"/p/{name}"])
    run = write_run(tmp_path, "1", images, {(0, 1): (0.97, 0.95)}, folder="/p")
    printed = io.StringIO()

    print_run(Console(file=printed, width=80), audit_run(run))

    assert f"{name}  a.png  0.9700  moved" in printed.getvalue()


def test_how_a_duplicate_is_turned_is_told_where_any_is(tmp_path):
    images = image_table([f"/p/{name}.png" for name in "abcd"], sizes={"/p/b.png": (50_000, 480, 640)})
    scores = {(0, 1): (0.97, 0.95, 6), (0, 2): (0.96, 0.9), (0, 3): (0.93, 0.4, 2)}
    run = write_run(tmp_path, "1", images, scores, folder="/p", orientations="all")
    printed = io.StringIO()

    print_run(Console(file=printed, width=120), audit_run(run))

    assert (
        "Pictures were compared turned and mirrored, too: 1 of the duplicates is turned or mirrored."
        in printed.getvalue()
    )
    lines = [line.split() for line in printed.getvalue().splitlines() if line.strip()]
    assert lines[1][-7:] == ["local", "it", "matches", "what", "became", "of", "it"]
    assert lines[2][5:] == ["turned", "by", "90", "degrees", "clockwise", "moved"]
    assert lines[3][5:] == ["as", "it", "is", "moved"]
    assert lines[6][3:5] == ["mirrored", "where"]


def test_orientations_are_words_and_left_out_where_nothing_is_turned():
    paths = ["/p/a.png", "/p/b.png"]

    assert shown({"path": paths, "orientation": [1, None]})[-3:] == [["path"], ["a.png"], ["b.png"]]
    assert shown({"path": paths, "orientation": [3.0, 1.0]})[2:] == [
        ["a.png", "turned", "by", "180", "degrees"],
        ["b.png", "as", "it", "is"],
    ]


def test_where_no_picture_was_found_it_says_what_to_try(tmp_path):
    run = write_run(tmp_path, "1", image_table([]), {}, folder="/p")
    said = []
    for left_out, formats in (({}, "all"), ({"@eaDir/": 1}, "all"), ({"PNG": 1}, "JPEG")):
        with run.editing_record() as record:
            record.left_out.update(left_out)
            record.parameters = record.parameters.model_copy(update={"formats": formats})
        printed = io.StringIO()
        print_run(Console(file=printed, width=200), audit_run(run))
        said += [line for line in printed.getvalue().splitlines() if line.startswith("No picture")]

    assert said == [
        "No picture was found in /p. Is it the right folder?",
        "No picture was found in /p. Is it the right folder? --no-default-excludes takes in what is left out.",
        "No picture was found in /p. Is it the right folder? Without --min-bytes and --formats more is taken in.",
    ]
