"""The geometry of cameras in numpy: conventions of axes, cameras that look at a point, what many cameras look at.

Poses are `world_from_camera` in OpenCV axes (x right, y down, z forward); lengths are in the unit of what is passed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

Pose = Array
"""(4, 4) `world_from_camera`, OpenCV axes."""

OPENGL_AXES: Pose = np.diag([1.0, -1.0, -1.0, 1.0])
"""`pose @ OPENGL_AXES` turns a pose in OpenGL's axes (x right, y up, z backward) into one in OpenCV's, and back."""


def look_at(centre: Array, target: Array, up: Array, roll: Array | float = 0.0) -> Pose:
    """Poses (n, 4, 4) of cameras at `centre` (n, 3) that look at `target` (n, 3), image top towards `up` (3,).

    `roll` turns the camera clockwise about its viewing direction, in radians. Straight down or up, where `up`
    says nothing, the image's x axis is taken along an arbitrary but fixed normal of `up`.
    """
    centre, target = np.atleast_2d(centre), np.broadcast_to(np.atleast_2d(target), np.atleast_2d(centre).shape)
    forward = target - centre
    forward = forward / np.linalg.norm(forward, axis=-1, keepdims=True)
    right = np.cross(forward, up)
    length = np.linalg.norm(right, axis=-1, keepdims=True)
    right = np.where(length > 1e-8, right / np.maximum(length, 1e-8), np.roll(up, 1))
    down = np.cross(forward, right)
    c, s = np.cos(np.broadcast_to(roll, len(centre)))[:, None], np.sin(np.broadcast_to(roll, len(centre)))[:, None]
    pose = np.tile(np.eye(4), (len(centre), 1, 1))
    pose[:, :3, 0] = c * right + s * down
    pose[:, :3, 1] = c * down - s * right
    pose[:, :3, 2] = forward
    pose[:, :3, 3] = centre
    return pose


def inverse(poses: Pose) -> Pose:
    """The other way round, (..., 4, 4): `camera_from_world` of `world_from_camera`."""
    return np.linalg.inv(poses).astype(np.float64)


def mean_up(poses: Pose) -> Array:
    """The direction (3,) in the world, not normalised, to which the tops of the images of `poses` (n, 4, 4) point."""
    return -np.asarray(poses)[:, :3, 1].mean(axis=0)


def nearest_to_axes(
    centres: Array, forwards: Array, weights: Array | None = None, *, towards: Array | None = None, pull: float = 0.0
) -> tuple[Array, float]:
    """The point (3,) with the least mean squared distance to all optical axes, and the condition of that problem.

    `centres` and unit `forwards` are (n, 3), `weights` (n,) sum to 1. Axes that are all but parallel leave the point
    free along them (a large condition; infinite, and the mean centre, for parallel ones), unless `pull`, a weight
    beside the mean's 1, draws it `towards` another.
    """
    off_axis = np.eye(3) - forwards[:, :, None] * forwards[:, None, :]  # (n, 3, 3), from a point to its offset
    if weights is None:
        normal, right = off_axis.mean(axis=0), np.einsum("nij,nj->i", off_axis, centres) / len(centres)
    else:
        normal = (weights[:, None, None] * off_axis).sum(axis=0)
        right = np.einsum("n,nij,nj->i", weights, off_axis, centres)
    if towards is not None:
        normal, right = normal + pull * np.eye(3), right + pull * towards
    condition = float(np.linalg.cond(normal))
    if condition > 1 / np.finfo(np.float64).eps:
        return centres.mean(axis=0), np.inf
    return np.linalg.solve(normal, right), condition
