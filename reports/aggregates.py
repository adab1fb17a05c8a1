"""What is said of a method over all scenes and seeds of a degradation: success rate, and what failures cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from reports import scores, stats
from reports.columns import Column, column
from reports.scores import PSNR, ROTATION, Entry, Question


@dataclass(frozen=True, kw_only=True)
class Across:
    """Aggregates of all scenes (and seeds) of one degradation."""

    degradation: str
    effort: str
    protocol: str
    agreement: bool
    scenes: tuple[str, ...]
    rows: tuple[AcrossRow, ...]
    failures: bool  # whether any cell failed: only then do the two kinds of column differ


@dataclass(frozen=True, kw_only=True)
class AcrossRow:
    method: str
    given: str
    oracle: bool
    n: int  # cells tried
    scenes: int  # with a cell tried
    skipped: int
    solved: str  # "5/6"
    solved_interval: str
    rotation: Aggregate
    psnr: Aggregate


@dataclass(frozen=True, kw_only=True)
class Aggregate:
    """Statistics of one column over cells; a dash where there is nothing to state, with `why`."""

    mean: str = "—"
    median: str = "—"
    iqm: str = "—"
    interval: str = ""
    successes_iqm: str = "—"
    successes_n: int = 0
    why: str = ""


def across(entries: Sequence[Entry]) -> list[Across]:
    """One table for each degradation (and effort, protocol, kind of truth) present."""
    levels = scores.mean_colour(entries)
    tables = []

    def key(entry: Entry) -> tuple[bool, str, str, str]:
        question = entry.question
        return question.agreement, question.degradation, question.effort, question.protocol

    for (agreement, degradation, effort, protocol), group in groupby(sorted(entries, key=key), key=key):
        held = list(group)
        rows = tuple(_across_row(method, each, levels) for method, each in scores.by_method(held).items())
        tables.append(
            Across(
                degradation=degradation, effort=effort, protocol=protocol, agreement=agreement, rows=rows,
                scenes=tuple(sorted({entry.result.cell.scene for entry in held})),
                failures=any(entry.failed for entry in held),
            )
        )  # fmt: skip
    return tables


def _across_row(method: str, entries: Sequence[Entry], levels: dict[Question, float]) -> AcrossRow:
    tried = scores.tried(entries)
    success, n = scores.success(tried), len(tried)
    low, high = stats.wilson(int(success.sum()), n) if n else (0.0, 1.0)
    penalty = np.array([levels.get(entry.question, math.nan) for entry in tried])
    return AcrossRow(
        method=method,
        given=scores.describe_given(entries),
        oracle=scores.is_oracle(entries),
        n=n,
        scenes=len({entry.result.cell.scene for entry in tried}),
        skipped=len(entries) - n,
        solved=f"{int(success.sum())}/{n}",
        solved_interval=f"[{100 * low:.0f}, {100 * high:.0f}] %" if n else "",
        rotation=aggregate(tried, ROTATION, success, np.full(n, stats.FAILED_ROTATION_DEG)),
        psnr=aggregate(tried, PSNR, success, penalty),
    )


def aggregate(entries: Sequence[Entry], name: str, success: stats.Mask, penalty: stats.Scores) -> Aggregate:
    """Over cells tried: penalised mean, median and IQM, scenes as strata, and the IQM of the successes alone.

    A done cell that states why it lacks the column (a method without a field has no PSNR) is left out.
    """
    shown = column(name)
    kept = [k for k, e in enumerate(entries) if not (e.done and scores.value(e.result, name) is None)]
    if not kept:
        reasons = sorted({scores.absence(entry.result, name) for entry in entries})
        return Aggregate(why="; ".join(reasons) or "no cell was tried")
    done = np.array([entries[k].done for k in kept])
    raw = scores.array([entries[k] for k in kept], name)
    alone = stats.successes_only(raw, success[kept])
    apart = shown.show(float(stats.iqm(alone))) if len(alone) else "—"
    whole = stats.penalised(raw, done, penalty[kept])
    if np.isnan(whole).any():
        why = "a cell failed, and no cell of its scene states the PSNR of the mean-colour image"
        return Aggregate(successes_iqm=apart, successes_n=len(alone), why=why)
    return Aggregate(
        mean=shown.show(float(stats.mean(whole))),
        median=shown.show(float(stats.median(whole))),
        iqm=shown.show(float(stats.iqm(whole))),
        interval=_interval([entries[k] for k in kept], whole, shown),
        successes_iqm=apart,
        successes_n=len(alone),
    )


def _interval(entries: Sequence[Entry], whole: stats.Scores, shown: Column) -> str:
    """Of the IQM; nothing where no scene has two seeds to draw from, or a score is infinite."""
    scenes = np.array([entry.result.cell.scene for entry in entries])
    strata = [whole[scenes == scene] for scene in sorted(set(scenes.tolist()))]
    if max(map(len, strata)) < 2 or not np.isfinite(whole).all():
        return ""
    low, high = stats.bootstrap(strata)
    return f"[{shown.show(low)}, {shown.show(high)}]"
