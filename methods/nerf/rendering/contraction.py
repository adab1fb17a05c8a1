"""Unbounded space in a cube."""

from __future__ import annotations

from torch import Tensor


def contract(x: Tensor) -> Tensor:
    """All of space into the cube [-2, 2]^3, the cube [-1, 1]^3 left as it is; (..., 3) -> (..., 3).

    mip-NeRF 360, eq. 10, with the maximum norm, whose shells fill a grid without waste.
    """
    m = x.abs().amax(dim=-1, keepdim=True).clamp(min=1.0)
    return x * (2 - 1 / m) / m
