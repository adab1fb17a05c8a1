"""What MLflow is sent of a fit that is still at work: as much of its curves and previews as will stay right."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.record import rows_of
from bench.runner.fit_progress import at_work, content, files_of
from bench.tracking.cell_run import LOGS, Picture, Point, curves_of, pictures_among

if TYPE_CHECKING:
    from PIL.Image import Image

LONGEST_LOG = 32 * 2**20  # bytes; of a longer one nothing is sent before its fit has ended
LARGEST_PREVIEW = 16 * 2**20  # bytes
MOST_PIXELS = 2**24
LARGEST_STEP = 2**53


class FitNow(NamedTuple):
    """Curves and previews of a fit up to now."""

    points: list[Point] | None  # None: nobody can say before it has ended
    pictures: list[Picture]


def fit_now(cell: Path) -> FitNow | None:
    """Of the fit that is at work for a cell's folder, as far as its files are to be read; None where there is none."""
    if (out := at_work(cell)) is None:
        return None
    points: list[Point] = []
    try:
        for prefix, name in LOGS.items():
            text = content(out / name, LONGEST_LOG)
            rows = [] if text is None else rows_of(text.decode("utf-8", "replace"))
            if text is None or not all(_is_sane(row["step"]) and _is_sane(row["seconds"]) for row in rows):
                return FitNow(None, [])
            points += curves_of(prefix, rows, ended=False)
    except OverflowError:  # a number of hundreds of digits
        return FitNow(None, [])
    return FitNow(points, list(pictures_among(files_of(out / "previews"))))


def opened(picture: Picture) -> Image | None:
    """A preview that a worker has written; None where it has not yet written all of it, or where it is none."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content(picture.file, LARGEST_PREVIEW) or b"")) as image:
            return image.convert("RGB") if image.width * image.height <= MOST_PIXELS else None
    except Exception:  # noqa: BLE001 - whatever a method leaves there
        return None


def _is_sane(number: float) -> bool:
    return math.isfinite(number) and abs(number) < LARGEST_STEP
