"""Numbers and commands in sentences."""

import shlex


def amount(count: int, thing: str) -> str:
    """Return the number with its noun: 1 picture, 2,000 pictures."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def command_on(run_id: str, store: str | None, verb: str, program: str = "imagetwins") -> str:
    """Return the command that does `verb` to a past run, for a shell; with `store` where that was named."""
    return shlex.join([program, verb, run_id, *(["--store", store] if store else [])])
