"""Which number of a column is best, which second, and which rows may be either."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from reports.analysis import scores
from reports.analysis.columns import Better
from reports.analysis.scores import Entry

Mark = Literal["best", "second", ""]


def may_be_marked(entries: Sequence[Entry]) -> bool:
    """Blind to the poses, and done in at least half of the cells tried: one lucky seed in five is no winner."""
    done = sum(entry.done for entry in entries)
    return done > 0 and 2 * done >= len(scores.tried(entries)) and not scores.is_told(entries)


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
