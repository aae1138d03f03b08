"""The stages of a join, which account for every pair: their names, their labels in reports, and their counts."""

from imagetwins.ssim import bounds

PAIRS, STORED, VERIFIED = "pairs", "stored", "verified"

TOTALS = (PAIRS, STORED, VERIFIED)
"""Counts that are not of a stage: all pairs, those that are stored, and those whose score is scikit-image's own."""

KNOWN, IDENTICAL, BLOCKS, SCORED = "known", "identical", "blocks", "scored"


def stage_labels() -> dict[str, str]:
    """Return what reports call the pairs that each stage accounts for, by the name of the stage, in order.

    Every pair is counted in exactly one stage: the counts of all stages add up to that of PAIRS.
    """
    return {
        KNOWN: "known from an earlier run",
        IDENTICAL: "identical thumbnails",
        **{bound.name: bound.label for bound in bounds.BOUNDS},
        BLOCKS: "proven below the floor block by block",
        SCORED: "scored exactly",
    }


def zero_counts() -> dict[str, int]:
    """Return a count of 0 for each stage and each of TOTALS."""
    return dict.fromkeys((PAIRS, *stage_labels(), STORED, VERIFIED), 0)
