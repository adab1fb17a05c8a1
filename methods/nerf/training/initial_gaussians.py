"""Where Gaussians begin: at points that are known, or drawn where the scene is."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree
from torch import Tensor

from methods.nerf.config import PosedFieldConfig
from methods.nerf.field.bounds import Bounds
from methods.nerf.field.gaussians import CONSTANT, GaussianField
from methods.nerf.images.posed_images import PosedImages

FEWEST = 50
"""Points that say something about where a scene is."""

FARTHEST = 10.0
"""How far from the centre a Gaussian begins before a real background, in half sizes of what is kept unsqueezed."""


def initial_gaussians(
    views: PosedImages, bounds: Bounds, config: PosedFieldConfig, points: NDArray[np.float64] | None, *, start: int,
    most: int, generator: torch.Generator,
) -> GaussianField:  # fmt: skip
    """Gaussians at `points` (P, 3), or `start` of them drawn in the bounds where there are hardly any; as large as
    their neighbours are far apart, and as the images show them where they are projected."""
    at = None if points is None else torch.from_numpy(points[np.isfinite(points).all(axis=1)]).float()
    if at is None or len(at) < FEWEST:
        at = drawn_points(bounds, start, generator)
    elif len(at) > most:
        at = at[torch.randperm(len(at), generator=generator)[:most].sort().values]
    choices, centre = config.gaussians, torch.tensor(bounds.centre)
    poses = [pose.double().cpu().numpy() for pose in views.poses]
    field = GaussianField(bounds, views.background.cpu(), config, count=len(at), unit=bounds.distance_of(poses) / 4)
    with torch.no_grad():
        field.means.copy_((at - centre) / field.unit)
        apart, _ = KDTree(field.means.numpy()).query(field.means.numpy(), k=4)
        scale = torch.from_numpy(np.sqrt((apart[:, 1:] ** 2).mean(axis=1))).float().clamp(min=1e-7)
        field.scales.copy_((choices.start_scale * scale).log()[:, None].expand(-1, 3))
        field.opacities.fill_(choices.start_opacity).logit_()
        field.colours.copy_(((seen_colours(at, views) - 0.5) / CONSTANT)[:, None])
    return field.to(views.pixels.device)


def drawn_points(bounds: Bounds, count: int, generator: torch.Generator) -> Tensor:
    """Points (count, 3), evenly in the cube; before a real background half of them around it, evenly where space is
    squeezed (mip-NeRF 360)."""
    cube = 2 * torch.rand(count, 3, generator=generator) - 1
    if not bounds.closed:
        outside = torch.rand(count, 1, generator=generator) < 0.5
        shell = 1 / (1 - torch.rand(count, 1, generator=generator) * (1 - 1 / FARTHEST))
        side = cube.abs().amax(dim=1, keepdim=True).clamp(min=1e-6)
        cube = torch.where(outside, cube / side * shell, cube)
    return torch.tensor(bounds.centre) + bounds.half_size * cube


def seen_colours(points: Tensor, views: PosedImages) -> Tensor:
    """Mean colour (P, C) of the pixels that points (P, 3) are projected to, whatever lies before them; grey where no
    view has them inside."""
    camera = views.camera
    total, count = torch.zeros(len(points), views.pixels.shape[-1]), torch.zeros(len(points), 1)
    for pose, pixels in zip(views.poses.cpu(), views.pixels.cpu(), strict=True):
        x, y, z = ((points - pose[:3, 3]) @ pose[:3, :3]).unbind(-1)
        column, row = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
        inside = (z > 0) & (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
        place = row[inside].long() * camera.width + column[inside].long()
        total[inside] += pixels[place].float() / 255
        count[inside] += 1
    return torch.where(count > 0, total / count.clamp(min=1), 0.5)
