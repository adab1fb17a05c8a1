"""How the fits learnt: every number that their logs hold, against wall seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.record import read_log
from reports.scores import Entry

FIRST = ("psnr", "loss")
"""What is drawn before all else, whatever stands before it in its name: `train/psnr` is a `psnr`."""

Points = NDArray[np.float64]


def series(rows: Sequence[Mapping[str, Any]]) -> dict[str, Points]:
    """Name -> (n, 2) of seconds and value, finite, in order of time; PSNR and loss first, constants left out."""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        seconds = row.get("seconds", math.nan)
        for name, value in row.items():
            if name not in ("step", "seconds") and _is_number(value) and _is_number(seconds):
                found.setdefault(name, []).append((seconds, value))
    kept = {name: np.array(sorted(pairs), dtype=float) for name, pairs in found.items() if len(pairs) > 1}
    moving = [name for name, points in kept.items() if np.ptp(points[:, 1]) > 0 or kind(name) in FIRST]
    return {name: kept[name] for name in sorted(moving, key=_place)}


def headline(entry: Entry) -> dict[str, Points]:
    """`psnr` and `loss` of a fit, whichever its log holds; of a loss, drawn as a logarithm, what is positive."""
    found: dict[str, Points] = {}
    for name, points in series(read_log(entry.folder)).items():
        if kind(name) in FIRST and kind(name) not in found:
            points = points[points[:, 1] > 0] if kind(name) == "loss" else points
            if len(points) > 1:
                found[kind(name)] = points
    return found


def kind(name: str) -> str:
    return name.rpartition("/")[2]


def is_loss(name: str) -> bool:
    return "loss" in name.split("/")


def _place(name: str) -> tuple[int, str]:
    return (FIRST.index(kind(name)) if kind(name) in FIRST else len(FIRST)), name


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
