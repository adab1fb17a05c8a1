"""Whether a method knows where it is wrong: what came true of the confidence that it states, view by view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from bench import per_view
from reports.analysis import entries as cells
from reports.analysis.entries import Entry
from reports.analysis.questions import Setting

MARGIN, ERROR = "confidence/margin_db", "pose/robust_rotation_deg"
RIGHT_DEG = 10.0
"""A view is right within so many degrees under the robust alignment, as in `pose/inliers_10deg`."""

EDGES = (-math.inf, 0.0, 1.0, 2.0, 3.0, 4.0, 8.0, math.inf)
"""dB between the bins, each from its lower edge on."""


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Views whose margin is in [low, high) dB."""

    low: float
    high: float
    n: int
    right: int

    @property
    def share(self) -> float:
        return self.right / self.n

    @property
    def title(self) -> str:
        if self.low == -math.inf:
            return f"below {self.high:g}"
        return f"{self.low:g} and more" if self.high == math.inf else f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """One method in one setting, over all its cells that state margins; bins without a view are left out."""

    setting: Setting
    method: str
    cells: int
    bins: tuple[Bin, ...]


def reliabilities(entries: Sequence[Entry]) -> list[Reliability]:
    """In the order of settings, then of methods. A view without a margin, without a registered pose or without a true
    one is counted nowhere."""
    found = []
    for setting, each in cells.by_setting(entries).items():
        for method, held in cells.by_method(each).items():
            views = [pairs for entry in held if (pairs := _views(entry))]
            if views:
                bins = binned([pair for pairs in views for pair in pairs])
                found.append(Reliability(setting=setting, method=method, cells=len(views), bins=bins))
    return found


def binned(views: Sequence[tuple[float, float]]) -> tuple[Bin, ...]:
    """Bins of (margin in dB, error in degrees) that hold a view."""
    found = []
    for low, high in pairwise(EDGES):
        errors = [error for margin, error in views if low <= margin < high]
        right = sum(error < RIGHT_DEG for error in errors)
        found += [Bin(low=low, high=high, n=len(errors), right=right)] if errors else []
    return tuple(found)


def _views(entry: Entry) -> list[tuple[float, float]]:
    margins, errors = (per_view.column(entry.result.per_view, name) for name in (MARGIN, ERROR))
    return [(margin, errors[view]) for view, margin in margins.items() if view in errors]
