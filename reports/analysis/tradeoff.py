"""What a method's quality costs: one point a method, and those that no other beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from reports.analysis import aggregates, scores, stats
from reports.analysis.scores import PSNR, Entry, Setting

SECONDS = "cost/fit_seconds"


@dataclass(frozen=True, kw_only=True)
class Bargain:
    """Median seconds of a fit against penalised PSNR (IQM), each with the range that half of the cells lie in."""

    method: str
    given: str
    told: bool
    n: int
    rate: float  # of success
    seconds: float
    seconds_range: stats.Interval
    psnr: float
    psnr_range: stats.Interval
    best: bool = False  # no other method that sees no poses is both faster and better


@dataclass(frozen=True, kw_only=True)
class Bargains:
    setting: Setting
    degradation: str
    points: tuple[Bargain, ...]


def bargains(entries: Sequence[Entry]) -> list[Bargains]:
    """For each setting, on its first degradation (clean where it was run)."""
    levels = scores.mean_colour(entries)
    found = []
    for setting, each in scores.by_setting(entries).items():
        degradation, held = next(iter(scores.by_degradation(each).items()))
        points = []
        for method, cells in scores.by_method(held).items():
            tried = scores.tried(cells)
            kept, psnr = aggregates.charge(tried, PSNR, levels)
            seconds = scores.array(kept, SECONDS)
            timed = seconds[np.isfinite(seconds) & (seconds > 0)]
            if not len(timed) or not np.isfinite(psnr).all():
                continue
            points.append(
                Bargain(
                    method=method, given=scores.describe_given(cells), told=scores.is_told(cells),
                    n=len(kept), rate=float(scores.success(tried).mean()),
                    seconds=float(stats.median(timed)), seconds_range=_middle(timed),
                    psnr=float(stats.iqm(psnr)), psnr_range=_middle(psnr),
                )
            )  # fmt: skip
        if points:
            found.append(Bargains(setting=setting, degradation=degradation, points=_front(points)))
    return found


def _middle(values: stats.Scores) -> stats.Interval:
    low, high = np.percentile(values, [25, 75])
    return stats.Interval(float(low), float(high))


def _front(points: Sequence[Bargain]) -> tuple[Bargain, ...]:
    blind = [point for point in points if not point.told]
    return tuple(
        replace(
            point,
            best=not point.told
            and not any(
                other.seconds <= point.seconds and other.psnr >= point.psnr
                and (other.seconds < point.seconds or other.psnr > point.psnr)
                for other in blind
            ),
        )
        for point in points
    )  # fmt: skip
