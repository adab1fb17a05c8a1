"""How methods bear a degradation: curves over severities, areas under them, where they break (posefree/2, section 8).

A curve is of one method and one kind, over all scenes and seeds in which the kind was run; severity 0 is the clean
cells of those same scenes and seeds. A severity that was run in some of them alone (a bisection asks each scene for
others) is no point of the curve: it would be another mean. Nothing is claimed of a severity that was not run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bench.degrade import CLEAN, KINDS
from bench.record import ROTATION
from reports.analysis import entries as cells
from reports.analysis import stats
from reports.analysis.columns import column
from reports.analysis.entries import IOU, PSNR, REGISTERED, Entry
from reports.analysis.questions import Setting, changes_scene, split_degradation
from reports.analysis.scorebook import Scorebook

SUCCESS = "success"
QUANTITIES = (SUCCESS, ROTATION, REGISTERED, PSNR, IOU)
"""What a curve is drawn of: the success rate, and medians with failures charged."""

BROKEN_BELOW = 0.5
"""The success rate below which a method is broken (posefree/2, section 8)."""

FAMILIES = tuple(dict.fromkeys(kind.family for kind in KINDS.values()))
OTHER = "other"  # a kind that this version does not know
NOTHING = 1e-6  # a rotation error of rounding alone


class Point(NamedTuple):
    """Of one quantity: the success rate, or a median with failures charged, and its 95 % interval."""

    value: float
    interval: stats.Interval | None = None


@dataclass(frozen=True, kw_only=True)
class Level:
    """All cells of one severity; 0 is the clean capture. `points` are keyed by quantity."""

    severity: float
    n: int
    solved: int
    points: Mapping[str, Point]


class Area(NamedTuple):
    """The mean height of a curve over the severities run, by the trapezoidal rule.

    Between two neighbouring severities nothing was run: there the curve is taken to lie between its ends. `low` and
    `high` are the areas if it is as low, or as high, as either of them all the way.
    """

    value: float
    low: float
    high: float


class Break(NamedTuple):
    """Where fewer than half of the cells begin to succeed: after `holds` (None: nothing held), by `breaks` (None: they
    still do at the highest severity run, which is `holds`)."""

    holds: float | None
    breaks: float | None

    def __str__(self) -> str:
        match self:
            case (None, 0):
                return "clean"
            case (None, breaks):
                return f"≤ {breaks:g}"
            case (holds, None):
                return f"> {holds:g}"
            case (holds, breaks):
                return f"{holds:g}–{breaks:g}"


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One method under one kind of degradation, level by level."""

    setting: Setting
    family: str
    kind: str
    method: str
    given: str
    given_poses: bool
    scenes: tuple[str, ...]
    seeds: tuple[int, ...]
    even: bool  # every severity rests on the same scenes and seeds
    partial: tuple[float, ...]  # severities left out, run in some of these scenes and seeds alone
    levels: tuple[Level, ...]  # by severity

    def points(self, name: str) -> list[tuple[float, Point]]:
        """(severity, point) of one quantity, where it is known."""
        return [(level.severity, level.points[name]) for level in self.levels if name in level.points]

    def clean(self, name: str) -> float | None:
        """The value at severity 0."""
        return next((point.value for severity, point in self.points(name) if severity == 0), None)

    def area(self, name: str) -> Area | None:
        """None for fewer than two points."""
        found = self.points(name)
        if len(found) < 2:
            return None
        x, y = [severity for severity, _ in found], [point.value for _, point in found]
        steps = [(b - a, left, right) for a, b, left, right in zip(x, x[1:], y, y[1:], strict=False)]
        wide = x[-1] - x[0]
        return Area(
            sum(w * (a + b) / 2 for w, a, b in steps) / wide,
            sum(w * min(a, b) for w, a, b in steps) / wide,
            sum(w * max(a, b) for w, a, b in steps) / wide,
        )

    def relative(self, name: str) -> float | None:
        """Area over the clean value: 1 for what the degradation does nothing to. None where clean is 0 or unknown."""
        area, clean = self.area(name), self.clean(name)
        return None if area is None or clean is None or abs(clean) < NOTHING else area.value / clean

    @property
    def broken(self) -> Break:
        held = None
        for level in self.levels:
            if level.solved < BROKEN_BELOW * level.n:
                return Break(held, level.severity)
            held = level.severity
        return Break(held, None)

    @property
    def remark(self) -> str:
        """What it does not rest on."""
        if self.partial:
            some = ", ".join(f"{severity:g}" for severity in self.partial)
            return f"left out, run in some scenes and seeds alone: {some}"
        return "" if self.even else "not the same cells at each"

    @property
    def successes(self) -> str:
        return ", ".join(f"{level.severity:g}: {level.solved}/{level.n}" for level in self.levels)


def curves(entries: Sequence[Entry], book: Scorebook) -> list[Curve]:
    """One a setting, kind of degradation and method, in the order of the kinds; methods that were given poses last."""
    found: list[Curve] = []
    for setting, each in cells.by_setting(entries).items():
        masked = {_kind(entry) for entry in each if IOU in entry.result.metrics}
        for method, held in cells.by_method(cells.tried(each)).items():
            for kind in dict.fromkeys(map(_kind, held)):
                if kind != CLEAN:  # a mask's PSNR is another quantity than a photograph's: IoU stands for both
                    names = [name for name in QUANTITIES if name != (PSNR if kind in masked else IOU)]
                    found.append(_curve(setting, method, kind, held, book, names))
    order = {name: k for k, name in enumerate((*KINDS, *sorted({curve.kind for curve in found} - KINDS.keys())))}
    return sorted(found, key=lambda c: (c.setting, order[c.kind], c.given_poses, c.method))


def by_kind(found: Iterable[Curve]) -> dict[tuple[Setting, str], list[Curve]]:
    return cells.grouped(found, lambda curve: (curve.setting, curve.kind))


def by_family(found: Iterable[Curve]) -> dict[tuple[Setting, str], list[Curve]]:
    """A group is one table of a report; families in their order."""
    place = (*FAMILIES, OTHER).index
    return cells.grouped(found, lambda curve: (curve.setting, curve.family), lambda key: (key[0], place(key[1])))


def _kind(entry: Entry) -> str:
    return split_degradation(entry.cell.degradation)[0]


def _pair(entry: Entry) -> tuple[str, int]:
    return entry.cell.scene, entry.cell.seed


def _curve(
    setting: Setting, method: str, kind: str, held: Sequence[Entry], book: Scorebook, names: Sequence[str]
) -> Curve:
    mine = [entry for entry in held if _kind(entry) == kind]
    pairs = {_pair(entry) for entry in mine}
    clean = [entry for entry in held if _kind(entry) == CLEAN and _pair(entry) in pairs]
    groups = cells.grouped(clean + mine, lambda entry: split_degradation(entry.cell.degradation)[1])
    kept = {severity: each for severity, each in groups.items() if severity == 0 or set(map(_pair, each)) == pairs}
    if not any(severity > 0 for severity in kept):
        kept = groups  # none was run in all: all are kept, unevenly
    return Curve(
        setting=setting, kind=kind, family=KINDS[kind].family if kind in KINDS else OTHER, method=method,
        given=cells.describe_given(held), given_poses=held[0].given_poses,
        scenes=tuple(sorted({entry.cell.scene for entry in mine})),
        seeds=tuple(sorted({entry.cell.seed for entry in mine})),
        even=len({frozenset(map(_pair, each)) for each in kept.values()}) == 1,
        partial=tuple(sorted(groups.keys() - kept.keys())),
        levels=tuple(_level(severity, kept[severity], names, book, kind) for severity in sorted(kept)),
    )  # fmt: skip


def _level(severity: float, entries: Sequence[Entry], names: Sequence[str], book: Scorebook, kind: str) -> Level:
    solved = sum(entry.solved for entry in entries)
    points = {SUCCESS: Point(solved / len(entries), stats.wilson(solved, len(entries)))}
    for name in names[1:]:
        if name.startswith("nvs/") and severity == 0 and changes_scene(kind):
            continue  # of other images altogether
        scored = book.penalised(entries, name)
        if scored.n:
            points[name] = Point(scored.at(stats.median), scored.interval(stats.median))
    return Level(severity=severity, n=len(entries), solved=solved, points=points)


def show_area(curve: Curve, name: str) -> str:
    """`0.60 [0.40, 0.80]`."""
    area = curve.area(name)
    if area is None:
        return "—"
    bounds = f" [{area.low:.2f}, {area.high:.2f}]" if area.high - area.low >= 0.01 else ""
    return f"{area.value:.2f}{bounds}"


def show(name: str, point: Point) -> str:
    """`31.20 [30.90, 31.40]`, shares in percent."""

    def text(value: float) -> str:
        return f"{100 * value:.0f} %" if name in (SUCCESS, REGISTERED) else column(name).show(value)

    if point.interval is None:
        return text(point.value)
    over = " over scenes" if point.interval.over == "scenes" else ""
    return f"{text(point.value)} [{text(point.interval.low)}, {text(point.interval.high)}]{over}"
