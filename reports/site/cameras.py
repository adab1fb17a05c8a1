"""Where the cameras went, as data for a drawing: the templates turn paths into inline SVG.

Coordinates are whole numbers in a view box, so that a drawing of a hundred cameras stays a few kilobytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.geometry import mean_up
from bench.record import read_cameras
from reports.analysis.entries import Entry, ended

SIDE = 1000  # of a camera panel's view box
MARGIN = 1.3
FRUSTA = 14  # drawn at most, evenly chosen; every camera has its dot
FRUSTUM = np.array([[0, 0, 0], [-1, -0.75, 1.6], [1, -0.75, 1.6], [1, 0.75, 1.6], [-1, 0.75, 1.6]])
"""Tip and corners of a drawn camera, in its own axes."""

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
            reason = f"the cell is {ended(entry)}"
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
        middle_error = float(np.median(errors))
        caption += (
            f"; median centre error {f'{middle_error:.3g}' if middle_error >= 1e-6 else 'below 1e-6'} scene units"
        )
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
    up = mean_up(np.stack(poses))
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
    def at(points: Points) -> list[list[int]]:
        """World (N, 3) -> view box (N, 2); `middle` (2,) is in the plane of projection."""
        flat = (points @ sight.T - middle) / reach
        return np.rint((np.clip(flat, -20, 20) + 1) * SIDE / 2).astype(int).tolist()

    def frusta(poses: Points) -> str:
        chosen = poses[spread_out(len(poses), FRUSTA)]
        world = 0.07 * reach * FRUSTUM @ chosen[:, :3, :3].transpose(0, 2, 1) + chosen[:, None, :3, 3]  # (N, 5, 3)
        spots = at(world.reshape(-1, 3))
        return "".join(_frustum(*spots[k : k + 5]) for k in range(0, len(spots), 5))

    true = _stacked(truth)
    placed = dict(zip(truth, at(true[:, :3, 3]), strict=True))
    answered = _stacked(estimate)
    found = dict(zip(estimate, at(answered[:, :3, 3]), strict=True))
    return CameraPanel(
        name=name,
        truth=_dots(placed.values()),
        truth_frusta=frusta(true),
        estimate=_dots(found.values()),
        estimate_frusta=frusta(answered),
        errors="".join(f"M{a[0]} {a[1]}L{b[0]} {b[1]}" for v, b in found.items() if (a := placed[v]) != b),
        unregistered="".join(_cross(*spot) for view, spot in placed.items() if view not in found),
    )


def _stacked(poses: Mapping[str, Points]) -> Points:
    return np.array(list(poses.values())).reshape(-1, 4, 4)


def _dots(spots: Iterable[Sequence[int]]) -> str:
    return "".join(f"M{x} {y}h0" for x, y in spots)


def _cross(x: int, y: int) -> str:
    return f"M{x - 14} {y - 14}l28 28m0 -28l-28 28"


def _frustum(tip: list[int], a: list[int], b: list[int], c: list[int], d: list[int]) -> str:
    """A pyramid from its tip and the corners of its base, in order."""
    return "M{} {}L{} {}L{} {}ZL{} {}L{} {}ZM{} {}L{} {}M{} {}L{} {}".format(*tip, *a, *b, *d, *c, *a, *d, *b, *c)


def spread_out(n: int, most: int) -> list[int]:
    """At most `most` indices of `n`, evenly spread, first and last included."""
    return list(range(n)) if n <= most else [round(k * (n - 1) / (most - 1)) for k in range(most)]


def _nice_below(length: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not above `length`."""
    power = 10.0 ** math.floor(math.log10(length))
    return max(step * power for step in (1, 2, 5) if step * power <= length * (1 + 1e-9))
