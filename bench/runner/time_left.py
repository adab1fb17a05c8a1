"""How long it will still take: from how long fits took here before, and from how fast this one goes."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

from bench.matrix.plan import Planned, estimate_seconds
from bench.record import Result, read_suite

if TYPE_CHECKING:
    from bench.runner.settings import Settings

WINDOW = 60.0
"""Seconds of a fit from which its pace is taken: it changes as images and grids grow."""

LEAST = 3.0
"""Seconds of steps without which there is no pace to speak of."""


class Durations:
    """Seconds of fits and judgements, by method and effort: those of the suite and those that are added to them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.fits: list[tuple[str, str, float]] = []
        self.judgements: list[tuple[str, str, float]] = []
        for _, result in read_suite(settings.suite, views=False) if settings.suite.is_dir() else []:
            self.add(result)

    def add(self, result: Result) -> None:
        """One more, where it had the device and the threads that others would have now: elsewhere it takes another
        time."""
        device = str(result.provenance.get("device", "cpu"))
        is_like = result.threads == self.settings.threads
        if is_like and device.partition(":")[0] == self.settings.devices.kind:
            for name, into in (("fit_seconds", self.fits), ("judge_seconds", self.judgements)):
                if name in result.cost:
                    into.append((result.cell.method, result.cell.effort, result.cost[name]))

    def fit(self, planned: Planned) -> float | None:
        """Expected of its fit: the median of earlier ones, or the method's own word; None where nobody knows."""
        return estimate_seconds(planned, self.fits)

    def judgement(self, planned: Planned) -> float:
        """Expected of its judgement: the median of those of its method, or of all; 0 before the first."""
        alike = [(method, s) for method, effort, s in self.judgements if effort == planned.cell.effort]
        own = [s for method, s in alike if method == planned.cell.method]
        return statistics.median(own or [s for _, s in alike] or [0.0])


def longest_first(cells: Iterable[Planned], durations: Durations) -> list[Planned]:
    """So that cells side by side end together; those of unknown length come first of all."""
    return sorted(cells, key=lambda planned: -(durations.fit(planned) or math.inf))


class Pace:
    """Steps a second of one fit, as they were seen lately."""

    def __init__(self) -> None:
        self._phase = ""
        self._seen: deque[tuple[float, int]] = deque()

    def saw(self, now: float, phase: str, step: int) -> None:
        """At `now` (s, of any clock) the fit was at this step. Another phase, or a step back, begins anew."""
        if phase != self._phase or (self._seen and step < self._seen[-1][1]):
            self._phase = phase
            self._seen.clear()
        if len(self._seen) == 1 and step == self._seen[0][1]:
            self._seen.clear()  # its first step compiles, and takes longer than any other
        self._seen.append((now, step))
        while self._seen[0][0] < now - WINDOW:
            self._seen.popleft()

    def seconds(self, steps: int) -> float | None:
        """How long so many more steps take; None before enough was seen."""
        if not self._seen:
            return None
        (first, start), (last, end) = self._seen[0], self._seen[-1]
        if last - first < LEAST or end == start:
            return None
        return max(0, steps) * (last - first) / (end - start)


def fit_left(*, elapsed: float, expected: float | None, share: float | None, paced: float | None) -> float | None:
    """Seconds that a fit still takes: what is left of those `expected`, at first; by its own pace (`paced` seconds for
    its other steps), the more so the more `share` of them is done, and alone once that time is over.

    None where there is neither, or that time is over and no pace is known.
    """
    if paced is None or share is None:
        return None if expected is None or elapsed >= expected else expected - elapsed
    if expected is None:
        return paced
    trust = min(1.0, max(4 * share, elapsed / expected if expected > 0 else 1.0))
    return trust * paced + (1 - trust) * max(expected - elapsed, 0.0)
