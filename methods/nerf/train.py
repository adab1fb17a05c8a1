"""Training a field from images whose poses are known (or believed)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from bench.task import Camera, Image, Job, Pose, ViewId
from methods.nerf.backends.select import set_threads
from methods.nerf.config import FieldConfig, PosedFieldConfig
from methods.nerf.field.base import RadianceField, SharedField
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
    points: NDArray[np.float64] | None = None,
) -> SharedField:
    """Fit a field to `images`; views without a pose are left out. Poses and bounds share one frame, of any scale.

    `background` is the sRGB colour behind the object; None: a real background, for which `bounds.contract` is meant.
    `points` (P, 3) that are known to be on surfaces are where Gaussians begin; other fields have no use for them.
    Logs loss, psnr (dB, of the training rays), seconds and side through the job; goes on from `job.checkpoints`.
    Repeatable for one seed, device and number of threads (Gaussians on CUDA are not: gsplat adds gradients up in any
    order), unless it is stopped by its `deadline` (by default `job.seconds` from now), which then says how far it came.
    """
    if not isinstance(config, PosedFieldConfig):
        return train_rays(images, poses, camera, bounds, background, config, job, deadline)
    if config.field != "gaussians":
        return train_rays(images, poses, camera, bounds, background, config.rays, job, deadline)
    from methods.nerf.training.posed_gaussians import train_gaussians

    views = _posed(images, poses, camera, background, job)
    return train_gaussians(views, bounds, config.radiance, job, deadline or Deadline(job), points)


def train_rays(
    images: Mapping[ViewId, Image],
    poses: Mapping[ViewId, Pose],
    camera: Camera,
    bounds: Bounds,
    background: tuple[float, float, float] | None,
    config: FieldConfig,
    job: Job,
    deadline: Deadline | None = None,
) -> RadianceField:
    """The same, where what is asked of the field afterwards are rays."""
    views = _posed(images, poses, camera, background, job)
    if config.field == "mlp":
        from methods.nerf.training.posed_mlp import train_mlp

        return train_mlp(views, bounds, config.sized(job.effort), job, deadline or Deadline(job))
    from methods.nerf.training.posed_grid import train_grid

    return train_grid(views, bounds, config, job, deadline or Deadline(job))


def _posed(
    images: Mapping[ViewId, Image], poses: Mapping[ViewId, Pose], camera: Camera,
    background: tuple[float, float, float] | None, job: Job,
) -> PosedImages:  # fmt: skip
    set_threads(job.threads)
    return PosedImages.of(images, poses, camera, background, torch.device(job.device))
