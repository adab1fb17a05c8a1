"""The reliability curve: of views with a margin, the share that is right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reports.analysis import entries as cells
from reports.analysis.entries import counted
from reports.analysis.questions import Setting
from reports.analysis.reliability import EDGES, Bin, Reliability
from reports.site import chart
from reports.site.chart import Chart, Mark, Series

END = 1.0
"""dB beyond the last edge at which a bin without one is drawn."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """The methods of one setting, and their curves."""

    setting: Setting
    rows: tuple[Reliability, ...]
    chart: Chart


def drawn(found: Sequence[Reliability]) -> list[Drawn]:
    grouped = cells.grouped(found, lambda each: each.setting)
    return [Drawn(setting=setting, rows=tuple(rows), chart=_chart(rows)) for setting, rows in grouped.items()]


def _chart(rows: Sequence[Reliability]) -> Chart:
    x = chart.horizontal("stated margin (dB)", EDGES[1] - END, EDGES[-2] + END)
    y = chart.vertical(0.0, 1.0)
    series = tuple(_series(row, x, y) for row in rows)
    says = "; ".join(f"{row.method}: " + ", ".join(_said(each) for each in row.bins) for row in rows)
    return Chart(
        title="reliability", x=x, y=y, series=series,
        alt=f"Share of views within 10 degrees against the margin that the method states. {says}.",
    )  # fmt: skip


def _series(row: Reliability, x: chart.Axis, y: chart.Axis) -> Series:
    marks = tuple(
        Mark(x=x.at(_place(each)), y=y.at(each.share), says=f"{row.method}, {_said(each)}") for each in row.bins
    )
    line = "M" + "L".join(f"{mark.x:g} {mark.y:g}" for mark in marks)
    return Series(method=row.method, line=line, marks=marks, says=row.method)


def _place(each: Bin) -> float:
    """dB: the middle of the bin."""
    low = each.high - 2 * END if each.low == -math.inf else each.low
    return (low + (low + 2 * END if each.high == math.inf else each.high)) / 2


def _said(each: Bin) -> str:
    return f"{each.title} dB: {each.share:.0%} of {counted(each.n, 'view')}"
