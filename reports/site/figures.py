"""The figures of the overview: robustness curves, cost against quality, critical differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.record import ROTATION
from reports.analysis.entries import IOU, PSNR, REGISTERED
from reports.analysis.paired import Ranks
from reports.analysis.questions import Setting
from reports.analysis.robustness import BROKEN_BELOW, SUCCESS, Curve, by_kind, show, show_area
from reports.analysis.tradeoff import Cost, Costs
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
    """One kind of degradation: a chart a quantity."""

    setting: Setting
    kind: str
    scenes: int
    cells: tuple[int, int]  # cells a severity: fewest and most
    charts: Mapping[str, Chart]


def robustness(curves: Sequence[Curve]) -> list[Kind]:
    """One a setting and kind; charts of one quantity share their vertical axis within a setting."""
    found = []
    for (setting, kind), held in by_kind(curves).items():
        spans = {name: _span([curve for curve in curves if curve.setting == setting], name) for name in TITLES}
        numbers = [level.n for curve in held for level in curve.levels]
        drawn = {name: _severity_chart(held, name, span) for name, span in spans.items() if span}
        charts = {name: each for name, each in drawn.items() if each.series}
        scenes = {scene for curve in held for scene in curve.scenes}
        few, many = min(numbers), max(numbers)
        found.append(Kind(setting=setting, kind=kind, cells=(few, many), scenes=len(scenes), charts=charts))
    return found


def _span(curves: Sequence[Curve], name: str) -> tuple[float, float] | None:
    if name in SHARES:
        return 0.0, 1.0
    points = [point for curve in curves for _, point in curve.points(name)]
    if not points:
        return None
    values = [value for point in points for value in (point.value, *(point.interval or ())[:2])]
    return (max(min(values), 0.05), 180.0) if name == ROTATION else (min(values), max(values))


def _severity_chart(curves: Sequence[Curve], name: str, span: tuple[float, float]) -> Chart:
    top = max(level.severity for curve in curves for level in curve.levels)
    x = chart.horizontal("severity (0: clean)", 0.0, top, whole=True)
    y = chart.vertical(*span, log=name == ROTATION)
    series = []
    for k, curve in enumerate(curves):
        aside = (k - (len(curves) - 1) / 2) * min(ASIDE, 16 / len(curves))
        drop = aside * LIFT if name in SHARES else 0.0  # many a method stands at 0 or at 1
        numbers = {level.severity: level.n for level in curve.levels}
        marks = []
        for severity, point in curve.points(name):
            says = f"{curve.method}, severity {severity:g}: {show(name, point)} ({numbers[severity]} cells)"
            at = round(x.at(severity) + aside, 1), round(y.at(point.value) + drop, 1)
            ends = [y.at(end) for end in point.interval[:2]] if point.interval else []
            whiskers = f"M{at[0]:g} {ends[0]:g}V{ends[1]:g}" if ends and ends[0] - ends[1] > FIRM else ""
            marks.append(Mark(x=at[0], y=at[1], says=says, whiskers=whiskers))
        if not marks:
            continue
        line = "M" + "L".join(f"{mark.x:g} {mark.y:g}" for mark in marks)
        marks += [_break(curve, x, y, aside, drop)] if name == SUCCESS and curve.broken.breaks is not None else []
        series.append(Series(method=curve.method, given=curve.given, marks=tuple(marks), says=curve.method, line=line))
    says = "; ".join(f"{curve.method}: area {show_area(curve, SUCCESS)}, breaks {curve.broken}" for curve in curves)
    return Chart(
        title=curves[0].kind, x=x, y=y, series=tuple(series),
        rule=y.at(BROKEN_BELOW) if name == SUCCESS else None,
        alt=f"{TITLES[name]} under {curves[0].kind} against severity. {says}.",
    )  # fmt: skip


def _break(curve: Curve, x: chart.Axis, y: chart.Axis, aside: float, drop: float) -> Mark:
    """A bar over the severities between which it breaks, nothing having been run there; a cross in the middle."""
    holds, breaks = curve.broken
    ends = [round(x.at(end or 0.0) + aside, 1) for end in (breaks if holds is None else holds, breaks)]
    at = round(y.at(BROKEN_BELOW) + drop, 1)
    where = f"between severity {holds:g} and {breaks:g}" if holds is not None else f"at severity {breaks:g} or before"
    says = f"{curve.method} breaks {where}"
    return Mark(x=sum(ends) / 2, y=at, says=says, kind="break", whiskers=f"M{ends[0]:g} {at:g}H{ends[1]:g}")


def tradeoff(costs: Costs) -> Chart:
    """Seconds of a fit (logarithmic) against PSNR, one point a method."""
    width, height = 620, 300
    points = costs.points
    low, high = min(p.seconds_range.low for p in points), max(p.seconds_range.high for p in points)
    x = chart.horizontal("wall time of a fit (s), median", low, high, log=True, width=width)
    low, high = min(p.psnr_range.low for p in points), max(p.psnr_range.high for p in points)
    y = chart.vertical(low, high, height=height, n=6)
    labels = chart.place([(x.at(p.seconds), y.at(p.psnr), p.method) for p in points], width)
    says = "; ".join(f"{p.method}: {p.seconds:.0f} s, {p.psnr:.2f} dB" for p in points)
    return Chart(
        title=f"{costs.degradation} · {costs.setting.title}", x=x, y=y, width=width, height=height,
        series=tuple(_cost(point, label, x, y) for point, label in zip(points, labels, strict=True)),
        alt=f"Seconds of a fit against held-out PSNR: {says}.",
    )  # fmt: skip


def _cost(point: Cost, label: chart.Label, x: chart.Axis, y: chart.Axis) -> Series:
    at = x.at(point.seconds), y.at(point.psnr)
    wide = f"M{x.at(point.seconds_range.low):g} {at[1]:g}H{x.at(point.seconds_range.high):g}"
    tall = f"M{at[0]:g} {y.at(point.psnr_range.low):g}V{y.at(point.psnr_range.high):g}"
    says = (
        f"{point.method} ({point.given}): median {point.seconds:.0f} s on {point.machine}, {point.psnr:.2f} dB, "
        f"n = {point.n}, success {100 * point.rate:.0f} %"
    )
    kind = "hollow" if point.given_poses else "dot"
    mark = Mark(x=at[0], y=at[1], says=says, whiskers=wide + tall, label=label, kind=kind)
    return Series(method=point.method, given=point.given, marks=(mark,), says=point.method)


def rank_diagram(ranks: Ranks) -> dict[str, Any]:
    """A critical-difference diagram: mean ranks on a line, bars join methods that do not differ.

    `ticks` are (x, rank); `labels` (x, y, "start" or "end", method, mean rank); `bars` (x from, x to, y); `span` is
    the critical difference; all in pixels.
    """
    width, top, step, margin = 640, 64, 20, 150
    k = len(ranks.methods)

    def at(rank: float) -> float:
        return round(margin + (rank - 1) / (k - 1) * (width - 2 * margin), 1)

    bars = [(at(ranks.ranks[a]) - 5, at(ranks.ranks[b]) + 5, top + 9 + 7 * i) for i, (a, b) in enumerate(ranks.groups)]
    below, half = top + 22 + 7 * len(bars), (k + 1) // 2
    labels = []
    for i, (method, rank) in enumerate(zip(ranks.methods, ranks.ranks, strict=True)):
        row, side = (i, "end") if i < half else (k - 1 - i, "start")
        labels.append((at(rank), below + row * step, side, method, f"{rank:.2f}"))
    says = ", ".join(f"{method} {rank}" for *_, method, rank in labels)
    return {
        "width": width, "height": below + half * step + 4, "labels": labels, "bars": bars,
        "ticks": [(at(rank), str(rank)) for rank in range(1, k + 1)],
        "span": round(ranks.difference / (k - 1) * (width - 2 * margin), 1),
        "alt": f"Mean ranks over {ranks.n} scenes: {says}; critical difference {ranks.difference:.2f}.",
    }  # fmt: skip
