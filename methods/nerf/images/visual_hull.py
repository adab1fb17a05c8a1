"""Where an object before a known background can be: its visual hull (Laurentini 1994), from posed images."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from methods.nerf.images.posed_images import PosedImages

TOLERANCE = 16 / 255
"""A pixel this near the background, in all channels, shows nothing else."""

SIDE = 56  # points along an edge of the cube looked at, twice: in all of it, then in the box that was found
VIEWS = 48  # at most, evenly chosen
AGREE = 0.8
"""Of the views that see a point, how many must have the object there: poses are a little off, and objects have pixels
of the background's colour."""

SEEN = 0.5  # of the views that see the point seen most: what fewer see, nobody looked at
MARGIN = 1.05


@torch.no_grad()
def hull_box(views: PosedImages, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor] | None:
    """Corners (3,), (3,) of the box of the hull within the box `low` to `high`, scene units; None where no point of it
    is on the object in enough views."""
    masks = _objects(views)
    for _ in range(2):
        axes = [torch.linspace(float(a), float(b), SIDE, device=low.device) for a, b in zip(low, high, strict=True)]
        points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)
        kept = points[_inside(points, views, masks)]
        if len(kept) == 0:
            return None
        spacing = (high - low) / (SIDE - 1)
        low, high = torch.maximum(kept.amin(dim=0) - spacing, low), torch.minimum(kept.amax(dim=0) + spacing, high)
    middle, half = (low + high) / 2, MARGIN * (high - low) / 2
    return middle - half, middle + half


def _objects(views: PosedImages) -> Tensor:
    """(N, H, W) bool: what is not of the background's colour, without specks, and a pixel wider."""
    shape = len(views.ids), 1, views.camera.height, views.camera.width
    other = (views.pixels.float() / 255 - views.background).abs() > TOLERANCE
    solid = functional.avg_pool2d(other.any(dim=-1).float().reshape(shape), 3, stride=1, padding=1) > 0.4
    return functional.max_pool2d(solid.float(), 3, stride=1, padding=1)[:, 0] > 0


def _inside(points: Tensor, views: PosedImages, masks: Tensor) -> Tensor:
    """(P,) bool: which points (P, 3) are on the object in enough of the views that see them."""
    camera = views.camera
    seen, hit = torch.zeros(len(points), device=points.device), torch.zeros(len(points), device=points.device)
    for k in torch.linspace(0, len(masks) - 1, min(VIEWS, len(masks))).round().long().tolist():
        pose, mask = views.poses[k], masks[k]
        x, y, z = ((points - pose[:3, 3]) @ pose[:3, :3]).unbind(dim=-1)
        ahead = z > 1e-6
        depth = torch.where(ahead, z, 1.0)
        column, row = (camera.fx * x / depth + camera.cx).floor(), (camera.fy * y / depth + camera.cy).floor()
        inside = ahead & (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
        at = row.clamp(0, camera.height - 1).long(), column.clamp(0, camera.width - 1).long()
        seen += inside
        hit += inside & mask[at]
    return (seen >= max(1.0, SEEN * float(seen.max()))) & (hit >= AGREE * seen)
