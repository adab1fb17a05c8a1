"""NeRF--: all cameras begin as one, and field, poses and focal length are found together."""

from __future__ import annotations

import numpy as np
import torch

from bench.task import Camera, Capture, Fit, Job
from methods.nerf.backends.select import set_threads
from methods.nerf.cameras.intrinsics import Intrinsics
from methods.nerf.cameras.pose_variables import Cameras
from methods.nerf.field.bounds import Bounds
from methods.nerf.field.ndc import Frustum
from methods.nerf.images.pyramid import ImagePyramid
from methods.nerf.training.deadline import Deadline
from methods.nerf.training.joint import estimated_poses, train_jointly
from methods.nerf.training.pose_margins import pose_margins
from methods.nerfmm.config import NerfmmConfig


def fit(capture: Capture, config: NerfmmConfig, job: Job) -> Fit:
    """Poses, focal length and field from images alone (Wang et al. 2021, eq. 5)."""
    deadline = Deadline(job)
    set_threads(job.threads)
    pyramid = ImagePyramid.of(capture, masked=False, device=torch.device(job.device))
    height, width = pyramid.images.shape[2:]
    camera = capture.camera or Intrinsics.guessed(width, height)
    intrinsics = Intrinsics(camera, free=capture.camera is None)
    if capture.start is None:
        start, bounds = np.tile(np.eye(4), (len(pyramid.ids), 1, 1)), Bounds.forward(frustum(camera, config))
    else:
        start = np.stack([capture.start[view] for view in pyramid.ids])
        bounds = Bounds.around(list(start), capture.prior, contract=capture.background is None, camera=capture.camera)
    away = bounds.distance_of(list(start))
    cameras = Cameras(
        torch.from_numpy(start).float(), intrinsics, pivot=torch.tensor(bounds.centre), unit=away / 4 or config.near
    ).to(pyramid.images.device)
    field = train_jointly(pyramid, cameras, bounds, config.schedule, job, "nerfmm", deadline)
    found = intrinsics.estimate()
    poses = estimated_poses(pyramid, cameras)
    margins = pose_margins(field, cameras.intrinsics, pyramid, poses, job, deadline, elsewhere=capture.prior)
    return Fit(
        poses=poses, field=field, camera=found if intrinsics.free else None,
        notes={"focal_px": round(found.fx, 2), "start": config.start, **deadline.notes()},
        margins=margins,
    )  # fmt: skip


def frustum(camera: Camera, config: NerfmmConfig) -> Frustum:
    """The box that the first view looks into, wider by the margin, for the others and for a shorter focal length."""
    x, y = camera.width / (2 * camera.fx), camera.height / (2 * camera.fy)
    return Frustum(near=config.near, slopes=(x * config.margin, y * config.margin))
