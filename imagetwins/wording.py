"""Numbers in sentences."""


def amount(count: int, thing: str) -> str:
    """Return the number with its noun: 1 picture, 2,000 pictures."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
