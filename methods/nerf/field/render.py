"""From poses and image points to pictures, with gradients to the field, the poses and the focal length."""

from __future__ import annotations

import torch
from torch import Tensor

from methods.nerf.cameras.intrinsics import Intrinsics
from methods.nerf.cameras.rays import view_rays
from methods.nerf.field.base import RadianceField


def lattice(side: int) -> Tensor:
    """The pixel centres (side, side, 2) of an image of `side` pixels, in [-1, 1]."""
    line = (torch.arange(side) + 0.5) * (2 / side) - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y], dim=-1)


def render_points(
    field: RadianceField, intrinsics: Intrinsics, poses: Tensor, points: Tensor, generator: torch.Generator | None
) -> Tensor:
    """Colours (V, K, C) in [0, 1] of image points (V, K, 2) seen from `poses`; samples jittered by a generator."""
    shade = field.shade(*view_rays(intrinsics, poses, points), generator)
    return shade.over(field.background).reshape(*points.shape[:2], -1)


def render_patches(
    field: RadianceField, intrinsics: Intrinsics, poses: Tensor, points: Tensor, generator: torch.Generator | None
) -> Tensor:
    """Pictures (B, C, h, w) in [-1, 1] of lattices of points (B, h, w, 2) seen from `poses` (B, 4, 4)."""
    return pictures(render_points(field, intrinsics, poses, points.flatten(1, 2), generator), points)


def pictures(colours: Tensor, points: Tensor) -> Tensor:
    """Colours in [0, 1] of lattices of points (B, h, w, 2) as pictures (B, C, h, w) in [-1, 1]."""
    return (colours * 2 - 1).reshape(*points.shape[:3], -1).permute(0, 3, 1, 2)


def render_whole(
    field: RadianceField, intrinsics: Intrinsics, poses: Tensor, side: int, generator: torch.Generator | None = None
) -> Tensor:
    """Whole views squeezed into (B, C, side, side), in [-1, 1]."""
    points = lattice(side).to(poses.device).expand(len(poses), -1, -1, -1)
    return render_patches(field, intrinsics, poses, points, generator)
