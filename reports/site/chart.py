"""Charts as data: positions in a view box, which the templates turn into inline SVG with the page's own colours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

WIDTH, HEIGHT = 360, 210
LETTER = 6.6  # width of a letter of a label, on average
PLACES = (
    (10, 4, "start"), (-10, 4, "end"), (0, -11, "middle"), (0, 20, "middle"), (10, -9, "start"), (10, 17, "start"),
    (-10, -9, "end"), (-10, 17, "end"), (10, 30, "start"), (10, -22, "start"),
)  # fmt: skip
"""Where a label may stand beside its point: right first."""

LEFT, RIGHT, TOP, BOTTOM = 46, 18, 10, 40
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True, kw_only=True)
class Axis:
    """From values to pixels, between the first and the last of its ticks."""

    marked: Sequence[float]  # values of its ticks
    start: float
    end: float
    log: bool
    label: str = ""

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """(pixel, text)."""
        return list(zip(self.places(np.array(self.marked, float)).tolist(), map(_text, self.marked), strict=True))

    def at(self, value: float) -> float:
        return float(self.places(np.array([value]))[0])

    def places(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixels, to a tenth; what is far outside is drawn at the edge."""
        low, high = self.marked[0], self.marked[-1]
        if self.log:
            low, high, values = math.log10(low), math.log10(high), np.log10(np.maximum(values, 1e-300))
        parts = np.clip((values - low) / (high - low), -0.05, 1.05)
        return np.round(self.start + parts * (self.end - self.start), 1)


@dataclass(frozen=True, kw_only=True)
class Label:
    x: float
    y: float
    anchor: str  # start, middle, end
    text: str


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A point with its whiskers, in pixels, and what it says."""

    x: float
    y: float
    says: str
    whiskers: str = ""  # path
    kind: str = "dot"  # dot, hollow, break
    label: Label | None = None


@dataclass(frozen=True, kw_only=True)
class Series:
    """What is drawn for one method."""

    method: str
    given: str = ""
    line: str = ""
    marks: tuple[Mark, ...] = ()
    says: str = ""
    filled: bool = False  # the line encloses bars


@dataclass(frozen=True, kw_only=True)
class Chart:
    title: str
    alt: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    width: int = WIDTH
    height: int = HEIGHT
    rule: float | None = None  # a level worth a line across, in pixels


def horizontal(
    label: str, low: float, high: float, *, log: bool = False, width: int = WIDTH, whole: bool = False
) -> Axis:
    """Widened to round ticks; of a logarithmic axis those are powers of ten, or 1, 2, 5 where there is room."""
    marked = _log_ticks(low, high, 6) if log else _ticks(low, high, 6, whole=whole)
    return Axis(label=label, marked=marked, start=LEFT, end=width - RIGHT, log=log)


def vertical(low: float, high: float, *, log: bool = False, height: int = HEIGHT, n: int = 5) -> Axis:
    marked = _log_ticks(low, high, n) if log else _ticks(low, high, n)
    return Axis(marked=marked, start=height - BOTTOM, end=TOP, log=log)


def _ticks(low: float, high: float, n: int, *, whole: bool = False) -> list[float]:
    """Round values from at or below `low` to at or above `high`."""
    if not high > low:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    found = MaxNLocator(nbins=n, steps=[1, 2, 5, 10], integer=whole).tick_values(low, high)
    return [round(float(tick), 12) for tick in found]


def _log_ticks(low: float, high: float, n: int) -> list[float]:
    low, high = max(low, 1e-12), max(high, low, 1e-12)
    if high < 8 * low:
        return [tick for tick in _ticks(low, high, n) if tick > 0]
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    if last - first > 2:
        step = max(1, math.ceil((last - first) / 5))
        last = first + step * math.ceil((last - first) / step)
        return [10.0**k for k in range(first, last + 1, step)]
    return one_two_five(low, high)


def one_two_five(low: float, high: float) -> list[float]:
    """... 1, 2, 5, 10, 20 ...: from the last at or below `low` to the first at or above `high`."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    marks = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
    first = max(mark for mark in marks if mark <= low * (1 + 1e-9))
    last = min(mark for mark in marks if mark >= high * (1 - 1e-9))
    return [mark for mark in marks if first <= mark <= last]


def _text(value: float) -> str:
    if value and not 1e-3 <= abs(value) < 1e6:
        exponent = math.floor(math.log10(abs(value)))
        mantissa = value / 10**exponent
        text = f"10{str(exponent).translate(RAISED)}"
        return text if math.isclose(mantissa, 1) else f"{mantissa:g}·{text}"
    if abs(value) >= 1e4:
        return f"{value / 1000:g}k"
    return f"{value:g}".replace("-", "−")


def line(points: NDArray[np.float64], x: Axis, y: Axis) -> str:
    """The `d` of a path through values (n, 2)."""
    spots = zip(x.places(points[:, 0]).tolist(), y.places(points[:, 1]).tolist(), strict=True)
    return "M" + "L".join([f"{a:g} {b:g}" for a, b in spots])


def place(points: Sequence[tuple[float, float, str]], width: float) -> list[Label]:
    """A label beside each (x, y, text), where it hides no point and no other label if there is such a place."""
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y, _ in points]
    found = []
    for x, y, text in points:
        long = LETTER * len(text)
        tries = []
        for dx, dy, anchor in PLACES:
            left = x + dx - {"start": 0.0, "middle": long / 2, "end": long}[anchor]
            box = (left, y + dy - 11, left + long, y + dy + 3)
            overlap = sum(_overlap(box, other) for other in taken)
            outside = max(0.0, LEFT - box[0]) + max(0.0, box[2] - width)
            tries.append((overlap + 20 * outside, len(tries), box, Label(x=x + dx, y=y + dy, anchor=anchor, text=text)))
        _, _, box, label = min(tries, key=lambda each: each[:2])
        taken.append(box)
        found.append(label)
    return found


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def thinned(points: NDArray[np.float64], most: int = 120) -> NDArray[np.float64]:
    """At most `most` rows, evenly chosen, first and last included."""
    return points if len(points) <= most else points[np.linspace(0, len(points) - 1, most).round().astype(int)]


def learning(title: str, series: Mapping[str, tuple[str, NDArray[np.float64]]], *, log: bool) -> Chart:
    """Curves of fits against wall seconds: `series` is says -> (method, (n, 2) of seconds and value)."""
    every = np.concatenate([points for _, points in series.values()])
    x = horizontal("wall time of the fit (s)", 0.0, float(every[:, 0].max()))
    y = vertical(float(every[:, 1].min()), float(every[:, 1].max()), log=log)
    drawn = tuple(
        Series(method=method, says=says, line=line(thinned(points), x, y)) for says, (method, points) in series.items()
    )
    lasts = "; ".join(f"{says} ends at {points[-1, 1]:.3g}" for says, (_, points) in series.items())
    return Chart(title=title, x=x, y=y, series=drawn, alt=f"{title} against wall seconds: {lasts}.")


def bars(title: str, method: str, values: Sequence[float], worst: str) -> Chart:
    """One bar a view, from zero; none for what is no finite number."""
    known = [value for value in values if math.isfinite(value)]
    x = horizontal(f"{len(values)} views, worst first", 0, len(values), whole=True)
    y = vertical(min([*known, 0.0]), max([*known, 1e-9]))
    lefts, tops = x.places(np.arange(len(values), dtype=float)).tolist(), y.places(np.array(values, float)).tolist()
    wide, foot = 0.75 * (x.at(1) - x.at(0)), y.at(0)
    drawn = [
        f"M{left:g} {foot:g}V{top:g}h{wide:g}V{foot:g}"
        for left, top, value in zip(lefts, tops, values, strict=True)
        if math.isfinite(value)
    ]
    series = Series(method=method, line="".join(drawn), says=title, filled=True)
    return Chart(title=title, x=x, y=y, series=(series,), alt=f"{title} of {x.label}: {worst}.")
