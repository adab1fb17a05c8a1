"""What a rasteriser is told of Gaussians, and what it answers."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

NEAREST = 0.01
"""Depth before which nothing is drawn, in the unit of the poses."""

LOW_PASS = 0.3
"""Variance in px^2 that is added to every projected Gaussian: none is thinner than a pixel (Kerbl et al. 2023)."""

FAINTEST, DENSEST, DARKEST = 1 / 255, 0.999, 1e-4
"""Less opacity than this at a pixel is none, more is as much; a pixel lets less light than this through to none."""


class Splats(NamedTuple):
    """N Gaussians with their values as they are meant, in the frame and the unit of the poses they are drawn from."""

    means: Tensor  # (N, 3)
    rotations: Tensor  # (N, 4) quaternions, real part first, of any length
    scales: Tensor  # (N, 3) standard deviations along their own axes
    opacities: Tensor  # (N,) in [0, 1]


class Drawing(NamedTuple):
    """What R pixels of V images see. `colour` is what Gaussians emit, before the background shows through."""

    colour: Tensor  # (V, R, C)
    depth: Tensor  # (V, R) mean along z of the camera; 0 where nothing is hit
    opacity: Tensor  # (V, R)

    def over(self, background: Tensor) -> Tensor:
        """Colours (V, R, C) on a `background` (C,)."""
        return self.colour + (1 - self.opacity)[..., None] * background


def rotation_matrices(quaternions: Tensor) -> Tensor:
    """(N, 4), real part first, of any length -> (N, 3, 3)."""
    w, x, y, z = functional.normalize(quaternions, dim=-1).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=-1).reshape(-1, 3, 3)


def inverse(poses: Tensor) -> Tensor:
    """camera_from_world (V, 4, 4) of rigid world_from_camera (V, 4, 4), differentiably."""
    turned = poses[:, :3, :3].transpose(1, 2)
    moved = torch.cat([turned, -turned @ poses[:, :3, 3:]], dim=2)
    return torch.cat([moved, poses[:, 3:]], dim=1)
