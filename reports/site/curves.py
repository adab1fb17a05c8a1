"""How the fits learnt: every number that their logs hold, against wall seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

FIRST = ("psnr", "loss")
"""What is drawn before all else, whatever stands before it in its name: `train/psnr` is a `psnr`."""

Log = Sequence[Mapping[str, Any]]
"""Rows of log.jsonl."""

Points = NDArray[np.float64]


def series(rows: Log) -> dict[str, Points]:
    """Name -> (n, 2) of seconds and value, finite, in order of time; PSNR and loss first, constants left out."""
    pairs: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if not isinstance(seconds := row.get("seconds"), (int, float)):
            continue
        for name, value in row.items():
            if isinstance(value, (int, float)):  # what is no number, as of a line torn by a kill, is left out
                pairs.setdefault(name, []).append((seconds, value))
    found = {name: _points(each) for name, each in pairs.items() if name not in ("step", "seconds")}
    moving = [
        name for name, points in found.items() if len(points) > 1 and (kind(name) in FIRST or np.ptp(points[:, 1]) > 0)
    ]
    return {name: found[name] for name in sorted(moving, key=_place)}


def _points(pairs: Sequence[tuple[float, float]]) -> Points:
    """Finite pairs in order of time."""
    points = np.array(pairs, dtype=float)  # (n, 2)
    points = points[np.isfinite(points).all(axis=1)]
    return points[np.argsort(points[:, 0], kind="stable")]


def headline(named: Mapping[str, Points]) -> dict[str, Points]:
    """`psnr` and `loss` of a fit, whichever its log holds; of a loss, drawn as a logarithm, what is positive."""
    found: dict[str, Points] = {}
    for name, points in named.items():
        if kind(name) in FIRST and kind(name) not in found:
            points = points[points[:, 1] > 0] if kind(name) == "loss" else points
            if len(points) > 1:
                found[kind(name)] = points
    return found


def kind(name: str) -> str:
    return name.rpartition("/")[2]


def _place(name: str) -> tuple[int, str]:
    return (FIRST.index(kind(name)) if kind(name) in FIRST else len(FIRST)), name
