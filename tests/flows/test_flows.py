"""The flows end to end, on real pictures: the same answer as a plain double loop, and nothing lost."""

import hashlib
import itertools
import json
import re
import shlex
from pathlib import Path

import cv2
import duckdb
import numpy as np
import pandas as pd
import pytest
import skimage.data
from PIL import Image, ImageOps
from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter
from typer.testing import CliRunner

from flows.apply import apply
from flows.calibrate import calibrate
from flows.restore import restore
from flows.rethreshold import rethreshold
from imagetwins.cli.app import app
from imagetwins.errors import FolderBusyError, ParameterError, StoreError
from imagetwins.reporting.files import explain_file
from imagetwins.ssim.processor import Kernels
from imagetwins.storage import MARKER, storage_of
from imagetwins.store.memory import Source, Verdict, remember_pairs
from imagetwins.store.record import RunStatus
from imagetwins.store.runs import Run
from imagetwins.store.schemas import COMPANIONS, COMPARISONS, DECISIONS, IMAGES
from imagetwins.store.tables import read_table, write_table
from tests.support import oracle
from tests.support.flows import deduplicate

pytestmark = pytest.mark.usefixtures("prefect_server")

PLAIN = {
    "min_detail_ssim": -1.0,
    "min_local_ssim": -1.0,
    "max_peak_difference": 1e9,
    "max_colour_difference": 1e9,
    "max_aspect_change": 1e9,
    "audit_floor": -1.0,
}
"""The plain threshold rule, every pair stored."""

AWKWARD = ["a [1].png", "b b'\"q.png", "ünï-çødé 图.png", "new\nline.png", "-rf.png", "<b>&amp;.png"]


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    ok, encoded = cv2.imencode(path.suffix, image)
    assert ok
    path.write_bytes(encoded.tobytes())


def photos():
    """Photographs of scikit-image's wheel, BGR."""
    names = ("astronaut", "chelsea", "coffee", "rocket")
    return [cv2.cvtColor(getattr(skimage.data, name)(), cv2.COLOR_RGB2BGR) for name in names]


@pytest.fixture
def folder(tmp_path):
    """Four photographs, pictures made of them under awkward names, and files that are not to be looked at."""
    home = tmp_path / "pictures"
    originals = photos()
    for number, image in enumerate(originals):
        write(home / f"{number}.png", image)
    half = cv2.resize(originals[0], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    copies = [
        originals[0],
        half,
        cv2.GaussianBlur(originals[1], (5, 5), 0),
        originals[2],
        np.fliplr(originals[3]),
        half,
    ]
    for name, image in zip(AWKWARD, copies, strict=True):
        write(home / "sub" / name, image)
    (home / "notes.txt").write_text("no picture")
    write(home / ".thumbnails" / "0.png", originals[0])
    return home


@pytest.fixture
def store(tmp_path):
    return str(tmp_path / "store")


def contents(folder):
    """Names and digests of all files of `folder` but markers."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MARKER
    }


def tables(store, summary):
    run = Run(Path(store), summary["run_id"])
    return (
        read_table(run.images, IMAGES),
        read_table(run.comparisons, COMPARISONS),
        read_table(run.decisions, DECISIONS),
    )


def plain_thumbnail(path):
    image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    return cv2.resize(image, (200, 200), interpolation=cv2.INTER_AREA)


def loop_scores(images):
    """Every pair's score, by scikit-image, in a plain double loop over the files."""
    return oracle.all_scores([plain_thumbnail(Path(path)) for path in images["path"]])


def flagged(scores, threshold):
    """The plain rule: image2 of every pair at or above the threshold."""
    return {second for (_, second), score in scores.items() if score >= threshold}


def kept_by_representatives(count, scores, threshold):
    stays = []
    for image in range(count):
        if not any(scores[kept, image] >= threshold for kept in stays):
            stays.append(image)
    return stays


def test_the_tables_hold_what_a_plain_double_loop_finds(folder, store):
    before = contents(folder)
    summary = deduplicate(str(folder), dry_run=True, store=store, **PLAIN)
    images, comparisons, decisions = tables(store, summary)
    scores = loop_scores(images)
    assert contents(folder) == before
    assert len(images) == 10
    stored = {
        (int(a), int(b)): score for a, b, score in comparisons[["image1", "image2", "ssim"]].itertuples(index=False)
    }
    assert sorted(stored) == sorted(itertools.combinations(range(10), 2))
    assert stored == pytest.approx(scores, abs=1e-5)
    verified = comparisons[comparisons["verified"]]
    assert len(verified) >= decisions["kept_image"].notna().sum()
    for row in verified.itertuples():
        assert row.ssim == scores[row.image1, row.image2]
    stays = kept_by_representatives(10, scores, 0.9)
    assert decisions.loc[~decisions["Duplicate"], "image"].tolist() == stays
    assert set(decisions["action"]) == {"kept", "would move"}
    assert list(decisions.columns[:4]) == ["FullPath", "FileName", "Duplicate", "NewPath"]


@pytest.mark.parametrize("asked", [PLAIN | {"grouping": "any"}, {"rule": "plain"}])
def test_the_plain_rule_flags_image2_of_every_matching_pair(folder, store, asked):
    stretched = cv2.resize(photos()[2], (900, 300), interpolation=cv2.INTER_AREA)
    write(folder / "stretched.png", stretched)
    images, _, decisions = tables(store, deduplicate(str(folder), threshold=0.5, dry_run=True, store=store, **asked))
    assert set(decisions.loc[decisions["Duplicate"], "image"]) == flagged(loop_scores(images), 0.5)
    assert not (decisions["action"] == "review").any()


def test_the_careful_rule_holds_back_what_the_plain_one_moves(folder, store):
    dark = np.random.default_rng(3).integers(0, 4, (2, 200, 200, 3), np.uint8)
    for number, image in enumerate(dark):
        write(folder / f"night {number}.png", image)
    plain, careful = (
        tables(store, deduplicate(str(folder), dry_run=True, store=store, rule=rule))[2].set_index("FileName")
        for rule in ("plain", "careful")
    )
    assert plain.loc["night 1.png", ["Duplicate", "action"]].tolist() == [True, "would move"]
    assert careful.loc["night 1.png", ["Duplicate", "action"]].tolist() == [False, "review"]


def test_a_run_moves_a_second_moves_nothing_more_and_restore_puts_all_back(folder, store):
    before = contents(folder)
    summary = deduplicate(str(folder), store=store)
    after = contents(folder)
    _, _, decisions = tables(store, summary)
    moved = decisions[decisions["action"] == "moved"]
    assert len(moved) == summary["moved"] == summary["duplicates"] == 5
    assert sorted(after.values()) == sorted(before.values())
    for row in moved.itertuples():
        assert row.NewPath == str(folder / "Duplicates" / Path(row.FullPath).relative_to(folder))
        assert Path(row.NewPath).exists()
        assert Path(row.kept_path).exists()
        assert not Path(row.FullPath).exists()
    again = deduplicate(str(folder), store=store)
    assert (again["images"], again["moved"], again["duplicates"]) == (5, 0, 0)
    assert Run(Path(store), again["run_id"]).read_record().pairs_from == summary["run_id"]
    assert contents(folder) == after
    # The latest that moved something, and not the one after it.
    assert restore("latest", store) == {
        "run_id": summary["run_id"],
        "restored": 5,
        "companions": 0,
        "not_restored": {},
        "remembered": 5,
        "remembered_as": "put back",
    }
    assert contents(folder) == before
    record = Run(Path(store), summary["run_id"]).read_record()
    assert record.status == "restored"
    assert record.kernels in {kernels.label for kernels in Kernels}


def exif_transpose(image, orientation):
    picture = Image.fromarray(image)
    picture.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(picture))


@pytest.fixture
def turned_folder(tmp_path):
    """A photograph in all orientations, another one whose copy EXIF turns back, and a third; larger copies of two of the first."""
    home = tmp_path / "turned"
    first, second, third = photos()[1:]
    write(home / "a 0.png", first)
    for orientation in range(2, 9):
        write(home / f"a {orientation}.png", exif_transpose(first, orientation))
    write(home / "b 0.png", second)
    as_stored = Image.fromarray(exif_transpose(second, 6)[..., ::-1])
    as_stored.getexif()[0x0112] = 8
    as_stored.save(home / "b by exif.jpg", quality=95, exif=as_stored.getexif())
    write(home / "c.png", third)
    return home


def test_turned_and_mirrored_copies_are_found_only_if_asked_for_and_come_back(turned_folder, store):
    before = contents(turned_folder)
    same = deduplicate(str(turned_folder), store=store)
    assert (same["duplicates"], same["turned_duplicates"], same["moved"]) == (1, 0, 1)
    assert set(tables(store, same)[1]["orientation"]) == {1}
    restore(same["run_id"], store, remember="nothing")
    assert contents(turned_folder) == before

    summary = deduplicate(str(turned_folder), store=store, orientations="all")

    assert (summary["duplicates"], summary["turned_duplicates"], summary["moved"]) == (8, 7, 8)
    images, comparisons, decisions = tables(store, summary)
    decisions = decisions.set_index("FileName")
    assert sorted(path.name for path in turned_folder.glob("*.*")) == ["a 0.png", "b 0.png", "c.png"]
    inverse = {6: 8, 8: 6}
    for orientation in range(2, 9):
        moved = decisions.loc[f"a {orientation}.png"]
        assert (moved["kept_path"], moved["action"]) == (str(turned_folder / "a 0.png"), "moved")
        assert moved["orientation"] == inverse.get(orientation, orientation)
        kept, other = (plain_thumbnail(Path(path)) for path in (moved["kept_path"], moved["NewPath"]))
        assert moved["ssim"] == oracle.score(kept, exif_transpose(other, int(moved["orientation"]))) > 0.99
    assert decisions.loc["b by exif.jpg", "orientation"] == 1
    names = dict(zip(images["image"], images["path"].str.rpartition("/")[2], strict=True))
    among = comparisons[comparisons["image2"].map(names).str.startswith("a ")]
    assert len(among) == 8 * 7 // 2
    record = Run(Path(store), summary["run_id"]).read_record()
    assert record.parameters.orientations == "all"
    assert record.counts["turned_duplicates"] == 7
    assert record.pairs_from is None

    restore(summary["run_id"], store, remember="nothing")
    assert contents(turned_folder) == before
    again, as_it_is = (
        deduplicate(str(turned_folder), store=store, dry_run=True, orientations=one) for one in ("all", "same")
    )
    for run, past in ((again, summary), (as_it_is, same)):
        assert Run(Path(store), run["run_id"]).read_record().pairs_from == past["run_id"]
        assert run["duplicates"] == past["duplicates"]


def test_of_turned_copies_the_largest_is_kept_and_the_others_are_turned_to_match_it(turned_folder, store):
    large = cv2.resize(photos()[1], None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    write(turned_folder / "a 9.png", exif_transpose(large, 6))
    summary = deduplicate(str(turned_folder), store=store, orientations="all", keep="resolution", dry_run=True)
    kept = plain_thumbnail(turned_folder / "a 9.png")
    decisions = tables(store, summary)[2].set_index("FileName").loc[[f"a {number}.png" for number in (0, *range(2, 9))]]
    assert set(decisions["kept_path"]) == {str(turned_folder / "a 9.png")}
    for row in decisions.itertuples():
        turned = exif_transpose(plain_thumbnail(Path(row.FullPath)), int(row.orientation))
        assert row.ssim == pytest.approx(oracle.score(kept, turned), abs=1e-12)
        assert row.ssim > 0.97


def test_a_past_run_with_turned_pictures_is_acted_on_at_another_threshold(turned_folder, store):
    past = deduplicate(str(turned_folder), store=store, orientations="all", dry_run=True)
    summary = apply(past["run_id"], 0.95, store=store)
    assert (summary["moved"], summary["turned_duplicates"]) == (8, 7)
    decided = tables(store, past)[2].merge(tables(store, summary)[2], on="FullPath", suffixes=("_then", "_now"))
    assert decided["orientation_then"].equals(decided["orientation_now"])
    assert decided["ssim_then"].equals(decided["ssim_now"])
    explained = explain_file(Run(Path(store), summary["run_id"]), "a 6.png")
    assert "when turned by 90 degrees counter-clockwise" in explained.verdict


def test_calibration_for_turned_pictures_recommends_a_command_that_finds_them(turned_folder, store):
    answer = calibrate(str(turned_folder), pictures=4, orientations="all", store=store)
    assert answer["orientations"] == "all"
    command = shlex.split(answer["command"])
    assert command[command.index("--orientations") + 1] == "all"
    shown = CliRunner().invoke(app, [*command[1:], "--store", store, "--json"])
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["turned_duplicates"] == 7


def test_the_tables_are_read_by_duckdb_and_pandas_alone(folder, store):
    summary = deduplicate(str(folder), dry_run=True, store=store)
    rows = duckdb.sql(f"SELECT run_id, count(*) FROM '{store}/decisions/**/*.parquet' GROUP BY ALL").fetchall()  # noqa: S608
    assert rows == [(summary["run_id"], 10)]
    frame = pd.read_parquet(f"{store}/decisions")
    assert frame["Duplicate"].sum() == summary["duplicates"]
    record = json.loads((Path(store) / "runs" / summary["run_id"] / "run.json").read_text())
    assert record["status"] == "completed"
    assert record["parameters"]["threshold"] == 0.9
    assert record["funnel"]["pairs"] == summary["pairs"] == 45


def test_the_queries_of_the_documentation_run_on_a_store(folder, store, monkeypatch):
    (folder / "broken.png").touch()
    (folder / "sub" / AWKWARD[0]).with_suffix(".xmp").touch()
    for number, picture in enumerate(sorted(folder.rglob("*.png"))):
        (folder / f"link {number}").symlink_to(picture)
    summary = deduplicate(str(folder), threshold=0.6, audit_floor=-1, store=store, keep="first,companions")
    remember_pairs(Run(Path(store), summary["run_id"]), [(0, 1)], Verdict.NOT_DUPLICATES, Source.DESK)
    monkeypatch.chdir(store)
    page = (Path(__file__).parents[2] / "docs/tables.md").read_text()
    queries = re.search(r"```sql\n(.*?)```", page, re.DOTALL).group(1).split(";")[:-1]
    rows = [len(duckdb.sql(query).fetchall()) for query in queries]
    assert len(rows) == 9
    assert all(count > 0 for number, count in enumerate(rows) if number != 1)


def test_pictures_of_every_kind_are_rows_and_none_stops_the_run(tmp_path, store):
    folder = tmp_path / "kinds"
    rng = np.random.default_rng(1)
    colour = cv2.resize(photos()[0], (90, 60))
    write(folder / "alpha.png", np.dstack([colour, rng.integers(0, 256, (60, 90), np.uint8)]))
    write(folder / "colour.png", colour)
    write(folder / "constant.png", np.full((50, 80, 3), 200, np.uint8))
    write(folder / "deep.png", colour.astype(np.uint16) * 257)
    write(folder / "grey.png", cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY))
    write(folder / "one.png", np.full((1, 1, 3), 9, np.uint8))
    write(folder / "thin.png", rng.integers(0, 256, (5000, 1, 3), np.uint8))
    (folder / "empty.jpg").touch()
    (folder / "text.png").write_text("no picture at all")
    (folder / "truncated.png").write_bytes((folder / "colour.png").read_bytes()[:2000])
    before = contents(folder)
    summary = deduplicate(str(folder), store=store)
    images, _, decisions = tables(store, summary)
    unreadable = decisions.loc[decisions["action"] == "unreadable", "FileName"].tolist()
    assert unreadable == ["empty.jpg", "text.png", "truncated.png"]
    assert summary["errors"] == 3
    assert images["error"].notna().sum() == 3
    assert decisions.loc[decisions["Duplicate"], "FileName"].tolist() == ["deep.png", "grey.png"]
    assert sorted(contents(folder).values()) == sorted(before.values())


@pytest.mark.parametrize("count", [0, 1])
def test_a_folder_with_nothing_to_compare_is_a_run_like_any_other(tmp_path, store, count):
    folder = tmp_path / "few"
    folder.mkdir()
    for number in range(count):
        write(folder / f"{number}.png", photos()[number])
    summary = deduplicate(str(folder), store=store)
    _, comparisons, decisions = tables(store, summary)
    assert (summary["images"], summary["pairs"], summary["moved"]) == (count, 0, 0)
    assert (len(comparisons), len(decisions)) == (0, count)


def test_rethreshold_tells_what_changes_and_refuses_to_guess_below_the_floor(folder, store):
    summary = deduplicate(str(folder), threshold=0.8, dry_run=True, store=store)
    stricter = rethreshold(summary["run_id"], 0.99, store)
    again = deduplicate(str(folder), threshold=0.99, dry_run=True, store=store)
    assert stricter["now"]["duplicate"] == again["duplicates"]
    assert stricter["before"]["duplicate"] == summary["duplicates"]
    assert stricter["changed"] == summary["duplicates"] - again["duplicates"]
    with pytest.raises(StoreError, match=r"0\.7 is below the floor 0\.75"):
        rethreshold(summary["run_id"], 0.7, store)


@pytest.mark.parametrize("sidecars", ["move", "leave"])
def test_what_belongs_to_a_picture_goes_with_it_and_comes_back_with_it(tmp_path, store, sidecars):
    folder = tmp_path / "pictures"
    for name in ("a/b.png", "c/b.png", "kept.png", "Duplicates/c/b.png"):
        write(folder / name, photos()[0] if name != "kept.png" else photos()[1])
    companions = ("c/b.xmp", "c/B.PNG.json", "c/b.MOV", "c/._b.png", "a/b.xmp")
    for name in (*companions, "$RECYCLE.BIN/0.png", "album/Duplicates/b.png", f"album/Duplicates/{MARKER}"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((folder / "c/b.png").read_bytes() if name.endswith("b.png") else name.encode())
    before = contents(folder)

    # Not the one with the most that belongs to it stays, but the first.
    summary = deduplicate(str(folder), store=store, sidecars=sidecars, keep="first,companions")

    after = contents(folder)
    followed = {
        "c/b.xmp": "b (2).xmp",
        "c/B.PNG.json": "b (2).png.json",
        "c/b.MOV": "b (2).MOV",
        "c/._b.png": "._b (2).png",
    }
    new_names = {name: f"Duplicates/c/{new}" for name, new in followed.items() if sidecars == "move"}
    new_names["c/b.png"] = "Duplicates/c/b (2).png"
    assert after == {new_names.get(name, name): digest for name, digest in before.items()}
    assert (summary["moved"], summary["companions"]) == (1, 4 * (sidecars == "move"))
    assert summary["left_out"] == {"Duplicates/": 2, "$RECYCLE.BIN/": 1, "._*": 1}
    run = Run(Path(store), summary["run_id"])
    table = read_table(run.companions, COMPANIONS)
    assert dict(zip(table["path"], table["new_path"], strict=True)) == {
        str(folder / name): str(folder / new_names.get(name, name)) for name in companions
    }
    images = read_table(run.images, IMAGES)
    assert dict(zip(images["path"].str.removeprefix(f"{folder}/"), images["companions"], strict=True)) == {
        "a/b.png": 1, "c/b.png": 3, "kept.png": 0
    }  # fmt: skip
    assert explain_file(run, "c/b.MOV").decision["FullPath"] == str(folder / "c/b.png")

    restored = restore(summary["run_id"], store)
    assert (restored["restored"], restored["companions"], restored["not_restored"]) == (1, summary["companions"], {})
    assert contents(folder) == before


def test_apply_moves_on_a_past_runs_scores_what_is_still_the_same(folder, store):
    past = deduplicate(str(folder), threshold=0.99, dry_run=True, store=store)
    expected = deduplicate(str(folder), threshold=0.95, dry_run=True, store=store)
    (folder / "sub" / AWKWARD[3]).write_bytes(b"another picture now")
    (folder / "0.png").touch()
    (folder / "sub" / f"{AWKWARD[0]}.xmp").write_text("came after the run")
    before = contents(folder)
    summary = apply(past["run_id"], 0.95, store=store)
    _, comparisons, decisions = tables(store, summary)
    changed = decisions.loc[decisions["reason"].str.startswith("changed since"), "FileName"].tolist()
    assert changed == ["0.png", AWKWARD[3]]
    # Without 0.png its three copies match the first of them.
    assert summary["moved"] == expected["duplicates"] - 2
    deciding = decisions[decisions["kept_image"].notna()]
    verified = comparisons[comparisons["verified"]][["image1", "image2"]].to_numpy().tolist()
    assert all(sorted(pair) in verified for pair in deciding[["image", "kept_image"]].to_numpy().tolist())
    restore(summary["run_id"], store)
    assert contents(folder) == before


def test_reduced_decoding_is_recorded_and_every_score_comes_of_it(tmp_path, store):
    """Pillow's own libjpeg tells what a reduced picture is. The second score is verified by decoding the files again."""
    for number, image in enumerate(photos()[:2]):
        for name, shown in (("a", image), ("b", cv2.convertScaleAbs(image, alpha=1.1, beta=9))):
            write(tmp_path / "pictures" / f"{number}{name}.jpg", np.ascontiguousarray(shown[:288, :432]))
    given = {"size": 64, "decoding": "reduced", "dry_run": True, "store": store}
    past = deduplicate(str(tmp_path / "pictures"), threshold=0.99, **PLAIN, **given)
    expected, full = (
        oracle.all_scores([reduced_thumbnail(path, by, size=64) for path in tables(store, past)[0]["path"]])
        for by in (2, 1)
    )
    summary = apply(past["run_id"], 0.5, store=store)
    for run_id in (past["run_id"], summary["run_id"]):
        assert Run(Path(store), run_id).read_record().parameters.decoding == "reduced"
    images, comparisons, decisions = tables(store, summary)
    assert images[["width_px", "height_px"]].drop_duplicates().to_numpy().tolist() == [[432, 288]]
    for row in comparisons.itertuples():
        assert row.ssim == pytest.approx(expected[row.image1, row.image2], abs=1e-5)
        assert row.ssim != pytest.approx(full[row.image1, row.image2], abs=1e-5)
    assert decisions["Duplicate"].sum() == 2
    assert comparisons["verified"].sum() >= 2


def reduced_thumbnail(path, by, size):
    with Image.open(path) as picture:
        picture.draft("RGB", (picture.width // by, picture.height // by))
        return cv2.resize(np.asarray(picture)[..., ::-1], (size, size), interpolation=cv2.INTER_AREA)


def test_calibrate_recommends_a_command_that_works(folder, store):
    before = contents(folder)
    answer = calibrate(str(folder), pictures=4, store=store)
    assert contents(folder) == before
    assert -1 <= answer["threshold"] <= 1
    assert 0 < answer["recall"] <= 1
    assert Path(answer["page"]).read_text().count("<svg") >= 3
    assert not (Path(answer["page"]).parent / "workspace").exists()
    command = shlex.split(answer["command"])
    shown = CliRunner().invoke(app, [*command[1:], "--store", store, "--json"])
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["moved"] == 0


def test_two_runs_on_one_folder_exclude_each_other(folder, store):
    with storage_of(folder).lock(folder, "run of a test"), pytest.raises(FolderBusyError, match="run of a test"):
        deduplicate(str(folder), store=store)


def test_a_folder_that_is_not_there_is_refused(tmp_path, store):
    with pytest.raises(ParameterError, match="does not exist"):
        deduplicate(str(tmp_path / "nowhere"), store=store)
    assert not Path(store).exists()


def test_folders_outside_the_allowed_roots_are_refused(folder, store, tmp_path, monkeypatch):
    monkeypatch.setenv("IMAGETWINS_ROOTS", str(tmp_path / "elsewhere"))
    with pytest.raises(ParameterError, match="elsewhere"):
        deduplicate(str(folder), store=store)


def test_a_killed_run_is_recovered_by_the_next(folder, store):
    summary = deduplicate(str(folder), store=store)
    run = Run(Path(store), summary["run_id"])
    # As a kill after the moves and before the tables were written would leave it.
    decisions = read_table(run.decisions, DECISIONS)
    moved = decisions["action"] == "moved"
    decisions.loc[moved, "action"] = "would move"
    decisions["NewPath"] = decisions["FullPath"]
    write_table(decisions, DECISIONS, run.decisions / "part-0.parquet")
    with run.editing_record() as record:
        record.status = RunStatus.RUNNING
    deduplicate(str(folder), store=store)
    recovered = read_table(run.decisions, DECISIONS)
    assert run.read_record().status == "interrupted"
    assert recovered["action"].tolist() == ["moved" if row else "kept" for row in moved]
    assert all(Path(path).exists() for path in recovered["NewPath"])


def test_a_run_publishes_one_artifact_a_kind(folder, store):
    summary = deduplicate(str(folder), store=store)
    run = Run(Path(store), summary["run_id"])
    with get_client(sync_client=True) as client:
        chosen = FlowRunFilter(id={"any_": [run.read_record().flow_run_id]})
        found = {artifact.key: artifact.data for artifact in client.read_artifacts(flow_run_filter=chosen)}
    kinds = ("summary", "gallery", "decisions")
    assert set(found) == {f"imagetwins-{kind}" for kind in kinds}
    assert f"The report: `{run.report}`" in found["imagetwins-summary"]
    assert f"imagetwins restore {run.run_id}" in found["imagetwins-summary"]
    assert found["imagetwins-gallery"].count("data:image/") == 2 * summary["duplicates"]
    assert len(json.loads(found["imagetwins-decisions"])) == summary["duplicates"]


def test_the_command_line_prints_one_json_object(folder, store):
    shown = CliRunner().invoke(
        app, ["run", str(folder), "--store", store, "--json", "--threshold", "0.95", "--dry-run"]
    )
    assert shown.exit_code == 0, shown.output
    answer = json.loads(shown.stdout)
    numbers = ["status", "not_moved", "companions_not_moved", "not_moved_why"]
    numbers += ["images", "pairs", "scored", "matches", "duplicates", "turned_duplicates", "moved", "companions"]
    numbers += ["review", "errors", "not_read", "too_small", "remembered", "remembered_review", "other_shots"]
    assert list(answer) == ["run_id", *numbers, "left_out", "dangling_links", "seconds", "total_seconds"]
    assert list(answer["seconds"]) == ["list", "lookup", "load", "plan", "score", "decide", "move", "report"]
    audit = CliRunner().invoke(app, ["audit", answer["run_id"], "--store", store, "--json"])
    assert json.loads(audit.stdout)["record"]["parameters"]["threshold"] == 0.95


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["run", "{folder}", "--threshold", "1.5"], 2, "threshold=1.5"),
        (["run", "{folder}/nowhere"], 2, "does not exist"),
        (["run", "{folder}", "--keep", "best"], 2, "best"),
        (["restore", "no-such-run", "--store", "{folder}"], 1, "no run 'no-such-run'"),
        (["run", "{folder}", "--exclude", "!"], 2, "exclude="),
        (["run", "{folder}", "--formats", "tga"], 2, "unknown format 'tga'"),
        (["run", "{folder}", "--min-bytes", "1 elephant"], 2, "min_bytes='1 elephant'"),
        (["run", "{folder}", "--store", "{folder}/0.png"], 2, "is a file"),
        (["audit", "--threshold", "0.8"], 2, "latest"),
    ],
)
def test_wrong_use_ends_with_a_code_and_a_remedy(folder, arguments, code, says):
    shown = CliRunner().invoke(app, [part.format(folder=folder) for part in arguments])
    assert shown.exit_code == code
    assert says in shown.output
