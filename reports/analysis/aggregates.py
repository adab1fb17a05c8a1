"""What is said of a method over all scenes and seeds of a degradation: success rate, and what failures cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from reports.analysis import scores, stats
from reports.analysis.columns import COLUMNS, HEADLINE, Column, column
from reports.analysis.marks import Mark, marks, may_be_marked
from reports.analysis.scores import PSNR, ROTATION, Entry, Question, Setting

CHARGED = (ROTATION, PSNR)
STATISTICS = {"iqm": stats.iqm, "median": stats.median, "mean": stats.mean}
"""By name, the first being the protocol's. What stands below each: bootstrap interval; range; standard deviation."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One printed statistic, its spread, and its rank among the methods that see no poses."""

    text: str
    spread: str = ""
    sort: float | None = None
    mark: Mark = ""


@dataclass(frozen=True, kw_only=True)
class Aggregate:
    """Statistics of one column over `n` cells by name; none where there is nothing to state, with `why`."""

    n: int = 0
    figures: dict[str, Figure] = field(default_factory=dict)
    why: str = ""
    flagged: int = 0  # cells whose number carries a flag

    @property
    def sort(self) -> float | None:
        return self.figures["iqm"].sort if self.figures else None


@dataclass(frozen=True, kw_only=True)
class Head:
    """A column of an aggregated table, over the cells that `cells` names."""

    column: Column
    cells: str  # "penalised": all tried; "successes"; "": those that gave an answer


@dataclass(frozen=True, kw_only=True)
class AcrossRow:
    method: str
    given: str
    told: bool
    n: int  # cells tried
    seeds: str
    scenes: int  # with a cell tried
    skipped: int
    failed: int
    succeeded: int
    interval: stats.Interval | None  # Wilson's, of the success rate
    aggregates: tuple[Aggregate, ...]  # one a head

    @property
    def rate(self) -> float | None:
        return self.succeeded / self.n if self.n else None


@dataclass(frozen=True, kw_only=True)
class Across:
    """Aggregates of all scenes (and seeds) of one degradation in one setting."""

    setting: Setting
    degradation: str
    scenes: tuple[str, ...]
    heads: tuple[Head, ...]
    rows: tuple[AcrossRow, ...]

    @property
    def title(self) -> str:
        return f"{self.degradation} · {self.setting.title}"


def across(entries: Sequence[Entry]) -> list[Across]:
    """One table for each setting and degradation present; clean first."""
    levels = scores.mean_colour(entries)
    return [
        _table(setting, degradation, held, levels)
        for setting, each in scores.by_setting(entries).items()
        for degradation, held in scores.by_degradation(each).items()
    ]


def _table(setting: Setting, degradation: str, entries: Sequence[Entry], levels: dict[Question, float]) -> Across:
    heads = _heads(entries)
    methods = scores.by_method(entries)
    rows = [_row(method, each, heads, levels) for method, each in methods.items()]
    shared, scenes = scores.scenes_of_the_blind(entries)
    eligible = [shared == scenes and may_be_marked(each) for each in methods.values()]
    columns = zip(*(row.aggregates for row in rows), strict=True)
    marked = list(zip(*(_marked(each, eligible, head) for head, each in zip(heads, columns, strict=True)), strict=True))
    return Across(
        setting=setting, degradation=degradation, heads=heads,
        scenes=tuple(scores.by_scene(entries)),
        rows=tuple(replace(row, aggregates=each) for row, each in zip(rows, marked or [()] * len(rows), strict=True)),
    )  # fmt: skip


def _heads(entries: Sequence[Entry]) -> tuple[Head, ...]:
    """Rotation and PSNR twice wherever a cell did not succeed: with failures charged, and of the successes alone."""
    tried = scores.tried(entries)
    twice = bool(tried) and not scores.success(tried).all()
    heads = []
    for name in HEADLINE:
        if not any(scores.value(entry.result, name) is not None for entry in entries):
            continue
        if name in CHARGED and twice:
            heads += [Head(column=COLUMNS[name], cells="penalised"), Head(column=COLUMNS[name], cells="successes")]
        else:
            heads.append(Head(column=COLUMNS[name], cells=""))
    return tuple(heads)


def _row(method: str, entries: Sequence[Entry], heads: Sequence[Head], levels: dict[Question, float]) -> AcrossRow:
    tried = scores.tried(entries)
    success, n = scores.success(tried), len(tried)
    return AcrossRow(
        method=method,
        given=scores.describe_given(entries),
        told=scores.is_told(entries),
        n=n,
        seeds=scores.ranges(sorted({entry.result.cell.seed for entry in entries})),
        scenes=len({entry.result.cell.scene for entry in tried}),
        skipped=len(entries) - n,
        failed=sum(entry.failed for entry in tried),
        succeeded=int(success.sum()),
        interval=stats.wilson(int(success.sum()), n) if n else None,
        aggregates=tuple(_aggregate(tried, success, head, levels) for head in heads),
    )


def _aggregate(
    entries: Sequence[Entry], success: stats.Mask, head: Head, levels: dict[Question, float]
) -> Aggregate:  # fmt: skip
    name = head.column.name
    match head.cells:
        case "penalised":
            return penalised(entries, name, levels)
        case "successes":
            alone = [entry for entry, good in zip(entries, success, strict=True) if good]
            return summary(alone, name, scores.array(alone, name), missing="no success")
        case _:
            done = [entry for entry in entries if entry.done]
            return summary(done, name, scores.array(done, name))


def penalised(entries: Sequence[Entry], name: str, levels: dict[Question, float]) -> Aggregate:
    """Over all cells tried: a failed one is charged 180 deg, or the PSNR of the mean-colour image.

    A done cell that states why it lacks the column (a method without a field has no PSNR) is left out.
    """
    kept, charged = charge(entries, name, levels)
    if np.isnan(charged).any():
        return Aggregate(why="a cell failed, and no cell of its scene states the PSNR of the mean-colour image")
    return summary(kept, name, charged)


def charge(
    entries: Sequence[Entry], name: str, levels: dict[Question, float]
) -> tuple[list[Entry], stats.Scores]:  # fmt: skip
    """The cells that count in a column, and their scores, failures charged; NaN where no charge is known.

    The protocol charges a failure 180 deg of rotation and the PSNR of the mean-colour image. Of any other column,
    only the cells that have it count.
    """
    kept = [e for e in entries if scores.value(e.result, name) is not None or (name in CHARGED and not e.done)]
    done = np.array([entry.done for entry in kept], dtype=bool)
    if name == ROTATION:
        penalty = np.full(len(kept), stats.FAILED_ROTATION_DEG)
    else:
        penalty = np.array([levels.get(entry.question, math.nan) for entry in kept])
    return kept, stats.penalised(scores.array(kept, name), done, penalty)


def summary(entries: Sequence[Entry], name: str, values: stats.Scores, missing: str = "") -> Aggregate:
    """IQM, median and mean of `values`, one an entry; NaN where an entry has no value."""
    held = [
        (entry, v) for entry, v in zip(entries, values, strict=True) if scores.value(entry.result, name) is not None
    ]
    held += [(e, v) for e, v in zip(entries, values, strict=True) if not e.done]  # a charge
    if not held:
        reasons = sorted({scores.absence(entry.result, name) for entry in entries})
        return Aggregate(why="; ".join(reasons) or missing or "no cell gave an answer")
    kept = [entry for entry, _ in held]
    numbers = np.array([v for _, v in held])
    return Aggregate(
        n=len(held),
        figures={kind: _figure(kind, kept, numbers, column(name)) for kind in STATISTICS},
        flagged=sum(bool(scores.flags_of(entry.result, name)) for entry in kept),
    )


def _figure(kind: str, entries: Sequence[Entry], values: stats.Scores, shown: Column) -> Figure:
    middle = float(STATISTICS[kind](values))
    return Figure(
        text=shown.show(middle),
        spread=_spread(kind, entries, values, shown),
        sort=middle if math.isfinite(middle) else None,
    )


def _spread(kind: str, entries: Sequence[Entry], values: stats.Scores, shown: Column) -> str:
    if len(values) < 2:
        return ""
    if not np.isfinite(values).all():
        return f"{int((~np.isfinite(values)).sum())} of {len(values)} not finite"
    match kind:
        case "iqm":
            return _interval(entries, values, shown)
        case "median":
            low, high = shown.show(float(values.min())), shown.show(float(values.max()))
            return "all equal" if low == high else f"[{low} … {high}]"
        case _:
            return f"± {shown.show(float(np.std(values, ddof=1)))}"


def _interval(entries: Sequence[Entry], values: stats.Scores, shown: Column) -> str:
    """Of the IQM; nothing where no scene has two cells to draw from."""
    strata = by_scene(entries, values)
    if max(map(len, strata)) < 2:
        return ""
    low, high = map(shown.show, stats.bootstrap(strata))
    return "all equal" if low == high else f"[{low}, {high}]"


def by_scene(entries: Sequence[Entry], values: stats.Scores) -> list[stats.Scores]:
    """Strata of the bootstrap."""
    scenes = np.array([entry.result.cell.scene for entry in entries])
    return [values[scenes == scene] for scene in sorted(set(scenes.tolist()))]


def _marked(column_of: Sequence[Aggregate], eligible: Sequence[bool], head: Head) -> list[Aggregate]:
    """The same aggregates, best and second marked by each statistic."""
    found = list(column_of)
    for kind in STATISTICS:
        sorts = [
            each.figures[kind].sort if ok and each.figures else None
            for each, ok in zip(found, eligible, strict=True)
        ]  # fmt: skip
        for k, mark in enumerate(marks(sorts, head.column.better)):
            if mark:
                figures = found[k].figures
                found[k] = replace(found[k], figures=figures | {kind: replace(figures[kind], mark=mark)})
    return found
