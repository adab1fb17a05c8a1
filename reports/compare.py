"""Two suites, or two methods, cell by cell: what got better, what got worse, what no longer answers.

A change is B minus A, of cells that ask the same question. A change within a column's tolerance is none: what is
computed on two machines is never equal to the last bit. What B does not tell is worse: a cell that it lacks, a number
that it lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.record import OUTCOMES, ROTATION
from reports.analysis import entries as cells
from reports.analysis import stats
from reports.analysis.columns import Column, column
from reports.analysis.entries import Entry, Question
from reports.analysis.leaderboard import show_interval

QUALITY = {
    "pose/rotation_deg_median": 0.1, "pose/registered": 0.01, "nvs/aligned/psnr": 0.1, "nvs/aligned/iou": 0.005,
    "nvs/refined/psnr": 0.1, "nvs/half/psnr": 0.1, "nvs/registered/psnr": 0.1,
}  # fmt: skip
"""Columns whose loss is a regression, each with what is no change, in its unit (of a share, 0.01 is one percent)."""

COST = {"cost/fit_seconds": 0.1, "cost/peak_rss_mb": 0.1}
"""Columns that are told but are no regression, for machines differ; the tolerance is a share of A."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """`runs/mine`, or one method of it: `runs/mine:gnerf`."""

    label: str
    method: str  # empty: all of them
    entries: tuple[Entry, ...]

    @property
    def revisions(self) -> str:
        found = {str(entry.result.provenance.get("git") or "unknown")[:8] for entry in self.entries}
        return ", ".join(sorted(found))


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
    lacking: tuple[tuple[str, str], ...]  # name of a cell that only A has, how it ended there
    only_b: int
    changes: tuple[Change, ...]
    newly_failing: tuple[tuple[str, str], ...]  # name, how it ended
    newly_answered: tuple[tuple[str, str], ...]
    newly_unsolved: tuple[tuple[str, str], ...]  # name, "0.3 -> 94 deg"
    newly_solved: tuple[tuple[str, str], ...]
    newly_missing: tuple[tuple[str, str], ...]  # done in both, and a number of A is none in B: name, which

    @property
    def regressions(self) -> tuple[str, ...]:
        """What got worse, in words; none is what a continuous check wants."""
        found = []
        for count, what in (
            (len(self.lacking), "not in B"), (len(self.newly_failing), "newly without an answer"),
            (len(self.newly_unsolved), "no longer solved"), (len(self.newly_missing), "without a number that A has"),
        ):  # fmt: skip
            if count:
                found.append(f"{count} {'cell' if count == 1 else 'cells'} {what}")
        return (*found, *(f"{title(each.column)} {said(each)}" for each in self.changes if each.lost))


def side(label: str) -> Side:
    """Read `folder` or `folder:method`. Raises ValueError where there is no such suite, or no such method in it."""
    folder, method = label, ""
    if not Path(label).is_dir() and ":" in label:
        folder, _, method = label.rpartition(":")
    entries = cells.read(Path(folder))
    known = list(cells.by_method(entries))
    if method and method not in known:
        raise ValueError(f"compare: {folder} has no method {method!r}; it has {', '.join(known)}")
    held = tuple(entry for entry in entries if not method or entry.method == method)
    return Side(label=label, method=method, entries=held)


def compare(a: Side, b: Side) -> Compared:
    """Raises ValueError where nothing can be paired."""
    if bool(a.method) != bool(b.method):
        raise ValueError("compare: name a method on both sides (runs/a:nerf runs/a:gnerf), or on neither")
    across = bool(a.method) and a.method != b.method
    left, right = ({_key(entry, across): entry for entry in each.entries} for each in (a, b))
    shared = [key for key in left if key in right]
    if not shared:
        raise ValueError(
            f"compare: {a.label} and {b.label} have no cell in common: a pair shares scene, degradation, "
            f"{'' if across else 'method, '}seed, effort, protocol and kind of truth"
        )
    pairs = tuple(Pair(name=_name(left[key], across), a=left[key], b=right[key]) for key in shared)
    changes = [_change(pairs, name, tolerance, share=False) for name, tolerance in QUALITY.items()]
    changes += [_change(pairs, name, tolerance, share=True) for name, tolerance in COST.items()]
    both = [pair for pair in pairs if pair.a.done and pair.b.done]
    # another method may lack a column by its nature; the same one has it in A, and so should have it in B
    owed = [
        name for name in QUALITY if not across or any(cells.value(pair.b.result, name) is not None for pair in both)
    ]
    return Compared(
        a=a, b=b, pairs=pairs, only_b=len(right) - len(shared),
        lacking=tuple((_name(entry, across), f"{OUTCOMES[entry.outcome]} in A")
                      for key, entry in left.items() if key not in right),
        changes=tuple(change for change in changes if change is not None),
        newly_failing=_cells(pairs, lambda pair: pair.a.done and not pair.b.done, lambda pair: cells.ended(pair.b)),
        newly_answered=_cells(pairs, lambda pair: pair.b.done and not pair.a.done, lambda pair: cells.ended(pair.a)),
        newly_unsolved=_cells(both, lambda pair: _solved(pair.a) > _solved(pair.b) and _turned(pair), _rotations),
        newly_solved=_cells(both, lambda pair: _solved(pair.a) < _solved(pair.b) and _turned(pair), _rotations),
        newly_missing=tuple((pair.name, ", ".join(lost)) for pair in both if (lost := _missing(pair, owed))),
    )  # fmt: skip


def _key(entry: Entry, across: bool) -> tuple[Question, str, int]:
    return entry.question, "" if across else entry.method, entry.result.cell.seed


def _name(entry: Entry, across: bool) -> str:
    cell = entry.result.cell
    return f"{cell.scene}/{cell.degradation}/seed{cell.seed}" if across else cell.id


def _cells(
    pairs: Sequence[Pair], chosen: Callable[[Pair], bool], say: Callable[[Pair], str]
) -> tuple[tuple[str, str], ...]:  # fmt: skip
    return tuple((pair.name, say(pair)) for pair in pairs if chosen(pair))


def _solved(entry: Entry) -> bool:
    return entry.result.solved


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


def _change(pairs: Sequence[Pair], name: str, tolerance: float, *, share: bool) -> Change | None:
    shown = column(name)
    held = [(pair, cells.value(pair.a.result, name), cells.value(pair.b.result, name)) for pair in pairs
            if pair.a.done and pair.b.done]  # fmt: skip
    kept = [(pair, a, b) for pair, a, b in held if a is not None and b is not None and math.isfinite(b - a)]
    if not kept:
        return None
    before, after = np.array([a for _, a, _ in kept]), np.array([b for _, _, b in kept])
    difference = after - before
    allowed = tolerance * np.abs(before) if share else np.full(len(kept), tolerance)
    gain = -difference if shown.better == "low" else difference
    ranked = sorted(range(len(kept)), key=lambda k: gain[k])
    scenes = np.array([pair.a.scene for pair, _, _ in kept])

    def named(places: Sequence[int]) -> tuple[tuple[str, float, float], ...]:
        return tuple((kept[k][0].name, float(before[k]), float(after[k])) for k in places)

    return Change(
        column=shown, tolerance=tolerance, n=len(kept), counts=not share,
        a=float(np.median(before)), b=float(np.median(after)), mean=float(difference.mean()),
        interval=stats.interval([difference[scenes == scene] for scene in sorted(set(scenes.tolist()))], stats.mean),
        better=int((gain > allowed).sum()), worse=int((gain < -allowed).sum()),
        worst=named([k for k in ranked if gain[k] < -allowed[k]][:3]),
        best=named([k for k in reversed(ranked) if gain[k] > allowed[k]][:3]),
    )  # fmt: skip


def title(shown: Column) -> str:
    stage = shown.group.partition(", ")[2]
    return f"{shown.label} {stage}".strip()


def said(change: Change) -> str:
    shown = change.column
    parts = (signed(change.mean, shown), show_interval(change.interval, shown), shown.unit, f"over {change.n} cells")
    return " ".join(filter(None, parts))


def signed(value: float, shown: Column) -> str:
    return ("+" if value > 0 else "") + shown.show(value)
