"""What reads pictures and compares them: decoders and compiled kernels."""

import importlib
from collections.abc import Iterator
from pathlib import Path

from imagetwins.decoding.formats import FORMATS, Format
from imagetwins.doctor.findings import Finding, ok, problem, warning
from imagetwins.text import pluralize

COMPILE_SECONDS = 25


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


def examine_kernels() -> Iterator[Finding]:
    """Yield which kernels this processor runs, and whether they are compiled."""
    from numba import config  # noqa: PLC0415 - with the engine: 0.4 s

    from imagetwins import ssim  # noqa: PLC0415

    label = ssim.choose_kernels().label
    if not ssim.KEEPS_KERNELS:
        yield warning(
            "kernels",
            f"{label}; what is compiled cannot be kept",
            f"Each run compiles for some {COMPILE_SECONDS} s. Set NUMBA_CACHE_DIR to a folder that you, and nobody else, can write.",
        )
        return
    place = Path(config.CACHE_DIR)  # type: ignore[attr-defined]
    count = sum(1 for _ in place.rglob("*.nbi"))
    told = (
        pluralize(count, "function") + " compiled"
        if count
        else f"the first run compiles, {COMPILE_SECONDS} s more than later ones"
    )
    yield ok("kernels", f"{label}: {told}, in {place}")
