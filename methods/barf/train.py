"""BARF: from rough poses to good ones, field and poses together, coarse to fine."""

from __future__ import annotations

import numpy as np
import torch

from bench.task import Capture, Fit, Job
from methods.barf.config import BarfConfig
from methods.nerf.backends.select import set_threads
from methods.nerf.cameras.intrinsics import Intrinsics
from methods.nerf.cameras.pose_variables import Cameras
from methods.nerf.field.bounds import Bounds
from methods.nerf.images.pyramid import ImagePyramid
from methods.nerf.training.deadline import Deadline
from methods.nerf.training.joint import estimated_poses, train_jointly
from methods.nerf.training.joint_schedule import JointGridSchedule, JointMlpSchedule

RESTING = 0.1
"""Share of the coarse iterations for which poses that are better than the coarsest grids rest."""


def fit(capture: Capture, config: BarfConfig, job: Job) -> Fit:
    """Bundle-adjust the start poses of `capture` (Lin et al. 2021, eq. 9)."""
    if capture.camera is None or capture.start is None:
        raise ValueError("barf: needs intrinsics and start poses")
    deadline = Deadline(job)
    set_threads(job.threads)
    pyramid = ImagePyramid.of(capture, masked=False, device=torch.device(job.device))
    start = np.stack([capture.start[view] for view in pyramid.ids])
    bounds = Bounds.around(list(start), capture.prior, contract=capture.background is None, camera=capture.camera)
    cameras = Cameras(
        torch.from_numpy(start).float(), Intrinsics(capture.camera, free=False),
        pivot=torch.tensor(bounds.centre), unit=bounds.distance_of(list(start)) / 4,
    ).to(pyramid.images.device)  # fmt: skip
    schedule = fitting(config.schedule, bounds, config.start_noise)
    field = train_jointly(pyramid, cameras, bounds, schedule, job, "barf", deadline)
    return Fit(poses=estimated_poses(pyramid, cameras), field=field, notes=deadline.notes())


def fitting(
    schedule: JointGridSchedule | JointMlpSchedule, bounds: Bounds, start_noise: float
) -> JointGridSchedule | JointMlpSchedule:
    """The schedule without the coarse grids before a real background that know less than the start poses do.

    Those are off by `start_noise` quarters of the distance. A grid whose voxels are larger than three times that cannot
    tell such poses from the truth, and would lead them away from it; the finest coarse one is kept in any case. Where a
    grid is left out, poses rest at first: they know more than a field that is still fog. Rough ones must not: a field
    that has settled on them holds them there (DTU scan24 from 13.7 degrees ends at 7.7 instead of 2.1).
    """
    if isinstance(schedule, JointMlpSchedule) or not bounds.contract:
        return schedule
    *coarser, last = schedule.coarse_sides_open
    least = 3 * start_noise / 4 * bounds.camera_distance
    sides = [side for side in coarser if bounds.voxel(side) <= least]
    if len(sides) == len(coarser):
        return schedule
    return schedule.model_copy(update={"coarse_sides_open": (*sides, last), "pose_from": RESTING})
