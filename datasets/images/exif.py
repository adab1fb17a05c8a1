"""The focal length that a photograph's EXIF tells, where it does."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

from datasets.images.decode import opened
from datasets.images.lens import FULL_FRAME

_EXIF = 0x8769
_IN_35MM, _FOCAL, _WIDTH = 41989, 37386, 40962
_RESOLUTION, _UNIT = 41486, 41488
_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 1e-3}  # of the units of the focal plane's resolution: inch, cm, mm, um

SANE = (0.3, 20.0)  # focal length in image diagonals: 8 mm to 870 mm, in terms of 35 mm film


def focal_of(path: Path, width: int, height: int) -> float | None:
    """Focal length in px of an image of this size, or None.

    From the equivalent for 35 mm film, which is by the diagonal (CIPA DCG-001); else from the focal length and the
    resolution of the focal plane. An image that was cropped after it was taken has a wrong one: nothing tells.
    """
    try:
        with opened(path) as image:
            tags = dict(image.getexif().get_ifd(_EXIF))
    except (OSError, SyntaxError, ValueError, AttributeError, TypeError):
        return None
    diagonal = math.hypot(width, height)
    if equivalent := _number(tags.get(_IN_35MM)):
        return _sane(equivalent / FULL_FRAME * diagonal, diagonal)
    focal, resolution = _number(tags.get(_FOCAL)), _number(tags.get(_RESOLUTION))
    if focal and resolution:
        taken = _number(tags.get(_WIDTH)) or max(width, height)
        per_mm = resolution / _MM.get(int(_number(tags.get(_UNIT)) or 2), 25.4)
        return _sane(focal * per_mm * max(width, height) / taken, diagonal)
    return None


def _sane(focal: float, diagonal: float) -> float | None:
    return focal if SANE[0] <= focal / diagonal <= SANE[1] else None


def _number(value: Any) -> float | None:
    """A positive finite number, of all that EXIF may hold in place of one."""
    try:
        number = float(Fraction(*value[:2]) if isinstance(value, tuple) else value)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return number if 0 < number < math.inf else None
