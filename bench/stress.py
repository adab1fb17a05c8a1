"""Breaking points of methods under degradations: the cells that a bisection asks for, and what it found as files.

Severities stand on a grid, so that cells are shared with other searches and with a run of the grid itself; what the
suite holds already is not run again, and a search that was killed goes on.
"""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.bisection import HIGHEST, Search, bisect, grid
from bench.degrade import KINDS, Degradation
from bench.matrix import Plan, Planned, at, select_kinds, split_list
from bench.record import ROTATION, Result, read_json, write_json
from bench.task import Effort

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "scene", "family", "kind", "method", "effort", "seeds", "tolerance", "verdict", "holds", "breaks", "reason",
    "cells", "saved", "trials",
)  # fmt: skip
"""Of `stress.csv`."""


class Subject(NamedTuple):
    """What has a breaking point."""

    scene: str
    kind: str
    method: str


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One severity, over all seeds."""

    severity: float
    successes: int
    cells: int
    rotation_deg: float  # median over seeds of pose/rotation_deg_median; 180 for a cell without an answer

    @staticmethod
    def of(severity: float, results: Sequence[Result]) -> Trial:
        found = [result.metrics.get(ROTATION, math.nan) for result in results]
        rotation = statistics.median(180.0 if math.isnan(each) else each for each in found)
        successes = sum(result.solved for result in results)
        return Trial(severity=severity, successes=successes, cells=len(results), rotation_deg=rotation)

    @property
    def holds(self) -> bool:
        """Broken is a success rate below one half (posefree/1, sec. 6)."""
        return 2 * self.successes >= self.cells


@dataclass(frozen=True, kw_only=True)
class Row:
    """One breaking point, and what it cost to find."""

    scene: str
    kind: str
    method: str
    effort: Effort
    seeds: tuple[int, ...]
    tolerance: float
    verdict: str  # see Search.verdict
    holds: float | None
    breaks: float | None
    reason: str | None  # why there is none: the method cannot run, or is not told what is spoilt
    cells: int  # that were looked at
    saved: int  # against all severities of the same grid
    trials: tuple[Trial, ...]  # by severity

    @property
    def question(self) -> tuple[str, str, str, str, tuple[int, ...], float]:
        """What makes it another row than another."""
        return self.scene, self.kind, self.method, self.effort, self.seeds, self.tolerance


def parse_kinds(text: str) -> list[str]:
    """`low_texture,jpeg`, `noise` -> names of kinds. Raises ValueError."""
    if named := [part for part in split_list(text) if "@" in part]:
        raise ValueError(f"stress: {named[0]!r} names a severity, which is what is looked for: name the kind alone")
    kinds = select_kinds(text)
    if not kinds:
        raise ValueError("stress: no kind of degradation is named")
    return kinds


def stress(
    clean: Plan, kinds: Sequence[str], tolerance: float, settle: Callable[[Plan], Sequence[Result]]
) -> list[Row]:
    """A row for each scene, kind and method of the plan of clean cells. Every round of the search is one plan, which
    `settle` brings to results."""
    seeds: dict[Subject, list[Planned]] = {}
    for kind in kinds:
        for planned in clean.cells:
            seeds.setdefault(Subject(planned.cell.scene, kind, planned.cell.method), []).append(planned)
    trials: dict[Subject, list[Trial]] = {subject: [] for subject in seeds}
    reasons = {subject: reason for subject, cells in seeds.items() if (reason := _at(cells, subject, HIGHEST)[0].skip)}

    def evaluate(asked: Mapping[Subject, float]) -> dict[Subject, bool | None]:
        cells = {subject: _at(seeds[subject], subject, severity) for subject, severity in asked.items()}
        distinct = {planned.cell: planned for each in cells.values() for planned in each}  # kinds share clean cells
        found = {result.cell: result for result in settle(Plan(cells=tuple(distinct.values())))}
        return {
            subject: judge(subject, asked[subject], [found[planned.cell] for planned in each])
            for subject, each in cells.items()
        }

    def judge(subject: Subject, severity: float, results: Sequence[Result]) -> bool | None:
        if skipped := [result.reason for result in results if result.status == "skipped"]:
            reasons[subject] = str(skipped[0])
            return None
        trials[subject].append(Trial.of(severity, results))
        return trials[subject][-1].holds

    hopeless = {subject: Search(grid=grid(tolerance), given_up=True) for subject in reasons}
    searches = hopeless | bisect([subject for subject in seeds if subject not in reasons], tolerance, evaluate)
    return [
        _row(subject, cells, tolerance, searches[subject], trials[subject], reasons.get(subject))
        for subject, cells in seeds.items()
    ]


def _at(cells: Sequence[Planned], subject: Subject, severity: float) -> list[Planned]:
    return [at(planned, Degradation(kind=subject.kind, severity=severity)) for planned in cells]


def _row(
    subject: Subject, seeds: Sequence[Planned], tolerance: float, search: Search, trials: Sequence[Trial],
    reason: str | None,
) -> Row:  # fmt: skip
    cells = sum(trial.cells for trial in trials)
    return Row(
        **subject._asdict(), effort=seeds[0].cell.effort, seeds=tuple(planned.cell.seed for planned in seeds),
        tolerance=tolerance, verdict=search.verdict, holds=search.holds, breaks=search.breaks, reason=reason,
        cells=cells, saved=0 if search.given_up else len(search.grid) * len(seeds) - cells,
        trials=tuple(sorted(trials, key=lambda trial: trial.severity)),
    )  # fmt: skip


def keep(suite: Path, rows: Iterable[Row]) -> None:
    """Write `stress.json` and `stress.csv` of a suite, each whole. Earlier answers to other questions stay."""
    known = {row.question: row for row in (*read(suite), *rows)}
    ordered = [known[question] for question in sorted(known)]
    write_json(suite / "stress.json", [asdict(row) for row in ordered])
    draft = suite / f".stress.csv.{os.getpid()}.tmp"
    _table(ordered).to_csv(draft, index=False)
    draft.replace(suite / "stress.csv")


def read(suite: Path) -> list[Row]:
    """The rows that a suite's `stress.json` holds; none where there is no such file."""
    path = suite / "stress.json"
    return [
        Row(**raw | {"seeds": tuple(raw["seeds"]), "trials": tuple(Trial(**trial) for trial in raw["trials"])})
        for raw in (read_json(path) if path.exists() else [])
    ]


def _table(rows: Iterable[Row]) -> pd.DataFrame:
    """One line a row; its trials as `severity:successes/cells`."""
    import pandas as pd

    lines = [
        asdict(row)
        | {
            "family": KINDS[row.kind].family if row.kind in KINDS else "",
            "seeds": " ".join(map(str, row.seeds)),
            "trials": " ".join(f"{each.severity:g}:{each.successes}/{each.cells}" for each in row.trials),
        }
        for row in rows
    ]
    return pd.DataFrame(lines, columns=list(COLUMNS))
