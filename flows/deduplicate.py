"""The main job: find the duplicate and near-duplicate images of a folder, and move them to its `Duplicates`."""

from typing import Any

from prefect import flow, unmapped
from prefect.runtime import flow_run

from imagetwins.config.folders import shorten_folder
from imagetwins.config.parameters import (
    Address,
    ApprovalPolicy,
    CachePixels,
    Count,
    Grouping,
    Hours,
    Keep,
    Ratio,
    Rule,
    Score,
    Share,
    Sidecars,
    Size,
    Within,
    check_parameters,
)
from imagetwins.decoding.model import Decoding, Resampling
from imagetwins.orientation import Orientations
from imagetwins.runtime.approval import request_approval
from imagetwins.runtime.cluster import local_threads, open_cluster
from imagetwins.runtime.run_context import await_all, open_run
from imagetwins.settings import cache_limit_bytes, count_cores
from imagetwins.stages.load import plan_batches
from imagetwins.store.record import RunKind, Stage
from tasks.approve import apply_answer, plan_approval
from tasks.decide import decide_duplicates
from tasks.list import list_files
from tasks.load import load_images
from tasks.lookup import estimate, find_reusable_run, lookup_files
from tasks.move import move_duplicates
from tasks.plan import plan_comparisons
from tasks.report import publish_run
from tasks.score import reuse_pairs, score_pairs


def name_run() -> str:
    """Name a flow run by its mode and folders."""
    given = flow_run.parameters
    more = f" and {len(given['more_folders'])} more" if given["more_folders"] else ""
    mode = "look through" if given["dry_run"] else "tidy"
    return f"{mode} {shorten_folder(given['folder'])}{more} at {given['threshold']:g}"


@flow(
    name="deduplicate-images",
    flow_run_name=name_run,
    task_runner=local_threads(),
    persist_result=False,
)
def deduplicate(
    folder: str,
    threshold: Score = 0.9,
    rule: Rule = "careful",
    dry_run: bool = False,
    recursive: bool = True,
    size: Size = 200,
    resampling: Resampling = "area",
    decoding: Decoding = "full",
    orientations: Orientations = "same",
    keep: Keep = "first",
    grouping: Grouping = "representative",
    audit_floor: Score | None = None,
    min_detail_ssim: Score = 0.7,
    min_local_ssim: Score = 0.85,
    max_peak_difference: Ratio = 7.0,
    max_colour_difference: Ratio = 22.0,
    max_aspect_change: Ratio = 0.1,
    max_move_share: Share = 1.0,
    approval: ApprovalPolicy = "never",
    approve_above: Count | None = None,
    approval_hours: Hours = 24.0,
    exclude: list[str] = [],  # noqa: B006 - Prefect shows the default in its form; it is never changed.
    default_excludes: bool = True,
    sidecars: Sidecars = "move",
    reference: list[str] = [],  # noqa: B006
    store: str | None = None,
    cache_pixels: CachePixels = "yes",
    dask: Address | None = None,
    more_folders: list[str] = [],  # noqa: B006
    into: str | None = None,
    within: Within = "all",
    across: bool = False,
) -> dict[str, Any]:
    """Find the duplicate and near-duplicate images of a folder by exact all-pairs SSIM, and move them.

    Every move is journalled and can be undone with `imagetwins restore RUN`.

    Args:
        folder: The folder of pictures to look through; a path, or a URL as in s3://bucket/pictures.
        threshold: Two pictures match when their SSIM is this or more (-1 to 1; 1 is identical).
        rule: careful: a match that a score alone cannot vouch for is listed for review and not moved. plain: of two
            pictures that match, the one listed later moves; no guard holds it back, grouping is any and keep is first,
            whatever they say.
        dry_run: Find and report the duplicates, but move nothing.
        recursive: Look into sub-folders too.
        size: Side of the square thumbnails that are compared, in pixels (16 to 1024).
        resampling: How thumbnails are resized: area averages all pixels, linear is OpenCV's plain resize.
        decoding: full decodes every pixel, so that scores are exact. reduced decodes large JPEGs to a half, a quarter
            or an eighth, but not below twice the thumbnail: two to three times as fast, and scores change by up to
            about 0.03.
        orientations: same: two pictures are compared as a viewer shows them. all: the second one also turned by 90, 180
            and 270 degrees and mirrored, and the best of the eight scores counts: turned and mirrored copies match, for
            a few times the time.
        keep: Which copy stays: words with commas between, the first that tells two copies apart decides, as in
            resolution,name,first. first: listed first. resolution: most pixels. size: most bytes. oldest, newest: by
            the date it was taken (EXIF), else the file's. exif-date: one that has such a date. name: no copy suffix,
            as in "x (1)" or "x copy". companions: most that belongs to it, as sidecars or a film; first unless named.
            folder:NAME: one in a folder of that name. References rank before all.
        grouping: representative: every moved picture matches one that stays. any: every picture that matches
            any picture before it is moved.
        audit_floor: Every pair scoring this or more is stored for later audits; -1 stores all pairs. Default:
            threshold - 0.05.
        min_detail_ssim: A match scoring less than this where the pictures have detail is listed for review and
            not moved; -1 switches this guard off.
        min_local_ssim: A match that differs in one place is listed for review and not moved: one with a small square
            that scores less than this, if the rest is equal; less is required where all of it differs. -1 switches
            this guard off.
        max_peak_difference: A match that differs in one place, as by a date or a name, more than this many times as
            much as in most others is listed for review and not moved.
        max_colour_difference: A match in which the colour of one place differs by more than this many levels (0 to
            255), beyond that of the whole, is listed for review and not moved.
        max_aspect_change: A match whose width-to-height ratios differ by more than this share (0.1 is 10 %) is
            listed for review and not moved.
        max_move_share: If more than this share of the folder would move, nothing moves and all is for review.
        approval: Ask a person before anything moves: never, when something is for review, or always. An approval
            also moves what max_move_share holds back.
        approve_above: Ask as well when more files than this would move. Default: no limit.
        approval_hours: How long to wait for an answer, in hours; then nothing moves.
        exclude: Patterns, as in a .gitignore, of files and sub-folders to leave out besides the default ones;
            !NAME/ takes in what those leave out.
        default_excludes: Leave out hidden folders, trash, snapshots, the innards of photo libraries, and thumbnails
            that storage boxes and photo servers make. The run says how many it left out.
        sidecars: What becomes of the files that belong to a picture that moves (XMP, AAE, Google's JSON, the film of
            a Live Photo, the raw file beside a JPEG): move, they follow it, and come back with it, or leave.
        reference: Folders, or URLs, whose pictures are compared too, always kept, and never moved.
        store: Folder of the tables and journals, or its URL. Default: IMAGETWINS_STORE, else data/store.
        cache_pixels: Whether the cache keeps the pixels of thumbnails for later runs: yes, or no, which takes less than
            half of the space; later runs then decode again what they must compare closely.
        dask: Address of a Dask scheduler, as in tcp://10.0.0.5:8786, whose workers load and score the pictures.
            Default: this machine does.
        more_folders: More folders of pictures, or URLs: all pictures of all folders are compared, and each duplicate
            goes to the Duplicates of its own folder.
        into: One folder, or URL, for the duplicates of all folders, which is never looked through: there they keep
            their paths, below the name of their folder if there are several. Default: each folder has its Duplicates.
        within: all: two pictures may match wherever they lie. folder: only if the same sub-folder holds both, as of
            chapters or products. Pictures of references may match all.
        across: Two pictures may match only if they lie in two of the given folders, or one in a reference: copies
            inside one folder stay.

    Returns:
        The run's id, its counts, and the seconds each stage took.

    Raises:
        ParameterError: a parameter is outside its limits, or the folder does not exist.
        FolderBusyError: another run works on the folder.
        ClusterError: the Dask cluster cannot be used.
    """
    parameters = check_parameters(locals())
    workers, limit = count_cores(), cache_limit_bytes()
    with open_run(RunKind.DEDUPLICATE, parameters) as context, open_cluster(parameters.dask) as cluster:
        run = context.run
        with context.stage(Stage.LIST):
            context.record.left_out = list_files(run, parameters)
            cluster.check_workers(run)
        with context.stage(Stage.LOOKUP):
            context.count(lookup_files(run, parameters, limit, workers))
            reusable = find_reusable_run(run, parameters)
            context.reuse(reusable, parameters)
            context.announce(f"{estimate(run, parameters, reusable, limit, workers)} {reusable.why}")
        with context.stage(Stage.LOAD):
            starts, stops, sizes = zip(*plan_batches(run, workers), strict=True)
            loads = load_images.map(unmapped(run), unmapped(parameters), starts, stops)
            context.count(*await_all(Stage.LOAD, loads, "picture", dict(zip(starts, sizes, strict=True))))
        with context.stage(Stage.PLAN):
            plan = plan_comparisons(run, parameters, reusable)
            context.count({"pairs": plan.pairs})
        with context.stage(Stage.SCORE):
            context.count_pairs([reuse_pairs(run, parameters, reusable, plan.fingerprint)])
            scores = score_pairs.map(unmapped(run), unmapped(plan.fingerprint), range(len(plan.batches)), plan.batches)
            context.count_pairs(await_all(Stage.SCORE, scores))
        with context.stage(Stage.DECIDE):
            decided = decide_duplicates(run, parameters, workers)
            context.record.funnel["verified"] = decided.pop("verified")
            context.count(decided)
        if not parameters.dry_run and (request := plan_approval(run, parameters)):
            answer = request_approval(context, parameters, request, publish_run)
            context.replace_counts(apply_answer(run, answer, parameters.layout))
        with context.stage(Stage.MOVE):
            if not parameters.dry_run:
                context.count(move_duplicates(run, parameters))
        with context.stage(Stage.REPORT):
            publish_run(run)
    return context.summary()
