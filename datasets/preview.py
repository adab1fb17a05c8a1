"""A scene's true cameras, and the points where matches between its images meet, drawn from above and from the side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.files import replacing
from bench.scene import Scene
from datasets.epipolar import Geometry

_AHEAD = 0.15  # of the rig's radius: the length of a camera's axis
_SIDES = (("from above", (0, 1)), ("from the side", (0, 2)))


def draw(path: Path, scene: Scene, geometry: Geometry | None) -> Path:
    """Write a PNG: training cameras blue, held-out ones red, each with its axis; points in their own colours.

    The frame is the truth's, turned so that the cameras' mean up is up.
    """
    from matplotlib.figure import Figure

    shown = np.stack([scene.truth.poses[view] for view in scene.truth.order])
    upright = _upright(shown)
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    figure.suptitle(
        f"{scene.name}: {geometry.sentence if geometry else 'its poses are at fault'}", fontsize=9, wrap=True
    )
    middle = shown[:, :3, 3].mean(axis=0)
    radius = float(np.sqrt(np.square(shown[:, :3, 3] - middle).sum(axis=1).mean())) or 1.0
    for axes, (title, (x, y)) in zip(figure.subplots(1, 2), _SIDES, strict=True):
        if geometry is not None and geometry.points is not None and len(geometry.points):
            points = (geometry.points - middle) @ upright.T / radius
            near = np.abs(points).max(axis=1) < 10  # beyond lies what was matched by mistake
            colours = None if geometry.colours is None else geometry.colours[near] / 255
            axes.scatter(points[near, x], points[near, y], s=2, c=colours, linewidths=0)
        for poses, colour in ((shown, "#0072b2"), (scene.truth.heldout.poses, "#d55e00")):
            centres = (poses[:, :3, 3] - middle) @ upright.T / radius
            ahead = centres + _AHEAD * poses[:, :3, 2] @ upright.T
            axes.plot(*(np.stack([centres[:, k], ahead[:, k]]) for k in (x, y)), color=colour, linewidth=0.8)
            axes.scatter(centres[:, x], centres[:, y], s=9, color=colour)
        axes.set_aspect("equal")
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("in radii of the rig", fontsize=8)
        axes.tick_params(labelsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        figure.savefig(draft, format="png", dpi=110)
    return path


def _upright(poses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows: two level directions and up, (3, 3), by the cameras' own tops."""
    up = -poses[:, :3, 1].mean(axis=0)
    up = up / np.linalg.norm(up) if np.linalg.norm(up) > 0.1 else np.array([0.0, 0.0, 1.0])
    east = np.cross(np.eye(3)[np.argmin(np.abs(up))], up)
    east /= np.linalg.norm(east)
    return np.stack([east, np.cross(up, east), up])
