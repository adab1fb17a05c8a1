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
from methods.nerf.training.pose_margins import pose_margins

RESTING = 0.1
"""Share of the coarse iterations for which exact poses rest."""


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
    schedule = fitting(config.schedule, bounds, exact=capture.exact >= set(capture.start))
    field = train_jointly(pyramid, cameras, bounds, schedule, job, "barf", deadline)
    poses = estimated_poses(pyramid, cameras)
    margins = pose_margins(field, cameras.intrinsics, pyramid, poses, job, deadline, elsewhere=capture.prior)
    return Fit(poses=poses, field=field, notes=deadline.notes(), margins=margins)


def fitting(
    schedule: JointGridSchedule | JointMlpSchedule, bounds: Bounds, *, exact: bool
) -> JointGridSchedule | JointMlpSchedule:
    """The schedule, where start poses are `exact` before a real background without its coarsest grids, poses at rest at
    first, with nothing kept empty before the cameras, and with one field more, the last, as with known poses.

    Voxels larger than what poses are off by cannot tell these from the truth, and lead them away. Rough poses need such
    voxels, and must not rest in the first field: one that has settled on them holds them where they are (DTU scan24
    from 13.7 degrees ended at 7.7 instead of 2.1, each as one field). Exact poses lose nothing to what stands before a
    camera, and a little to what is missing there (DTU scan24 at 64 px, in 240 iterations: 1.7 degrees for 0.9). How
    rough a start is nobody tells a method, but that it is the truth.
    """
    if isinstance(schedule, JointMlpSchedule) or not (bounds.contract and exact):
        return schedule
    sides = schedule.coarse_sides_open[-1:]
    anew = min(1, schedule.anew_open)
    return schedule.model_copy(
        update={"coarse_sides_open": sides, "pose_from": RESTING, "seen_by_open": 0.0, "anew_open": anew}
    )
