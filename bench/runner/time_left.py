"""How long it will still take: from how long fits took before, and from how fast this one goes."""

from __future__ import annotations

import contextlib
import math
import statistics
from collections import deque
from collections.abc import Iterable
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


TELLING = ("done", "collapsed", "timeout")
"""How a fit ended whose time says something of the next one's; that of one at the limit was at least that long."""

LATEST = 5
"""So many of this machine's fits alike are heard, the last ones: a method that was changed takes another time."""


class TimedRows:
    """What cells took, found at once by what they have in common: the display asks for every cell that waits, several
    times a second."""

    def __init__(self, latest: int = 0) -> None:
        self._latest = latest  # of each kind, how many are heard; 0: all
        self._rows: dict[tuple[str, ...], list[Timed]] = {}
        self._medians: dict[tuple[str, tuple[str, ...]], float | None] = {}

    def add(self, row: Timed) -> None:
        for key in ((row.effort,), (row.effort, row.method), (row.effort, row.method, row.scene)):
            self._rows.setdefault(key, []).append(row)
        self._medians.clear()

    def median(self, name: str, *key: str) -> float | None:
        """Of one of their times, s; `key`: an effort, a method's label and a scene, or the first of these. None where
        there is none."""
        with contextlib.suppress(KeyError):  # another thread may forget it at any time
            return self._medians[name, key]
        found = [getattr(row, name) for row in self._rows.get(key, ())]
        known = [seconds for seconds in found if seconds is not None][-self._latest :]
        self._medians[name, key] = median = statistics.median(known) if known else None
        return median


class Durations:
    """Seconds of fits and judgements that had the device and the threads that they would have now: elsewhere they take
    another time. Those of the suite, and those that are added to it, are heard before those of this machine's other
    suites; of either, those of the same scene before all others."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.suite, self.machine = TimedRows(), TimedRows(LATEST)
        self._threads: dict[tuple[str, str], int] = {}
        for _, result in read_suite(settings.suite, views=False) if settings.suite.is_dir() else []:
            self.add(result)
        for row in remembered(settings.card(settings.devices.first)):
            if self._is_like(row):
                self.machine.add(row)

    def add(self, result: Result) -> None:
        """One more of the suite. How long a method takes to fail tells nothing of how long it takes."""
        if result.status in TELLING and self._is_like(row := timed(result)):
            self.suite.add(row)

    def fit(self, planned: Planned) -> float | None:
        """Expected of its fit: the median of earlier ones of its method and effort, or the method's own word; None
        where nobody knows."""
        found = self._expected(planned, "fit_seconds")
        return planned.method.method.traits.seconds.get(effort_of(planned.cell.effort)) if found is None else found

    def judgement(self, planned: Planned) -> float:
        """Expected of its judgement: the median of those of its method, or of the suite's all; 0 before the first."""
        found = self._expected(planned, "judge_seconds")
        return (self.suite.median("judge_seconds", planned.cell.effort) if found is None else found) or 0.0

    def _expected(self, planned: Planned, name: str) -> float | None:
        """By its method and effort, from what tells most to what tells least."""
        cell = planned.cell
        for more in ((cell.scene,), ()):
            for rows in (self.suite, self.machine):
                if (found := rows.median(name, cell.effort, cell.method, *more)) is not None:
                    return found
        return None

    def _is_like(self, row: Timed) -> bool:
        return row.device == self.settings.devices.kind and row.threads == self._threads_now(row.method, row.effort)

    def _threads_now(self, method: str, effort: str) -> int:
        """That a fit of this method would have; grants look at no more of a cell than at these two."""
        if (method, effort) not in self._threads:
            cell = Cell(scene="", degradation="clean", method=method, seed=0, effort=effort)
            self._threads[method, effort] = self.settings.share(cell).threads
        return self._threads[method, effort]


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
