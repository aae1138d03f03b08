"""What reduced decoding does to thumbnails, scores and decisions, and what it saves, on JPEGs of 12 and 24 megapixels.

Writes a table, a plot and all numbers to the results folder. A whole run takes about ten minutes.

    python -m benchmarks.large_photos [--corpus FOLDER] [--pictures 6] [--out benchmarks/results]

FOLDER has the sub-folder `photos`; without it, scikit-image's photographs are used. Neither has large photographs, so they are
made of small ones, in two ways that err on opposite sides:

- *mosaic*: many photographs side by side. Every pixel is real, but a thumbnail of it is busier than any photograph's.
- *enlarged*: one photograph enlarged, with a quarter of a mosaic's fine detail and the noise of a sensor added. Its thumbnail is
  a photograph's, but its finest detail belongs to other pictures.

A third set has neither fault: the photographs *as they are*, with thumbnails of 50 pixels, for which they are as large as one of
12 megapixels is for 200. There the reduction is by 2, where a camera's picture is reduced by 4 or 8.

Of each picture nine versions are compared, each pair of them once, as scikit-image scores it: recompressed, brightened, cropped
by 0.5, 1 and 2 %, halved, doubled, and one that is 2.5 thumbnails wide, which is never reduced. "At least 2 x" and so on is how
many times its thumbnail a picture is left: 2 is the rule that the pipeline has, the others what a more careful one would give.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, get_args

import cv2
import matplotlib as mpl
import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table
from skimage.metrics import structural_similarity

from benchmarks.corpora import Picture, read_pictures
from benchmarks.ssim_join import describe_machine
from imagetwins.decoding import decoder, headers, pool
from imagetwins.decoding.model import DecodeSettings, Decoding

mpl.use("Agg")
RULES = (2, 4, 8)
NEVER = 1 << 20
THRESHOLDS = (0.9, 0.95)
SETS = (
    ("mosaic", 4000, 3000, 200),
    ("mosaic", 6000, 4000, 200),
    ("enlarged", 4032, 3024, 200),
    ("enlarged", 6000, 4000, 200),
    ("as they are", 0, 0, 50),
)
ORIGINAL, SMALL = "original", "small"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--pictures", type=int, default=6, help="of each set; 32 times as many as they are")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    cv2.setNumThreads(1)
    Image.MAX_IMAGE_PIXELS = None
    photos = read_pictures("photos", options.corpus)
    results: dict[str, Any] = {"machine": describe_machine(), "sets": []}
    for kind, width, height, size in SETS:
        results["sets"].append(measure_set(kind, width, height, size, photos, options.pictures))
        show(results["sets"][-1], Console(width=160))
    results["uneven"] = measure_uneven(photos)
    show_uneven(results["uneven"], Console(width=160))
    save(results, options.out)


# -- pictures --------------------------------------------------------------------------------------------------------


def iter_large(kind: str, width: int, height: int, photos: list[Picture], count: int) -> Iterator[Picture]:
    """Yield the pictures of a set; those as they are without up to 7 pixels a side, so that their sides divide by 8."""
    rng = np.random.default_rng(0)
    if kind == "as they are":
        for photo in photos[: 32 * count]:
            yield np.ascontiguousarray(photo[: photo.shape[0] // 8 * 8, : photo.shape[1] // 8 * 8])
        return
    for number in range(count):
        mosaic = make_mosaic(width, height, photos, rng)
        yield mosaic if kind == "mosaic" else enlarge(photos[number % len(photos)], mosaic, rng)


def make_mosaic(width: int, height: int, photos: list[Picture], rng: np.random.Generator) -> Picture:
    made = np.empty((height, width, 3), np.uint8)
    tile_h, tile_w = (min(photo.shape[axis] for photo in photos) for axis in (0, 1))
    for y in range(0, height, tile_h):
        for x in range(0, width, tile_w):
            hole = made[y : y + tile_h, x : x + tile_w]
            hole[:] = photos[rng.integers(len(photos))][: hole.shape[0], : hole.shape[1]]
    return made


def enlarge(photo: Picture, mosaic: Picture, rng: np.random.Generator) -> Picture:
    height, width = mosaic.shape[:2]
    made = cv2.resize(photo, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    made += 0.25 * cv2.subtract(mosaic, cv2.GaussianBlur(mosaic, (0, 0), 3), dtype=cv2.CV_32F)
    made += rng.standard_normal((height, width, 1), np.float32) * 3
    return cv2.convertScaleAbs(np.maximum(made, 0))


def make_versions(picture: Picture, size: int) -> dict[str, bytes]:
    """Return JPEGs of the picture and of what becomes of pictures."""
    height, width = picture.shape[:2]

    def cropped(share: float) -> Picture:
        y, x = int(height * share), int(width * share)
        return np.ascontiguousarray(picture[y:, x:])

    def scaled(factor: float) -> Picture:
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        return cv2.resize(picture, (round(width * factor), round(height * factor)), interpolation=how)

    return {
        ORIGINAL: encode(picture, 92),
        "recompressed": encode(picture, 50),
        "brightened": encode(cv2.convertScaleAbs(picture, alpha=1.05, beta=5), 92),
        "cropped 0.5 %": encode(cropped(0.005), 92),
        "cropped 1 %": encode(cropped(0.01), 92),
        "cropped 2 %": encode(cropped(0.02), 92),
        "halved": encode(scaled(0.5), 92),
        "doubled": encode(scaled(2), 92),
        SMALL: encode(scaled(2.5 * size / width), 92),
    }


def encode(picture: Picture, quality: int) -> bytes:
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


# -- measuring -------------------------------------------------------------------------------------------------------


def make_thumbnail(content: bytes, settings: DecodeSettings, rule: int) -> tuple[Picture, int]:
    """Return the thumbnail that the pipeline makes of `content` under a rule, and by how much it was reduced."""
    header = headers.read_header(content)
    with under_rule(rule):
        reduction = decoder.plan_reduction(header, settings)
    pixels = decoder.to_displayed(decoder.decode_content(content, header, reduction), header)
    return decoder.to_thumbnail(pixels, settings), reduction


@contextmanager
def under_rule(rule: int) -> Iterator[None]:
    usual, decoder.LEAST_REDUCED = decoder.LEAST_REDUCED, rule
    try:
        yield
    finally:
        decoder.LEAST_REDUCED = usual


def measure_set(kind: str, width: int, height: int, size: int, photos: list[Picture], count: int) -> dict[str, Any]:
    settings = DecodeSettings(size, decoding="reduced")
    found: dict[str, Any] = {"kind": kind, "width": width, "height": height, "size": size}
    found["rules"] = [{"rule": rule, "reductions": [], "self": [], "difference": []} for rule in RULES]
    scores: dict[str, list[list[float]]] = {"pairs": [], "small": []}
    originals = []
    for picture in iter_large(kind, width, height, photos, count):
        versions = make_versions(picture, size)
        originals.append(versions[ORIGINAL])
        plain = {name: make_thumbnail(content, settings, NEVER)[0] for name, content in versions.items()}
        families = [plain]
        for row in found["rules"]:
            made = {name: make_thumbnail(content, settings, row["rule"]) for name, content in versions.items()}
            families.append({name: thumbnail for name, (thumbnail, _) in made.items()})
            for name, (thumbnail, by) in made.items():
                row["reductions"].append(by)
                if by > 1:
                    row["self"].append(score(plain[name], thumbnail))
                    row["difference"].append(int(cv2.absdiff(plain[name], thumbnail).max()))
        for one, other in combinations(versions, 2):
            scored = score_families(families, one, other)
            scores["pairs"].append(scored)
            if (one, other) == (ORIGINAL, SMALL):
                scores["small"].append(scored)
    for number, row in enumerate(found["rules"], 1):
        row |= {name: compare(np.array(scored), number) for name, scored in scores.items()}
    return found | measure_cost(originals[:12], settings)


def score(first: Picture, second: Picture) -> float:
    return float(structural_similarity(first, second, channel_axis=-1))


def score_families(families: list[dict[str, Picture]], one: str, other: str) -> list[float]:
    """Return the score of a pair under full decoding and each rule, computed once where no pixel differs."""
    known: dict[bytes, float] = {}
    scores = []
    for family in families:
        key = family[one].tobytes() + family[other].tobytes()
        if key not in known:
            known[key] = score(family[one], family[other])
        scores.append(known[key])
    return scores


def compare(scores: Any, column: int) -> dict[str, Any]:
    """Return how the scores of `column` differ from those of full decoding, column 0."""
    plain, other = scores[:, 0], scores[:, column]
    changes = np.abs(plain - other)
    return {
        "pairs": len(scores),
        "changes": changes.tolist(),
        "median": float(np.median(changes)),
        "p99": float(np.quantile(changes, 0.99)),
        "worst": float(changes.max()),
        "mean_shift": float((other - plain).mean()),
        "decisions": {at: int(((plain >= at) != (other >= at)).sum()) for at in THRESHOLDS},
        "within_0.01": {at: int((np.abs(plain - at) <= 0.01).sum()) for at in THRESHOLDS},
    }


def measure_cost(contents: list[bytes], settings: DecodeSettings) -> dict[str, Any]:
    """Time each picture under each rule in turn, whole: reading, digest, header, decoding; and take a child's memory."""
    milliseconds: dict[int, list[float]] = {rule: [] for rule in (NEVER, *RULES)}
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "a.jpg"
        for content in contents:
            file.write_bytes(content)
            for rule in tuple(milliseconds) * 3:
                with under_rule(rule):
                    begin = time.process_time()
                    decoder.decode(file, settings)
                    milliseconds[rule].append((time.process_time() - begin) * 1e3)
        megabytes = {
            decoding: measure_memory(file, replace(settings, decoding=decoding)) for decoding in get_args(Decoding)
        }
    return {
        "ms_full": float(np.median(milliseconds.pop(NEVER))),
        "ms": {rule: float(np.median(times)) for rule, times in milliseconds.items()},
        "mb": megabytes,
        "file_mb": float(np.median([len(content) for content in contents])) / 1e6,
    }


def measure_memory(file: Path, settings: DecodeSettings) -> float:
    """Return by how many MB the peak of a decoder process grows with `file`, its content included."""
    pool.close_decoders()
    peaks = []
    for path in (write_tiny(file), file):
        pool.decode_files([path], settings, np.empty((1, settings.size, settings.size, 3), np.uint8))
        peaks.append(read_peak(pool._idle[os.getpid()][0].process.pid))  # noqa: SLF001 - whose memory is asked
    pool.close_decoders()
    return (peaks[1] - peaks[0]) / 1e6


def write_tiny(beside: Path) -> Path:
    tiny = beside.with_name("tiny.png")
    cv2.imwrite(str(tiny), np.zeros((8, 8, 3), np.uint8))
    return tiny


def read_peak(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


def measure_uneven(photos: list[Picture]) -> list[dict[str, Any]]:
    """Score pictures of 12 megapixels less 0 to 7 pixels a side with themselves, reduced by 4 whether that divides or not."""
    settings = DecodeSettings(200)
    mosaic = make_mosaic(4000, 3000, photos, np.random.default_rng(1))
    rows = []
    for less in range(8):
        picture = np.ascontiguousarray(mosaic[: 3000 - less, : 4000 - less])
        content = encode(picture, 92)
        full, reduced = (
            decoder.to_thumbnail(decoder.decode_content(content, headers.read_header(content), by), settings)
            for by in (1, 4)
        )
        rows.append({"width": 4000 - less, "height": 3000 - less, "self": score(full, reduced)})
    return rows


# -- results ---------------------------------------------------------------------------------------------------------


def show(found: dict[str, Any], console: Console) -> None:
    size = f"{found['width']} x {found['height']}" if found["width"] else "thumbnails of 50"
    mb, pairs = found["mb"], found["rules"][0]["pairs"]
    table = Table(title=f"{found['kind']}, {size}: {pairs['pairs']} pairs of versions, reduced against full decoding")
    table.caption = (
        f"ms: core time of an original, {found['file_mb']:.1f} MB; memory {mb['full']:.0f} MB full, {mb['reduced']:.0f} MB "
        f"reduced. Pairs within 0.01 of 0.9: {pairs['within_0.01'][0.9]}, of 0.95: {pairs['within_0.01'][0.95]}."
    )
    for column in ("at least", "ms", "by 1/2/4/8", "off by", "SSIM with itself", "worst", "change of SSIM", "p99"):
        table.add_column(column, justify="right")
    for column in ("worst", "mean", "decisions at 0.9", "at 0.95", "to small copy", "worst"):
        table.add_column(column, justify="right")
    table.add_row("full", f"{found['ms_full']:.1f}")
    for row in found["rules"]:
        pairs, small = row["pairs"], row["small"]
        table.add_row(
            f"{row['rule']} x",
            f"{found['ms'][row['rule']]:.1f}",
            "/".join(str(row["reductions"].count(by)) for by in (1, 2, 4, 8)),
            str(max(row["difference"], default="")),
            *((f"{np.median(row['self']):.4f}", f"{min(row['self']):.4f}") if row["self"] else ("", "")),
            *(f"{pairs[name]:.5f}" for name in ("median", "p99", "worst")),
            f"{pairs['mean_shift']:+.5f}",
            *(str(pairs["decisions"][at]) for at in THRESHOLDS),
            *(f"{small[name]:.5f}" for name in ("median", "worst")),
        )
    console.print(table)


def show_uneven(rows: list[dict[str, Any]], console: Console) -> None:
    table = Table(title="a mosaic with itself, reduced by 4, by its sides: why only sides that divide are reduced")
    for row in rows:
        table.add_column(f"{row['width']} x {row['height']}", justify="right")
    table.add_row(*(f"{row['self']:.4f}" for row in rows))
    console.print(table)


def save(results: dict[str, Any], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with (out / "large_photos.txt").open("w", encoding="utf-8") as file:
        console = Console(width=160, file=file)
        for found in results["sets"]:
            show(found, console)
        show_uneven(results["uneven"], console)
    plot(results["sets"], out / "large_photos.png")
    for row in (row for found in results["sets"] for row in found["rules"]):
        for name in ("pairs", "small"):
            del row[name]["changes"]
    (out / "large_photos.json").write_text(json.dumps(results) + "\n", encoding="utf-8")
    Console().print(f"saved {out}/large_photos.json, .txt, .png")


def plot(sets: list[dict[str, Any]], target: Path) -> None:
    from matplotlib import pyplot as plt  # noqa: PLC0415 - only here

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    names = [f"{found['kind']}\n{found['width'] * found['height'] / 1e6:.0f} MP" for found in sets]
    names[-1] = "as they are\n(at 50)"
    for found, name in zip(sets, names, strict=True):
        changes = np.sort(found["rules"][0]["pairs"]["changes"])
        left.plot(changes, 1 - np.arange(len(changes)) / len(changes), label=name.replace("\n", " "))
    left.set(xscale="log", yscale="log", xlabel="change of SSIM", ylabel="share of pairs that change more")
    left.legend()
    for offset, label, heights in (
        (-0.2, "full", [found["ms_full"] for found in sets]),
        (0.2, "reduced", [found["ms"][RULES[0]] for found in sets]),
    ):
        right.bar(np.arange(len(sets)) + offset, heights, 0.4, label=label)
    right.set(xticks=range(len(sets)), xticklabels=names, ylabel="core ms a picture")
    right.legend()
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    main()
