"""Poses that fit better, in a few steps, without a gradient through what is fitted: for a field that is frozen."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bench.geometry_torch import exp_se3, homogeneous

STRIDE = 3e-3
"""Radians, and units of length, between the two ends of a difference: half a pixel of an image of 200."""

DAMPING = 1e-2
"""At first, as a share of the diagonal: a third after each step that fits better, ten times as much after another."""

LONGEST = 0.1
"""Radians, and units: of a step."""


@torch.no_grad()
def fitted(residuals: Callable[[Tensor], Tensor], poses: Tensor, *, pivot: Tensor, unit: float, steps: int) -> Tensor:
    """Poses (H, 4, 4), each moved where the sum of the squares of its row of `residuals(poses)` (H, R) is less.

    Levenberg-Marquardt (Marquardt 1963) on twists about `pivot` (3,), lengths in `unit`s; the Jacobian is one of
    differences, six evaluations a step.
    """
    left = residuals(poses)
    damping = torch.full_like(left[:, 0], DAMPING)
    axes = STRIDE * torch.eye(6, dtype=poses.dtype, device=poses.device)
    for _ in range(steps):
        ends = [residuals(moved_about(poses, axis.expand(len(poses), 6), pivot, unit)) for axis in axes]
        slopes = (torch.stack(ends, dim=2) - left[:, :, None]) / STRIDE  # (H, R, 6)
        tried = moved_about(poses, _step(slopes, left, damping), pivot, unit)
        found = residuals(tried)
        better = found.square().sum(dim=1) < left.square().sum(dim=1)
        poses = torch.where(better[:, None, None], tried, poses)
        left = torch.where(better[:, None], found, left)
        damping = torch.where(better, damping / 3, damping * 10)
    return poses


def _step(slopes: Tensor, left: Tensor, damping: Tensor) -> Tensor:
    """Twists (H, 6) towards the least squares of residuals `left` (H, R), LONGEST at most."""
    normal = slopes.transpose(1, 2) @ slopes
    scale = normal.diagonal(dim1=1, dim2=2) + 1e-9  # a direction that changes nothing is not gone into
    normal = normal + torch.diag_embed(damping[:, None] * scale + 1e-9)
    step = -torch.linalg.solve(normal, slopes.transpose(1, 2) @ left[:, :, None])[:, :, 0]
    return step * (LONGEST / step.norm(dim=1, keepdim=True).clamp(min=LONGEST))


def moved_about(poses: Tensor, twists: Tensor, pivot: Tensor, unit: float) -> Tensor:
    """Poses (H, 4, 4) after motions (H, 6) about the pivot."""
    around = torch.eye(4, dtype=poses.dtype, device=poses.device)
    around[:3, 3] = pivot
    return around @ homogeneous(exp_se3(twists, unit)) @ around.inverse() @ poses
