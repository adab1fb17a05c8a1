"""Training a field from images whose poses are known (or believed)."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from bench.task import Camera, Image, Job, Pose, ViewId
from methods.nerf.backends.select import set_threads
from methods.nerf.config import FieldConfig
from methods.nerf.field.base import RadianceField
from methods.nerf.field.bounds import Bounds
from methods.nerf.images.posed_images import PosedImages
from methods.nerf.training.deadline import Deadline


def train(
    images: Mapping[ViewId, Image],
    poses: Mapping[ViewId, Pose],
    camera: Camera,
    bounds: Bounds,
    background: tuple[float, float, float] | None,
    config: FieldConfig,
    job: Job,
    deadline: Deadline | None = None,
) -> RadianceField:
    """Fit a field to `images`; views without a pose are left out. Poses and bounds share one frame, of any scale.

    `background` is the sRGB colour behind the object; None: a real background, for which `bounds.contract` is meant.
    Logs loss, psnr (dB, of the training rays), seconds and side through the job; goes on from `job.checkpoints`.
    Repeatable for one seed, device and number of threads, unless it is stopped by its `deadline` (by default
    `job.seconds` from now), which then says how far it came.
    """
    set_threads(job.threads)
    views = PosedImages.of(images, poses, camera, background, torch.device(job.device))
    if config.field == "mlp":
        from methods.nerf.training.posed_mlp import train_mlp

        return train_mlp(views, bounds, config.sized(job.effort), job, deadline or Deadline(job))
    from methods.nerf.training.posed_grid import train_grid

    return train_grid(views, bounds, config, job, deadline or Deadline(job))
