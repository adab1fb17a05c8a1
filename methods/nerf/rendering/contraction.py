"""Unbounded space in a cube."""

from __future__ import annotations

import torch
from torch import Tensor


def contract(x: Tensor, shell: float) -> Tensor:
    """All of space into the cube [-1 - shell, 1 + shell]^3, the cube [-1, 1]^3 left as it is; (..., 3) -> (..., 3).

    mip-NeRF 360, eq. 10, with the maximum norm, whose shells fill a grid without waste, and where `shell` < 1 with
    fewer voxels for what is outside (Sun et al. 2022, "Improved Direct Voxel Grid Optimization", arXiv 2206.05085).
    """
    m = x.abs().amax(dim=-1, keepdim=True).clamp(min=1.0)
    return x * (1 + shell - shell / m) / m


def outside(squeezed: Tensor, shell: float) -> Tensor:
    """The maximum norm of a place whose contracted one has the maximum norm `squeezed`, below 1 + shell."""
    return torch.where(squeezed > 1, shell / (1 + shell - squeezed), squeezed)
