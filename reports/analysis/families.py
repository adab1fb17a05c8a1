"""What a report prints of robustness: a table a family of degradations, a line a method and kind."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.degrade import KINDS
from reports.analysis.robustness import Curve, curves

if TYPE_CHECKING:
    import pandas as pd

FAMILIES = tuple(dict.fromkeys(kind.family for kind in KINDS.values()))


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One line of a report: a method under a kind. `areas` are of METRICS, each with what it is relative to clean."""

    kind: str
    method: str
    successes: str  # "0: 3/3, 1: 2/3"
    breaks: str
    areas: tuple[tuple[str, str], ...]
    remark: str  # what the row does not rest on


@dataclass(frozen=True, kw_only=True)
class Family:
    """One table of a report."""

    family: str
    effort: str
    protocol: str
    agreement: bool
    rows: tuple[Summary, ...]


def families(results: pd.DataFrame) -> list[Family]:
    """What a report prints, a table a family."""
    groups: dict[tuple[bool, str, str, int, str], dict[tuple[str, str], list[Curve]]] = {}
    for curve in curves(results):
        place = FAMILIES.index(curve.family) if curve.family in FAMILIES else len(FAMILIES)
        group = groups.setdefault((curve.agreement, curve.effort, curve.protocol, place, curve.family), {})
        group.setdefault((curve.kind, curve.method), []).append(curve)
    return [
        Family(
            family=family, effort=effort, protocol=protocol, agreement=agreement,
            rows=tuple(_summary(each) for each in rows.values()),
        )
        for (agreement, effort, protocol, _, family), rows in sorted(groups.items(), key=lambda item: item[0])
    ]  # fmt: skip


def _summary(held: list[Curve]) -> Summary:
    first = held[0]
    last = first.points[-1].severity
    return Summary(
        kind=first.kind,
        method=first.method,
        successes=", ".join(f"{point.severity:g}: {point.successes}/{point.n}" for point in first.points),
        breaks=f"none up to {last:g}" if first.breaks is None else "clean" if not first.breaks else f"{first.breaks:g}",
        areas=tuple((_shown(curve.area), _shown(curve.relative)) for curve in held),
        remark=_remark(first),
    )


def _remark(curve: Curve) -> str:
    if curve.partial:
        some = ", ".join(f"{severity:g}" for severity in curve.partial)
        return f"left out, run in some scenes and seeds alone: {some}"
    return "" if curve.even else "not the same cells at each"


def _shown(value: float | None) -> str:
    return "—" if value is None or math.isnan(value) else f"{value:.2f}"
