"""The whole suite in one small matrix: methods down, questions across."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from reports import scores, stats
from reports.columns import column
from reports.scores import ROTATION, STATUSES, Entry

State = Literal["solved", "part", "unsolved", "failed", "skipped", "none"]


@dataclass(frozen=True, kw_only=True)
class Square:
    """`text` is the median rotation error or how the cells ended; `detail` how many succeeded."""

    state: State
    text: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class GlanceRow:
    method: str
    oracle: bool
    squares: tuple[Square, ...]


def glance(entries: Sequence[Entry]) -> list[GlanceRow]:
    """One square a method and question, in the order of `by_method` and `by_question`."""
    questions = scores.by_question(entries)
    return [
        GlanceRow(
            method=method,
            oracle=scores.is_oracle(each),
            squares=tuple(_square([entry for entry in each if entry.question == question]) for question in questions),
        )
        for method, each in scores.by_method(entries).items()
    ]


def _square(entries: Sequence[Entry]) -> Square:
    if not entries:
        return Square(state="none", text="—", detail="not in this run")
    tried = scores.tried(entries)
    if not tried:
        return Square(state="skipped", text="skipped", detail=entries[0].result.reason or "no reason was recorded")
    succeeded = scores.success(tried)
    count = f"{int(succeeded.sum())} of {len(tried)}"
    done = [entry for entry in tried if entry.done]
    if not done:
        ended = sorted({STATUSES[entry.result.status] for entry in tried})
        return Square(state="failed", text=", ".join(ended), detail=count)
    rotation = scores.array(done, ROTATION)
    known = rotation[~np.isnan(rotation)]
    shown = f"{column(ROTATION).show(float(stats.median(known)))}°" if len(known) else "NaN"
    state: State = "solved" if succeeded.all() else "part" if succeeded.any() else "unsolved"
    return Square(state=state, text=shown, detail=count)
