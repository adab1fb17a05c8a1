"""What is known of a run while it goes on: the cells at work, how far each is, how long they and all others take."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from bench.cell import Cell
from bench.matrix.plan import Planned
from bench.record import Result
from bench.runner.fit_progress import FitProgress, read_progress
from bench.runner.run import Stage
from bench.runner.settings import Settings
from bench.runner.time_left import Durations, Pace, fit_left


class Left(NamedTuple):
    """Seconds that all cells still take, and of how many of them nobody knows how long."""

    seconds: float
    unknown: int


@dataclass(frozen=True, kw_only=True)
class AtWork:
    """One cell, as it was last seen."""

    planned: Planned
    stage: Stage
    since: float  # the beginning of the stage, by the watch's clock
    progress: FitProgress = field(default_factory=FitProgress)
    pace: Pace = field(default_factory=Pace)


class Watch:
    """Told of each cell's stages, from several threads; `look` reads what the fits say of themselves."""

    def __init__(
        self, cells: Sequence[Planned], settings: Settings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.settings, self.clock = settings, clock
        self.total, self.ended = len(cells), 0
        self._waiting = {planned.cell: planned for planned in cells}
        self._working: dict[Cell, AtWork] = {}
        self._lock = threading.Lock()

    @cached_property
    def durations(self) -> Durations:
        """Read when the first cell is at work: a suite that is settled costs nothing."""
        return Durations(self.settings)

    def heard(self, planned: Planned, stage: Stage, result: Result | None) -> None:
        """A cell begins a stage, or has come to its result."""
        with self._lock:
            self._waiting.pop(planned.cell, None)
            if result is None:
                self._working[planned.cell] = AtWork(planned=planned, stage=stage, since=self.clock())
                return
            self.ended += 1
            if self._working.pop(planned.cell, None):
                self.durations.add(result)

    def look(self) -> None:
        """See how far the fits are."""
        for cell, work in self._snapshot():
            if work.stage == "fit" and (seen := read_progress(self.settings.suite / cell.folder)):
                work.pace.saw(self.clock(), seen.phase, seen.step)
                with self._lock:
                    if self._working.get(cell) is work:
                        self._working[cell] = replace(work, progress=seen)

    def working(self) -> list[AtWork]:
        return [work for _, work in self._snapshot()]

    def seconds(self, work: AtWork) -> float:
        """Since its stage began."""
        return self.clock() - work.since

    def left(self, work: AtWork) -> float | None:
        """Seconds until a cell has its result; None where nobody knows."""
        judgement, elapsed = self.durations.judgement(work.planned), self.seconds(work)
        if work.stage == "judge":
            return judgement - elapsed if elapsed < judgement else None
        seen, expected = work.progress, self.durations.fit(work.planned)
        if work.stage == "load":
            return None if expected is None else expected + judgement
        elapsed = elapsed if seen.spent is None else seen.spent  # one that goes on after a kill has spent more
        paced = work.pace.seconds(seen.steps - seen.step) if seen.steps else None
        fit = fit_left(elapsed=elapsed, expected=expected, share=seen.share, paced=paced)
        limit = self.settings.fit_limit(work.planned.cell)
        return None if fit is None else min(fit, max(limit - elapsed, 0.0)) + judgement

    def all_left(self) -> Left:
        """Until the last cell has its result, all workers, and all runs that share the matrix, sharing them evenly."""
        with self._lock:
            waiting = [planned for planned in self._waiting.values() if not planned.skip]
        guesses = [self.left(work) for work in self.working()]
        for planned in waiting:
            fit = self.durations.fit(planned)
            guesses.append(None if fit is None else fit + self.durations.judgement(planned))
        known = [guess for guess in guesses if guess is not None]
        runs = self.settings.shard.count if self.settings.shard else 1
        busy = min(self.settings.slots * runs, max(1, len(known)))
        return Left(max([sum(known) / busy, *known], default=0.0), len(guesses) - len(known))

    def _snapshot(self) -> list[tuple[Cell, AtWork]]:
        with self._lock:
            return list(self._working.items())
