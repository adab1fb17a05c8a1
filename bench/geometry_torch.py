"""Rigid motions in torch, differentiably: the one place where a twist becomes a motion."""

from __future__ import annotations

import torch
from torch import Tensor


def exp_se3(twists: Tensor, unit: float = 1.0) -> Tensor:
    """Rigid motions (N, 3, 4) of twists (N, 6) in se(3): a rotation vector in radians, then a translation in `unit`s.

    Rodrigues' formula, its first terms where the angle is small, so that it is smooth at 0.
    """
    omega, v = twists[:, :3], twists[:, 3:] * unit
    square = omega.square().sum(dim=1)[:, None, None]  # (N, 1, 1)
    small = square < 1e-4
    theta = torch.where(small, torch.ones_like(square), square).sqrt()
    a = torch.where(small, 1 - square / 6, theta.sin() / theta)
    b = torch.where(small, 0.5 - square / 24, (1 - theta.cos()) / theta.square())
    c = torch.where(small, 1 / 6 - square / 120, (theta - theta.sin()) / theta**3)
    zero = torch.zeros_like(omega[:, 0])
    x, y, z = omega.unbind(dim=1)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).reshape(-1, 3, 3)
    eye, twice = torch.eye(3, dtype=twists.dtype, device=twists.device), skew @ skew
    rotation = eye + a * skew + b * twice
    return torch.cat([rotation, (eye + b * skew + c * twice) @ v[:, :, None]], dim=2)


def homogeneous(motions: Tensor) -> Tensor:
    """Motions (N, 3, 4) as matrices (N, 4, 4)."""
    last = motions.new_tensor([[[0.0, 0.0, 0.0, 1.0]]]).expand(len(motions), 1, 4)
    return torch.cat([motions, last], dim=1)
