"""Two suites, or two methods, cell by cell: what got better, what got worse, what no longer answers.

A change is B minus A, of cells that ask the same question. A change within a column's tolerance is none: what is
computed on two machines is never equal to the last bit. What B does not tell is worse: a cell that it lacks, a number
that it lost. Sides that two protocols judged are shown beside each other, and neither is called worse: they were
measured with two rules.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench.record import OUTCOMES, ROTATION
from reports.analysis import entries as cells
from reports.analysis import stats
from reports.analysis.columns import Column, column
from reports.analysis.entries import Entry, counted
from reports.analysis.leaderboard import show_interval
from reports.analysis.questions import Question
from reports.analysis.scorebook import interval

Key = tuple[Question, str, int]
"""Scene, degradation, effort, kind of truth; method; seed."""

QUALITY = {
    "pose/rotation_deg_median": 0.1, "pose/registered": 0.01, "nvs/aligned/psnr": 0.1, "nvs/aligned/iou": 0.005,
    "nvs/refined/psnr": 0.1, "nvs/half/psnr": 0.1, "nvs/registered/psnr": 0.1,
}  # fmt: skip
"""Columns whose loss is a regression, each with what is no change, in its unit (of a share, 0.01 is one percent)."""

COST = {"cost/fit_seconds": 0.1, "cost/peak_rss_mb": 0.1}
"""Columns that are told but are no regression, for machines differ; the tolerance is a share of A."""

SMALLER = (
    "a cell that B lacks counts as worse; where B is smaller on purpose, name less of A: A/SCENE, or one method of both"
)
KINDS = {
    "lacking": (f"only in A; {SMALLER}", "not in B"),
    "newly_failing": ("without an answer now", "newly without an answer"),
    "newly_answered": ("answered now", ""),
    "newly_unsolved": ("no longer solved", "no longer solved"),
    "newly_solved": ("solved now", ""),
    "newly_missing": ("without a number that A has", "without a number that A has"),
}
"""How a cell of A may have fared in B: over a list of such cells, and in a verdict, which names no gains."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """`runs/mine`, or one method of it: `runs/mine:gnerf`."""

    label: str
    method: str  # empty: all of them
    entries: tuple[Entry, ...]

    @property
    def protocols(self) -> str:
        return ", ".join(sorted({entry.result.protocol for entry in self.entries}))

    @property
    def revisions(self) -> str:
        return ", ".join(sorted({str(each.result.provenance.get("git") or "unknown")[:8] for each in self.entries}))


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Answers to one question by the same method (or by the two that are compared), with the same seed."""

    name: str
    a: Entry
    b: Entry


@dataclass(frozen=True, kw_only=True)
class Change:
    """One column over the pairs in which both sides have it."""

    column: Column
    tolerance: float
    n: int
    a: float  # median
    b: float
    mean: float  # of the differences
    interval: stats.Interval | None  # of the mean, as leaderboards have it; None for fewer than two cells
    better: int
    worse: int
    worst: tuple[tuple[str, float, float], ...]  # name, a, b of the cells that lost most
    best: tuple[tuple[str, float, float], ...]
    counts: bool  # whether a loss is a regression

    @property
    def lost(self) -> bool:
        """Whether it is worse beyond its tolerance, and beyond chance where there are cells enough to say so."""
        sign = 1 if self.column.better == "low" else -1
        ends = sorted(sign * end for end in (self.interval or (self.mean, self.mean))[:2])
        return self.counts and ends[0] > self.tolerance


@dataclass(frozen=True, kw_only=True)
class Compared:
    a: Side
    b: Side
    pairs: tuple[Pair, ...]
    only_b: int
    changes: tuple[Change, ...]
    cells: Mapping[str, Sequence[tuple[str, str]]]  # kind -> name of a cell, and how it ended, turned, or what it lacks

    @property
    def is_one_protocol(self) -> bool:
        return all(pair.a.result.protocol == pair.b.result.protocol for pair in self.pairs)

    @property
    def regressions(self) -> tuple[str, ...]:
        """What got worse, in words; none is what a continuous check wants. None between two protocols."""
        if not self.is_one_protocol:
            return ()
        counts = {what: len(self.cells[kind]) for kind, (_, what) in KINDS.items() if what}
        found = [f"{counted(n, 'cell')} {what}" for what, n in counts.items() if n]
        return (*found, *(f"{title(each.column)} {said(each)}" for each in self.changes if each.lost))


def side(label: str) -> Side:
    """Read `folder` or `folder:method`. Raises ValueError where there is no such suite, or no such method in it."""
    folder, method = label, ""
    if not Path(label).is_dir() and ":" in label:
        folder, _, method = label.rpartition(":")
    entries = cells.read(Path(folder), views=False)
    known = list(cells.by_method(entries))
    if method and method not in known:
        raise ValueError(f"compare: {folder} has no method {method!r}; it has {', '.join(known)}")
    held = tuple(entry for entry in entries if not method or entry.cell.method == method)
    return Side(label=label, method=method, entries=held)


def compare(a: Side, b: Side) -> Compared:
    """Raises ValueError where nothing can be paired."""
    if bool(a.method) != bool(b.method):
        raise ValueError("compare: name a method on both sides (runs/a:nerf runs/a:gnerf), or on neither")
    across = bool(a.method) and a.method != b.method
    left, right = _keyed(a, b, across)
    shared = [key for key in left if key in right]
    if not shared:
        raise ValueError(
            f"compare: {a.label} and {b.label} have no cell in common: a pair shares scene, degradation, "
            f"{'' if across else 'method, '}seed, effort and kind of truth"
        )
    pairs = tuple(Pair(name=_name(left[key], across), a=left[key], b=right[key]) for key in shared)
    both = [pair for pair in pairs if pair.a.done and pair.b.done]
    changes = (_change(both, name, tolerance) for name, tolerance in (QUALITY | COST).items())
    turned = [pair for pair in both if _turned(pair)]
    # another method may lack a column by its nature; the same one has it in A, and so should have it in B
    held = [pair.b for pair in both]
    owed = [name for name in QUALITY if not across or any(cells.value(b.result, name) is not None for b in held)]
    found = {
        "lacking": [
            (_name(left[key], across), f"{OUTCOMES[left[key].outcome]} in A") for key in left if key not in right
        ],
        "newly_failing": [(pair.name, cells.ended(pair.b)) for pair in pairs if pair.a.done and not pair.b.done],
        "newly_answered": [(pair.name, cells.ended(pair.a)) for pair in pairs if pair.b.done and not pair.a.done],
        "newly_unsolved": [(each.name, _rotations(each)) for each in turned if each.a.solved > each.b.solved],
        "newly_solved": [(each.name, _rotations(each)) for each in turned if each.a.solved < each.b.solved],
        "newly_missing": [(pair.name, ", ".join(lost)) for pair in both if (lost := _missing(pair, owed))],
    }
    only_b = len(right) - len(shared)
    return Compared(a=a, b=b, pairs=pairs, only_b=only_b, changes=tuple(filter(None, changes)), cells=found)


def _keyed(a: Side, b: Side, across: bool) -> tuple[dict[Key, Entry], dict[Key, Entry]]:
    """The cells of each side by what they are asked. A protocol is a part of it where a side has several."""
    several = any("," in each.protocols for each in (a, b))

    def key(entry: Entry) -> Key:
        question = entry.question if several else replace(entry.question, protocol="")
        return question, "" if across else entry.cell.method, entry.cell.seed

    return {key(entry): entry for entry in a.entries}, {key(entry): entry for entry in b.entries}


def _name(entry: Entry, across: bool) -> str:
    cell = entry.cell
    return f"{cell.scene}/{cell.degradation}/seed{cell.seed}" if across else cell.id


def _turned(pair: Pair) -> bool:
    """Whether the rotation errors differ by more than what is no change, or one of them is no number."""
    a, b = (cells.array([each], ROTATION)[0] for each in (pair.a, pair.b))
    return not abs(b - a) <= QUALITY[ROTATION]


def _missing(pair: Pair, owed: Sequence[str]) -> list[str]:
    """Those of these columns that are a number in A and none in B."""
    held = [(name, *(cells.array([each], name)[0] for each in (pair.a, pair.b))) for name in owed]
    return [title(column(name)) for name, a, b in held if math.isfinite(a) and math.isnan(b)]


def _rotations(pair: Pair) -> str:
    shown = column(ROTATION)
    values = [cells.value(each.result, ROTATION) for each in (pair.a, pair.b)]
    return " -> ".join("?" if value is None else shown.show(value) for value in values) + " deg"


def _change(both: Sequence[Pair], name: str, tolerance: float) -> Change | None:
    """Over pairs that are done on both sides; None where none has a finite number in both."""
    shown = column(name)
    before, after = cells.array([pair.a for pair in both], name), cells.array([pair.b for pair in both], name)
    with np.errstate(invalid="ignore"):  # of two infinite ones
        kept = np.isfinite(after - before)
    if not kept.any():
        return None
    pairs, before, after = [pair for pair, known in zip(both, kept, strict=True) if known], before[kept], after[kept]
    difference = after - before
    allowed = tolerance * np.abs(before) if name in COST else np.full(len(pairs), tolerance)
    gain = -difference if shown.better == "low" else difference
    ranked = np.argsort(gain, kind="stable").tolist()

    def named(places: Sequence[int]) -> tuple[tuple[str, float, float], ...]:
        return tuple((pairs[k].name, float(before[k]), float(after[k])) for k in places)

    return Change(
        column=shown, tolerance=tolerance, n=len(pairs), counts=name not in COST,
        a=float(np.median(before)), b=float(np.median(after)), mean=float(difference.mean()),
        interval=interval(difference, [pair.a for pair in pairs], stats.mean),
        better=int((gain > allowed).sum()), worse=int((gain < -allowed).sum()),
        worst=named([k for k in ranked if gain[k] < -allowed[k]][:3]),
        best=named([k for k in reversed(ranked) if gain[k] > allowed[k]][:3]),
    )  # fmt: skip


def title(shown: Column) -> str:
    stage = shown.group.partition(", ")[2]
    return f"{shown.label} {stage}".strip()


def said(change: Change) -> str:
    shown = change.column
    parts = (shown.signed(change.mean), show_interval(change.interval, shown), shown.unit, f"over {change.n} cells")
    return " ".join(filter(None, parts))
