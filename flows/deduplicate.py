"""The main job: find the duplicate and near-duplicate images of a folder, and move them to its `Duplicates`."""

from typing import Any

from prefect import flow, unmapped
from prefect.runtime import flow_run

from imagetwins.config.folders import shorten_folder
from imagetwins.config.parameters import AsUsual, Options, Score, check_parameters
from imagetwins.runtime.approval import request_approval
from imagetwins.runtime.cluster import local_threads, open_cluster
from imagetwins.runtime.deployed import merge_options
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
    options = given["options"]
    # A flow that is called has the model, one that is deployed what it is in JSON.
    others = options.more_folders if isinstance(options, Options) else (options or {}).get("more_folders")
    more = f" and {len(others)} more" if others else ""
    mode = "look through" if given["dry_run"] else "tidy"
    return f"{mode} {shorten_folder(given['folder'])}{more} at {given['threshold']:g}"


@flow(
    name="deduplicate-images",
    flow_run_name=name_run,
    task_runner=local_threads(),
    persist_result=False,
)
def deduplicate(
    folder: str, threshold: Score = 0.9, dry_run: bool = False, options: AsUsual | Options = None
) -> dict[str, Any]:
    """Find the duplicate and near-duplicate images of a folder by exact all-pairs SSIM, and move them.

    Every move is journalled and can be undone with `imagetwins restore RUN`.

    Args:
        folder: The folder of pictures to look through; a path, or a URL as in s3://bucket/pictures.
        threshold: Two pictures match when their SSIM is this or more (-1 to 1; 1 is identical).
        dry_run: Find and report the duplicates, but move nothing.
        options: All the rest: which files, which copy stays, what is for review and not moved, who is asked before.

    Returns:
        The run's id, its counts, and the seconds each stage took.

    Raises:
        ParameterError: a parameter is outside its limits, or the folder does not exist.
        FolderBusyError: another run works on the folder.
        ClusterError: the Dask cluster cannot be used.
        NothingMovedError: nothing moved of what should have; all else is done.
    """
    asked = {"folder": folder, "threshold": threshold, "dry_run": dry_run}
    parameters = check_parameters(asked | merge_options(options))
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
                context.count_moves(move_duplicates(run, parameters))
        with context.stage(Stage.REPORT):
            publish_run(run)
    return context.answer()
