"""The curves of `robustness.py` as figures show them: every quantity of a method under a kind, level by level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench import record
from reports.analysis import robustness, scores
from reports.analysis.robustness import METRICS, SUCCESS, Point
from reports.analysis.scores import IOU, PSNR, Entry, Setting

QUANTITIES = (*METRICS, IOU)
BROKEN_BELOW = 0.5
"""A method breaks at the first severity at which its success rate is below this (posefree/1, section 6)."""


@dataclass(frozen=True, kw_only=True)
class Level:
    """All cells of one severity; 0 is the clean capture. `points` are keyed by quantity."""

    severity: float
    n: int
    points: dict[str, Point]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One method under one kind of degradation."""

    setting: Setting
    kind: str
    method: str
    given: str
    told: bool
    scenes: tuple[str, ...]
    levels: tuple[Level, ...]  # by severity
    area: float | None  # under the success rate: 1 is never failing; None for a single severity
    breaking: float | None  # the first severity at which fewer than half of the cells succeed

    @property
    def shown_area(self) -> str:
        return "—" if self.area is None else f"{self.area:.2f}"

    def loss(self, name: str) -> float:
        """What the highest severity costs against the clean capture, in the column's unit; NaN where one is missing."""
        first, last = self.levels[0], self.levels[-1]
        if first.severity != 0 or name not in first.points or name not in last.points:
            return math.nan
        return last.points[name].value - first.points[name].value


def curves(entries: Sequence[Entry]) -> list[Curve]:
    """One a setting, kind of degradation and method, in the order of the kinds; methods that were given poses last."""
    found: dict[tuple[Setting, str, str], dict[str, robustness.Curve]] = {}
    for curve in robustness.curves(record.table(entry.result for entry in entries), QUANTITIES):
        setting = Setting(agreement=curve.agreement, effort=curve.effort, protocol=curve.protocol)
        found.setdefault((setting, curve.kind, curve.method), {})[curve.metric] = curve
    held = {setting: scores.by_method(each) for setting, each in scores.by_setting(entries).items()}
    made = [_curve(*key, named, held[key[0]][key[2]]) for key, named in found.items()]
    kinds = list(dict.fromkeys((curve.setting, curve.kind) for curve in made))
    masks = {(c.setting, c.kind) for c in made if any(IOU in level.points for level in c.levels)}
    made = [_without_psnr(curve) if (curve.setting, curve.kind) in masks else curve for curve in made]
    return sorted(made, key=lambda curve: (kinds.index((curve.setting, curve.kind)), curve.told, curve.method))


def _curve(
    setting: Setting, kind: str, method: str, named: dict[str, robustness.Curve], entries: Sequence[Entry]
) -> Curve:  # fmt: skip
    success = named[SUCCESS]
    points = {name: {point.severity: point for point in curve.points} for name, curve in named.items()}
    return Curve(
        setting=setting, kind=kind, method=method, scenes=success.scenes, area=success.area, breaking=success.breaks,
        given=scores.describe_given(entries), told=scores.is_told(entries),
        levels=tuple(
            Level(
                severity=level.severity,
                n=level.n,
                points={
                    name: each[level.severity]
                    for name, each in points.items()
                    if level.severity in each and math.isfinite(each[level.severity].value)
                },
            )
            for level in success.points
        ),
    )  # fmt: skip


def _without_psnr(curve: Curve) -> Curve:
    """A mask's PSNR is another quantity than a photograph's: IoU stands for both."""
    levels = tuple(
        Level(severity=level.severity, n=level.n, points={k: v for k, v in level.points.items() if k != PSNR})
        for level in curve.levels
    )
    return replace(curve, levels=levels)
