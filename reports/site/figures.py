"""The figures of the overview: robustness curves, cost against quality, critical differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.analysis.columns import column
from reports.analysis.paired import Comparison
from reports.analysis.robustness import SUCCESS, Point
from reports.analysis.scores import IOU, PSNR, REGISTERED, ROTATION, Setting
from reports.analysis.severities import BROKEN_BELOW, Curve, Level
from reports.analysis.tradeoff import Bargain, Bargains
from reports.site import chart
from reports.site.chart import Chart, Mark, Series

TITLES = {
    SUCCESS: "success rate", REGISTERED: "registered views", PSNR: "held-out PSNR (dB)", IOU: "held-out IoU",
    ROTATION: "rotation error (deg)",
}  # fmt: skip
SHARES = (SUCCESS, REGISTERED)  # of 1
FIRM = 3
"""Intervals shorter than this many pixels are not drawn: they would be hidden by their point."""

ASIDE, LIFT = 4.0, 0.5
"""Pixels that neighbouring methods are drawn apart, so that none hides another; and the share of it upwards."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of degradation: a chart a quantity, and a table of what the curves amount to."""

    setting: Setting
    kind: str
    scenes: tuple[str, ...]
    cells: tuple[int, int]  # cells a severity: fewest and most
    severities: tuple[str, ...]  # of the table
    charts: Mapping[str, Chart]
    rows: tuple[KindRow, ...]


@dataclass(frozen=True, kw_only=True)
class KindRow:
    method: str
    given: str
    told: bool
    area: str
    breaking: str
    levels: tuple[tuple[str, str], ...]  # at each severity of the table: "5/6", "31.20 [..]"; "—" where it was not run
    loss: str


def robustness(curves: Sequence[Curve]) -> list[Kind]:
    """One a setting and kind; charts of one quantity share their vertical axis within a setting."""
    found = []
    for setting in dict.fromkeys(curve.setting for curve in curves):
        within = [curve for curve in curves if curve.setting == setting]
        spans = {name: _span(within, name) for name in TITLES}
        for kind in dict.fromkeys(curve.kind for curve in within):
            held = [curve for curve in within if curve.kind == kind]
            numbers = [level.n for curve in held for level in curve.levels]
            severities = sorted({level.severity for curve in held for level in curve.levels})
            drawn = {name: _severity_chart(held, name, span) for name, span in spans.items() if span}
            found.append(
                Kind(
                    setting=setting, kind=kind, cells=(min(numbers), max(numbers)),
                    severities=tuple(f"{severity:g}" for severity in severities),
                    scenes=tuple(sorted({scene for curve in held for scene in curve.scenes})),
                    charts={name: each for name, each in drawn.items() if each.series},
                    rows=tuple(_row(curve, severities) for curve in held),
                )
            )  # fmt: skip
    return found


def _span(curves: Sequence[Curve], name: str) -> tuple[float, float] | None:
    if name in SHARES:
        return 0.0, 1.0
    points = [level.points[name] for curve in curves for level in curve.levels if name in level.points]
    if not points:
        return None
    values = [point.value for point in points] + [end for point in points if point.interval for end in point.interval]
    if name == ROTATION:
        return max(min(values), 0.05), 180.0
    return min(values), max(values)


def _severity_chart(curves: Sequence[Curve], name: str, span: tuple[float, float]) -> Chart:
    top = max(level.severity for curve in curves for level in curve.levels)
    x = chart.horizontal("severity (0: clean)", 0.0, top, whole=True)
    y = chart.vertical("", *span, log=name == ROTATION)
    series = []
    for k, curve in enumerate(curves):
        aside = (k - (len(curves) - 1) / 2) * min(ASIDE, 16 / len(curves))
        drop = aside * LIFT if name in SHARES else 0.0  # many a method stands at 0 or at 1
        levels = [(level.severity, level.n, level.points[name]) for level in curve.levels if name in level.points]
        if not levels:
            continue
        marks = []
        for severity, n, point in levels:
            broken = name == SUCCESS and severity == curve.breaking
            says = f"{curve.method}, severity {severity:g}: {_show(name, point)} ({n} cells)"
            says += "; breaks here" if broken else ""
            at = round(x.at(severity) + aside, 1), round(y.at(point.value) + drop, 1)
            ends = [y.at(end) for end in point.interval] if point.interval else []
            whiskers = f"M{at[0]:g} {ends[0]:g}V{ends[1]:g}" if ends and ends[0] - ends[1] > FIRM else ""
            marks.append(Mark(x=at[0], y=at[1], says=says, kind="break" if broken else "dot", whiskers=whiskers))
        line = "M" + "L".join(f"{mark.x:g} {mark.y:g}" for mark in marks)
        series.append(
            Series(method=curve.method, given=curve.given, marks=tuple(marks), says=curve.method, line=line)
        )  # fmt: skip
    says = "; ".join(f"{curve.method}: area {curve.shown_area}, {_breaking(curve)}" for curve in curves)
    return Chart(
        title=curves[0].kind, x=x, y=y, series=tuple(series),
        rule=y.at(BROKEN_BELOW) if name == SUCCESS else None,
        alt=f"{TITLES[name]} under {curves[0].kind} against severity. {says}.",
    )  # fmt: skip


def _show(name: str, point: Point) -> str:
    def text(value: float) -> str:
        return f"{100 * value:.0f} %" if name in SHARES else column(name).show(value)

    interval = f" [{text(point.interval.low)}, {text(point.interval.high)}]" if point.interval else ""
    return text(point.value) + interval


def _breaking(curve: Curve) -> str:
    if curve.breaking is None:
        return f"not to {curve.levels[-1].severity:g}"
    return f"at {curve.breaking:g}" if curve.breaking else "clean"


def _row(curve: Curve, severities: Sequence[float]) -> KindRow:
    name = IOU if any(IOU in level.points for level in curve.levels) else PSNR
    loss = curve.loss(name)
    levels = {level.severity: level for level in curve.levels}
    return KindRow(
        method=curve.method, given=curve.given, told=curve.told, area=curve.shown_area,
        breaking=_breaking(curve),
        levels=tuple(_cell(levels.get(severity), name) for severity in severities),
        loss="—" if loss != loss else f"{'+' if loss > 0 else ''}{column(name).show(loss)} {column(name).unit}".strip(),
    )  # fmt: skip


def _cell(level: Level | None, name: str) -> tuple[str, str]:
    if level is None:
        return "—", ""
    success = level.points[SUCCESS]
    return f"{success.successes}/{level.n}", _show(name, level.points[name]) if name in level.points else "—"


def tradeoff(bargains: Bargains) -> Chart:
    """Seconds of a fit (logarithmic) against PSNR, one point a method."""
    width, height = 620, 300
    points = bargains.points
    x = chart.horizontal(
        "wall time of a fit (s), median", min(p.seconds_range.low for p in points),
        max(p.seconds_range.high for p in points), log=True, width=width,
    )  # fmt: skip
    y = chart.vertical(
        "", min(p.psnr_range.low for p in points), max(p.psnr_range.high for p in points), height=height, n=6
    )
    labels = chart.place([(x.at(p.seconds), y.at(p.psnr), p.method) for p in points], width)
    says = "; ".join(f"{p.method}: {p.seconds:.0f} s, {p.psnr:.2f} dB" for p in points)
    return Chart(
        title=f"{bargains.degradation} · {bargains.setting.title}", x=x, y=y, width=width, height=height,
        series=tuple(_bargain(point, label, x, y) for point, label in zip(points, labels, strict=True)),
        alt=f"Seconds of a fit against held-out PSNR: {says}.",
    )  # fmt: skip


def _bargain(point: Bargain, label: chart.Label, x: chart.Axis, y: chart.Axis) -> Series:
    at = x.at(point.seconds), y.at(point.psnr)
    wide = f"M{x.at(point.seconds_range.low):g} {at[1]:g}H{x.at(point.seconds_range.high):g}"
    tall = f"M{at[0]:g} {y.at(point.psnr_range.low):g}V{y.at(point.psnr_range.high):g}"
    says = (
        f"{point.method} ({point.given}): median {point.seconds:.0f} s, {point.psnr:.2f} dB, "
        f"n = {point.n}, success {100 * point.rate:.0f} %"
    )
    kind = "hollow" if point.told else "dot"
    mark = Mark(x=at[0], y=at[1], says=says, whiskers=wide + tall, label=label, kind=kind)
    return Series(method=point.method, given=point.given, marks=(mark,), says=point.method)


@dataclass(frozen=True, kw_only=True)
class RankDiagram:
    """A critical-difference diagram: mean ranks on a line, bars join methods that do not differ."""

    width: int
    height: int
    ticks: tuple[tuple[float, str], ...]
    labels: tuple[tuple[float, float, str, str, str], ...]  # x, y, "start" or "end", method, rank
    bars: tuple[tuple[float, float, float], ...]  # x from, x to, y
    span: float  # the critical difference in pixels
    alt: str


def rank_diagram(comparison: Comparison) -> RankDiagram | None:
    ranks = comparison.ranks
    if ranks is None:
        return None
    width, top, step, margin = 640, 64, 20, 150
    k = len(ranks.methods)

    def at(rank: float) -> float:
        return round(margin + (rank - 1) / (k - 1) * (width - 2 * margin), 1)

    bars = tuple(
        (at(ranks.ranks[a]) - 5, at(ranks.ranks[b]) + 5, top + 9 + 7 * i) for i, (a, b) in enumerate(ranks.groups)
    )
    below = top + 22 + 7 * len(bars)
    half = (k + 1) // 2
    labels = []
    for i, (method, rank) in enumerate(zip(ranks.methods, ranks.ranks, strict=True)):
        left = i < half
        row = i if left else k - 1 - i
        labels.append((at(rank), below + row * step, "end" if left else "start", method, f"{rank:.2f}"))
    says = ", ".join(f"{method} {rank:.2f}" for method, rank in zip(ranks.methods, ranks.ranks, strict=True))
    return RankDiagram(
        width=width, height=below + half * step + 4, labels=tuple(labels), bars=bars,
        ticks=tuple((at(rank), str(rank)) for rank in range(1, k + 1)),
        span=round(ranks.difference / (k - 1) * (width - 2 * margin), 1),
        alt=f"Mean ranks over {ranks.n} scenes: {says}; critical difference {ranks.difference:.2f}.",
    )  # fmt: skip
