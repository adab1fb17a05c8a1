"""Where a scene is that known poses look at, if nothing but its images says it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from bench.task import Camera, Image, Pose, PosePrior, ViewId
from methods.nerf.field.bounds import Bounds
from methods.nerf.images.posed_images import PosedImages
from methods.nerf.images.visual_hull import hull_box


def bounds_of(
    images: Mapping[ViewId, Image], poses: Mapping[ViewId, Pose], camera: Camera, prior: PosePrior | None,
    background: tuple[float, float, float] | None,
) -> Bounds:  # fmt: skip
    """As the prior says, where there is one in the frame of these known `poses`; else, before a known background, the
    cube around the visual hull of the images; else as the cameras look."""
    bounds = Bounds.around(list(poses.values()), prior, contract=background is None, camera=camera)
    if prior is not None or background is None:
        return bounds
    views = PosedImages.of(images, poses, camera, background, torch.device("cpu"))
    centre = torch.tensor(bounds.centre)
    if (box := hull_box(views, centre - bounds.half_size, centre + bounds.half_size)) is None:
        return bounds
    low, high = (corner.double().numpy() for corner in box)
    middle, half_size = (low + high) / 2, min(float((high - low).max()) / 2, bounds.half_size)
    away = np.linalg.norm(np.stack([pose[:3, 3] for pose in poses.values()]) - middle, axis=1)
    reach = np.sqrt(3) * half_size
    x, y, z = middle.tolist()
    return Bounds(
        centre=(x, y, z), half_size=half_size, near=float(max(bounds.near, away.min() - reach)),
        far=float(away.max() + reach),
    )  # fmt: skip
