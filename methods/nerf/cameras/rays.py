"""From pixels to rays, differentiably in the pose and in the focal length."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.task import Camera
from methods.nerf.cameras.intrinsics import Intrinsics


def pixel_rays(pixels: Tensor, camera: Camera, world_from_camera: Tensor) -> tuple[Tensor, Tensor]:
    """Origins and unit directions, (R, 3) each, of the rays through `pixels` (R, 2), one pose (R, 4, 4) for each.

    Pixels are x, y in px, their centres at +0.5.
    """
    x, y = pixels.unbind(-1)
    in_camera = torch.stack([(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, torch.ones_like(x)], dim=-1)
    directions = (world_from_camera[:, :3, :3] @ in_camera[..., None]).squeeze(-1)
    return world_from_camera[:, :3, 3].expand_as(directions), torch.nn.functional.normalize(directions, dim=-1)


def image_pixels(camera: Camera, device: torch.device | str = "cpu") -> Tensor:
    """Centres of all pixels (H * W, 2) in px, row by row."""
    y, x = torch.meshgrid(
        torch.arange(camera.height, device=device) + 0.5, torch.arange(camera.width, device=device) + 0.5, indexing="ij"
    )
    return torch.stack([x, y], dim=-1).reshape(-1, 2)


def view_rays(intrinsics: Intrinsics, poses: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Origins and unit directions, (V K, 3) each, of K image points (V, K, 2) of each of V poses (V, 4, 4).

    One product for each view: no pose is copied for its rays, and the gradients of a pose add up in one order.
    """
    turned = intrinsics.directions(points) @ poses[:, :3, :3].transpose(1, 2)  # (V, K, 3)
    directions = torch.nn.functional.normalize(turned, dim=-1)
    origins = poses[:, None, :3, 3].expand_as(directions)
    return origins.reshape(-1, 3), directions.reshape(-1, 3)
