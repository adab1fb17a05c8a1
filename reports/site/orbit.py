"""Cameras of truth and estimate as numbers for a drawing that can be turned: see site/assets/orbit.js."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.geometry import mean_up
from bench.per_view import column
from bench.record import read_cameras
from reports.analysis.entries import Entry, ended

Array = NDArray[np.float64]
NOWHERE = np.full((4, 4), np.nan)


def orbit(entry: Entry) -> dict[str, Any] | str:
    """What the drawing needs, or why there is none.

    All in the truth's frame (where nobody knows it, in the method's own), moved and scaled so that the true training
    cameras (else the estimated ones) lie within the unit ball. A camera is
    `[x, y, z, right (3), down (3)]`, or null for a view that was not registered; `views` name the training views.
    """
    try:
        held = read_cameras(entry.folder)
    except ValueError:
        return "cameras.json cannot be read"
    true: Mapping[str, Any] = (held or {}).get("truth") or {}
    answered: Mapping[str, Any] = (held or {}).get("estimate") or {}
    if held is None or not (true or answered):
        reason = "cameras.json is not there" if held is None else "no cameras were recorded"
        return reason if entry.done else f"the cell is {ended(entry)}"
    views = sorted(true or answered)
    rig = np.array([(true or answered)[view] for view in views], dtype=float)  # (N, 4, 4)
    truth = rig if true else np.full_like(rig, np.nan)
    estimate = np.array([answered.get(view, NOWHERE) for view in views], dtype=float)
    centres = rig[:, :3, 3]
    middle = (centres.min(axis=0) + centres.max(axis=0)) / 2
    reach = float(np.linalg.norm(centres - middle, axis=1).max()) or 1.0

    def numbers(poses: Array) -> list[list[float] | None]:
        places = np.clip((poses[:, :3, 3] - middle) / reach, -50, 50)
        rows = np.concatenate([places, poses[:, :3, 0], poses[:, :3, 1]], axis=1).round(3)  # (N, 9)
        rows[~np.isfinite(rows).all(axis=1)] = np.nan
        return [None if math.isnan(row[0]) else row for row in rows.tolist()]

    heldout = held.get("heldout") or {}
    camera = held.get("camera") or {}

    def errors(name: str) -> list[float | None]:
        known = column(entry.result.per_view, name)
        found = (known.get(view, math.nan) for view in views)
        return [float(f"{v:.3g}") if math.isfinite(v) else None for v in found]

    return {
        "views": views,
        "caption": _caption(truth, estimate),
        "truth": numbers(truth),
        "estimate": numbers(estimate),
        "heldout": numbers(np.array([heldout[view] for view in sorted(heldout)], dtype=float).reshape(-1, 4, 4)),
        "rotation": errors("pose/rotation_deg"),
        "translation": errors("pose/translation"),
        "up": [round(float(v), 4) for v in _up(rig)],
        "sight": [
            round(float(camera[side] / (2 * camera[focal])), 3) if camera.get(focal) else 0.4
            for side, focal in (("width", "fx"), ("height", "fy"))
        ],
    }


def _caption(truth: Array, estimate: Array) -> str:
    """`29 of 30 views registered; median centre error 0.012 scene units`."""
    if np.isnan(truth).all():
        found = int(np.isfinite(estimate[:, 0, 3]).sum())
        return f"{found} cameras in the method's own frame: nobody knows the true ones"
    errors = np.linalg.norm(estimate[:, :3, 3] - truth[:, :3, 3], axis=1)
    known = errors[np.isfinite(errors)]
    text = f"{len(known)} of {len(truth)} views registered"
    if not len(known):
        return text
    middle = float(np.median(known))
    return f"{text}; median centre error {f'{middle:.3g}' if middle >= 1e-6 else 'below 1e-6'} scene units"


def _up(poses: Array) -> Array:
    """Where the images' tops point on average; the z axis where they point all ways."""
    up = mean_up(poses)
    length = float(np.linalg.norm(up))
    return up / length if length > 0.2 else np.array([0.0, 0.0, 1.0])
