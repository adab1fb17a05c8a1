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


@dataclass(frozen=True, kw_only=True)
class Axis:
    """From values to pixels. `ticks` are (pixel, text)."""

    label: str
    low: float
    high: float
    start: float
    end: float
    log: bool
    ticks: tuple[tuple[float, str], ...] = ()

    def at(self, value: float) -> float:
        return float(self.places(np.array([value]))[0])

    def places(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixels, to a tenth; what is far outside is drawn at the edge."""
        if self.log:
            values = np.log10(np.maximum(values, 1e-300))
        parts = np.clip((values - self.low) / (self.high - self.low), -0.05, 1.05)
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
    label: str, low: float, high: float, *, log: bool = False, width: int = WIDTH, n: int = 6, whole: bool = False
) -> Axis:
    return _axis(label, low, high, LEFT, width - RIGHT, log, n, whole)


def vertical(label: str, low: float, high: float, *, log: bool = False, height: int = HEIGHT, n: int = 5) -> Axis:
    return _axis(label, low, high, height - BOTTOM, TOP, log, n)


def _axis(
    label: str, low: float, high: float, start: float, end: float, log: bool, n: int, whole: bool = False
) -> Axis:
    """Widened to round ticks; of a logarithmic axis those are powers of ten, or 1, 2, 5 where there is room."""
    values = _log_ticks(low, high, n) if log else _ticks(low, high, n, whole=whole)
    places = [math.log10(value) for value in values] if log else values
    axis = Axis(label=label, low=places[0], high=places[-1], start=start, end=end, log=log)
    return Axis(
        label=label, low=axis.low, high=axis.high, start=start, end=end, log=log,
        ticks=tuple((axis.at(value), _text(value)) for value in values),
    )  # fmt: skip


def _ticks(low: float, high: float, n: int, *, whole: bool = False) -> list[float]:
    """Round values from at or below `low` to at or above `high`."""
    if not high > low:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    found = MaxNLocator(nbins=n, steps=[1, 2, 5, 10], integer=whole).tick_values(low, high)
    return [round(float(tick), 12) for tick in found]


def _log_ticks(low: float, high: float, n: int) -> list[float]:
    low = max(low, 1e-12)
    high = max(high, low)
    if high < 8 * low:
        return [tick for tick in _ticks(low, high, n) if tick > 0]
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    if last - first > 2:
        step = max(1, math.ceil((last - first) / 5))
        last = first + step * math.ceil((last - first) / step)
        return [10.0**k for k in range(first, last + 1, step)]
    fine = [m * 10.0**k for k in range(first, last + 1) for m in (1, 2, 5)]
    lower = max((v for v in fine if v <= low * (1 + 1e-9)), default=fine[0])
    upper = min((v for v in fine if v >= high * (1 - 1e-9)), default=fine[-1])
    if upper == lower:
        upper = fine[fine.index(lower) + 1] if fine.index(lower) + 1 < len(fine) else lower * 2
    return [v for v in fine if lower <= v <= upper]


def _text(value: float) -> str:
    if value and not 1e-3 <= abs(value) < 1e6:
        exponent = math.floor(math.log10(abs(value)))
        mantissa = value / 10**exponent
        text = f"10{_superscript(exponent)}"
        return text if math.isclose(mantissa, 1) else f"{mantissa:g}·{text}"
    if abs(value) >= 1e4:
        return f"{value / 1000:g}k"
    return f"{value:g}".replace("-", "−")


def _superscript(n: int) -> str:
    return str(n).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


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


def learning(title: str, series: Mapping[str, tuple[str, NDArray[np.float64]]], *, log: bool, unit: str = "") -> Chart:
    """Curves of fits against wall seconds: `series` is says -> (method, (n, 2) of seconds and value)."""
    every = np.concatenate([points for _, points in series.values()])
    x = horizontal("wall time of the fit (s)", 0.0, float(every[:, 0].max()))
    y = vertical(unit, float(every[:, 1].min()), float(every[:, 1].max()), log=log)
    drawn = tuple(
        Series(method=method, says=says, line=line(thinned(points), x, y)) for says, (method, points) in series.items()
    )
    lasts = "; ".join(f"{says} ends at {points[-1, 1]:.3g}" for says, (_, points) in series.items())
    return Chart(title=title, x=x, y=y, series=drawn, alt=f"{title} against wall seconds: {lasts}.")
