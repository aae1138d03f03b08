"""What an examination finds: plain data, for a terminal or for JSON."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad a finding is, from the best to the worst."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One line of an examination.

    Attributes:
        subject: what was looked at.
        level: a warning is what a run can live with; a problem is what ends one.
        what: what was found there.
        remedy: what to do about it; empty where all is well.
    """

    subject: str
    level: Level
    what: str
    remedy: str = ""


def ok(subject: str, what: str) -> Finding:
    """Return that all is well with `subject`."""
    return Finding(subject, Level.OK, what)


def warning(subject: str, what: str, remedy: str) -> Finding:
    """Return what a run can live with."""
    return Finding(subject, Level.WARNING, what, remedy)


def problem(subject: str, what: str, remedy: str) -> Finding:
    """Return what ends a run, or keeps it from beginning."""
    return Finding(subject, Level.PROBLEM, what, remedy)


def is_problem(findings: Iterable[Finding]) -> bool:
    """Whether any of `findings` is a problem."""
    return any(finding.level is Level.PROBLEM for finding in findings)
