"""Questions about past runs, answered from the tables alone.

Every query runs in DuckDB over the Parquet files, with bound parameters; nothing is loaded that a question does not
need. What another threshold would have decided comes from the rules that decide a run (`imagetwins.duplicates`), not
from a second set of rules in SQL.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from imagetwins.config.parameters import Parameters
from imagetwins.errors import ParameterError, StoreError
from imagetwins.matching.decisions import decide
from imagetwins.storage.location import filesystem, glob, is_url, place_of, remove_tree, size_of
from imagetwins.store.runs import Run, atomic_target, list_runs
from imagetwins.store.tables import COMPARISONS, DECISIONS, IMAGES, list_parts, read_table

OTHER_THRESHOLDS = (0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98, 1.0)
"""Where `explain_file` shows what would have been decided, as far as the run's floor reaches."""

UNFINISHED = {"running", "waiting"}
"""States of a run that still needs its tables."""


@dataclass(frozen=True)
class RunAudit:
    """One run: its record (`run.json`) and its decisions, split by what happened."""

    record: dict[str, Any]
    table: pd.DataFrame
    review: pd.DataFrame
    unreadable: pd.DataFrame


@dataclass(frozen=True)
class FileExplanation:
    """Why a file moved, or why not.

    `decision` is its row of the decisions; `verdict` says it in words; `table` holds its stored partners, best first;
    `thresholds` what the same rules decide about it at other thresholds.
    """

    run_id: str
    decision: dict[str, Any]
    verdict: str
    table: pd.DataFrame
    thresholds: pd.DataFrame


@dataclass(frozen=True)
class PairExplanation:
    """Two files of a run and their score; `table` has one row a file, and `ssim` is None below the floor."""

    run_id: str
    verdict: str
    ssim: float | None
    detail_ssim: float | None
    verified: bool
    threshold: float
    floor: float
    table: pd.DataFrame


@dataclass(frozen=True)
class ThresholdAudit:
    """A past run at another threshold: how many files are in each state, and `table` of the files that change state."""

    run_id: str
    threshold_before: float
    threshold: float
    counts_before: dict[str, int]
    counts: dict[str, int]
    table: pd.DataFrame
    decisions: pd.DataFrame


@dataclass(frozen=True)
class RunComparison:
    """Two runs: the parameters that differ, how many files changed in which way, and `table` of those files."""

    run_before: str
    run_after: str
    parameters: dict[str, tuple[Any, Any]]
    counts: dict[str, int]
    table: pd.DataFrame


@dataclass(frozen=True)
class Pruned:
    """`table` has one row a pruned run: run_id, created, freed_bytes."""

    freed_bytes: int
    table: pd.DataFrame


# -- all runs --------------------------------------------------------------------------------------------------------


def audit_runs(store: Path) -> pd.DataFrame:
    """Return one row a run of `store`, oldest first: when, folder, parameters, what it found and moved, seconds."""
    return pd.DataFrame([_summarise(run.read_record()) for run in list_runs(store)], columns=_SUMMARY)


_COUNTS = ("images", "pairs", "matches", "duplicates", "moved", "restored", "review", "errors")
_SUMMARY = ["run_id", "created", "kind", "status", "folder", "threshold", "floor", "dry_run", *_COUNTS, "seconds"]


def _summarise(record: dict[str, Any]) -> dict[str, Any]:
    parameters, counts = record.get("parameters", {}), record.get("counts", {})
    return {
        **{name: record.get(name) for name in ("run_id", "created", "kind", "status", "floor")},
        **{name: parameters.get(name) for name in ("folder", "threshold", "dry_run")},
        **{name: counts.get(name, 0) for name in _COUNTS},
        "seconds": sum(record.get("seconds", {}).values()),
    }


def find_history(store: Path, path: str) -> pd.DataFrame:
    """Return what every run of `store` decided about one file, oldest run first, under whatever name it had then.

    A file is followed by its content: the digests of all files that were ever listed at `path` or moved there, and of
    the file that is there now.

    Raises:
        StoreError: no run has seen this file.
    """
    places = _spellings(path)
    images, decisions = _parts(store, "images"), _parts(store, "decisions")
    if not images or not decisions:
        raise StoreError(f"the store {store} holds no tables yet: no run has finished.")
    moved = _query(
        'SELECT run_id, "FullPath" AS path '
        "FROM read_parquet($decisions, hive_partitioning=true, hive_types_autocast=false) "
        'WHERE list_contains($places, "NewPath")',
        decisions=decisions,
        places=places,
    )
    found = _query(
        "SELECT DISTINCT digest FROM read_parquet($images, hive_partitioning=true, hive_types_autocast=false) "
        "WHERE list_contains($paths, path) AND digest IS NOT NULL "
        "AND (list_contains($places, path) OR list_contains($moved, run_id || ' ' || path))",
        images=images,
        paths=[*places, *moved["path"].unique()],
        places=places,
        moved=[f"{run_id} {place}" for run_id, place in zip(moved["run_id"], moved["path"], strict=True)],
    )
    digests = sorted({*found["digest"], *_digests_now(path)})
    history = _query(
        'SELECT run_id, path, d."NewPath" AS new_path, action, kept_path, ssim, detail_ssim, reason, digest '
        "FROM (SELECT run_id, image, path, digest "
        "FROM read_parquet($images, hive_partitioning=true, hive_types_autocast=false) "
        "WHERE list_contains($digests, digest)) "
        "JOIN read_parquet($decisions, hive_partitioning=true, hive_types_autocast=false) d USING (run_id, image) "
        "ORDER BY run_id, path",
        images=images,
        decisions=decisions,
        digests=digests,
    )
    if history.empty:
        raise StoreError(
            f"no run in the store {store} has seen {path!r}, neither by name nor by content. Give its whole path."
        )
    return history


def _digests_now(path: str) -> list[str]:
    file = place_of(path)
    if not file.is_file():
        return []
    with file.open("rb") as content:
        return [hashlib.file_digest(content, "sha256").hexdigest()]


# -- one run ---------------------------------------------------------------------------------------------------------


def audit_run(run: Run) -> RunAudit:
    """Return a run's record, its duplicates with their kept files and scores, its review list, its unreadable files."""
    record = run.read_record()
    decisions = read_table(run.decisions, DECISIONS)
    duplicates = decisions[_states(decisions) == "duplicate"].sort_values(
        ["kept_path", "ssim"], ascending=[True, False]
    )
    return RunAudit(
        record,
        duplicates.reset_index(drop=True),
        decisions[decisions["action"] == "review"].reset_index(drop=True),
        decisions[decisions["action"] == "unreadable"].reset_index(drop=True),
    )


def find_image(run: Run, path: str) -> int:
    """Return the id of the image of `run` that lay at `path`, or was moved there.

    `path` may be shortened to its last parts, down to the file's name, as long as that names one image.

    Raises:
        StoreError: no image, or more than one, has that path.
    """
    found = _query(
        'SELECT image, "FullPath" AS path, list_contains($places, "FullPath") OR list_contains($places, "NewPath") AS whole '
        'FROM read_parquet($decisions) WHERE whole OR ends_with("FullPath", $tail) OR ends_with("NewPath", $tail) '
        "ORDER BY whole DESC, image",
        decisions=_files(run.decisions),
        places=_spellings(path),
        tail="/" + path.removeprefix("./").lstrip("/"),
    )
    if not found.empty and found["whole"].iat[0]:
        found = found[found["whole"]]
    if found.empty:
        raise StoreError(f"run {run.run_id} has no image {path!r}. Give the path that the file had then, or has now.")
    if len(found) > 1:
        some = ", ".join(found["path"][:3])
        raise StoreError(f"{path!r} names {len(found)} images of run {run.run_id}; give more of the path: {some} ...")
    return int(found["image"].iat[0])


def explain_file(run: Run, path: str) -> FileExplanation:
    """Return why the file at `path` moved in `run`, or why not.

    Raises:
        StoreError: the run has no such file, or its comparisons were pruned.
    """
    image = find_image(run, path)
    parameters = run_parameters(run)
    decision = _rows(read_table(run.decisions, DECISIONS, where=pc.field("image") == image))[0]
    partners = _query(
        'SELECT p.partner AS image, d."FullPath" AS path, p.ssim, p.detail_ssim, d.action, d.kept_path '
        "FROM (SELECT CASE WHEN image1 = $image THEN image2 ELSE image1 END AS partner, ssim, detail_ssim "
        "FROM read_parquet($comparisons) WHERE image1 = $image OR image2 = $image) p "
        "JOIN read_parquet($decisions) d ON d.image = p.partner ORDER BY p.ssim DESC, p.partner",
        image=image,
        comparisons=_files(run.comparisons),
        decisions=_files(run.decisions),
    )
    verdict = _file_verdict(decision, partners, parameters)
    return FileExplanation(run.run_id, decision, verdict, partners, _at_other_thresholds(run, image, parameters))


def _file_verdict(decision: dict[str, Any], partners: pd.DataFrame, parameters: Parameters) -> str:
    if decision["kept_path"]:
        detail = "" if decision["detail_ssim"] is None else f", {decision['detail_ssim']:.4f} where they have detail"
        scores = f"SSIM {decision['ssim']:.4f} with {decision['kept_path']}{detail}; threshold {parameters.threshold:g}"
        return f"{decision['action']}: {decision['reason']} ({scores})."
    if decision["action"] != "kept":
        return f"{decision['action']}: {decision['reason']}."
    matches = partners[partners["ssim"] >= parameters.threshold]
    if partners.empty:
        return f"kept: its SSIM with every other picture is proven to be below the floor {parameters.floor:g}."
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
    position = int(np.flatnonzero(images["original"] == image)[0])
    rows = []
    for threshold in thresholds:
        rules = parameters.model_copy(update={"threshold": threshold, "max_move_share": 1.0})
        decision = decide(images, pairs, rules).iloc[position]
        rows.append({"threshold": threshold, **decision[["action", "kept_path", "ssim", "detail_ssim", "reason"]]})
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
    parameters = run_parameters(run)
    pair = sorted(find_image(run, path) for path in (first, second))
    if pair[0] == pair[1]:
        raise StoreError(f"{first!r} and {second!r} are the same image of run {run.run_id}. Name two.")
    found = _rows(
        _query(
            "SELECT ssim, detail_ssim, verified FROM read_parquet($comparisons) WHERE image1 = $first AND image2 = $second",
            comparisons=_files(run.comparisons),
            first=pair[0],
            second=pair[1],
        )
    )
    score: dict[str, Any] = found[0] if found else {"ssim": None, "detail_ssim": None, "verified": False}
    files = read_table(run.decisions, DECISIONS, where=pc.field("image").isin(pair))
    verdict = _pair_verdict(score, files, parameters)
    return PairExplanation(
        run.run_id, verdict, **score, threshold=parameters.threshold, floor=parameters.floor, table=files
    )


def _pair_verdict(score: dict[str, Any], files: pd.DataFrame, parameters: Parameters) -> str:
    ssim, detail = score["ssim"], score["detail_ssim"]
    if "unreadable" in set(files["action"]):
        return "not compared: at least one of the files could not be read."
    if ssim is None:
        return f"no match: proven to score below the floor {parameters.floor:g}, so the exact score was not needed."
    if ssim < parameters.threshold:
        return f"no match: SSIM {ssim:.4f} is below the threshold {parameters.threshold:g}."
    images = dict(zip(files["image"], files["FullPath"], strict=True))
    decided = files[files["kept_image"].isin(list(images))]
    if len(decided):
        row = decided.iloc[0]
        return f"match: SSIM {ssim:.4f} decided about {row['FileName']}: {row['action']}, {row['reason']}."
    if detail is not None and detail < parameters.min_detail_ssim:
        low = f"{detail:.4f} where they have detail, below {parameters.min_detail_ssim:g}"
        return f"match in doubt: SSIM {ssim:.4f}, but {low}; other pictures decided about both."
    return f"match: SSIM {ssim:.4f}, but a better match, or the ranking, decided about both."


# -- another threshold, another run ----------------------------------------------------------------------------------


def audit_threshold(run: Run, threshold: float) -> ThresholdAudit:
    """Return what `run` would have decided at `threshold`, and which files change state; nothing is computed again.

    Raises:
        StoreError: `threshold` is below the run's floor, or the comparisons were pruned.
    """
    before = run_parameters(run)
    decisions = decide_again(run, threshold)
    past = read_table(run.decisions, DECISIONS)
    both = pd.DataFrame(
        {
            "FullPath": past["FullPath"],
            "was": _states(past),
            "becomes": _states(decisions),
            "kept_path_was": past["kept_path"],
            "kept_path": decisions["kept_path"],
            "ssim": decisions["ssim"].fillna(past["ssim"]),
            "detail_ssim": decisions["detail_ssim"].fillna(past["detail_ssim"]),
            "reason": decisions["reason"],
        }
    )
    changed = both[
        (both["was"] != both["becomes"]) | (both["kept_path_was"].fillna("") != both["kept_path"].fillna(""))
    ]
    return ThresholdAudit(
        run.run_id,
        before.threshold,
        threshold,
        _count(both["was"]),
        _count(both["becomes"]),
        changed.sort_values(["becomes", "was", "ssim"], ascending=[True, True, False]).reset_index(drop=True),
        decisions,
    )


def decide_again(run: Run, threshold: float) -> pd.DataFrame:
    """Return the decisions (`tables.DECISIONS`) of a past run at another threshold, before anything moves.

    Raises:
        StoreError: `threshold` is below the run's floor, or the comparisons were pruned.
    """
    parameters = run_parameters(run)
    check_floor(run, threshold)
    pairs = read_table(run.comparisons, COMPARISONS, where=pc.field("ssim") >= threshold)
    again = parameters.model_copy(update={"threshold": threshold, "audit_floor": parameters.floor})
    return decide(read_table(run.images, IMAGES), pairs, again)


def check_floor(run: Run, threshold: float) -> None:
    """Refuse a threshold that is none, or below the floor of a past run.

    Raises:
        ParameterError: no SSIM can reach it, or it is no number.
        StoreError: what scores less was not stored.
    """
    if not -1 <= threshold <= 1:
        raise ParameterError(f"threshold={threshold:g}: an SSIM lies between -1 and 1. Give a threshold in between.")
    floor = run_parameters(run).floor
    if threshold < floor:
        raise StoreError(
            f"threshold {threshold:g} is below the floor {floor:g} of run {run.run_id}: pairs that score less "
            f"were proven to, but not stored. Ask for {floor:g} or more, or run again with "
            f"--audit-floor {threshold:g}."
        )


def run_parameters(run: Run) -> Parameters:
    """Return the parameters of a past run, whose folder need not exist any more."""
    recorded: dict[str, Any] = run.read_record()["parameters"]
    return Parameters(**recorded)


def _states(decisions: pd.DataFrame) -> pd.Series:
    """Return what each file is, whether or not it has been moved."""
    return decisions["action"].where(~decisions["Duplicate"] | (decisions["action"] == "review"), "duplicate")


def _count(states: pd.Series) -> dict[str, int]:
    return {name: int((states == name).sum()) for name in ("duplicate", "review", "kept", "unreadable")}


def compare_runs(before: Run, after: Run) -> RunComparison:
    """Return how two runs differ: parameters, and the files that are new, gone, changed or decided otherwise."""
    first, second = (run.read_record()["parameters"] for run in (before, after))
    differing = {
        name: (first.get(name), second.get(name))
        for name in (*first, *(name for name in second if name not in first))
        if first.get(name) != second.get(name)
    }
    changes = _query(
        _COMPARISON,
        images1=_files(before.images),
        images2=_files(after.images),
        decisions1=_files(before.decisions),
        decisions2=_files(after.decisions),
    )
    counts = {str(name): int(count) for name, count in changes["change"].value_counts().items()}
    return RunComparison(before.run_id, after.run_id, differing, counts, changes)


_COMPARISON = """
WITH before AS (
    SELECT path, digest, d."NewPath" AS new_path, kept_path, ssim,
        CASE WHEN d."Duplicate" AND action <> 'review' THEN 'duplicate' ELSE action END AS state
    FROM read_parquet($images1) JOIN read_parquet($decisions1) d USING (image)
), after AS (
    SELECT path, digest, kept_path, ssim,
        CASE WHEN d."Duplicate" AND action <> 'review' THEN 'duplicate' ELSE action END AS state
    FROM read_parquet($images2) JOIN read_parquet($decisions2) d USING (image)
), new_names AS (
    SELECT digest, min(path) AS path FROM after WHERE path NOT IN (SELECT path FROM before) GROUP BY digest
), old_names AS (
    SELECT digest, min(path) AS path FROM before WHERE path NOT IN (SELECT path FROM after) GROUP BY digest
)
SELECT
    coalesce(b.path, a.path) AS path,
    CASE
        WHEN a.path IS NULL AND b.new_path <> b.path THEN 'moved by the first run'
        WHEN a.path IS NULL AND n.path IS NOT NULL THEN 'renamed'
        WHEN a.path IS NULL THEN 'gone'
        WHEN b.path IS NULL AND o.path IS NOT NULL THEN 'renamed from'
        WHEN b.path IS NULL THEN 'new'
        WHEN a.digest IS DISTINCT FROM b.digest THEN 'content changed'
        WHEN a.state <> b.state THEN 'decided otherwise'
        ELSE 'another kept file'
    END AS change,
    coalesce(n.path, o.path) AS other_name, b.state AS was, a.state AS becomes,
    b.kept_path AS kept_path_was, a.kept_path AS kept_path, b.ssim AS ssim_was, a.ssim AS ssim
FROM before b FULL JOIN after a ON a.path = b.path
    LEFT JOIN new_names n ON a.path IS NULL AND n.digest = b.digest
    LEFT JOIN old_names o ON b.path IS NULL AND o.digest = a.digest
WHERE a.path IS NULL OR b.path IS NULL OR a.digest IS DISTINCT FROM b.digest
    OR a.state <> b.state OR a.kept_path IS DISTINCT FROM b.kept_path
ORDER BY change, 1
"""


# -- pruning ---------------------------------------------------------------------------------------------------------


def plan_pruning(store: Path, before: datetime) -> pd.DataFrame:
    """Return the runs that ended and were created before `before` (aware), and the bytes that pruning them frees."""
    rows = []
    for run in list_runs(store):
        record = run.read_record()
        if record.get("status") in UNFINISHED or datetime.fromisoformat(record["created"]) >= before:
            continue
        freed = sum(map(size_of, _prunable(run)))
        if freed:
            rows.append({"run_id": run.run_id, "created": record["created"], "freed_bytes": freed})
    return pd.DataFrame(rows, columns=["run_id", "created", "freed_bytes"])


def prune_runs(store: Path, before: datetime) -> Pruned:
    """Remove comparisons, report and workspace of the runs that `plan_pruning` names.

    What `restore` needs (journal, record, decisions) stays, and so does the images table: the history of a file by its
    content goes on working.
    """
    planned = plan_pruning(store, before)
    for run_id in planned["run_id"]:
        for place in _prunable(Run(store, run_id)):
            remove_tree(place)
    return Pruned(int(planned["freed_bytes"].sum()), planned)


def _prunable(run: Run) -> tuple[Path, ...]:
    return run.comparisons, run.report, run.workspace


# -- handing on ------------------------------------------------------------------------------------------------------


def to_plain(answer: Any) -> Any:
    """Return an answer of this module as what JSON can hold: frames become lists of rows, missing values None."""
    if isinstance(answer, pd.DataFrame):
        return _rows(answer)
    if hasattr(answer, "__dataclass_fields__"):
        return {field.name: to_plain(getattr(answer, field.name)) for field in fields(answer)}
    if isinstance(answer, dict):
        return {str(key): to_plain(value) for key, value in answer.items()}
    return [to_plain(item) for item in answer] if isinstance(answer, list | tuple) else answer


def write_answer(table: pd.DataFrame, target: Path) -> None:
    """Write the table of an answer to the Parquet file `target`, whole or not at all."""
    with atomic_target(target) as temporary:
        pq.write_table(pa.Table.from_pandas(table, preserve_index=False), temporary, compression="zstd")


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    # Through JSON: it turns every kind of missing value, and NumPy's numbers, into plain ones.
    rows: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=15))
    return rows


# -- DuckDB ----------------------------------------------------------------------------------------------------------


def _query(sql: str, **parameters: Any) -> pd.DataFrame:
    with duckdb.connect() as connection:
        for place in _remote_places(parameters):
            # DuckDB asks it for what it reads; nothing of DuckDB's is fetched from anywhere.
            connection.register_filesystem(filesystem(place))
        answer: pa.Table = connection.sql(sql, params=parameters).to_arrow_table()
    return answer.to_pandas(types_mapper={pa.int32(): pd.Int32Dtype()}.get)


def _remote_places(parameters: dict[str, Any]) -> list[Path]:
    """Return a place of each kind of bucket that tables among `parameters` are in: one store's, and so at most one."""
    first = next((value[0] for value in parameters.values() if isinstance(value, list) and value), "")
    return [place_of(first)] if isinstance(first, str) and is_url(first) else []


def _files(directory: Path) -> list[str]:
    """Return the Parquet parts of one run's table, as DuckDB takes them."""
    return [str(part) for part in list_parts(directory)]


def _parts(store: Path, table: str) -> list[str]:
    # Listed here, not by a pattern in SQL: a store's path may hold characters that patterns are made of.
    return [str(part) for part in glob(store / table, "run_id=*/*.parquet")]


def _spellings(path: str) -> Sequence[str]:
    return [path] if is_url(path) else [path, str(Path(path).absolute())]
