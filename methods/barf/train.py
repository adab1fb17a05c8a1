"""BARF: from rough poses to good ones, field and poses together, coarse to fine."""

from __future__ import annotations

import numpy as np
import torch

from bench.task import Capture, Fit, Job
from methods.barf.config import BarfConfig
from methods.nerf.bounds import Bounds
from methods.nerf.cameras import Cameras
from methods.nerf.intrinsics import Intrinsics
from methods.nerf.joint import answer, train_jointly
from methods.nerf.sight import Sight
from methods.nerf.threads import set_threads


def fit(capture: Capture, config: BarfConfig, job: Job) -> Fit:
    """Bundle-adjust the start poses of `capture` (Lin et al. 2021, eq. 9)."""
    if capture.camera is None or capture.start is None:
        raise ValueError("barf: needs intrinsics and start poses")
    torch.set_num_threads(job.threads)
    set_threads(job.threads)
    sight = Sight.of(capture, masked=False, device=torch.device(job.device))
    bounds = bounds_of(capture)
    start = torch.from_numpy(np.stack([capture.start[view] for view in sight.ids])).float()
    intrinsics, unit = Intrinsics(capture.camera, free=False), distance(capture, bounds) / 4
    cameras = Cameras(start, intrinsics, pivot=torch.tensor(bounds.centre), unit=unit).to(sight.images.device)
    field = train_jointly(sight, cameras, bounds, config.plan, job, "barf")
    return Fit(poses=answer(sight, cameras), field=field)


def bounds_of(capture: Capture) -> Bounds:
    """Of the scene: from the prior where there is one, else from where the start poses look."""
    contract = capture.background is None
    if capture.prior is not None:
        return Bounds.from_prior(capture.prior, contract=contract)
    return Bounds.from_cameras(list((capture.start or {}).values()), contract=contract)


def distance(capture: Capture, bounds: Bounds) -> float:
    """How far the cameras are from the middle of the scene, by their start poses."""
    centres = np.stack([pose[:3, 3] for pose in (capture.start or {}).values()])
    return float(np.median(np.linalg.norm(centres - np.array(bounds.centre), axis=1)))
