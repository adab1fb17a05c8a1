"""Breaking points of methods under degradations: the cells that a bisection asks for.

Severities stand on a grid, so that cells are shared with other searches and with a run of the grid itself; what the
suite holds already is not run again, and a search that was killed goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from bench.degrade import Degradation
from bench.matrix.plan import Plan, Planned, at
from bench.matrix.selection import select_kinds, split_list
from bench.record import Result
from bench.stress.bisection import HIGHEST, Search, bisect, grid
from bench.stress.breaking_points import BreakingPoint, Trial


class Subject(NamedTuple):
    """What has a breaking point."""

    scene: str
    kind: str
    method: str


def parse_kinds(text: str) -> list[str]:
    """`low_texture,jpeg`, `noise` -> names of kinds. Raises ValueError."""
    if named := [part for part in split_list(text) if "@" in part]:
        raise ValueError(f"stress: {named[0]!r} names a severity, which is what is looked for: name the kind alone")
    kinds = select_kinds(text)
    if not kinds:
        raise ValueError("stress: no kind of degradation is named")
    return kinds


def stress(
    clean: Plan, kinds: Sequence[str], tolerance: float, settle: Callable[[Plan], Sequence[Result]],
    tell: Callable[[int], None] = lambda later: None,
) -> list[BreakingPoint]:  # fmt: skip
    """A row for each scene, kind and method of the plan of clean cells. Every round of the search is one plan, which
    `settle` brings to results. `tell` is told before each how many cells are left for later ones, at most."""
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

    def told(searches: Mapping[Subject, Search]) -> None:
        tell(sum((search.most_left - 1) * len(seeds[key]) for key, search in searches.items() if search.most_left))

    hopeless = {subject: Search(grid=grid(tolerance), given_up=True) for subject in reasons}
    searches = hopeless | bisect([subject for subject in seeds if subject not in reasons], tolerance, evaluate, told)
    return [
        _row(subject, cells, tolerance, searches[subject], trials[subject], reasons.get(subject))
        for subject, cells in seeds.items()
    ]


def _at(cells: Sequence[Planned], subject: Subject, severity: float) -> list[Planned]:
    return [at(planned, Degradation(kind=subject.kind, severity=severity)) for planned in cells]


def _row(
    subject: Subject, seeds: Sequence[Planned], tolerance: float, search: Search, trials: Sequence[Trial],
    reason: str | None,
) -> BreakingPoint:  # fmt: skip
    cells = sum(trial.cells for trial in trials)
    return BreakingPoint(
        **subject._asdict(), effort=seeds[0].cell.effort, seeds=tuple(planned.cell.seed for planned in seeds),
        tolerance=tolerance, verdict=search.verdict, holds=search.holds, breaks=search.breaks, reason=reason,
        cells=cells, saved=0 if search.given_up else len(search.grid) * len(seeds) - cells,
        trials=tuple(sorted(trials, key=lambda trial: trial.severity)),
    )  # fmt: skip
