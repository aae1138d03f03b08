"""Answers about single files: why one moved, what two of them score, and what all runs decided about one."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from numpy.typing import NDArray

from imagetwins.config.parameters import Parameters
from imagetwins.errors import StoreError
from imagetwins.matching.decisions import decide, find_doubts
from imagetwins.matching.orientation import invert, read_orientations
from imagetwins.matching.restriction import describe_exclusion, find_excluded
from imagetwins.matching.shots import Shots, find_other_shots
from imagetwins.orientation import AS_IT_IS
from imagetwins.reasons import ReasonCode
from imagetwins.reporting.answers import to_rows
from imagetwins.reporting.names import digests_now, spell
from imagetwins.reporting.queries import parts_of_run, parts_of_store, query
from imagetwins.reporting.remembered import find_said, tell_said
from imagetwins.storage import Location
from imagetwins.store.memory import Verdict, read_memory
from imagetwins.store.runs import Run
from imagetwins.store.schemas import COMPANIONS, COMPARISONS, DECISIONS, IMAGES, Action
from imagetwins.store.tables import read_table, read_table_if_any
from imagetwins.text import ORIENTATIONS, describe_left_out

OTHER_THRESHOLDS = (0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98, 1.0)
"""Where `explain_file` shows what would have been decided, as far as the run's floor reaches."""

_SCORES = ("ssim", "detail_ssim", "local_ssim")
"""What tables have of a pair. Queries ask for COLUMNS, which takes those that are there: older engines computed no local
SSIM."""


@dataclass(frozen=True)
class FileExplanation:
    """Why a file moved, or why not.

    `decision` is its row of the decisions; `verdict` says it in words; `table` holds its stored partners, best first;
    `thresholds` what the same rules decide about it at other thresholds; `remembered` says in words what persons said about it
    up to now, after the run too.
    """

    run_id: str
    decision: dict[str, Any]
    verdict: str
    table: pd.DataFrame
    thresholds: pd.DataFrame
    remembered: list[str]


@dataclass(frozen=True)
class PairExplanation:
    """Two files of a run and their score; `table` has one row a file, and `ssim` is None below the floor.

    `orientation` is EXIF's number that turns the second file of the table to match the first; `remembered` says in words what
    persons said about the pair up to now, after the run too.
    """

    run_id: str
    verdict: str
    ssim: float | None
    detail_ssim: float | None
    local_ssim: float | None
    orientation: int | None
    verified: bool
    threshold: float
    floor: float
    table: pd.DataFrame
    remembered: list[str]


def find_history(store: Location, path: str) -> pd.DataFrame:
    """Return what every run of `store` decided about one file, oldest run first, under whatever name it had then.

    A file is followed by its content: the digests of all files that were ever listed at `path` or moved there, and of
    the file that is there now.

    Raises:
        StoreError: no run has seen this file.
    """
    spellings = spell(path)
    images, decisions = parts_of_store(store, "images"), parts_of_store(store, "decisions")
    if not images or not decisions:
        raise StoreError(f"the store {store} holds no tables yet: no run has finished.")
    moved = query(
        'SELECT run_id, "FullPath" AS path '
        "FROM read_parquet($decisions, hive_partitioning=true, hive_types_autocast=false) "
        'WHERE list_contains($spellings, "NewPath")',
        decisions=decisions,
        spellings=spellings,
    )
    found = query(
        "SELECT DISTINCT digest FROM read_parquet($images, hive_partitioning=true, hive_types_autocast=false) "
        "WHERE list_contains($paths, path) AND digest IS NOT NULL "
        "AND (list_contains($spellings, path) OR list_contains($moved, run_id || ' ' || path))",
        images=images,
        paths=[*spellings, *moved["path"].unique()],
        spellings=spellings,
        moved=[f"{run_id} {listed}" for run_id, listed in zip(moved["run_id"], moved["path"], strict=True)],
    )
    digests = sorted({*found["digest"], *digests_now(path)})
    history = query(
        'SELECT run_id, path, d."NewPath" AS new_path, action, kept_path, reason, digest, '
        "COLUMNS('^(ssim|detail_ssim|local_ssim)$') "
        "FROM (SELECT run_id, image, path, digest "
        "FROM read_parquet($images, hive_partitioning=true, hive_types_autocast=false) "
        "WHERE list_contains($digests, digest)) "
        "JOIN read_parquet($decisions, hive_partitioning=true, hive_types_autocast=false, union_by_name=true) d "
        "USING (run_id, image) "
        "ORDER BY run_id, path",
        images=images,
        decisions=decisions,
        digests=digests,
    )
    if history.empty:
        raise StoreError(
            f"no run in the store {store} has seen {path!r}, neither by name nor by content. Give its whole path."
        )
    shown = ["run_id", "path", "new_path", "action", "kept_path", *_SCORES, "reason", "digest"]
    return history.reindex(columns=shown)


def find_image(run: Run, path: str) -> int:
    """Return the id of the image of `run` that lay at `path`, or was moved there; of a companion, that of its picture.

    `path` may be shortened to its last parts, down to the file's name, as long as that names one image.

    Raises:
        StoreError: no image, or more than one, has that path.
    """
    spellings, tail = spell(path), "/" + path.removeprefix("./").lstrip("/")
    found = query(
        'SELECT image, "FullPath" AS path, list_contains($spellings, "FullPath") OR list_contains($spellings, "NewPath") AS whole '
        'FROM read_parquet($decisions) WHERE whole OR ends_with("FullPath", $tail) OR ends_with("NewPath", $tail) '
        "ORDER BY whole DESC, image",
        decisions=parts_of_run(run.decisions),
        spellings=spellings,
        tail=tail,
    )
    if found.empty:
        found = _find_companion(run, spellings, tail)
    if not found.empty and found["whole"].iat[0]:
        found = found[found["whole"]]
    if found.empty:
        left_out = describe_left_out(run.read_record().left_out)
        told = f" What the run left out it knows nothing of: {left_out}." if left_out else ""
        raise StoreError(
            f"run {run.run_id} has no image {path!r}. Give the path that the file had then, or has now.{told}"
        )
    if len(found) > 1:
        some = ", ".join(found["path"][:3])
        raise StoreError(f"{path!r} names {len(found)} images of run {run.run_id}; give more of the path: {some} ...")
    return int(found["image"].iat[0])


def _find_companion(run: Run, spellings: list[str], tail: str) -> pd.DataFrame:
    """Return the row of the companion of `run` that is, or was, called so: the image that it belongs to, and its path."""
    companions = read_table_if_any(run.companions, COMPANIONS)
    named = [
        any(name in spellings or name.endswith(tail) for name in names)
        for names in zip(companions["path"], companions["new_path"], strict=True)
    ]
    found = companions[np.array(named, bool)]
    return found[["image", "path"]].assign(whole=False).head(1)


def explain_file(run: Run, path: str) -> FileExplanation:
    """Return why the file at `path` moved in `run`, or why not.

    Raises:
        StoreError: the run has no such file, or its comparisons were pruned.
    """
    image = find_image(run, path)
    parameters = run.read_record().parameters
    decision = to_rows(read_table(run.decisions, DECISIONS, where=pc.field("image") == image))[0]
    partners = query(
        'SELECT p.partner AS image, d."FullPath" AS path, p.* EXCLUDE partner, d.action, d.kept_path '
        "FROM (SELECT CASE WHEN image1 = $image THEN image2 ELSE image1 END AS partner, image2 = $image AS is_first, "
        "COLUMNS('^(ssim|detail_ssim|local_ssim|orientation)$') "
        "FROM read_parquet($comparisons) WHERE image1 = $image OR image2 = $image) p "
        "JOIN read_parquet($decisions) d ON d.image = p.partner ORDER BY p.ssim DESC, p.partner",
        image=image,
        comparisons=parts_of_run(run.comparisons),
        decisions=parts_of_run(run.decisions),
    ).reindex(columns=["image", "path", *_SCORES, "action", "kept_path", "orientation", "is_first"])
    partners["orientation"] = _turn_partners(partners)
    partners = partners.drop(columns="is_first")
    pairs = partners[["image"]].rename(columns={"image": "image2"}).assign(image1=image)
    is_excluded = find_excluded(pairs, read_table(run.images, IMAGES), parameters)
    verdict = _file_verdict(decision, partners[~is_excluded], parameters)
    if (others := partners[is_excluded & (partners["ssim"] >= parameters.threshold)]).size:
        best = others.iloc[0]
        verdict += f" It would match {best['path']} (SSIM {best['ssim']:.4f}), but {describe_exclusion(parameters)}."
    return FileExplanation(
        run.run_id,
        decision,
        verdict,
        partners,
        thresholds=_at_other_thresholds(run, image, parameters),
        remembered=tell_said(find_said(run.store, _read_digests(run, [image]))),
    )


def _read_digests(run: Run, images: list[int]) -> list[str | None]:
    digests: list[str | None] = read_table(run.images, IMAGES, where=pc.field("image").isin(images))["digest"].tolist()
    return digests


def _turn_partners(partners: pd.DataFrame) -> NDArray[np.uint8]:
    """Return the orientations in which partners match a file; they are stored of the second of two, unless it `is_first`."""
    orientations = read_orientations(partners.astype({"orientation": "UInt8"}))
    return np.where(partners["is_first"].to_numpy(bool), invert(orientations), orientations)


def _file_verdict(decision: dict[str, Any], partners: pd.DataFrame, parameters: Parameters) -> str:
    if decision["kept_path"]:
        detail = "" if decision["detail_ssim"] is None else f", {decision['detail_ssim']:.4f} where they have detail"
        local = "" if decision["local_ssim"] is None else f", {decision['local_ssim']:.4f} where they differ most"
        words = ORIENTATIONS.get(decision["orientation"] or AS_IT_IS)
        turned = f" when {words}" if words else ""
        scores = f"SSIM {decision['ssim']:.4f} with {decision['kept_path']}{turned}{detail}{local}; threshold {parameters.threshold:g}"
        return f"{decision['action']}: {decision['reason']} ({scores})."
    if decision["reason_code"] in {ReasonCode.KEPT_APART, ReasonCode.OTHER_SHOT, ReasonCode.TOO_SMALL}:
        return f"{decision['reason']}."
    if decision["action"] != Action.KEPT:
        return f"{decision['action']}: {decision['reason']}."
    return _kept_verdict(decision, partners, parameters)


def _kept_verdict(decision: dict[str, Any], partners: pd.DataFrame, parameters: Parameters) -> str:
    matches = partners[partners["ssim"] >= parameters.threshold]
    if partners.empty:
        others = "every other picture" + (" that may match it" if parameters.is_restricted else "")
        return f"kept: its SSIM with {others} is proven to be below the floor {parameters.floor:g}."
    best = partners.iloc[0]
    if matches.empty:
        return f"kept: its best match, {best['path']}, scores {best['ssim']:.4f}, below the threshold {parameters.threshold:g}."
    followers = int((matches["kept_path"] == decision["FullPath"]).sum())
    if followers:
        return f"kept: it ranks before its {followers} {'copy' if followers == 1 else 'copies'}."
    return (
        f"kept: it matches {best['path']} (SSIM {best['ssim']:.4f}), which is itself a duplicate of another picture, and "
        "a file moves only if it matches one that stays."
    )


def _at_other_thresholds(run: Run, image: int, parameters: Parameters) -> pd.DataFrame:
    """Return what the run's rules, but for the share that may move, decide about `image` at other thresholds."""
    thresholds = sorted({parameters.floor, parameters.threshold, *OTHER_THRESHOLDS})
    thresholds = [value for value in thresholds if value >= max(parameters.floor, parameters.threshold - 0.2)]
    images, pairs = _neighbourhood(run, image, thresholds[0])
    memory = read_memory(run.store)
    position = int(np.flatnonzero(images["original"] == image)[0])
    rows = []
    for threshold in thresholds:
        rules = parameters.model_copy(update={"threshold": threshold, "max_move_share": 1.0})
        decision = decide(images, pairs, rules, memory).iloc[position]
        rows.append({"threshold": threshold, **decision[["action", "kept_path", *_SCORES, "reason"]]})
    return pd.DataFrame(rows)


def _neighbourhood(run: Run, image: int, floor: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the images that `image` is connected with by pairs at or above `floor`, renumbered, and those pairs.

    No other image has a say in what is decided about it.
    """
    images = read_table(run.images, IMAGES)
    pairs = read_table(run.comparisons, COMPARISONS, where=pc.field("ssim") >= floor)
    first, second = pairs["image1"].to_numpy(np.int64), pairs["image2"].to_numpy(np.int64)
    inside = np.zeros(len(images), bool)
    inside[image] = True
    members = 0
    while members < inside.sum():
        members = inside.sum()
        touched: NDArray[np.bool_] = inside[first] | inside[second]
        inside[first[touched]] = inside[second[touched]] = True
    number = np.cumsum(inside) - 1
    kept_pairs = pairs[inside[first]].reset_index(drop=True)
    for column in ("image1", "image2"):
        kept_pairs[column] = number[kept_pairs[column].to_numpy(np.int64)]
    component = images[inside].reset_index(drop=True)
    return component.assign(original=component["image"], image=np.arange(len(component))), kept_pairs


def explain_pair(run: Run, first: str, second: str) -> PairExplanation:
    """Return the score of two files of `run` and what followed from it.

    Raises:
        StoreError: the run has not both files, or its comparisons were pruned.
    """
    parameters = run.read_record().parameters
    pair = sorted(find_image(run, path) for path in (first, second))
    if pair[0] == pair[1]:
        raise StoreError(f"{first!r} and {second!r} are the same image of run {run.run_id}. Name two.")
    is_pair = (pc.field("image1") == pair[0]) & (pc.field("image2") == pair[1])
    found = read_table(run.comparisons, COMPARISONS, where=is_pair)
    score = next(iter(to_rows(found[[*_SCORES, "verified"]])), {**dict.fromkeys(_SCORES), "verified": False})
    orientation = next(iter(read_orientations(found).tolist()), None)
    images = read_table(run.images, IMAGES)
    doubts = [str(doubt) for doubt in find_doubts(found, images, parameters) if doubt]
    files = read_table(run.decisions, DECISIONS, where=pc.field("image").isin(pair))
    said = find_said(run.store, _read_digests(run, pair))
    is_apart = _was_kept_apart(run, said)
    verdict = _pair_verdict(score["ssim"], doubts, files, parameters, is_apart=is_apart)
    if len(found) and find_excluded(found, images, parameters)[0] and found["ssim"].iat[0] >= parameters.threshold:
        verdict = f"no match: SSIM {score['ssim']:.4f}, but {describe_exclusion(parameters)}."
    elif parameters.keeps_shots and score["ssim"] is not None and (why := find_other_shots(found, Shots(images))[0]):
        verdict = f"no match: SSIM {score['ssim']:.4f}, but {why} (burst keep)."
    if words := ORIENTATIONS.get(orientation or AS_IT_IS):
        verdict += f" {files['FileName'].iat[1]} was compared {words}."
    return PairExplanation(
        run.run_id,
        verdict,
        **score,
        orientation=orientation,
        threshold=parameters.threshold,
        floor=parameters.floor,
        table=files,
        remembered=tell_said(said),
    )


def _was_kept_apart(run: Run, said: pd.DataFrame) -> bool:
    """Whether it was said before `run` ended that a pair is none of duplicates."""
    finished = run.read_record().finished
    apart = said[said["verdict"] == Verdict.NOT_DUPLICATES]
    return bool(len(apart)) and (finished is None or apart["decided"].iat[-1] <= finished.isoformat())


def _pair_verdict(
    ssim: float | None, doubts: list[str], files: pd.DataFrame, parameters: Parameters, *, is_apart: bool
) -> str:
    is_small = files["reason_code"] == ReasonCode.TOO_SMALL
    if (is_small | (files["action"] == Action.UNREADABLE)).any():
        why = f"is below min_side {parameters.min_side}" if is_small.any() else "could not be read"
        return f"not compared: at least one of the files {why}."
    if ssim is None:
        return f"no match: proven to score below the floor {parameters.floor:g}, so the exact score was not needed."
    if ssim < parameters.threshold:
        return f"no match: SSIM {ssim:.4f} is below the threshold {parameters.threshold:g}."
    images = dict(zip(files["image"], files["FullPath"], strict=True))
    decided = files[files["kept_image"].isin(list(images))]
    if len(decided):
        row = decided.iloc[0]
        return f"match: SSIM {ssim:.4f} decided about {row['FileName']}: {row['action']}, {row['reason']}."
    if is_apart:
        return f"kept apart: SSIM {ssim:.4f}, but a person said that they are no duplicates."
    doubt = f" in doubt: SSIM {ssim:.4f}, but {doubts[0]}; other pictures" if doubts else ""
    return f"match{doubt or f': SSIM {ssim:.4f}, but a better match, or the ranking,'} decided about both."
