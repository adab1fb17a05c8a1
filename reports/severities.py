"""How a method bears up as a degradation grows: its curve over severities, the area under it, and where it breaks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reports import aggregates, scores, stats
from reports.scores import CLEAN, IOU, PSNR, ROTATION, Entry, Question, Setting, split_degradation
from reports.stats import Interval

SUCCESS = "success"
BROKEN_BELOW = 0.5
"""A method breaks at the first severity at which its success rate is below this (posefree/1, section 6)."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A statistic at one severity; without an interval where nothing could be resampled."""

    value: float
    interval: Interval | None = None


@dataclass(frozen=True, kw_only=True)
class Level:
    """All cells of one severity; 0 is the clean capture. `points` are keyed by column, and by `success`."""

    severity: float
    n: int
    points: dict[str, Point]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One method under one kind of degradation, over the same scenes at every severity."""

    setting: Setting
    kind: str
    method: str
    given: str
    told: bool
    scenes: tuple[str, ...]
    levels: tuple[Level, ...]  # by severity

    @property
    def area(self) -> float:
        """Mean success rate over the severities tried, by the trapezoidal rule: 1 is never failing."""
        x = np.array([level.severity for level in self.levels])
        y = np.array([level.points[SUCCESS].value for level in self.levels])
        return float(np.trapezoid(y, x) / (x[-1] - x[0])) if len(x) > 1 else float(y[0])

    @property
    def breaking(self) -> float | None:
        """The first severity tried at which fewer than half of the cells succeed; None where there is none."""
        broken = (level.severity for level in self.levels if level.points[SUCCESS].value < BROKEN_BELOW)
        return next(broken, None)

    def loss(self, name: str) -> float:
        """What the highest severity costs against the clean capture, in the column's unit; NaN where one is missing."""
        first, last = self.levels[0], self.levels[-1]
        if first.severity != 0 or name not in first.points or name not in last.points:
            return math.nan
        return last.points[name].value - first.points[name].value


def curves(entries: Sequence[Entry]) -> list[Curve]:
    """One curve a setting, kind of degradation and method, of cells that were tried at a severity above 0."""
    levels = scores.mean_colour(entries)
    found = []
    for setting, each in scores.by_setting(entries).items():
        kinds = sorted({split_degradation(entry.result.cell.degradation)[0] for entry in each} - {CLEAN})
        for kind in kinds:
            spoilt = [e for e in each if split_degradation(e.result.cell.degradation)[0] == kind]
            masks = any(IOU in entry.result.metrics for entry in spoilt)
            columns = (ROTATION, IOU) if masks else (ROTATION, PSNR)  # a mask's PSNR is no photograph's
            for held in scores.by_method(each).values():
                curve = _curve(setting, kind, scores.tried(held), columns, levels)
                if curve is not None:
                    found.append(curve)
    return found


def _curve(
    setting: Setting, kind: str, entries: Sequence[Entry], columns: Sequence[str], levels: dict[Question, float]
) -> Curve | None:
    spoilt: dict[float, list[Entry]] = {}
    for entry in entries:
        name, severity = split_degradation(entry.result.cell.degradation)
        if name == kind:
            spoilt.setdefault(severity, []).append(entry)
    if not spoilt:
        return None
    scenes = {entry.result.cell.scene for each in spoilt.values() for entry in each}
    clean = [e for e in entries if e.result.cell.degradation == CLEAN and e.result.cell.scene in scenes]
    if clean:
        spoilt.setdefault(0.0, []).extend(clean)
    first = next(iter(entries))
    return Curve(
        setting=setting, kind=kind, method=first.method, told=first.told,
        given=scores.describe_given(entries), scenes=tuple(sorted(scenes)),
        levels=tuple(_level(severity, each, columns, levels) for severity, each in sorted(spoilt.items())),
    )  # fmt: skip


def _level(
    severity: float, entries: Sequence[Entry], columns: Sequence[str], levels: dict[Question, float]
) -> Level:  # fmt: skip
    success = scores.success(entries)
    points = {SUCCESS: Point(value=float(success.mean()), interval=stats.wilson(int(success.sum()), len(entries)))}
    for name in columns:
        kept, values = aggregates.charge(entries, name, levels)
        finite = np.isfinite(values)
        if not finite.all() or not len(values):
            continue
        strata = aggregates.by_scene(kept, values)
        interval = stats.bootstrap(strata) if max(map(len, strata)) > 1 else None
        points[name] = Point(value=float(stats.iqm(values)), interval=interval)
    return Level(severity=severity, n=len(entries), points=points)
