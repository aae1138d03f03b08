"""What reads pictures and compares them: decoders and compiled kernels."""

import importlib
from collections.abc import Iterator
from pathlib import Path

from imagetwins.decoding.formats import FORMATS, Format
from imagetwins.doctor.findings import Finding, ok, problem, warning
from imagetwins.text import pluralize

COMPILE_SECONDS = 25
"""How long the first run on a machine compiles, on two cores of 2.5 GHz or so."""


def examine_formats() -> Iterator[Finding]:
    """Yield which formats cannot be read here."""
    missing = {known.name: said for known in FORMATS if (said := find_missing(known))}
    if "JPEG" in missing:
        yield problem("formats", f"no picture can be read: {missing['JPEG']}", "Install imagetwins anew.")
        return
    readable = ", ".join(known.name for known in FORMATS if known.name not in missing)
    yield ok("formats", readable)
    for name, said in missing.items():
        yield warning(
            f"format {name}",
            f"cannot be read: {said}",
            "Pictures of this format are listed as unreadable, and stay. Install imagetwins anew if you have some.",
        )


def find_missing(known: Format) -> str | None:
    """Return why what decodes a format is not there; None if it is."""
    modules = {"opencv": "cv2", "pillow": "PIL.Image", "rawpy": "rawpy"}
    for module in (modules[known.decoder], known.plugin):
        try:
            if module:
                importlib.import_module(module)
        except (ImportError, OSError) as error:  # OSError: a library that it is linked with.
            return str(error)
    return None


def count_compiled() -> int:
    """Return how many functions have been compiled for this processor, and kept; 0 before the first run."""
    return sum(1 for _ in _kernels_place().rglob("*.nbi"))


def _kernels_place() -> Path:
    from numba import config  # noqa: PLC0415 - with the engine, which sets it: 0.4 s

    from imagetwins import ssim  # noqa: F401, PLC0415

    return Path(config.CACHE_DIR)  # type: ignore[attr-defined]


def examine_kernels() -> Iterator[Finding]:
    """Yield which kernels this processor runs, and whether they are compiled."""
    from imagetwins import ssim  # noqa: PLC0415 - as above

    label = ssim.choose_kernels().label
    if not ssim.KEEPS_KERNELS:
        yield warning(
            "kernels",
            f"{label}; what is compiled cannot be kept",
            f"Each run compiles for some {COMPILE_SECONDS} s. Set NUMBA_CACHE_DIR to a folder that you, and nobody else, can write.",
        )
        return
    count = count_compiled()
    told = (
        pluralize(count, "function") + " compiled"
        if count
        else f"the first run compiles, {COMPILE_SECONDS} s more than later ones"
    )
    yield ok("kernels", f"{label}: {told}, in {_kernels_place()}")
