"""Gaussians drawn in plain torch: slow, on any device, differentiable throughout, and what gsplat is held to.

Each Gaussian is projected to a Gaussian on the image by the camera's Jacobian at its mean (EWA splatting, Zwicker et
al. 2001), and blended front to back (Kerbl et al. 2023, arXiv 2308.04079, eq. 1 to 6).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from bench.task import Camera
from methods.nerf.gaussians.splats import (
    DARKEST,
    DENSEST,
    FAINTEST,
    LOW_PASS,
    NEAREST,
    Drawing,
    Splats,
    rotation_matrices,
)  # fmt: skip

REACH = 3.33
"""Standard deviations beyond which even an opaque Gaussian is fainter than FAINTEST: sqrt(2 ln 255)."""

BEYOND = 0.3
"""How far beside the image a Gaussian may lie before the Jacobian is taken at the border, in half images."""

SQUARE, TOGETHER = 16, 64
"""Pixels that are drawn at once: those of a square of the image with this side, px, and with about so many pixels in it
where not all are drawn. In smaller squares, calls cost more than what they compute."""


class Projected(NamedTuple):
    """M Gaussians on one image, from near to far."""

    means: Tensor  # (M, 2) px
    conics: Tensor  # (M, 3) the inverse covariance, 1 / px^2: xx, xy, yy
    depths: Tensor  # (M,) along z of the camera
    opacities: Tensor  # (M,)
    colours: Tensor  # (M, C)
    reach: Tensor  # (M, 2) px, beyond which they are not seen; without gradient


def rasterise(splats: Splats, colours: Tensor, poses: Tensor, camera: Camera, pixels: Tensor) -> Drawing:
    """As `methods.nerf.gaussians.rasterise`, one view after the other."""
    views = [
        _composited(projected(splats, shades, pose, camera), chosen, camera)
        for shades, pose, chosen in zip(colours, poses, pixels, strict=True)
    ]
    colour, depth, opacity = (torch.stack(part) for part in zip(*views, strict=True))
    return Drawing(colour, depth, opacity)


def projected(splats: Splats, colours: Tensor, pose: Tensor, camera: Camera) -> Projected:
    """The Gaussians that the camera at `pose` (4, 4), world_from_camera, can see."""
    at = (splats.means - pose[:3, 3]) @ pose[:3, :3]  # (N, 3) in camera axes
    near = (at[:, 2] > NEAREST).nonzero().squeeze(1)
    order = near[at[near, 2].argsort(stable=True)]
    at = at[order]
    x, y, z = at.unbind(-1)
    means = torch.stack([camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy], dim=-1)
    a, b, c = _covariances(splats, order, at, pose, camera)
    scale = (a * c - b * b).clamp(min=1e-10)
    with torch.no_grad():
        reach = REACH * torch.stack([a, c], dim=-1).sqrt()
        size = torch.tensor([camera.width, camera.height], device=at.device)
        seen = ((means + reach > 0) & (means - reach < size)).all(dim=-1).nonzero().squeeze(1)
    conics = torch.stack([c / scale, -b / scale, a / scale], dim=-1)
    return Projected(
        means[seen], conics[seen], z[seen], splats.opacities[order[seen]], colours[order[seen]], reach[seen]
    )  # fmt: skip


def _covariances(
    splats: Splats, order: Tensor, at: Tensor, pose: Tensor, camera: Camera
) -> tuple[Tensor, Tensor, Tensor]:
    """xx, xy and yy, px^2, of the chosen Gaussians on the image, whose means are `at` (M, 3) in camera axes."""
    x, y, z = at.unbind(-1)
    left, right = camera.cx / camera.fx, (camera.width - camera.cx) / camera.fx
    top, bottom = camera.cy / camera.fy, (camera.height - camera.cy) / camera.fy
    beside, above = BEYOND * (left + right) / 2, BEYOND * (top + bottom) / 2
    u, v = (x / z).clamp(-left - beside, right + beside), (y / z).clamp(-top - above, bottom + above)
    zero = torch.zeros_like(z)
    jacobian = torch.stack(
        [camera.fx / z, zero, -camera.fx * u / z, zero, camera.fy / z, -camera.fy * v / z], dim=-1
    ).reshape(-1, 2, 3)
    axes = rotation_matrices(splats.rotations[order]) * splats.scales[order][:, None]  # (M, 3, 3)
    image = jacobian @ pose[:3, :3].T @ axes  # (M, 2, 3): the covariance is its product with itself
    across, down = image.unbind(1)
    return (
        across.square().sum(-1) + LOW_PASS, (across * down).sum(-1), down.square().sum(-1) + LOW_PASS
    )  # fmt: skip


def _composited(seen: Projected, pixels: Tensor, camera: Camera) -> tuple[Tensor, Tensor, Tensor]:
    """Colour (R, C), depth and opacity (R,) of `pixels` (R,) of an image, square by square."""
    points = torch.stack([pixels % camera.width, pixels // camera.width], dim=-1) + 0.5
    packed = torch.cat([seen.means, seen.conics, seen.depths[:, None], seen.opacities[:, None], seen.colours], dim=1)
    with torch.no_grad():
        nearest, farthest = seen.means - seen.reach, seen.means + seen.reach
    parts, places = [], []
    for place in _squares(points, camera):
        low, high = points[place].amin(dim=0), points[place].amax(dim=0)
        touched = ((farthest >= low) & (nearest <= high)).all(dim=-1).nonzero().squeeze(1)
        parts.append(_blended(_unpacked(packed[touched], seen.reach[touched]), points[place]))
        places.append(place)
    back = torch.cat(places).argsort()
    colour, depth, opacity = (torch.cat(part)[back] for part in zip(*parts, strict=True))
    return colour, depth, opacity


def _unpacked(packed: Tensor, reach: Tensor) -> Projected:
    means, conics, depths, opacities, colours = packed.split([2, 3, 1, 1, packed.shape[1] - 7], dim=1)
    return Projected(means, conics, depths.squeeze(1), opacities.squeeze(1), colours, reach)


def _squares(points: Tensor, camera: Camera) -> Iterator[Tensor]:
    """Which of the points (R, 2) share a square of the image, square by square."""
    side = max(SQUARE, (TOGETHER * camera.width * camera.height / max(1, len(points))) ** 0.5)
    x, y = points.div(side, rounding_mode="floor").long().unbind(-1)
    square = y * (camera.width + 1) + x
    order = square.argsort(stable=True)
    yield from order.split(square[order].unique_consecutive(return_counts=True)[1].tolist())


def _blended(seen: Projected, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Colour (R, C), depth and opacity (R,) at points (R, 2), all Gaussians considered at each."""
    x, y = (points[:, None] - seen.means).unbind(-1)  # (R, M)
    a, b, c = seen.conics.unbind(-1)
    alpha = (seen.opacities * torch.exp(-0.5 * (a * x * x + c * y * y) - b * x * y)).clamp(max=DENSEST)
    alpha = torch.where(alpha >= FAINTEST, alpha, 0.0)
    behind = (1 - alpha).cumprod(dim=1)  # of the light, what each Gaussian lets through, with all before it
    before = torch.cat([torch.ones_like(behind[:, :1]), behind], dim=1)[:, :-1]
    weights = torch.where(behind > DARKEST, alpha * before, 0.0)
    opacity = weights.sum(dim=1)
    return weights @ seen.colours, (weights @ seen.depths) / opacity.clamp(min=1e-10), opacity
