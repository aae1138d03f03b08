"""A run as one HTML file that people can look at, keep and hand on: built from the tables and the thumbnails alone.

The page holds the pictures it shows, and loads nothing. To keep it below 20 MB, pictures get smaller the more there are,
and the least doubtful pairs are listed without theirs where that is not enough; the page says so. Where two pictures
differ is computed by the page's script, from its own pictures, when somebody wants to see it.
"""

import itertools
import math
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from imagetwins import ssim
from imagetwins.config.layout import MAX_NAMES, Layout
from imagetwins.config.parameters import Parameters
from imagetwins.matching.orientation import read_orientations
from imagetwins.matching.recall import NOBODY, Recall
from imagetwins.matching.restriction import find_excluded
from imagetwins.matching.shots import Shots, find_other_shots
from imagetwins.moving.asides import note_asides
from imagetwins.moving.refusals import describe_refusals
from imagetwins.orientation import AS_IT_IS
from imagetwins.progress import Progress, no_progress
from imagetwins.reasons import HINTS, ReasonCode
from imagetwins.reporting.advice import (
    RULES,
    advise_keep,
    describe_not_read,
    describe_orientations,
    describe_remembered,
    describe_restriction,
    describe_shots,
    describe_small,
)
from imagetwins.reporting.histogram import plan_histogram
from imagetwins.reporting.html import render_page
from imagetwins.reporting.links import describe_dangling, find_dangling
from imagetwins.reporting.pictures import Pictures, collect_pictures
from imagetwins.scanning.thumbnails import FilePlaces, Missing, RunThumbnails
from imagetwins.storage import Location, storage_of
from imagetwins.store.memory import read_memory
from imagetwins.store.record import RunRecord, RunStatus, Stage
from imagetwins.store.runs import Run
from imagetwins.store.schemas import COMPARISONS, DECISIONS, IMAGES, Action
from imagetwins.store.tables import read_table
from imagetwins.text import ORIENTATIONS, describe_left_out, pluralize

SCORES = pa.schema(
    [COMPARISONS.field(name) for name in ("image1", "image2", "ssim", "detail_ssim", "local_ssim", "orientation")]
)
"""The columns of a pair that the page shows: a table may hold millions of pairs."""

MAX_NEAR_MISSES = 200
MAX_LEFT_ALONE = 1_000

LOOK_AT_ONCE = 16
"""Files whose places are asked for at the same time: in a bucket, each is a request."""

LOOKED_FOR_IN_TURN = 32
"""Files that a thread asks for: one on a disk is found in less time than it takes to ask a thread."""

NANOSECONDS = 10**9

CHOICES_NAME = "choices.json"
"""What the page calls the file that it saves."""

MOVES = (Action.MOVED, Action.WOULD_MOVE)

Sections = dict[str, list["Pair"]]


class Pair(NamedTuple):
    """A picture that stays (or, for near misses, the first one), another one, and what is between them.

    `orientation` is EXIF's number that turns the other one to match; `reason_code` is "" where the table has none.
    """

    kept: int
    other: int
    ssim: float
    detail_ssim: float | None
    local_ssim: float | None
    action: str
    reason: str
    reason_code: str
    orientation: int


@dataclass(frozen=True)
class Tables:
    """What a run left in the store. Row i of images and decisions is image i; of the pairs only the scores are read.

    Pairs that the run excludes from its matches (`matching.restriction`) are left out.
    """

    record: RunRecord
    images: pd.DataFrame
    decisions: pd.DataFrame
    comparisons: pd.DataFrame

    @property
    def parameters(self) -> Parameters:
        return self.record.parameters


def build_report(run: Run) -> Location:
    """Write `report.html` of a past run, its files as they are now, and return its path.

    Raises:
        StoreError: the run's tables are missing or were pruned.
    """
    tables = _follow_moves(run, read_tables(run))
    thumbnails = RunThumbnails(run, tables.parameters, tables.images, tables.decisions)
    return write_report(run, tables, thumbnails, look=True)


def _follow_moves(run: Run, tables: Tables) -> Tables:
    """Return the tables with the new paths of files that other runs have moved since, as those that act on this run's scores do."""
    decided = tables.decisions[tables.decisions["kept_image"].notna()]
    shown = sorted({*decided["image"].astype(int), *decided["kept_image"].astype(int)})
    names = _find_names(FilePlaces(tables.images, tables.decisions), shown)
    lost = [image for image, name in zip(shown, names, strict=True) if name is None]
    return replace(tables, decisions=note_asides(run.store, tables.images, tables.decisions, lost))


def read_tables(run: Run) -> Tables:
    """Return what the report of `run`, whose files are decided, is made of.

    Raises:
        StoreError: the run's tables are missing or were pruned.
    """
    record = run.read_record()
    pairs = read_table(run.comparisons, SCORES, where=pc.field("ssim") >= record.floor)
    images = read_table(run.images, IMAGES)
    pairs = pairs[~find_excluded(pairs, images, record.parameters)]
    return Tables(record, images, read_table(run.decisions, DECISIONS), pairs)


def write_report(
    run: Run, tables: Tables, thumbnails: RunThumbnails, *, look: bool = False, progress: Progress = no_progress
) -> Location:
    """Write `report.html` of a run and return its path.

    Args:
        run: the run.
        tables: what it decided.
        thumbnails: its pictures.
        look: whether to ask where each file is now; a run that has just moved them knows. In a bucket each is a request.
        progress: called with the pictures that are ready, of all.
    """
    sections = plan_sections(tables.decisions, _drop_apart(run, tables), tables.parameters.threshold)
    shown = list(dict.fromkeys(image for pair in _iter_all(sections) for image in (pair.kept, pair.other)))
    pictures = collect_pictures(thumbnails, shown, progress)
    page = _render(run, tables, sections, pictures, _plan_images(tables, thumbnails.places, pictures, shown, look=look))
    with storage_of(run.report).writing(run.report) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="replace")
    return run.report


def _drop_apart(run: Run, tables: Tables) -> pd.DataFrame:
    """Return the pairs that may be near misses: no person said that they are no duplicates, nor does their EXIF where that counts."""
    pairs = tables.comparisons
    said = Recall(read_memory(run.store), tables.images).find_apart(
        *(pairs[name].to_numpy(np.int64) for name in ("image1", "image2"))
    )
    pairs = pairs[said == NOBODY]
    if not tables.parameters.keeps_shots:
        return pairs
    return pairs[[why is None for why in find_other_shots(pairs, Shots(tables.images))]]


# -- what is on the page ---------------------------------------------------------------------------------------------


def plan_sections(decisions: pd.DataFrame, pairs: pd.DataFrame, threshold: float) -> Sections:
    """Return the pairs to show: for review, near misses, duplicates, and those that stayed; the most doubtful first."""
    decided = decisions[decisions["kept_image"].notna()].sort_values("ssim", kind="stable")
    told = [decided["action"].tolist(), decided["reason"].tolist(), decided["reason_code"].fillna("").tolist()]
    rows = list(_iter_pairs(decided, "kept_image", "image", *told))
    return {
        "review": [pair for pair in rows if pair.action == Action.REVIEW],
        "near": _find_near_misses(decisions, pairs, threshold),
        "duplicates": [pair for pair in rows if pair.action in MOVES],
        "stayed": [pair for pair in rows if pair.action == Action.NOT_MOVED],
    }


def _iter_pairs(
    rows: pd.DataFrame, kept: str, other: str, actions: Sequence[str], reasons: Sequence[str], codes: Sequence[str]
) -> Iterator[Pair]:
    """Yield a pair for each row, of the images in the columns `kept` and `other`."""
    images = (rows[name].to_numpy(np.int64).tolist() for name in (kept, other))
    detail, local = (
        [None if missing else score for score, missing in zip(rows[name].tolist(), rows[name].isna(), strict=True)]
        for name in ("detail_ssim", "local_ssim")
    )
    told = actions, reasons, codes, read_orientations(rows).tolist()
    columns = (*images, rows["ssim"].tolist(), detail, local, *told)
    return itertools.starmap(Pair, zip(*columns, strict=True))


def _iter_all(sections: Sections) -> Iterator[Pair]:
    return itertools.chain.from_iterable(sections.values())


def _find_near_misses(decisions: pd.DataFrame, pairs: pd.DataFrame, threshold: float) -> list[Pair]:
    """Return the best pairs below the threshold: one of any two groups, none within a group."""
    group = decisions["kept_image"].fillna(decisions["image"]).to_numpy(np.int64)
    near = pairs[pairs["ssim"] < threshold].sort_values("ssim", ascending=False, kind="stable")
    ends = np.sort(group[near[["image1", "image2"]].to_numpy(np.int64)], axis=1)
    first_of_groups = ~pd.DataFrame(ends).duplicated().to_numpy() & (ends[:, 0] != ends[:, 1])
    best = near[first_of_groups].head(MAX_NEAR_MISSES)
    reasons = [f"{threshold - score:.4f} below the threshold {threshold:g}." for score in best["ssim"]]
    return list(_iter_pairs(best, "image1", "image2", [""] * len(best), reasons, [""] * len(best)))


# -- the page --------------------------------------------------------------------------------------------------------


def _render(run: Run, tables: Tables, sections: Sections, pictures: Pictures, images: Mapping[int, list[Any]]) -> str:
    record, counts = tables.record, tables.record.counts
    parameters, layout = record.parameters.model_dump(), record.parameters.layout
    quoted, store = shlex.quote(run.run_id), shlex.quote(str(storage_of(run.store).absolute(run.store)))
    threshold = f"{parameters['threshold']:g}"
    verb = "approve" if record.status is RunStatus.WAITING else "apply"
    tabs = _plan_tabs(sections, tables)
    return render_page(
        "report.html.j2",
        version=record.version,
        record=record,
        parameters=parameters,
        counts=counts,
        folder=layout.path,
        asides=list(
            map(str, layout.find_used(tables.decisions.loc[tables.decisions["action"] == Action.MOVED, "NewPath"]))
        ),
        headline=_headline(counts, layout),
        created=f"{record.created:%Y-%m-%d %H:%M:%S} UTC",
        changed=_changed_parameters(record.parameters),
        left_out=describe_left_out(record.left_out),
        small=describe_small(record),
        not_read=describe_not_read(tables.decisions),
        left_alone=_left_alone(tables.decisions),
        limit_left_alone=MAX_LEFT_ALONE,
        dangling=(dangling := find_dangling(run)),
        describe_dangling=describe_dangling(dangling, record),
        all_links=f"imagetwins audit {quoted} --json --store {store}",
        shorten=layout.shorten,
        freed=int(tables.images["size_bytes"].to_numpy()[[pair.other for pair in sections["duplicates"]]].sum()),
        stored=len(tables.comparisons),
        near_misses=_count_near(tables),
        total_seconds=sum(seconds for stage, seconds in record.seconds.items() if stage is not Stage.REPORT),
        undo=f"imagetwins restore {quoted} --store {store}",
        approve=f"imagetwins approve {quoted} --store {store}",
        rule=RULES[record.parameters.rule],
        orientations=describe_orientations(record),
        restriction=describe_restriction(record),
        shots=describe_shots(record),
        remembered=describe_remembered(record),
        advice=advise_keep(record),
        refused=describe_refusals(record),
        act=f"imagetwins apply {quoted} --threshold {threshold} --store {store}",
        commands=[
            f"imagetwins audit {quoted} --why FILE",
            f"imagetwins audit {quoted} --pair FILE FILE",
            f"imagetwins audit {quoted} --threshold 0.95",
            f"imagetwins report {quoted}",
        ],
        funnel=_plan_funnel(record, counts, len(tables.comparisons)),
        histogram=plan_histogram(tables.comparisons["ssim"], parameters["threshold"], record.floor),
        tabs=tabs,
        omitted=_describe_omitted(pictures, images),
        data=_plan_data(tables, sections, pictures, images, tabs)
        | {
            "run": run.run_id,
            "leave": f"imagetwins {verb} {quoted} --choices {CHOICES_NAME} --store {store}",
            "review": f"imagetwins review {quoted} --store {store}",
            "memory": f"imagetwins memory list --store {store}",
        },
    )


def _headline(counts: Mapping[str, int], layout: Layout) -> str:
    found = counts["duplicates"]
    what = pluralize(found, "duplicate") if found else "No duplicates"
    return f"{what} in {layout.name}"


def _changed_parameters(parameters: Parameters) -> list[tuple[str, str]]:
    """Return the parameters that are not the defaults, but for those that the page shows elsewhere."""
    elsewhere = {"threshold", "store"} | ({"more_folders"} if len(parameters.folders) <= MAX_NAMES else set())
    return [
        (name.replace("_", " "), _describe(value))
        for name, value in parameters.changed.items()
        if name not in elsewhere
    ]


def _describe(value: Any) -> str:
    if value is True:
        return ""
    return ", ".join(value) if isinstance(value, list) else str(value)


def _left_alone(decisions: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the files that were not compared, or not moved, with the reasons; of formats that are never read a sentence tells."""
    rows = decisions[
        ((decisions["action"] == Action.UNREADABLE) & (decisions["reason_code"] != ReasonCode.FORMAT_NOT_READ))
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
        (
            f"stored: {record.floor:g} or more{', and may match' if record.parameters.is_restricted else ''}",
            stored,
            "kept",
        ),
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


def _describe_omitted(pictures: Pictures, images: Mapping[int, list[Any]]) -> str:
    """Return which pictures the page has not, and why, "" if it has all."""
    left_out = len(images) - len(pictures.of_image)
    told = [f"To keep this page small it leaves out {pluralize(left_out, 'picture')} of the least doubtful pairs."]
    missing = Counter(found for found in pictures.of_image.values() if isinstance(found, Missing))
    why = ", ".join(f"{count:,} {reason}" for reason, count in sorted(missing.items()))
    lost = f"Of {pluralize(missing.total(), 'file')} there is no picture any more: {why}."
    return " ".join((told if left_out else []) + ([lost] if missing else []))


def _plan_data(
    tables: Tables,
    sections: Sections,
    pictures: Pictures,
    images: Mapping[int, list[Any]],
    tabs: list[dict[str, Any]],
) -> dict[str, Any]:
    """Return what the page's script draws from: images by position, groups of pairs by tab, pictures by position."""
    position = {image: number for number, image in enumerate(images)}
    folder = tables.parameters.layout.folders[0]
    return {
        "base": storage_of(folder).to_uri(folder),
        "images": list(images.values()),
        "header": pictures.header,
        "pictures": pictures.encoded,
        "orientations": ORIENTATIONS,
        "hints": list(HINTS.values()),
        "references": [position[image] for image in images if tables.images["is_reference"].iat[image]],
        "tabs": [
            {key: tab[key] for key in ("key", "note", "empty", "sort")}
            | {"groups": _plan_groups(sections[tab["key"]], position)}
            for tab in tabs
        ],
    }


def _plan_images(
    tables: Tables, places: FilePlaces, pictures: Pictures, shown: Sequence[int], *, look: bool
) -> dict[int, list[Any]]:
    """Return, by image, the fields that `FIELDS` in report.js names; what the script can tell from others is left out."""
    layout = tables.parameters.layout
    now = _find_names(places, shown) if look else [places.left_name(image) for image in shown]
    paths = [places.original_name(image) for image in shown]
    facts = tables.images.iloc[shown]
    columns = (facts[name].tolist() for name in ("size_bytes", "width_px", "height_px", "format"))
    modified = (facts["mtime_ns"] // NANOSECONDS).tolist()
    # Many files have none of them, and tables of older versions have no such columns.
    exif = facts.reindex(columns=["taken", "camera", "exposure"]).astype(object)
    exif_columns = (exif[name].where(exif[name].notna(), None).tolist() for name in exif)
    rows = zip(shown, paths, now, modified, zip(*columns, strict=True), zip(*exif_columns, strict=True), strict=True)
    return {
        image: _without_last_nones(
            [
                layout.shorten(path),
                None if name in {path, None} else layout.shorten(name),
                _plan_link(places, image, name, layout),
                *measured,
                pictures.of_image.get(image),
                image,
                seconds,
                *told,
            ]
        )
        for image, path, name, seconds, measured, told in rows
    }


def _without_last_nones(row: list[Any]) -> list[Any]:
    """Return `row` without the fields at its end that are None: the script takes what is missing for null."""
    while row[-1] is None:
        row.pop()
    return row


def _find_names(places: FilePlaces, images: Sequence[int]) -> list[str | None]:
    """Return where the file of each of `images` is now, by its name; None where it is gone."""

    def find(start: int) -> list[str | None]:
        return [places.find_name(image) for image in images[start : start + LOOKED_FOR_IN_TURN]]

    with ThreadPoolExecutor(LOOK_AT_ONCE) as pool:
        return list(itertools.chain.from_iterable(pool.map(find, range(0, len(images), LOOKED_FOR_IN_TURN))))


def _plan_link(places: FilePlaces, image: int, now: str | None, layout: Layout) -> str | None:
    """Return the link to a file; "" where the script can tell it from the name `now`, None where there is no file."""
    if now is None:
        return None
    if len(layout.folders) == 1 and now != layout.shorten(now) and places.is_plain(image):
        return ""
    location = places.locate(image, now)
    return storage_of(location).to_uri(location)


def _plan_groups(pairs: list[Pair], position: Mapping[int, int]) -> list[Any]:
    """Return the pairs by the picture that stays: [kept, [[image, three scores, action, reason, orientation, hint], ...]].

    An orientation of 1 and no hint are left out at the end of a row.
    """
    groups: dict[int, list[Any]] = {}
    hints = {code: position for position, code in enumerate(HINTS)}
    for pair in pairs:
        moves = pair.action in MOVES
        reason = "" if moves else pair.reason  # Of a move it says what the page shows.
        hint = None if moves else hints.get(pair.reason_code)
        scores = [
            None if score is None else round(score, 6) for score in (pair.ssim, pair.detail_ssim, pair.local_ssim)
        ]
        turned = None if pair.orientation == AS_IT_IS else pair.orientation
        member = _without_last_nones([position[pair.other], *scores, pair.action, reason, turned, hint])
        groups.setdefault(position[pair.kept], []).append(member)
    return [[kept, members] for kept, members in groups.items()]
