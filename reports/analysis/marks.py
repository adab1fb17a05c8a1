"""Which number of a column is best, which second, and which rows may be either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.record import ROTATION
from reports.analysis import entries as cells
from reports.analysis.columns import COST, Better
from reports.analysis.entries import Entry
from reports.analysis.table import Head, Mark, Row


def may_lead(entries: Sequence[Entry]) -> bool:
    """Blind to the poses, an answer in at least half of the cells tried (one lucky seed in five is no winner), and a
    success among them wherever there are true poses to succeed by."""
    held = cells.tried(entries)
    done = [entry for entry in held if entry.done]
    judged = any(ROTATION in entry.result.metrics for entry in done)
    solves = any(entry.solved for entry in done) or not judged
    return bool(done) and 2 * len(done) >= len(held) and solves and not any(entry.given_poses for entry in entries)


def marks(values: Sequence[float | None], better: Better | None) -> list[Mark]:
    """Best of two or more, second of three or more; equals share a mark, and where all are equal nobody has one."""
    numbers = [value for value in values if value is not None]
    if better is None or len(numbers) < 2:
        return [""] * len(values)
    levels = sorted(set(numbers), reverse=better == "high")
    if len(levels) == 1:
        return [""] * len(values)
    best = levels[0]
    second = levels[1] if len(numbers) > 2 and numbers.count(best) == 1 else None
    return [
        "" if value is None else "best" if value == best else "second" if value == second else "" for value in values
    ]


def marked(rows: Sequence[Row], heads: Sequence[Head], leaders: Sequence[Sequence[Entry]]) -> list[Row]:
    """The same rows, best and second marked in each column by each statistic. `leaders` are the cells behind each row,
    none for a row that may not lead. Costs are compared where all were fitted on the same kind of machine."""
    alike = len({entry.machine for each in leaders for entry in each}) < 2
    table = [list(row.numbers) for row in rows]
    for k, head in enumerate(heads):
        if head.column is None or (head.column.group == COST and not alike):
            continue
        for kind in {kind for numbers in table if numbers for kind in numbers[k].figures}:
            values = [
                numbers[k].figures[kind].sort if numbers and each and kind in numbers[k].figures else None
                for numbers, each in zip(table, leaders, strict=True)
            ]
            for numbers, mark in zip(table, marks(values, head.column.better), strict=True):
                if mark:
                    figures = numbers[k].figures
                    numbers[k] = replace(numbers[k], figures={**figures, kind: replace(figures[kind], mark=mark)})
    return [replace(row, numbers=tuple(numbers)) for row, numbers in zip(rows, table, strict=True)]
