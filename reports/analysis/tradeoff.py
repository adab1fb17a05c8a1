"""What a method's quality costs: one point a method, and those that no other beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from reports.analysis import entries as cells
from reports.analysis import stats
from reports.analysis.entries import PSNR, Entry, counted
from reports.analysis.marks import may_lead
from reports.analysis.questions import Setting
from reports.analysis.scorebook import Scorebook

SECONDS = "cost/fit_seconds"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Median seconds of a fit against penalised PSNR (IQM), each with the range that half of the cells lie in."""

    method: str
    given: str
    given_poses: bool
    n: int
    rate: float  # of success
    seconds: float
    seconds_range: stats.Interval
    psnr: float
    psnr_range: stats.Interval
    machine: str  # "cpu, 2 threads"
    eligible: bool  # may lead
    best: bool = False  # no other that may lead, on the same machine, is both faster and better


@dataclass(frozen=True, kw_only=True)
class Costs:
    setting: Setting
    degradation: str
    points: tuple[Cost, ...]

    @property
    def machines(self) -> str:
        return "; ".join(dict.fromkeys(point.machine for point in self.points))


def costs(entries: Sequence[Entry], book: Scorebook) -> list[Costs]:
    """For each setting, on its first degradation (clean where it was run)."""
    found = []
    for setting, each in cells.by_setting(entries).items():
        degradation, held = next(iter(cells.by_degradation(each).items()))
        points = [point for method in cells.by_method(held).values() if (point := _cost(method, book))]
        if points:
            found.append(Costs(setting=setting, degradation=degradation, points=_front(points)))
    return found


def _cost(entries: Sequence[Entry], book: Scorebook) -> Cost | None:
    scored = book.penalised(entries, PSNR)
    seconds = cells.array(scored.entries, SECONDS)
    timed = seconds[np.isfinite(seconds) & (seconds > 0)]
    if not len(timed) or not np.isfinite(scored.values).all():
        return None
    tried = cells.tried(entries)
    machines = {entry.machine for entry in scored.entries}
    return Cost(
        method=entries[0].cell.method, given=cells.describe_given(entries), given_poses=entries[0].given_poses,
        n=scored.n, rate=sum(entry.solved for entry in tried) / len(tried),
        seconds=float(stats.median(timed)), seconds_range=_middle(timed),
        psnr=scored.at(stats.iqm), psnr_range=_middle(scored.values),
        machine=" and ".join(sorted(f"{device}, {counted(threads, 'thread')}" for device, threads in machines)),
        eligible=may_lead(entries),
    )  # fmt: skip


def _middle(values: stats.Scores) -> stats.Interval:
    low, high = np.percentile(values, [25, 75])
    return stats.Interval(float(low), float(high))


def _front(points: Sequence[Cost]) -> tuple[Cost, ...]:
    def beaten(point: Cost) -> bool:
        rivals = [other for other in points if other.eligible and other.machine == point.machine]
        as_good = [other for other in rivals if other.seconds <= point.seconds and other.psnr >= point.psnr]
        return any((other.seconds, other.psnr) != (point.seconds, point.psnr) for other in as_good)

    return tuple(replace(point, best=point.eligible and not beaten(point)) for point in points)
