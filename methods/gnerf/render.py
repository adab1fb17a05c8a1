"""From poses and image points to pictures, with gradients to the field, the poses and the focal length."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from methods.gnerf.patches import lattice
from methods.gnerf.sight import Intrinsics
from methods.nerf.field import RadianceField


def rays(intrinsics: Intrinsics, poses: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Origins and unit directions, (V K, 3) each, of K image points (V, K, 2) of each of V poses (V, 4, 4).

    One product for each view: no pose is copied for its rays, and the gradients of a pose add up in one order.
    """
    turned = intrinsics.directions(points) @ poses[:, :3, :3].transpose(1, 2)  # (V, K, 3)
    directions = normalize(turned, dim=-1)
    origins = poses[:, None, :3, 3].expand_as(directions)
    return origins.reshape(-1, 3), directions.reshape(-1, 3)


def render_points(
    field: RadianceField, intrinsics: Intrinsics, poses: Tensor, points: Tensor, generator: torch.Generator | None
) -> Tensor:
    """Colours (V, K, C) in [0, 1] of image points (V, K, 2) seen from `poses`; samples jittered by a generator."""
    shade = field.shade(*rays(intrinsics, poses, points), generator)
    return shade.over(field.background).reshape(*points.shape[:2], -1)


def render_patches(
    field: RadianceField, intrinsics: Intrinsics, poses: Tensor, points: Tensor, generator: torch.Generator | None
) -> Tensor:
    """Pictures (B, C, h, w) in [-1, 1] of lattices of points (B, h, w, 2) seen from `poses` (B, 4, 4)."""
    colours = render_points(field, intrinsics, poses, points.flatten(1, 2), generator)
    return (colours * 2 - 1).unflatten(1, points.shape[1:3]).permute(0, 3, 1, 2)


def render_whole(
    field: RadianceField, intrinsics: Intrinsics, poses: Tensor, side: int, generator: torch.Generator | None = None
) -> Tensor:
    """Whole views squeezed into (B, C, side, side), in [-1, 1]."""
    points = lattice(side).to(poses.device).expand(len(poses), -1, -1, -1)
    return render_patches(field, intrinsics, poses, points, generator)
