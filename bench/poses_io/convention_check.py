"""The mistake that everyone makes once: poses that are right, in other axes or the other way round."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from bench.geometry import OPENGL_AXES, inverse
from bench.judge import metrics
from bench.judge.align import Rules, align, is_rigid
from bench.task import Collapsed, Pose, ViewId

WRONG, RIGHT = 30.0, 10.0
"""Degrees, median rotation error: as the poses stand they are further off, and read otherwise they are nearer."""

_MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])

READINGS: Mapping[str, Callable[[Pose], Pose]] = {
    "camera_from_world": inverse,
    "world_from_camera in OpenGL axes": lambda pose: pose @ OPENGL_AXES,
    "camera_from_world in OpenGL axes": lambda pose: inverse(pose) @ OPENGL_AXES,
    "quaternions with w first": lambda pose: _requaternioned(pose),
    "a mirrored world (one axis the other way round)": lambda pose: _MIRROR @ pose @ _MIRROR,
    "a mirrored world, camera_from_world": lambda pose: _MIRROR @ inverse(pose) @ _MIRROR,
}
"""What a pose may be that was meant as `world_from_camera` in OpenCV axes, and how it becomes that."""


def mistaken(poses: Mapping[ViewId, Pose], truth: Mapping[ViewId, Pose]) -> str | None:
    """Another reading of `poses` under which they are right, where they are wrong as they stand; else None.

    Needs the truth: for the author of a method or of a submission, never for a score.
    """
    sound = {view: np.asarray(pose, dtype=np.float64) for view, pose in poses.items() if is_rigid(pose)}
    if _error(sound, truth) < WRONG:
        return None
    errors = {
        name: _error({view: change(pose) for view, pose in sound.items()}, truth) for name, change in READINGS.items()
    }
    best = min(errors, key=lambda name: errors[name])
    if errors[best] >= RIGHT:
        return None
    return f"read as {best}, the poses would be right to {errors[best]:.1f} deg; write world_from_camera in OpenCV axes"


def _error(poses: Mapping[ViewId, Pose], truth: Mapping[ViewId, Pose]) -> float:
    """Median rotation error in degrees of the views that have a pose, once aligned by their centres: cameras that all
    look one way would hide axes that are wrong in all of them."""
    try:
        alignment = align(poses, truth, Rules(cone_deg=-1))
    except Collapsed:
        return 180.0
    E, T = (np.stack([side[view] for view in alignment.registered]) for side in (poses, truth))
    return float(np.median(metrics.rotation_errors(alignment.similarity.apply(E), T)))


def _requaternioned(pose: Pose) -> Pose:
    """The pose whose quaternion was written w x y z, where this one was read as x y z w."""
    from scipy.spatial.transform import Rotation

    mended = np.array(pose)
    mended[:3, :3] = Rotation.from_quat(np.roll(Rotation.from_matrix(pose[:3, :3]).as_quat(), -1)).as_matrix()
    return mended
