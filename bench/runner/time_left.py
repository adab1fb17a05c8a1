"""How long it will still take: from how long fits took before, and from how fast this one goes."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from bench.cell import Cell
from bench.matrix.plan import Planned
from bench.record import Result, read_suite
from bench.regime import effort_of
from bench.runner.machine_times import Timed, remembered, timed

if TYPE_CHECKING:
    from bench.runner.settings import Settings

WINDOW = 60.0
"""Seconds of a fit from which its pace is taken: it changes as images and grids grow."""

LEAST = 3.0
"""Seconds of steps without which there is no pace to speak of."""


class Durations:
    """Seconds of fits and judgements that had the device and the threads that they would have now: elsewhere they take
    another time. Those of the suite, and those that are added to it, are heard before those of this machine's other
    suites; of either, those of the same scene before all others."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.suite: list[Timed] = []
        for _, result in read_suite(settings.suite, views=False) if settings.suite.is_dir() else []:
            self.add(result)
        self.machine = [row for row in remembered(settings.card(settings.devices.first)) if self._is_like(row)]

    def add(self, result: Result) -> None:
        """One more of the suite."""
        if self._is_like(row := timed(result)):
            self.suite.append(row)

    def fit(self, planned: Planned) -> float | None:
        """Expected of its fit: the median of earlier ones of its method and effort, or the method's own word; None
        where nobody knows."""
        for rows in self._alike(planned):
            if earlier := [row.fit_seconds for row in rows if row.fit_seconds is not None]:
                return statistics.median(earlier)
        return planned.method.method.traits.seconds.get(effort_of(planned.cell.effort))

    def judgement(self, planned: Planned) -> float:
        """Expected of its judgement: the median of those of its method, or of the suite's all; 0 before the first."""
        all_others = [row for row in self.suite if row.effort == planned.cell.effort]
        for rows in (*self._alike(planned), all_others):
            if earlier := [row.judge_seconds for row in rows if row.judge_seconds is not None]:
                return statistics.median(earlier)
        return 0.0

    def _alike(self, planned: Planned) -> Iterator[list[Timed]]:
        """Of its method and effort, from what tells most to what tells least."""
        cell = planned.cell
        suite, machine = (
            [row for row in rows if (row.method, row.effort) == (cell.method, cell.effort)]
            for rows in (self.suite, self.machine)
        )
        yield [row for row in suite if row.scene == cell.scene]
        yield [row for row in machine if row.scene == cell.scene]
        yield suite
        yield machine

    def _is_like(self, row: Timed) -> bool:
        cell = Cell(scene=row.scene, degradation="clean", method=row.method, seed=0, effort=row.effort)
        return row.device == self.settings.devices.kind and row.threads == self.settings.share(cell).threads


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
