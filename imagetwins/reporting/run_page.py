"""A run as one HTML file that people can look at, keep and hand on: built from the tables and the pictures alone.

The page holds the pictures it shows, and loads nothing. To keep it below 20 MB, pictures get smaller the more there are,
and the least doubtful pairs are listed without theirs once `PICTURE_BUDGET` is spent; the page says so.
"""

import math
import shlex
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow.compute as pc
from markupsafe import Markup
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from imagetwins import ssim
from imagetwins.config.parameters import Parameters
from imagetwins.decoding.model import DecodeSettings
from imagetwins.reporting.advice import RULES, advise_keep
from imagetwins.reporting.html import render_page, to_webp
from imagetwins.reporting.plots import plot_histogram
from imagetwins.scanning.thumbnails import find_file, read_square
from imagetwins.storage import Location, storage_of
from imagetwins.store.record import RunRecord, Stage
from imagetwins.store.runs import Run
from imagetwins.store.schemas import COMPARISONS, DECISIONS, IMAGES, Action
from imagetwins.store.tables import read_table
from imagetwins.text import describe_left_out, pluralize, shorten_path

PICTURE_BUDGET = 11_000_000
"""Bytes of base64 that the pictures of a page may take; what is left of 20 MB holds 10,000 duplicates' names and scores."""

PICTURE_SIDES = ((400, 256), (2_500, 160), (math.inf, 72))
"""Up to so many pictures, each is so many pixels wide and high. They are square, as compared; the page stretches them."""

MAX_MAPS = 600
MAP_SIDE = 100
MAX_NEAR_MISSES = 200
MAX_LEFT_ALONE = 1_000
READ_AT_ONCE = 128

FAINTEST, DEEPEST = (0, 176, 255), (102, 0, 255)
"""Colours (blue, green, red) of the difference map: amber where SSIM is just below 1, magenta where it is 0 or less."""

MOVES = (Action.MOVED, Action.WOULD_MOVE)

Sections = dict[str, list["Pair"]]


@dataclass(frozen=True)
class Pair:
    """A picture that stays (or, for near misses, the first one), another one, and what is between them."""

    kept: int
    other: int
    ssim: float
    detail_ssim: float | None
    local_ssim: float | None
    action: str
    reason: str


@dataclass(frozen=True)
class Tables:
    """What a run left in the store. Row i of images and decisions is image i."""

    record: RunRecord
    images: pd.DataFrame
    decisions: pd.DataFrame
    comparisons: pd.DataFrame

    @property
    def parameters(self) -> Parameters:
        return self.record.parameters


@dataclass(frozen=True)
class Pictures:
    """The pictures of a page, WebP as base64; which belongs to which image or pair; and the file of each image, where there is one."""

    encoded: list[str]
    of_image: dict[int, int]
    maps: list[str]
    of_pair: dict[tuple[int, int], int]
    files: dict[int, Location]


def build_report(run: Run) -> Location:
    """Write `report.html` of a run whose files are decided, and return its path.

    Raises:
        StoreError: the run's tables are missing or were pruned.
    """
    record = run.read_record()
    pairs = read_table(run.comparisons, COMPARISONS, where=pc.field("ssim") >= record.floor)
    tables = Tables(record, read_table(run.images, IMAGES), read_table(run.decisions, DECISIONS), pairs)
    sections = plan_sections(tables.decisions, pairs, record.parameters.threshold)
    page = _render(run, tables, sections, _collect_pictures(sections, tables))
    with storage_of(run.report).writing(run.report) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="replace")
    return run.report


# -- what is on the page ---------------------------------------------------------------------------------------------


def plan_sections(decisions: pd.DataFrame, pairs: pd.DataFrame, threshold: float) -> Sections:
    """Return the pairs to show: for review, near misses, duplicates, and those that stayed; the most doubtful first."""
    decided = decisions[decisions["kept_image"].notna()].sort_values("ssim", kind="stable")
    rows = [
        Pair(
            int(row.kept_image),
            int(row.image),
            float(row.ssim),
            _optional(row.detail_ssim),
            _optional(row.local_ssim),
            row.action,
            row.reason,
        )
        for row in decided.itertuples()
    ]
    return {
        "review": [pair for pair in rows if pair.action == Action.REVIEW],
        "near": _find_near_misses(decisions, pairs, threshold),
        "duplicates": [pair for pair in rows if pair.action in MOVES],
        "stayed": [pair for pair in rows if pair.action == Action.NOT_MOVED],
    }


def _find_near_misses(decisions: pd.DataFrame, pairs: pd.DataFrame, threshold: float) -> list[Pair]:
    """Return the best pairs below the threshold: one of any two groups, none within a group."""
    group = decisions["kept_image"].fillna(decisions["image"]).to_numpy(np.int64)
    near = pairs[pairs["ssim"] < threshold].sort_values("ssim", ascending=False, kind="stable")
    ends = np.sort(group[near[["image1", "image2"]].to_numpy(np.int64)], axis=1)
    first_of_groups = ~pd.DataFrame(ends).duplicated().to_numpy() & (ends[:, 0] != ends[:, 1])
    return [
        Pair(
            int(row.image1),
            int(row.image2),
            float(row.ssim),
            _optional(row.detail_ssim),
            _optional(row.local_ssim),
            "",
            f"{threshold - row.ssim:.4f} below the threshold {threshold:g}.",
        )
        for row in near[first_of_groups].head(MAX_NEAR_MISSES).itertuples()
    ]


def _optional(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)


# -- pictures --------------------------------------------------------------------------------------------------------


def _collect_pictures(sections: Sections, tables: Tables) -> Pictures:
    """Read the pictures, the most doubtful pairs first, until the budget is spent."""
    pairs = [pair for section in sections.values() for pair in section]
    wanted = list(dict.fromkeys(image for pair in pairs for image in (pair.kept, pair.other)))
    files = {image: file for image in wanted if (file := find_file(tables.images, tables.decisions, image))}
    side = next(side for count, side in PICTURE_SIDES if len(wanted) <= count)
    settings = DecodeSettings(side, decoding=tables.parameters.decoding)
    digests = {image: tables.images["digest"].iat[image] for image in files}
    sources = {digests[image]: files[image] for image in reversed(files)}  # Copies byte by byte share a picture.
    with ThreadPoolExecutor() as pool:
        encoded = _spend_budget(
            pool, [(digest, sources[digest]) for digest in dict.fromkeys(digests.values())], settings
        )
        position = {digest: number for number, digest in enumerate(encoded)}
        pictured = {image: position[digest] for image, digest in digests.items() if digest in position}
        drawn = _draw_maps(pool, [pair for pair in pairs if {pair.kept, pair.other} <= pictured.keys()], files, tables)
    return Pictures(
        list(encoded.values()), pictured, list(drawn.values()), {pair: n for n, pair in enumerate(drawn)}, files
    )


def _spend_budget(
    pool: ThreadPoolExecutor, sources: list[tuple[str, Location]], settings: DecodeSettings
) -> dict[str, str]:
    """Return the pictures of as many of `sources` (digest, file) as fit, in their order, by digest."""
    encoded: dict[str, str] = {}
    spent = 0
    for start in range(0, len(sources), READ_AT_ONCE):
        batch = sources[start : start + READ_AT_ONCE]
        pictures = pool.map(lambda source: _encode_picture(source[1], settings), batch)
        for (digest, _), picture in zip(batch, pictures, strict=True):
            spent += len(picture or "")
            if spent > PICTURE_BUDGET:
                return encoded
            if picture:
                encoded[digest] = picture
    return encoded


def _encode_picture(file: Location, settings: DecodeSettings) -> str | None:
    pixels = read_square(file, settings)
    return None if pixels is None else to_webp(pixels)


def _draw_maps(
    pool: ThreadPoolExecutor, pairs: list[Pair], files: dict[int, Location], tables: Tables
) -> dict[tuple[int, int], str]:
    """Return the difference maps of the first `MAX_MAPS` pairs; none for a pair whose files changed or vanished."""
    settings = tables.parameters.decode_settings

    def draw(pair: Pair) -> str | None:
        first, second = (read_square(files[image], settings) for image in (pair.kept, pair.other))
        return None if first is None or second is None else to_webp(draw_difference(first, second))

    chosen = pairs[:MAX_MAPS]
    return {(pair.kept, pair.other): drawn for pair, drawn in zip(chosen, pool.map(draw, chosen), strict=True) if drawn}


def draw_difference(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return where two thumbnails differ, as an image to lay over them.

    Args:
        first, second: (size, size, 3) uint8.

    Returns:
        (MAP_SIDE, MAP_SIDE, 4) uint8, blue, green, red, alpha: transparent where scikit-image's SSIM map, averaged over
        the channels, is 1; opaque where it is 0 or less.
    """
    _, full = structural_similarity(first, second, channel_axis=-1, full=True)  # type: ignore[no-untyped-call]
    depth = np.clip(1 - full.mean(axis=-1), 0, 1)[..., None]
    colour = (1 - depth) * np.array(FAINTEST) + depth * np.array(DEEPEST)
    # The square root shows small differences, which are what one looks for.
    drawn = np.concatenate([colour, 255 * np.sqrt(depth)], axis=-1).astype(np.uint8)
    return np.asarray(cv2.resize(drawn, (MAP_SIDE, MAP_SIDE), interpolation=cv2.INTER_AREA), np.uint8)


# -- the page --------------------------------------------------------------------------------------------------------


def _render(run: Run, tables: Tables, sections: Sections, pictures: Pictures) -> str:
    record, counts = tables.record, tables.record.counts
    parameters = record.parameters.model_dump()
    quoted, store = shlex.quote(run.run_id), shlex.quote(str(storage_of(run.store).absolute(run.store)))
    threshold = f"{parameters['threshold']:g}"
    tabs = _plan_tabs(sections, tables)
    return render_page(
        "report.html.j2",
        version=record.version,
        record=record,
        parameters=parameters,
        counts=counts,
        folder=parameters["folder"],
        headline=_headline(counts, record.parameters.location),
        created=f"{record.created:%Y-%m-%d %H:%M:%S} UTC",
        changed=_changed_parameters(record.parameters),
        left_out=describe_left_out(record.left_out),
        left_alone=_left_alone(tables.decisions),
        limit_left_alone=MAX_LEFT_ALONE,
        freed=int(tables.images["size_bytes"].to_numpy()[[pair.other for pair in sections["duplicates"]]].sum()),
        stored=len(tables.comparisons),
        near_misses=_count_near(tables),
        total_seconds=sum(seconds for stage, seconds in record.seconds.items() if stage is not Stage.REPORT),
        undo=f"imagetwins restore {quoted} --store {store}",
        approve=f"imagetwins approve {quoted} --store {store}",
        rule=RULES[record.parameters.rule],
        advice=advise_keep(record),
        act=f"imagetwins apply {quoted} --threshold {threshold} --store {store}",
        commands=[
            f"imagetwins audit {quoted} --why FILE",
            f"imagetwins audit {quoted} --pair FILE FILE",
            f"imagetwins audit {quoted} --threshold 0.95",
            f"imagetwins report {quoted}",
        ],
        funnel=_plan_funnel(record, counts, len(tables.comparisons)),
        histogram=Markup(plot_histogram(tables.comparisons["ssim"], parameters["threshold"], record.floor)),  # noqa: S704
        tabs=tabs,
        omitted=_describe_omitted(sections, pictures),
        data=_plan_data(tables, sections, pictures, tabs),
    )


def _headline(counts: Mapping[str, int], folder: Location) -> str:
    found = counts["duplicates"]
    what = pluralize(found, "duplicate") if found else "No duplicates"
    return f"{what} in {folder.name or folder}"


def _changed_parameters(parameters: Parameters) -> list[tuple[str, str]]:
    """Return the parameters that are not the defaults, but for those that the page shows elsewhere."""
    return [
        (name.replace("_", " "), "" if value is True else str(value))
        for name, value in parameters.changed.items()
        if name not in {"threshold", "store"}
    ]


def _left_alone(decisions: pd.DataFrame) -> list[tuple[str, str]]:
    rows = decisions[
        (decisions["action"] == Action.UNREADABLE)
        | ((decisions["action"] == Action.NOT_MOVED) & decisions["kept_image"].isna())
    ]
    return list(zip(rows["FullPath"], rows["reason"], strict=True))


def _plan_funnel(record: RunRecord, counts: Mapping[str, int], stored: int) -> list[dict[str, Any]]:
    """Return the steps from all pairs to duplicates, each with its number of pairs and its bar's width in percent."""
    labels = ssim.stage_labels()
    stages = {name: pairs for name, pairs in record.funnel.items() if name not in ssim.TOTALS and pairs}
    steps = [("all pairs", counts["pairs"], "")]
    steps += [(labels.get(name, name.replace("_", " ")), pairs, "") for name, pairs in stages.items()]
    steps += [
        (f"stored: {record.floor:g} or more", stored, "kept"),
        (f"matches: {record.parameters.threshold:g} or more", counts["matches"], "copy"),
        ("duplicates", counts["duplicates"], "copy"),
    ]
    scale = 100 / math.log1p(max(1, counts["pairs"]))
    return [
        {"stage": name, "pairs": pairs, "kind": kind, "width": round(scale * math.log1p(pairs), 2)}
        for name, pairs, kind in steps
    ]


def _count_near(tables: Tables) -> int:
    return int((tables.comparisons["ssim"] < tables.parameters.threshold).sum())


def _plan_tabs(sections: Sections, tables: Tables) -> list[dict[str, Any]]:
    """Return the tabs of the gallery; "stayed" only where there is something in it."""
    near = (
        f"Of {_count_near(tables):,} pairs below the threshold {tables.parameters.threshold:g}, the best between any "
        "two groups: what a lower threshold would find first."
    )
    texts = {
        "duplicates": (
            "Duplicates",
            "Each row: the picture that stays, then its copies. Click a picture to see where the two differ.",
            "No two pictures of this folder match.",
        ),
        "review": ("Review", "Matches in doubt: nothing was moved. Look at them.", "No match is in doubt."),
        "near": ("Near misses", near, "No pair lies between the floor and the threshold."),
        "stayed": ("Not moved", "Duplicates that stayed where they were, and why.", ""),
    }
    return [
        {
            "key": key,
            "title": title,
            "note": note,
            "empty": empty,
            "count": len(sections[key]),
            "sort": "high" if key == "near" else "low",
        }
        for key, (title, note, empty) in texts.items()
        if key != "stayed" or sections[key]
    ]


def _describe_omitted(sections: Sections, pictures: Pictures) -> str:
    """Return what the page leaves out to stay small, "" if nothing."""
    pairs = [pair for section in sections.values() for pair in section]
    images = {image for pair in pairs for image in (pair.kept, pair.other)}
    hidden = len([image for image in images if image in pictures.files and image not in pictures.of_image])
    unmapped = len(pairs) - len(pictures.maps)
    parts = [f"{hidden:,} pictures"] if hidden else []
    parts += [f"{unmapped:,} difference maps"] if unmapped > 0 and len(pairs) > MAX_MAPS else []
    return f"To keep this page small it leaves out {' and '.join(parts)} of the least doubtful pairs." if parts else ""


def _plan_data(tables: Tables, sections: Sections, pictures: Pictures, tabs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the page's script draws from: images by position, groups of pairs by tab, pictures by position."""
    shown = dict.fromkeys(image for pairs in sections.values() for pair in pairs for image in (pair.kept, pair.other))
    position = {image: number for number, image in enumerate(shown)}
    return {
        "base": storage_of(tables.parameters.location).to_uri(tables.parameters.location),
        "images": [_plan_image(tables, pictures, image) for image in shown],
        "pictures": pictures.encoded,
        "maps": pictures.maps,
        "tabs": [
            {key: tab[key] for key in ("key", "note", "empty", "sort")}
            | {"groups": _plan_groups(sections[tab["key"]], position, pictures)}
            for tab in tabs
        ],
    }


def _plan_image(tables: Tables, pictures: Pictures, image: int) -> list[Any]:
    """Return the fields that `FIELDS` in report.js names; what the script can tell from others is left out."""
    folder = tables.parameters.folder
    path, file = tables.images["path"].iat[image], pictures.files.get(image)
    # A run that was undone has its files back where they were.
    now = path if str(file) == path else tables.decisions["NewPath"].iat[image]
    is_plain = file is not None and str(file) == now and now != shorten_path(now, folder)
    return [
        shorten_path(path, folder),
        None if now == path else shorten_path(now, folder),
        "" if is_plain else storage_of(file).to_uri(file) if file else None,
        *(int(tables.images[name].iat[image]) for name in ("size_bytes", "width_px", "height_px")),
        tables.images["format"].iat[image],
        pictures.of_image.get(image),
    ]


def _plan_groups(pairs: list[Pair], position: dict[int, int], pictures: Pictures) -> list[Any]:
    """Return the pairs by the picture that stays: [kept, [[image, three scores, action, reason, map], ...]]."""
    groups: dict[int, list[Any]] = {}
    for pair in pairs:
        drawn = pictures.of_pair.get((pair.kept, pair.other))
        reason = "" if pair.action in MOVES else pair.reason  # Of a move it says what the page shows.
        scores = [
            None if score is None else round(score, 6) for score in (pair.ssim, pair.detail_ssim, pair.local_ssim)
        ]
        member = [position[pair.other], *scores, pair.action, reason, drawn]
        groups.setdefault(position[pair.kept], []).append(member)
    return [[kept, members] for kept, members in groups.items()]
