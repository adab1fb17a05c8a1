"""How the fits learnt, as data for a drawing: PSNR and loss against wall seconds, from log.jsonl."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from bench.record import read_log
from reports.cameras import Points, spread_out
from reports.scores import Entry, by_method

CURVE_BOX = (1000, 420)
CURVE_POINTS = 160  # a line


@dataclass(frozen=True, kw_only=True)
class Line:
    method: str
    seed: int
    path: str


@dataclass(frozen=True, kw_only=True)
class CurvePlot:
    """One quantity against wall seconds. Ticks are (position in the view box, text)."""

    title: str
    lines: tuple[Line, ...]
    x_ticks: tuple[tuple[int, str], ...]
    y_ticks: tuple[tuple[int, str], ...]
    alt: str


def curves(entries: Iterable[Entry]) -> list[CurvePlot]:
    """PSNR and loss of the fits of one question, whichever their logs hold; `train/psnr` counts as `psnr`."""
    logs = [(entry, read_log(entry.folder)) for each in by_method(entries).values() for entry in each]
    found = []
    for name, title in (("psnr", "Training PSNR (dB)"), ("loss", "Training loss (log scale)")):
        series = {}
        for entry, rows in logs:
            points = _series(rows, name)
            if name == "loss":
                points = points[points[:, 1] > 0]  # a logarithm follows
            if len(points) > 1:
                series[entry.method, entry.result.cell.seed] = points
        if series:
            found.append(_curve_plot(title, series, logarithmic=name == "loss"))
    return found


def _series(rows: Sequence[Mapping[str, Any]], name: str) -> Points:
    """(n, 2) of seconds and value."""
    pairs = []
    for row in rows:
        value = next((row[key] for key in sorted(row) if key.rpartition("/")[2] == name), None)
        seconds = row.get("seconds")
        if all(isinstance(each, int | float) and math.isfinite(each) for each in (seconds, value)):
            pairs.append((float(seconds), float(value)))  # pyright: ignore[reportArgumentType] - checked the line above
    return np.array(sorted(pairs)).reshape(-1, 2)


def _curve_plot(title: str, series: Mapping[tuple[str, int], Points], *, logarithmic: bool) -> CurvePlot:
    if logarithmic:
        series = {key: np.column_stack([p[:, 0], np.log10(p[:, 1])]) for key, p in series.items()}
    every = np.concatenate(list(series.values()))  # (n, 2)
    width, height = CURVE_BOX
    x_ticks = _ticks(0.0, float(every[:, 0].max()))
    y_ticks = _ticks(float(every[:, 1].min()), float(every[:, 1].max()), whole=logarithmic)
    x_low, x_high, y_low, y_high = x_ticks[0], x_ticks[-1], y_ticks[0], y_ticks[-1]

    def x_at(seconds: float) -> int:
        return round((seconds - x_low) / (x_high - x_low) * width)

    def y_at(value: float) -> int:
        return round((y_high - value) / (y_high - y_low) * height)

    lines = [
        Line(method=method, seed=seed, path="M" + "L".join(f"{x_at(x)} {y_at(y)}" for x, y in _thinned(points)))
        for (method, seed), points in series.items()
    ]
    lasts = "; ".join(
        f"{method} seed {seed} ends at {10 ** points[-1, 1] if logarithmic else points[-1, 1]:.3g}"
        for (method, seed), points in series.items()
    )
    return CurvePlot(
        title=title, lines=tuple(lines),
        x_ticks=tuple((x_at(tick), f"{tick:g}") for tick in x_ticks),
        y_ticks=tuple((y_at(tick), _power(tick) if logarithmic else f"{tick:g}") for tick in y_ticks),
        alt=f"{title} against wall seconds: {lasts}.",
    )  # fmt: skip


def _power(exponent: float) -> str:
    return f"{10**exponent:.2g}"


def _ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Round values from at or below `low` to at or above `high`; `whole` powers of ten where there is room."""
    if not high > low:
        high = low + 1.0
    locator = MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=whole and high - low > 1)
    return [float(tick) for tick in locator.tick_values(low, high)]


def _thinned(points: Points) -> Points:
    return points[spread_out(len(points), CURVE_POINTS)]
