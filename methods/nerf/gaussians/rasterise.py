"""The one door to a rasteriser: Gaussians and poses in, pixels out, gradients back to both."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from bench.task import Camera
from methods.nerf.gaussians import torch_reference
from methods.nerf.gaussians.splats import Drawing, Splats


def rasterise(
    splats: Splats, colours: Tensor, poses: Tensor, camera: Camera, pixels: Tensor | None = None,
    backend: Literal["gsplat", "torch"] = "gsplat",
) -> Drawing:  # fmt: skip
    """What `pixels` (V, R) of the images from `poses` (V, 4, 4), world_from_camera, see of Gaussians whose `colours`
    (V, N, C) are those that each view sees; all pixels, row by row, where none are named.

    gsplat is for CUDA alone: a field that was trained there and is loaded on a CPU is drawn by the reference.
    """
    if backend == "gsplat" and poses.device.type == "cuda":
        from methods.nerf.gaussians import gsplat_cuda

        return gsplat_cuda.rasterise(splats, colours, poses, camera, pixels)
    if pixels is None:
        pixels = torch.arange(camera.width * camera.height, device=poses.device).expand(len(poses), -1)
    return torch_reference.rasterise(splats, colours, poses, camera, pixels)
