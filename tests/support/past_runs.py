"""Past runs, written by hand: tables and record as a finished run leaves them."""

import hashlib
from pathlib import Path

import pandas as pd

from imagetwins.config.parameters import Parameters
from imagetwins.matching.decisions import count_turned, decide
from imagetwins.storage.location import names_to_columns
from imagetwins.store.record import RunRecord, RunStatus
from imagetwins.store.runs import Run
from imagetwins.store.schemas import COMPARISONS, DECISIONS, IMAGES, LINKS
from imagetwins.store.tables import as_frame, write_table

CREATED = "2026-11-20T02:00:00+00:00"


def image_table(paths, digests=None, errors=None, sizes=None):
    """A table of 640 x 480 pictures; `errors` maps a path to why it could not be read."""
    count, errors, sizes = len(paths), errors or {}, sizes or {}
    readable = [path not in errors for path in paths]
    return as_frame(
        dict.fromkeys(IMAGES.names, [None] * count)
        | {
            "image": range(count),
            "path": paths,
            "size_bytes": [sizes.get(path, (50_000, 640, 480))[0] for path in paths],
            "mtime_ns": [1_700_000_000_000_000_000 + n for n in range(count)],
            "is_reference": [False] * count,
            "digest": digests or [f"digest of {path}" for path in paths],
            "width_px": [
                sizes.get(path, (0, 640, 480))[1] if ok else None for path, ok in zip(paths, readable, strict=True)
            ],
            "height_px": [
                sizes.get(path, (0, 640, 480))[2] if ok else None for path, ok in zip(paths, readable, strict=True)
            ],
            "format": ["jpeg" if ok else None for ok in readable],
            "error": [errors.get(path) for path in paths],
        },
        IMAGES,
    )


def digest_all(paths):
    """The digests of the files at `paths`, as a run finds them."""
    return [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths]


def comparison_table(scores):
    """A table of pairs: {(image1, image2): (ssim, detail_ssim, orientation if not 1)}; no place of any differs more than others."""
    pairs = sorted(scores)
    return as_frame(
        {
            "image1": [pair[0] for pair in pairs],
            "image2": [pair[1] for pair in pairs],
            "ssim": [scores[pair][0] for pair in pairs],
            "detail_ssim": [scores[pair][1] for pair in pairs],
            "local_ssim": [scores[pair][1] for pair in pairs],
            "max_difference": [None if scores[pair][1] is not None else 3 for pair in pairs],
            "orientation": [(*scores[pair], 1)[2] for pair in pairs],
            "verified": [True for _ in pairs],
        },
        COMPARISONS,
    )


def link_table(links):
    """A table of symbolic links: {link: (what it says, the file that it leads to)}."""
    path, path_bytes = names_to_columns(list(links))
    told = {"says": [says for says, _ in links.values()], "target": [target for _, target in links.values()]}
    return as_frame({"path": path, "path_bytes": path_bytes} | told, LINKS)


def write_run(store: Path, run_id, images, scores, *, created=CREATED, moved=True, memory=None, **parameters) -> Run:
    """Write a finished run; its duplicates are marked as moved, no file is touched."""
    run = Run(store, run_id)
    asked = Parameters(**({"folder": "/pictures"} | parameters))
    decisions = decide(images, comparison_table(scores), asked, memory)
    if moved:
        decisions = mark_moved(decisions, asked.folder)
    write_table(images, IMAGES, run.images / "images.parquet")
    write_table(comparison_table(scores), COMPARISONS, run.comparisons / "part-000.parquet")
    write_table(decisions, DECISIONS, run.decisions / "decisions.parquet")
    run.journal.parent.mkdir(parents=True, exist_ok=True)
    run.journal.write_text("{}\n")
    tables = {"images": images, "scores": scores, "decisions": decisions}
    run.write_record(_record(run, asked, created, **tables))
    return run


def mark_moved(decisions: pd.DataFrame, folder) -> pd.DataFrame:
    moves = decisions["action"] == "would move"
    new = decisions["FullPath"].str.replace(f"{folder}/", f"{folder}/Duplicates/", regex=False)
    return decisions.assign(
        NewPath=decisions["NewPath"].where(~moves, new), action=decisions["action"].where(~moves, "moved")
    )


def make_record(run_id="20260101T000000Z-00000000", *, folder="/pictures", **entries) -> RunRecord:
    """A record of a run that has just begun, but for what `entries` say."""
    return RunRecord(**{"run_id": run_id, "created": CREATED, "parameters": {"folder": folder}} | entries)


def _record(run, parameters, created, *, images, scores, decisions):
    count, stored = len(images), len(scores)
    pairs = count * (count - 1) // 2
    matches = sum(score >= parameters.threshold for score, *_ in scores.values())
    seconds = {"list": 0.1, "load": 1.2, "plan": 0.3, "score": 2.0, "decide": 0.1, "move": 0.1, "report": 0.5}
    return make_record(
        run.run_id,
        flow_run_id="2c1f8c9e-0000-0000-0000-000000000000",
        flow_run_name="deduplicate pictures",
        version="0.1.0",
        versions={"numpy": "2.4.6", "scikit-image": "0.26.0"},
        created=created,
        finished=created,
        status=RunStatus.COMPLETED,
        parameters=parameters,
        finished_stages=list(seconds),
        seconds=seconds,
        counts={
            "images": count,
            "errors": int(images["error"].notna().sum()),
            "pairs": pairs,
            "matches": matches,
            "duplicates": int(decisions["Duplicate"].sum()),
            "moved": int((decisions["action"] == "moved").sum()),
            "review": int((decisions["action"] == "review").sum()),
            **({"turned_duplicates": count_turned(decisions)} if parameters.orientations == "all" else {}),
        },
        funnel={"pairs": pairs, "proven": pairs - stored, "scored": stored, "stored": stored, "verified": stored},
    )
