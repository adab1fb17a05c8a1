"""What each cell scored, failures charged: the one place where a failure has a price (posefree/2, section 8).

Tables, curves, sentences, tests and costs select from what is made here and aggregate it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from bench.degrade import CLEAN
from bench.record import ROTATION
from reports.analysis import entries as cells
from reports.analysis import stats
from reports.analysis.entries import IOU, MEAN_COLOUR, PSNR, REGISTERED, Entry
from reports.analysis.questions import Question, changes_scene, shows_outlines, split_degradation

CHARGES = {ROTATION: 180.0, REGISTERED: 0.0, IOU: 0.0}
"""What a cell without an answer scores, in the column's unit. In PSNR it is the mean-colour level of its scene."""

CHARGED = (*CHARGES, PSNR)

Population = Literal["penalised", "successes", ""]
"""Whose scores: all cells tried; those that succeeded; those that gave an answer."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The cells that count in one column, and what each scored."""

    entries: tuple[Entry, ...] = ()
    values: stats.Scores = field(default_factory=lambda: np.zeros(0))  # (n,), one an entry, in the column's unit
    why: str = ""  # there is none

    @property
    def n(self) -> int:
        return len(self.entries)

    def at(self, statistic: stats.Statistic) -> float:
        """NaN where no cell counts."""
        return float(statistic(self.values)) if self.n else math.nan

    def interval(self, statistic: stats.Statistic) -> stats.Interval | None:
        """95 %; None where there is one cell, or a score that is not finite."""
        return interval(self.values, self.entries, statistic) if np.isfinite(self.values).all() else None


def interval(scores: stats.Scores, entries: Sequence[Entry], statistic: stats.Statistic) -> stats.Interval | None:
    """Of the scores of these cells: seeds are resampled among cells of one scene, degradation and method, where there
    are two of each; else whole scenes are."""

    def strata(names: Sequence[tuple[str, ...]]) -> list[stats.Scores]:
        return [scores[[each == name for each in names]] for name in sorted(set(names))]

    alike = strata([(entry.cell.scene, entry.cell.degradation, entry.cell.method) for entry in entries])
    if min(map(len, alike)) > 1:
        return stats.interval(alike, statistic)
    return stats.interval(strata([(entry.cell.scene,) for entry in entries]), statistic, whole=True)


class Scorebook:
    """Scores of the cells of one suite."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        """The mean-colour level of a scene is said by any of its cells, for they are judged by the same images
        whatever was shown; by a clean one where there is one, for earlier protocols took it from what was shown."""
        entries = list(entries)
        self.levels: dict[Any, float] = {}
        self._render = {(each.question.setting, each.cell.method) for each in entries if PSNR in each.result.metrics}
        for question, held in cells.by_question(entries).items():
            for level in cells.array(held, MEAN_COLOUR).tolist():
                if math.isfinite(level):
                    self.levels.setdefault(_images(question), level)

    def level(self, entry: Entry) -> float:
        """dB that one colour scores on the held-out images of an entry; NaN where no cell says it."""
        return self.levels.get(_images(entry.question), math.nan)

    def scores(self, entries: Sequence[Entry], name: str, population: Population) -> Scored:
        """Of one column, over a population of these cells."""
        match population:
            case "penalised" if name in CHARGED:
                return self.penalised(entries, name)
            case "successes":
                return _held([entry for entry in entries if entry.solved], name, "no success")
            case _:
                return _held([entry for entry in entries if entry.done], name, "no cell gave an answer")

    def penalised(self, entries: Sequence[Entry], name: str) -> Scored:
        """Over all cells tried. An answer that is worse than the charge, or no number, scores the charge: giving no
        answer never pays. So does an answer whose render failed, and one without a field of a method that has one
        elsewhere. One that lacks the column by its nature (a method that never has a field has no PSNR) does not
        count."""
        kept = [entry for entry in cells.tried(entries) if self._counts(entry, name)]
        charges = np.array([CHARGES.get(name, self.level(entry)) for entry in kept])
        found = cells.array(kept, name)
        found = np.where([entry.done for entry in kept], found, math.nan)
        worse = np.fmin if name == ROTATION else np.fmax  # which pass over a NaN
        values = worse(found, charges)
        if (np.isnan(charges) & np.isnan(found)).any():
            return Scored(why="a cell failed, and no cell of its scene states the PSNR of the mean-colour image")
        return Scored(entries=tuple(kept), values=values) if kept else _held(entries, name, "no cell gave an answer")

    def _counts(self, entry: Entry, name: str) -> bool:
        """Whether a cell that was tried has a score in a column, or owes one: its fit failed, its render did, or it
        withheld its field."""
        if not entry.done or cells.value(entry.result, name) is not None:
            return True
        withheld = PSNR not in entry.result.metrics and (entry.question.setting, entry.cell.method) in self._render
        masks = shows_outlines(split_degradation(entry.cell.degradation)[0])
        return (withheld or entry.result.stage == "judge") and (name == PSNR or (name == IOU and masks))


def _held(entries: Sequence[Entry], name: str, missing: str) -> Scored:
    """Those that have the column, as they scored."""
    kept = [entry for entry in entries if cells.value(entry.result, name) is not None]
    if kept:
        return Scored(entries=tuple(kept), values=cells.array(kept, name))
    return Scored(why="; ".join(sorted({cells.absence(entry.result, name) for entry in entries})) or missing)


def _images(question: Question) -> tuple[Any, ...]:
    """What held-out images depend on: the clean ones, unless the degradation changes the scene itself."""
    label = (
        question.degradation.partition("#")[0] if changes_scene(split_degradation(question.degradation)[0]) else CLEAN
    )
    return question.scene, label, question.setting, question.reference
