"""Drawings as data: where the cameras went, and how the fits learnt. The templates turn paths into inline SVG.

Coordinates are whole numbers in a view box, so that a drawing of a hundred cameras stays a few kilobytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from bench.record import read_cameras, read_log
from reports.scores import STATUSES, Entry, by_method

SIDE = 1000  # of a camera panel's view box
MARGIN = 1.3
FRUSTA = 14  # drawn at most, evenly chosen; every camera has its dot
CURVE_BOX = (1000, 420)
CURVE_POINTS = 160  # a line
Points = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class CameraPanel:
    """One direction of sight. Each field is the `d` of an SVG path."""

    name: str
    truth: str
    truth_frusta: str
    estimate: str
    estimate_frusta: str
    errors: str
    unregistered: str


@dataclass(frozen=True, kw_only=True)
class CameraPlot:
    method: str
    seed: int
    caption: str
    alt: str
    panels: tuple[CameraPanel, ...] = ()
    bar: int = 0  # length of the scale bar in the view box
    bar_label: str = ""


def cameras(entry: Entry) -> CameraPlot:
    """True camera centres joined to the aligned estimates, from above and from the side.

    Without cameras.json, or with one that cannot be read, a plot without panels whose caption says so.
    """
    method, seed = entry.method, entry.result.cell.seed
    try:
        held = read_cameras(entry.folder)
    except ValueError:
        return _no_cameras(entry, "cameras.json cannot be read")
    if held is None or not held.get("truth"):
        reason = "cameras.json is not there" if held is None else "no true cameras were recorded"
        if not entry.done:
            reason = f"the cell is {STATUSES[entry.result.status]}: {entry.result.reason or 'no reason was recorded'}"
        return _no_cameras(entry, reason)
    truth = {view: np.asarray(pose, dtype=float) for view, pose in sorted(held["truth"].items())}
    answered = {view: np.asarray(pose, dtype=float) for view, pose in (held.get("estimate") or {}).items()}
    estimate = {view: answered[view] for view in truth if view in answered and np.isfinite(answered[view]).all()}
    centres = np.stack([pose[:3, 3] for pose in truth.values()])  # (N, 3)
    sights = _sights(list(truth.values()))
    flat = {name: centres @ sight.T for name, sight in sights.items()}  # each (N, 2)
    reach = MARGIN * max(float(np.ptp(each, axis=0).max()) for each in flat.values()) / 2 or 1.0  # half of a side
    middles = {name: (each.min(axis=0) + each.max(axis=0)) / 2 for name, each in flat.items()}
    panels = tuple(_panel(name, sights[name], truth, estimate, middles[name], reach) for name in sights)
    errors = [float(np.linalg.norm(estimate[view][:3, 3] - truth[view][:3, 3])) for view in estimate]
    outside = sum(
        any((np.abs(pose[:3, 3] @ sights[name].T - middles[name]) > reach).any() for name in sights)
        for pose in estimate.values()
    )
    caption = f"{len(estimate)} of {len(truth)} views registered"
    if errors:
        caption += f"; median centre error {np.median(errors):.3g} scene units"
    if outside:
        caption += f"; {outside} estimated {'centre lies' if outside == 1 else 'centres lie'} outside the drawing"
    length = _nice_below(reach / 2)
    return CameraPlot(
        method=method, seed=seed, caption=caption, panels=panels,
        alt=f"Cameras of {method}, seed {seed}: {caption}.",
        bar=round(length / reach * SIDE / 2), bar_label=f"{length:g} units",
    )  # fmt: skip


def _no_cameras(entry: Entry, reason: str) -> CameraPlot:
    text = f"No camera plot: {reason}"
    return CameraPlot(method=entry.method, seed=entry.result.cell.seed, caption=text, alt=text)


def _sights(poses: Sequence[Points]) -> dict[str, Points]:
    """(2, 3) projections, x right and y down, named. Up is where the images' tops point on average."""
    up = -np.mean([pose[:3, 1] for pose in poses], axis=0)
    up = up / np.linalg.norm(up) if np.linalg.norm(up) > 0.2 else np.array([0.0, 0.0, 1.0])
    forward = np.mean([pose[:3, 2] for pose in poses], axis=0)
    forward = forward - up * (forward @ up)
    if np.linalg.norm(forward) < 0.2:  # cameras all round: any direction will do, but always the same one
        axis = np.eye(3)[np.argmin(np.abs(up))]
        forward = axis - up * (axis @ up)
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, up)
    lift = math.radians(15)
    return {
        "from above": np.stack([right, -forward]),
        "from the side": np.stack([right, -(math.cos(lift) * up + math.sin(lift) * forward)]),
    }


def _panel(
    name: str, sight: Points, truth: Mapping[str, Points], estimate: Mapping[str, Points], middle: Points, reach: float
) -> CameraPanel:
    def at(points: Points) -> NDArray[np.int64]:
        """World (..., 3) -> view box (..., 2); `middle` (2,) is in the plane of projection."""
        flat = (np.asarray(points) @ sight.T - middle) / reach
        return np.rint((np.clip(flat, -20, 20) + 1) * SIDE / 2).astype(int)

    def dots(poses: Iterable[Points]) -> str:
        return "".join("M{} {}h0".format(*at(pose[:3, 3])) for pose in poses)

    def frusta(poses: Sequence[Points]) -> str:
        chosen = [poses[k] for k in _spread_out(len(poses), FRUSTA)]
        size = 0.07 * reach
        drawn = []
        for pose in chosen:
            corners = np.array([[x, y, 1.6] for x, y in ((-1, -0.75), (1, -0.75), (1, 0.75), (-1, 0.75))]) * size
            a, b, c, d = at(corners @ pose[:3, :3].T + pose[:3, 3])
            tip = at(pose[:3, 3])
            drawn.append(
                "M{} {}L{} {}L{} {}ZL{} {}L{} {}ZM{} {}L{} {}M{} {}L{} {}".format(*tip, *a, *b, *d, *c, *a, *d, *b, *c)
            )
        return "".join(drawn)  # fmt: skip

    pairs = [(at(truth[view][:3, 3]), at(estimate[view][:3, 3])) for view in estimate]
    lost = [at(truth[view][:3, 3]) for view in truth if view not in estimate]
    return CameraPanel(
        name=name,
        truth=dots(truth.values()),
        truth_frusta=frusta(list(truth.values())),
        estimate=dots(estimate.values()),
        estimate_frusta=frusta([estimate[view] for view in estimate]),
        errors="".join("M{} {}L{} {}".format(*a, *b) for a, b in pairs if (a != b).any()),
        unregistered="".join(f"M{x - 14} {y - 14}l28 28m0 -28l-28 28" for x, y in lost),
    )


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
    return points[_spread_out(len(points), CURVE_POINTS)]


def _spread_out(n: int, most: int) -> list[int]:
    """At most `most` indices of `n`, evenly spread, first and last included."""
    return list(range(n)) if n <= most else [round(k * (n - 1) / (most - 1)) for k in range(most)]


def _nice_below(length: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not above `length`."""
    power = 10.0 ** math.floor(math.log10(length))
    return max(step * power for step in (1, 2, 5) if step * power <= length * (1 + 1e-9))
