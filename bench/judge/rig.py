"""How well camera centres fix the rotation between two frames, and what the cameras' own rotations say of it.

Both fix it. From centres it is as good as their errors over the radius of the rig; from the cameras' rotations, as good
as these. A camera that is turned by an angle, and moved sideways by that angle times its distance from the scene, sees
nearly the same: so a method's centres are worse than its rotations by about the distance to the scene over the radius
of the rig. That is 1 where cameras surround a scene, and 9 on LLFF fern, whose cameras look one way: there, centres
that are off by a few hundredths of the rig's radius turn a frame by degrees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.judge.metrics import rotation_errors
from bench.judge.similarity import Array, Similarity, radius, rotation_between
from bench.task import Pose


def is_forward_facing(poses: Pose, *, cone_deg: float, depth: float) -> bool:
    """Whether the cameras of a rig (N, 4, 4) look one way from nearly one plane: then their centres fix a rotation
    badly.

    All viewing directions lie within `cone_deg` of their mean, and along it the centres spread by `depth` of their RMS
    radius at most. Asked of true cameras: every method on a scene is aligned by the same rule.
    """
    forward, centres = poses[:, :3, 2], poses[:, :3, 3] - poses[:, :3, 3].mean(axis=0)
    mean = forward.mean(axis=0)
    length = np.linalg.norm(mean)
    if length < 1e-9:
        return False
    angles = np.degrees(np.arccos(np.clip(forward @ mean / length, -1, 1)))
    along = np.sqrt(np.mean((centres @ mean / length) ** 2))
    return bool(angles.max() <= cone_deg and along <= depth * radius(poses[:, :3, 3]))


def parallel_cameras_deg(poses: Pose) -> float:
    """Median rotation error in degrees of the answer that all cameras (N, 4, 4) look the same way: what a rotation
    is worth that anyone could give."""
    same = np.tile(np.eye(4), (len(poses), 1, 1))
    same[:, :3, :3] = rotation_between(same, poses)
    return float(np.median(rotation_errors(same, poses)))


@dataclass(frozen=True, kw_only=True)
class FrameTilt:
    """The rotation from the frame that the centres tell to the one that the cameras' rotations tell."""

    degrees: float
    expected: float  # RMS degrees that the residuals explain
    is_explained: bool  # whether chance gives a tilt as large as this one at the level asked for


def frame_tilt(by_centres: Similarity, E: Pose, T: Pose, level: float) -> FrameTilt:
    """The tilt of registered cameras (N, 4, 4), N >= 4 and not on a line, and what the residuals allow.

    To first order, a small turn w of the frame moves the true centre x (about the mean) by w x x. With independent
    residuals of variance s^2 on each axis, least squares leaves w with the covariance s^2 (tr(M) I - M)^-1, M = sum of
    x x^T: in the axes of the rig s^2 / (m_i + m_j), m the squared singular values of the centres. s^2 is the squared
    residuals over 3 N - 7. The mean of N rotations has the covariance of their residuals over N. Hotelling's test with
    both: 3 F(3, 3 N - 7) at `level`.
    """
    from scipy.spatial.transform import Rotation
    from scipy.special import fdtri

    count, freedom = len(E), 3 * len(E) - 7
    by_cameras = rotation_between(E, T)
    centres = T[:, :3, 3] - T[:, :3, 3].mean(axis=0)
    residual = by_centres.points(E[:, :3, 3]) - T[:, :3, 3]
    moments = centres.T @ centres
    from_centres = (residual**2).sum() / freedom * np.linalg.inv(np.trace(moments) * np.eye(3) - moments)
    turns = Rotation.from_matrix(T[:, :3, :3] @ E[:, :3, :3].transpose(0, 2, 1) @ by_cameras.T).as_rotvec()
    allowed = from_centres + turns.T @ turns / (count * (count - 1)) + ROUNDING**2 * np.eye(3)
    tilt: Array = Rotation.from_matrix(by_cameras @ by_centres.rotation.T).as_rotvec()
    distance = float(tilt @ np.linalg.solve(allowed, tilt))
    return FrameTilt(
        degrees=float(np.degrees(np.linalg.norm(tilt))),
        expected=float(np.degrees(np.sqrt(np.trace(allowed)))),
        is_explained=distance <= 3 * float(fdtri(3, freedom, level)),
    )


ROUNDING = 1e-4
"""Radians that poses stored in few digits are off: no tilt of that size is worth a word."""
