"""Absolute and relative errors of an aligned trajectory, by evo.

This is the only module that imports evo, and it imports `evo.core` alone (`evo.tools` writes a folder into HOME at
import).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.judge.similarity import Array, nearest_rotation
from bench.task import Pose


@dataclass(frozen=True, kw_only=True)
class TrajectoryErrors:
    """evo's errors of an aligned trajectory of N poses; lengths in scene units."""

    ate: Array  # (N,) distance of centres
    rpe_rotation_deg: Array  # (N - 1,) of the motion from each pose to the next
    rpe_translation: Array  # (N - 1,)


def trajectory_errors(estimate: Pose | Sequence[Pose], truth: Pose | Sequence[Pose]) -> TrajectoryErrors:
    """evo's APE and RPE of aligned poses (N, 4, 4) in their order. The arguments are copied: evo changes its own.

    A single pose has no steps.
    """
    from evo.core.metrics import APE, RPE, PoseRelation, Unit
    from evo.core.trajectory import PosePath3D

    paths = (
        PosePath3D(poses_se3=[_rigid(pose) for pose in truth]),
        PosePath3D(poses_se3=[_rigid(pose) for pose in estimate]),
    )
    ate = APE(PoseRelation.translation_part)
    ate.process_data(paths)
    if len(truth) < 2:
        return TrajectoryErrors(ate=ate.error, rpe_rotation_deg=np.empty(0), rpe_translation=np.empty(0))
    steps = [
        RPE(relation, delta=1, delta_unit=Unit.frames)
        for relation in (PoseRelation.rotation_angle_deg, PoseRelation.translation_part)
    ]
    for metric in steps:
        metric.process_data(paths)
    return TrajectoryErrors(ate=ate.error, rpe_rotation_deg=steps[0].error, rpe_translation=steps[1].error)


def _rigid(pose: Pose) -> Pose:
    """A copy with its rotation made exact: evo refuses what float32 leaves of one."""
    exact = np.array(pose, dtype=np.float64)
    exact[:3, :3] = nearest_rotation(exact[:3, :3])
    return exact
