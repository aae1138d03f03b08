"""What a run found, as Markdown that Prefect's UI renders: a summary, and the pictures side by side.

Pictures are data URIs, the one kind that the UI shows without a file server. Names of files come from anywhere, so
they are escaped: they can neither end a table cell nor become a link, an image or HTML.
"""

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imagetwins import settings, ssim
from imagetwins.config.layout import Layout
from imagetwins.matching.orientation import lies_on_side, read_orientations
from imagetwins.moving.refusals import describe_refusals
from imagetwins.orientation import AS_IT_IS
from imagetwins.reporting.advice import (
    RULES,
    advise_keep,
    describe_orientations,
    describe_remembered,
    describe_restriction,
    describe_shots,
    describe_small,
)
from imagetwins.reporting.digest import Digest
from imagetwins.reporting.links import MAX_NAMED, DanglingLink, describe_dangling
from imagetwins.scanning.thumbnails import Missing
from imagetwins.store.record import RunRecord, RunStatus, Stage
from imagetwins.store.schemas import Action
from imagetwins.text import ORIENTATIONS, ZERO_WIDTH_SPACE, describe_left_out, format_command, pluralize, printable

MAX_ROWS = 40
"""Rows of pictures; 40 rows are about 0.7 MB of Markdown, which the UI shows in a second or two."""

PICTURE_PX = 120
JPEG_QUALITY = 80

MAX_WORD = 24
"""Characters without a mark where a line may break; the UI's column is about 560 pixels wide."""

URL_MARKS = "/:?&=#%+,;@~!$*"
"""Characters of a URL that a link in Markdown holds as they are."""

Load = Callable[[Sequence[int]], Sequence[NDArray[np.uint8] | Missing]]
"""Returns the square thumbnail of each image, or why there is none: `RunThumbnails.load`."""


def escape(text: str) -> str:
    """Return `text` such that Markdown shows it literally, on one line."""
    return re.sub(r"([\\`*_{}\[\]()#+!|~<>&-])", lambda found: f"&#{ord(found[0])};", printable(text))


def draw_summary(record: RunRecord, digest: Digest, report: str, links: Sequence[DanglingLink] = ()) -> str:
    """Return the summary of a run: what it found, how to settle and undo it, what each stage took, and what it was asked.

    `report` is where its report lies, a path or a URL; `links` are those that dangle since.
    """
    counts, parameters = record.counts, record.parameters
    asked = {"folder": parameters.folder} | parameters.changed
    parts = [
        f"# {pluralize(counts['duplicates'], 'duplicate')} among {pluralize(counts['images'], 'picture')}",
        *([f"**{escape(refused)}**"] if (refused := describe_refusals(record)) else []),
        f"**{digest}.** {link_desk(record)}",
        *_next_step(record),
        RULES[record.parameters.rule],
        *([restriction] if (restriction := describe_restriction(record)) else []),
        *([shots] if (shots := describe_shots(record)) else []),
        *([turned] if (turned := describe_orientations(record)) else []),
        *([escape(small)] if (small := describe_small(record)) else []),
        *([escape(remembered)] if (remembered := describe_remembered(record)) else []),
        *([f"Left out: {escape(describe_left_out(record.left_out))}."] if record.left_out else []),
        *([_tell_dangling(links, record)] if links else []),
        f"The report: `{report}`" if _fits_code(report) else f"The report: {breakable(report)}",
        "## Where the time went",
        _bars(record.seconds),
        "## How the pairs were compared",
        _table(("pairs", "how many"), [(name, f"{count:,}") for name, count in _iter_funnel(record)]),
        "## What was found",
        _table(("what", "how many"), [(name.replace("_", " "), f"{count:,}") for name, count in counts.items()]),
        "## What was asked",
        _table(("parameter", "value"), [(escape(name), breakable(str(value))) for name, value in asked.items()]),
    ]
    return "\n\n".join(parts)


def _tell_dangling(links: Sequence[DanglingLink], record: RunRecord) -> str:
    shorten = record.parameters.layout.shorten
    named = [f"{breakable(shorten(link.link))} → {breakable(shorten(link.target))}" for link in links[:MAX_NAMED]]
    more = [f"and {len(links) - MAX_NAMED:,} more"] if len(links) > MAX_NAMED else []
    return f"{describe_dangling(links, record)} {'; '.join(named + more)}. The report says how to mend them."


def link_desk(record: RunRecord) -> str:
    """Return, as Markdown, the link to the run's desk, or the command that opens it; "" if no two pictures match."""
    if not record.counts["matches"]:
        return ""
    if url := settings.desk_url(record.run_id):
        return f"[Look at them on the desk]({quote(url, safe=URL_MARKS)})."
    return f"To look at them: `{format_command('review', *_name(record))}`"


def _name(record: RunRecord) -> tuple[str, str | None]:
    """Return the run's id and its store, if that can stand in a command that is shown."""
    store = record.parameters.store
    return record.run_id, store if store and _fits_code(store) else None


def _fits_code(text: str) -> bool:
    """Whether `text` can stand in code: a line break or a mark of code would end it."""
    return text.isprintable() and "`" not in text


def _iter_funnel(record: RunRecord) -> Iterator[tuple[str, int]]:
    """Yield what the stages of the join are called in reports, and how many pairs each took."""
    labels = ssim.stage_labels()
    for name, count in record.funnel.items():
        if name not in ssim.TOTALS:
            yield labels.get(name, escape(name)), count


def _next_step(record: RunRecord) -> list[str]:
    """Return what a person may want to do now, with the command that does it."""
    named = _name(record)
    if record.status is RunStatus.WAITING:
        return [
            "Nothing has moved: the run waits for approval. Look at the gallery, then choose Resume in this run's menu, or",
            f"```\n{format_command('approve', *named)}\n```",
        ]
    if moved := record.counts["moved"]:
        steps = [
            f"To undo {'that move' if moved == 1 else f'those {moved:,} moves'}:",
            f"```\n{format_command('restore', *named)}\n```",
        ]
    else:
        steps = []
    # A command with a line break in a name would end the block of code.
    if (advice := advise_keep(record)) and all(command.isprintable() for command in advice.commands):
        steps += [advice.text, "```\n{}\n```".format("\n".join(advice.commands))]
    return steps


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _bars(seconds: Mapping[Stage, float]) -> str:
    longest = max(seconds.values(), default=0) or 1
    width = max((len(stage.label) for stage in seconds), default=0)
    lines = [
        f"{stage.label:<{width}}{value:>9.2f} s  {'█' * round(30 * value / longest)}"
        for stage, value in seconds.items()
    ]
    return "\n".join(["```", *lines, "```"])


def breakable(text: str) -> str:
    """Return `escape(text)` with marks where a line may break: the UI gives a table no room for long names."""
    return ZERO_WIDTH_SPACE.join(escape(part) for part in re.findall(rf"\S{{1,{MAX_WORD}}}\s*|\s+", text))


def draw_gallery(decisions: pd.DataFrame, images: pd.DataFrame, load: Load, layout: Layout) -> str:
    """Return the kept and the other picture of each decision side by side, the most doubtful first; the other turned to match.

    `decisions` and `images` are `schemas.DECISIONS` and `schemas.IMAGES`; names are shown as `layout` shortens them.
    """
    decided = decisions[decisions["kept_image"].notna()]
    doubtful_first = decided.assign(sure=decided["action"] != Action.REVIEW).sort_values(
        ["sure", "ssim"], kind="stable"
    )
    shown = doubtful_first.head(MAX_ROWS)
    if shown.empty:
        return "No two pictures match."
    shown = shown.assign(orientation=read_orientations(shown))
    ids = list(dict.fromkeys(shown[["kept_image", "image"]].to_numpy(np.int64).ravel().tolist()))
    thumbnails = dict(zip(ids, load(ids), strict=True))
    rows = [_gallery_row(row, thumbnails, images, layout) for row in shown.itertuples()]
    more = (
        f"\n\nThe {len(shown)} most doubtful of {len(decided)}; the report has all."
        if len(decided) > len(shown)
        else ""
    )
    return (
        f"In {breakable(layout.path)}\n\n"
        + _table(("kept", "other", "SSIM, and what became of the other"), rows)
        + more
    )


def _gallery_row(
    row: Any, thumbnails: Mapping[int, NDArray[np.uint8] | Missing], images: pd.DataFrame, layout: Layout
) -> tuple[str, ...]:
    pair = (int(row.kept_image), row.kept_path, AS_IT_IS), (int(row.image), row.FullPath, row.orientation)
    kept, other = (
        f"{_encode(thumbnails[image], image, images, orientation)} {breakable(layout.shorten(path))}"
        for image, path, orientation in pair
    )
    if row.orientation != AS_IT_IS:
        other += f" (shown {ORIENTATIONS[row.orientation]})"
    detail = "" if pd.isna(row.detail_ssim) else f", {row.detail_ssim:.3f} where there is detail"
    local = "" if pd.isna(row.local_ssim) else f", {row.local_ssim:.3f} where they differ most"
    return kept, other, f"**{row.ssim:.4f}**{detail}{local}. **{row.action}**: {breakable(row.reason)}"


def _encode(thumbnail: NDArray[np.uint8] | Missing, image: int, images: pd.DataFrame, orientation: int) -> str:
    """Return the thumbnail of `image` as Markdown, turned, with the width and height that the picture has then."""
    if isinstance(thumbnail, Missing):
        return f"({thumbnail})"
    shape = int(images["width_px"].iat[image]), int(images["height_px"].iat[image])
    width, height = reversed(shape) if lies_on_side(orientation) else shape
    scale = PICTURE_PX / max(width, height)
    scaled = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(ssim.turn(thumbnail, orientation), scaled, interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return f"![{image}](data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode()})"
