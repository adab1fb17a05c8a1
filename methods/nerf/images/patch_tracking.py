"""Small patches of an image, found again in other images of the same scene, to a fraction of a pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

CELL = 8  # px: one point in each square of this side, where it looks most like a corner ...
ACROSS = 25  # ... and squares so much larger that no more than these lie along the longest side: large images have time
BORDER = 8  # px from the edge of the image: a patch needs room to move
CORNER = 0.4
"""Of the median cell's corner: what is less is too plain to be found again."""


class Scale(NamedTuple):
    """On which patches are looked for."""

    blur: float  # of the images, standard deviation, px
    half: int  # of a patch's side, px ...
    stride: int  # ... and between two of its samples
    steps: int  # of Lucas-Kanade


SCALES = Scale(blur=2.0, half=6, stride=2, steps=8), Scale(blur=0.7, half=6, stride=1, steps=10)
"""Coarse, then fine."""

AT_ONCE = 16  # images that are blurred together: the work takes many times their memory

LONGEST = 1.0  # px of a step
SETTLED = 0.05  # px of the last step of those that have come to rest
FURTHEST = 6.0  # px from the guess
ALIKE = 0.8
"""Normalised cross-correlation of two patches that show the same."""


def corners(image: Tensor) -> Tensor:
    """Points (N, 2) of `image` (C, H, W), x and y in px, the first pixel's middle at 0.5: in each cell the one around
    which the image changes most in all directions, by the lesser eigenvalue (Shi and Tomasi, CVPR 1994)."""
    blurred = _blurred(image[None], SCALES[-1].blur)
    gx = functional.pad((blurred[..., 2:] - blurred[..., :-2]) / 2, (1, 1))
    gy = functional.pad((blurred[..., 2:, :] - blurred[..., :-2, :]) / 2, (0, 0, 1, 1))
    xx, xy, yy = (_blurred(part.sum(dim=1, keepdim=True), 2.0)[0, 0] for part in (gx * gx, gx * gy, gy * gy))
    least = (xx + yy) / 2 - ((xx - yy).square() / 4 + xy.square()).sqrt()
    inner = torch.zeros_like(least)
    inner[BORDER:-BORDER, BORDER:-BORDER] = least[BORDER:-BORDER, BORDER:-BORDER]
    cell = max(CELL, math.ceil(max(inner.shape) / ACROSS))
    rows, columns = inner.shape[0] // cell, inner.shape[1] // cell
    cells = inner[: rows * cell, : columns * cell].unflatten(0, (rows, cell)).unflatten(2, (columns, cell))
    best, where = cells.transpose(1, 2).flatten(2).max(dim=2)
    x = torch.arange(columns, device=image.device) * cell + where % cell
    y = torch.arange(rows, device=image.device)[:, None] * cell + where // cell
    kept = best > CORNER * best.median()
    return torch.stack([x[kept], y[kept]], dim=1).to(image) + 0.5


def blurred(images: Tensor) -> list[Tensor]:
    """Images (N, C, H, W) as they are looked at on each of the SCALES."""
    return [torch.cat([_blurred(some, scale.blur) for some in images.split(AT_ONCE)]) for scale in SCALES]


def tracked(
    images: Sequence[Tensor], view: int, others: Tensor, points: Tensor, guesses: Tensor, warps: Tensor
) -> tuple[Tensor, Tensor]:
    """Where patches of one view around `points` (N, 2) are in the `others` (K,), of images `blurred`: points (K, N, 2)
    in px, and whether they are there (K, N).

    From `guesses` (K, N, 2) on, by Lucas and Kanade's method, inverse compositional (Baker and Matthews, IJCV 2004,
    sec. 3.2), on patches whose mean and contrast are taken out; `warps` (K, N, 2, 2) are how steps in the view become
    steps in the others, and do not change.
    """
    found = guesses
    moved = alike = torch.zeros_like(guesses[..., 0])
    for scale, looks in zip(SCALES, images, strict=True):
        found, moved, alike = _followed(looks[view, None], looks[others], points, found, warps, scale)
    near = (found - guesses).norm(dim=2) < FURTHEST
    return found, (alike > ALIKE) & (moved < SETTLED) & near


def _followed(
    here: Tensor, there: Tensor, points: Tensor, found: Tensor, warps: Tensor, scale: Scale
) -> tuple[Tensor, Tensor, Tensor]:
    """Points (K, N, 2), how long the last steps to them were (K, N), px, and how alike the patches were before it."""
    line = torch.arange(-scale.half, scale.half + 1, scale.stride).to(points)
    y, x = torch.meshgrid(line, line, indexing="ij")
    offsets = torch.stack([x, y], dim=-1).reshape(-1, 2)  # (P, 2)
    weights = torch.exp(-offsets.square().sum(dim=1) / (2 * (0.8 * scale.half) ** 2))
    places = points[:, None] + offsets
    patch, size = _normalised(sampled(here, places[None]))  # (1, C, N, P), (1, 1, N, 1)
    right, down = 0.5 * torch.eye(2).to(points)
    slopes = [sampled(here, (places + way)[None]) - sampled(here, (places - way)[None]) for way in (right, down)]
    gx, gy = ((slope - slope.mean(dim=3, keepdim=True)) / size for slope in slopes)
    xx, xy, yy = ((weights * part).sum(dim=(1, 3)) for part in (gx * gx, gx * gy, gy * gy))  # (1, N)
    det = (xx * yy - xy.square()).clamp(min=1e-9)
    around = torch.einsum("knij,pj->knpi", warps, offsets)
    moved = alike = torch.zeros_like(found[..., 0])
    for _ in range(scale.steps):
        seen, _ = _normalised(sampled(there, found[:, :, None] + around))  # (K, C, N, P)
        alike = (seen * patch).sum(dim=(1, 3))
        left = weights * (seen - patch)
        u, v = (left * gx).sum(dim=(1, 3)), (left * gy).sum(dim=(1, 3))  # (K, N)
        step = torch.stack([yy * u - xy * v, xx * v - xy * u], dim=2) / det[..., None]
        step = torch.einsum("knij,knj->kni", warps, step)
        moved = step.norm(dim=2)
        found = found - step * (LONGEST / moved.clamp(min=LONGEST))[..., None]
    return found, moved, alike


def sampled(images: Tensor, points: Tensor) -> Tensor:
    """Values (K, C, N, P) of images (K, C, H, W) at points (K, N, P, 2) in px; beyond the edge those at the edge."""
    size = torch.tensor(images.shape[:1:-1], device=images.device, dtype=images.dtype)
    return functional.grid_sample(
        images, points * (2 / size) - 1, mode="bilinear", padding_mode="border", align_corners=False
    )


def _normalised(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Patches (K, C, N, P) without the mean of each channel, of length 1 over all; and the lengths (K, 1, N, 1)."""
    varying = patches - patches.mean(dim=3, keepdim=True)
    size = varying.square().sum(dim=(1, 3), keepdim=True).sqrt().clamp(min=1e-6)
    return varying / size, size


def _blurred(images: Tensor, sigma: float) -> Tensor:
    """Images (K, C, H, W), Gaussian with a standard deviation of `sigma` px."""
    reach = math.ceil(3 * sigma)
    line = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-line.square() / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, 1, -1)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # whose 10 bits would move what is looked for
        across = functional.conv2d(
            functional.pad(images, (reach, reach, 0, 0), mode="replicate"), kernel, groups=images.shape[1]
        )
        return functional.conv2d(
            functional.pad(across, (0, 0, reach, reach), mode="replicate"), kernel.transpose(2, 3),
            groups=images.shape[1],
        )  # fmt: skip
