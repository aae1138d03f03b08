"""What the report and the calibration page share: the templates, the pictures that go into a page, numbers in words."""

import base64
from typing import Any

import cv2
import jinja2
import numpy as np
from numpy.typing import NDArray

from imagetwins.text import format_duration

WEBP_QUALITY = 70


def render_page(template: str, **values: Any) -> str:
    """Return the page that `template` makes of `values`."""
    return _make_environment().get_template(template).render(**values)


def _make_environment() -> jinja2.Environment:
    """Return the environment of the pages' templates: everything is escaped, a missing value is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("imagetwins.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    environment.filters |= {
        "number": lambda value: f"{value:,}",
        "compact": _compact,
        "bytes": _bytes,
        "duration": format_duration,
        "percent": lambda value: f"{100 * value:.1f} %",
        "parameter": lambda value: ", ".join(value) if isinstance(value, list) else str(value),
    }
    return environment


def to_webp(pixels: NDArray[np.uint8]) -> str:
    """Return `pixels`, with alpha or without, as WebP in base64."""
    _, encoded = cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY])
    return base64.b64encode(encoded.tobytes()).decode()


def _compact(count: int) -> str:
    for unit, size in (("bn", 10**9), ("M", 10**6)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:,}"


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
