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
HELD = 0.9
"""Of the object's pixels, how many must look into the cube of the hull: where fewer do, views show parts of the object,
and the hull is that of the part that most of them share."""


@torch.no_grad()
def hull_box(views: PosedImages, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor] | None:
    """Corners (3,), (3,) of the cube around the hull within the cube `low` to `high`, scene units; None where no point
    is on the object in enough views, or too much of the object is outside."""
    masks = _objects(views)
    for _ in range(2):
        axes = [torch.linspace(float(a), float(b), SIDE, device=low.device) for a, b in zip(low, high, strict=True)]
        points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)
        kept = points[_inside(points, views, masks)]
        if len(kept) == 0:
            return None
        spacing = (high - low) / (SIDE - 1)
        low, high = torch.maximum(kept.amin(dim=0) - spacing, low), torch.minimum(kept.amax(dim=0) + spacing, high)
    middle, half = (low + high) / 2, MARGIN * (high - low).max() / 2
    box = middle - half, middle + half
    return box if _share_held(views, masks, *box) >= HELD else None


def _share_held(views: PosedImages, masks: Tensor, low: Tensor, high: Tensor) -> float:
    """The share of the object's pixels whose rays meet the box (slabs: Kay and Kajiya 1986)."""
    view, row, column = masks[:, ::2, ::2].nonzero(as_tuple=True)  # every other pixel both ways
    camera, poses = views.camera, views.poses[view]
    x, y = (2 * column + 0.5 - camera.cx) / camera.fx, (2 * row + 0.5 - camera.cy) / camera.fy
    along = (poses[:, :3, :3] @ torch.stack([x, y, torch.ones_like(x)], dim=-1)[..., None])[..., 0]
    along = torch.where(along.abs() < 1e-9, 1e-9, along)
    near, far = (low - poses[:, :3, 3]) / along, (high - poses[:, :3, 3]) / along
    enters, leaves = torch.minimum(near, far).amax(dim=-1), torch.maximum(near, far).amin(dim=-1)
    return float(((leaves > enters) & (leaves > 0)).float().mean()) if len(view) else 0.0


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
