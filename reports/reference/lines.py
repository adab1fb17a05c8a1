"""The rows of a reference by question, and its numbers as text: a median with its range, or how the cells ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.cell import split_label
from bench.record import OUTCOMES, ROTATION
from reports.analysis.questions import degradation_order

Row = Mapping[str, str]

METHODS = ("nerf", "gnerf", "colmap_nerf", "barf", "inerf", "nerfmm")
"""In the order of the README; others follow by name."""

ASKED = ("scene", "degradation", "method", "effort", "protocol")
"""What the rows of one line share: numbers of two protocols are not of one kind."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """All seeds of one question and method."""

    scene: str
    degradation: str
    method: str
    effort: str
    protocol: str
    rows: Sequence[Row]

    @property
    def n(self) -> int:
        return len(self.rows)

    @property
    def solved(self) -> int:
        return sum(row["outcome"] == "solved" for row in self.rows)

    @property
    def tuned(self) -> bool:
        """Whether the method's defaults were chosen on this scene with the truth in view."""
        return any(self.scene in row["tuned_on"].split("; ") for row in self.rows)

    def values(self, column: str) -> list[float]:
        """Of the cells that have a number there."""
        return [float(row[column]) for row in self.rows if row.get(column)]

    @property
    def ended(self) -> str:
        """`solved`, `2 solved, 1 collapsed`."""
        counts = Counter(row["outcome"] for row in self.rows)
        told = [(counts[name], words) for name, words in OUTCOMES.items() if counts[name]]
        return told[0][1] if len(told) == 1 else ", ".join(f"{count} {words}" for count, words in told)

    def said(self, column: str, show: Callable[[float, float], str] | None = None, unit: str = "") -> str:
        """`0.062° [0.059, 0.068]`; where some cells have none, of how many it is; a dash where none has.

        `show(value, middle)` writes a number with the digits that the middle one deserves.
        """
        found, show = self.values(column), show or decimals(1)
        if not found:
            return "—"
        middle = median(found)
        low, high = show(min(found), middle), show(max(found), middle)
        spread = f" [{low}, {high}]" if low != high else ""
        return show(middle, middle) + unit + spread + (f" ({len(found)} of {self.n})" if len(found) < self.n else "")


def lines(rows: Iterable[Row]) -> list[Line]:
    """By scene, degradation, and method: clean first, a method before its variants."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in ASKED), []).append(row)
    found = [Line(**dict(zip(ASKED, asked, strict=True)), rows=each) for asked, each in groups.items()]
    return sorted(found, key=lambda line: (
        line.effort, line.scene, degradation_order(line.degradation), method_order(line.method), line.protocol
    ))  # fmt: skip


def method_order(method: str) -> tuple[int, str, str]:
    name, _ = split_label(method)
    return (METHODS.index(name) if name in METHODS else len(METHODS), name, method)


def decimals(digits: int) -> Callable[[float, float], str]:
    return lambda value, middle: f"{value:.{digits}f}"


def angle(value: float, middle: float) -> str:
    """Three digits below a degree, two below ten."""
    return f"{value:.{3 if middle < 1 else 2 if middle < 10 else 1}f}"


def share(value: float, middle: float) -> str:
    return f"{100 * value:.0f}"


def percent(value: float, middle: float) -> str:
    return f"{100 * value:.1f}"


def rotation(line: Line) -> str:
    return line.said(ROTATION, angle, "°")
