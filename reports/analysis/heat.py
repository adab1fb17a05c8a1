"""A suite in one small matrix: methods down, degradations or scenes across, failures hatched."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Literal

from bench.degrade import CLEAN
from bench.record import OUTCOMES, ROTATION
from reports.analysis import entries as cells
from reports.analysis import stats
from reports.analysis.columns import column
from reports.analysis.entries import PSNR, Entry, counted
from reports.analysis.questions import Setting
from reports.analysis.scorebook import Scorebook

Hatch = Literal["", "some", "all"]
Across = Literal["degradation", "scene"]
MEASURES = {"success": "success rate", "rotation": "rotation error", "psnr": "held-out PSNR"}


@dataclass(frozen=True, kw_only=True)
class Square:
    """`shade` is 0 (worst) to 1 (best) by measure, None where there is no number; `query` finds its cells."""

    n: int
    texts: Mapping[str, str] = field(default_factory=dict)
    shade: Mapping[str, float | None] = field(default_factory=dict)
    hatch: Hatch = ""  # whether some or all of its cells gave no answer
    lost: float = 0.0  # the share of those
    detail: str = ""  # how its cells ended
    query: Mapping[str, str] = field(default_factory=dict)
    page: str = ""  # of its only cell


@dataclass(frozen=True, kw_only=True)
class Line:
    """The squares of one method."""

    method: str
    given: str
    given_poses: bool
    squares: tuple[Square, ...]


@dataclass(frozen=True, kw_only=True)
class Heat:
    setting: Setting
    across: Across
    scope: str  # what all squares share: "3 scenes", "clean"
    columns: tuple[tuple[str, str], ...]  # (kind, severity) of degradations, (scene, "") of scenes
    rows: tuple[Line, ...]


def heats(entries: Sequence[Entry], book: Scorebook) -> list[Heat]:
    """For each setting, methods by degradations; and where there are several scenes, methods by scenes as they are."""
    found = []
    for setting, each in cells.by_setting(entries).items():
        found.append(_heat(setting, "degradation", counted(len(cells.by_scene(each)), "scene"), each, book))
        clean = [entry for entry in each if entry.cell.degradation == CLEAN]
        found += [_heat(setting, "scene", CLEAN, clean, book)] if len(cells.by_scene(clean)) > 1 else []
    return found


def _heat(setting: Setting, across: Across, scope: str, entries: Sequence[Entry], book: Scorebook) -> Heat:
    names = cells.by_degradation(entries) if across == "degradation" else cells.by_scene(entries)
    rows = []
    for method, each in cells.by_method(entries).items():
        held, query = cells.grouped(each, attrgetter(f"cell.{across}")), {"method": method, "degradation": CLEAN}
        squares = tuple(_square(held.get(name, []), {**query, across: name}, book) for name in names)
        given = cells.describe_given(each)
        rows.append(Line(method=method, given=given, given_poses=each[0].given_poses, squares=squares))
    columns = [
        (kind, level) for kind, _, level in (name.partition("@" if across == "degradation" else "\n") for name in names)
    ]
    return Heat(setting=setting, across=across, scope=scope, columns=tuple(columns), rows=tuple(rows))


def _square(entries: Sequence[Entry], query: Mapping[str, str], book: Scorebook) -> Square:
    if not entries:
        return Square(n=0, detail="not in this run")
    tried = cells.tried(entries)
    page = entries[0].page if len(entries) == 1 else ""
    if not tried:
        return Square(n=0, detail=f"skipped: {cells.reason(entries[0])}", query=query, page=page)
    counts = Counter(entry.outcome for entry in tried)
    solved, failed = counts["solved"], sum(entry.failed for entry in tried)
    rotation, psnr = (book.penalised(tried, name).at(stats.iqm) for name in (ROTATION, PSNR))
    ended = ", ".join(f"{counts[outcome]} {name}" for outcome, name in OUTCOMES.items() if counts[outcome])
    return Square(
        n=len(tried),
        texts={
            "success": f"{solved}/{len(tried)}",
            "rotation": "—" if math.isnan(rotation) else f"{column(ROTATION).show(rotation)}°",
            "psnr": "—" if math.isnan(psnr) else column(PSNR).show(psnr),
        },
        shade={
            "success": solved / len(tried),
            "rotation": _shade(math.log10(max(rotation, 0.05)), math.log10(90), math.log10(0.1)),
            "psnr": _shade(psnr, 10, 35),
        },
        hatch="all" if failed == len(tried) else "some" if failed else "",
        lost=failed / len(tried),
        detail=ended,
        query=query,
        page=page,
    )


def _shade(value: float, worst: float, best: float) -> float | None:
    return None if math.isnan(value) else min(max((value - worst) / (best - worst), 0.0), 1.0)
