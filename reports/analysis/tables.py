"""Tables as data: what each cell of a table says, which is best, what is missing and why. The templates print them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np

from bench.record import Result
from reports.analysis import scores, stats
from reports.analysis.columns import COLUMNS, HEADLINE, SHORT, Column
from reports.analysis.footnotes import Footnotes
from reports.analysis.marks import Mark, marks, may_be_marked
from reports.analysis.scores import STATUSES, Entry, Question, ranges

INTERVAL_FROM = 5
"""Seeds from which a spread is shown as a bootstrap interval; below, as the range."""


@dataclass(frozen=True, kw_only=True)
class Number:
    """One printed number. `sort` is what a click on the heading sorts by; `notes` are letters of footnotes."""

    text: str
    spread: str = ""
    mark: Mark = ""
    notes: tuple[str, ...] = ()
    flagged: bool = False
    sort: float | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method's (or cell's) line. Without `numbers`, `reasons` stand in their place."""

    method: str
    given: str
    told: bool
    page: str  # of its first cell, from the site's root
    seeds: str
    tally: tuple[tuple[str, str], ...]  # (status, "3 done")
    reasons: tuple[str, ...] = ()  # "seed 1 timeout: ..."
    numbers: tuple[Number, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Board:
    """A leaderboard, or a list of cells."""

    question: Question
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    footnotes: Footnotes = field(default_factory=Footnotes)

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Headings that span columns: (name, columns)."""
        grouped = groupby(self.columns, key=lambda each: SHORT.get(each.group, each.group))
        return [(name, len(list(columns))) for name, columns in grouped]


def leaderboard(question: Question, entries: Sequence[Entry], names: Sequence[str] = HEADLINE) -> Board:
    """One row a method, median over its seeds; best and second among the methods that see no poses."""
    footnotes, columns = Footnotes(), _columns_of(entries, names)
    methods = scores.by_method(entries)
    rows = [_row(each, columns, footnotes) for each in methods.values()]
    eligible = [may_be_marked(each) for each in methods.values()]
    for k, shown in enumerate(columns):
        values = [row.numbers[k].sort if ok and row.numbers else None for row, ok in zip(rows, eligible, strict=True)]
        rows = [
            replace(row, numbers=tuple(replace(n, mark=mark) if i == k else n for i, n in enumerate(row.numbers)))
            for row, mark in zip(rows, marks(values, shown.better), strict=True)
        ]
    return Board(question=question, columns=columns, rows=tuple(rows), footnotes=footnotes)


def cells(question: Question, entries: Sequence[Entry]) -> Board:
    """One row a cell, seeds side by side, nothing marked."""
    footnotes, columns = Footnotes(), _columns_of(entries, HEADLINE)
    ordered = [entry for each in scores.by_method(entries).values() for entry in each]
    rows = tuple(_row([entry], columns, footnotes) for entry in ordered)
    return Board(question=question, columns=columns, rows=rows, footnotes=footnotes)


def _columns_of(entries: Iterable[Entry], names: Sequence[str]) -> tuple[Column, ...]:
    """Those that at least one result has, or says it lacks; of a stage that is wholly absent, its PSNR."""

    def spoken_of(result: Result, name: str) -> bool:
        stage, _, metric = name.rpartition("/")
        return name in result.metrics.keys() | result.absent.keys() or (metric == "psnr" and stage in result.absent)

    results = [entry.result for entry in entries]
    return tuple(
        COLUMNS[name]
        for name in names
        if any(spoken_of(result, name) or scores.value(result, name) is not None for result in results)
    )


def _row(entries: Sequence[Entry], columns: Sequence[Column], footnotes: Footnotes) -> Row:
    first, done = entries[0], [entry for entry in entries if entry.done]
    counts = Counter(entry.result.status for entry in entries)
    single = len(entries) == 1
    return Row(
        method=first.method,
        given=scores.describe_given(entries),
        told=scores.is_told(entries),
        page=first.page,
        seeds=ranges([entry.result.cell.seed for entry in entries]),
        tally=tuple((s, name if single else f"{counts[s]} {name}") for s, name in STATUSES.items() if counts[s]),
        reasons=_reasons(entries),
        numbers=tuple(_number(done, shown, footnotes) for shown in columns) if done else (),
    )


def _reasons(entries: Sequence[Entry]) -> tuple[str, ...]:
    """Why cells of a row are not done; seeds that ended alike share a line."""
    ended: dict[str, list[int]] = {}
    for entry in entries:
        if not entry.done:
            ended.setdefault(scores.ended(entry), []).append(entry.result.cell.seed)
    if len(entries) == 1:
        return tuple(ended)
    return tuple(f"seed {ranges(seeds)} {text}" for text, seeds in ended.items())


def _number(done: Sequence[Entry], shown: Column, footnotes: Footnotes) -> Number:
    values = scores.array(done, shown.name)
    held = np.array([scores.value(entry.result, shown.name) is not None for entry in done])
    flags = sorted({f for e, has in zip(done, held, strict=True) if has for f in scores.flags_of(e.result, shown.name)})
    notes = [footnotes.letter(_flag_note(done, flag)) for flag in flags]
    label = f"{SHORT[shown.group]} {shown.label}" if shown.group in SHORT else shown.label
    missing = {scores.absence(e.result, shown.name) for e, has in zip(done, held, strict=True) if not has}
    notes += [footnotes.letter(f"no {label}: {reason}") for reason in sorted(missing)]
    if not held.any():
        return Number(text="—", notes=tuple(notes))
    values = values[held]
    middle = float(stats.median(values))
    if not np.isfinite(values).all() and not any("finite" in flag for flag in flags):
        notes.append(footnotes.letter(f"{label} is not finite for {done[0].method}"))
        flags.append("not finite")
    return Number(
        text=shown.show(middle), spread=_spread(values, shown), notes=tuple(sorted(notes, key=footnotes.place)),
        flagged=bool(flags),
        sort=middle if math.isfinite(middle) else None,
    )  # fmt: skip


def _flag_note(done: Sequence[Entry], flag: str) -> str:
    seeds = [entry.result.cell.seed for entry in done if flag in entry.result.flags]
    which = "" if len(done) == 1 else f" (seed {ranges(seeds)})"
    return f"{done[0].method}{which} flagged: {flag}"


def _spread(values: stats.Scores, shown: Column) -> str:
    """`[min … max]` of a few seeds, the 95 % interval of the median from five on, nothing for one."""
    if len(values) < 2:
        return ""
    if len(values) >= INTERVAL_FROM and np.isfinite(values).all():
        low, high = stats.bootstrap([values], stats.median)
        return _between(low, high, ", ", shown)
    if np.isnan(values).any():
        return f"{int(np.isnan(values).sum())} of {len(values)} NaN"
    return _between(float(values.min()), float(values.max()), " … ", shown)


def _between(low: float, high: float, mark: str, shown: Column) -> str:
    return "all equal" if shown.show(low) == shown.show(high) else f"[{shown.show(low)}{mark}{shown.show(high)}]"
