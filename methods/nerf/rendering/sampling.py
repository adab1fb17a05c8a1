"""Where along a ray a field is asked. All distances in units of the bounds' half size."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def marching_edges(near: float, far: float, step: float, *, camera_distance: float | None) -> NDArray[np.float32]:
    """Edges (S + 1,) of the intervals that every ray is cut into, from `near` to `far`.

    Equal steps; in an unbounded scene, whose cameras are at `camera_distance` from the centre, they grow with the
    distance from the centre that a ray has at least, as soon as it exceeds 1: as do the voxels of the contracted grid.
    """
    if camera_distance is None:
        count = max(1, int(np.ceil((far - near) / step)))
        return (near + step * np.arange(count + 1)).astype(np.float32)
    edges = [near]
    while edges[-1] < far:
        edges.append(edges[-1] + step * max(1.0, edges[-1] - camera_distance))
    return np.asarray(edges, dtype=np.float32)


def stratified(near: Tensor, far: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    """One distance in each of `count` even cuts of rays, drawn at random (Mildenhall 2020, eq. 2).

    `near` and `far` are (R, 1); without a generator the middle of each cut is taken. Returns distances (R, count).
    """
    start = torch.arange(count, device=near.device, dtype=near.dtype).expand(len(near), count)
    u = torch.rand(len(near), count, generator=generator, dtype=near.dtype).to(near.device) if generator else 0.5
    return near + (far - near) * (start + u) / count


def importance(
    distances: Tensor, weights: Tensor, count: int, generator: torch.Generator | None, *, ends: bool = False
) -> Tensor:
    """`count` more distances a ray, drawn where `weights` (R, S) at sorted `distances` (R, S) are; (R, count), no grad.

    Inverse transform sampling of the piecewise-constant density, Mildenhall 2020, sec. 5.2. Without a generator at the
    middles of even cuts; with `ends`, as most code has it, from quantile 0 to 1, and at the start of a bin that holds
    less than 1e-5.
    """
    distances, weights = distances.detach(), weights.detach()
    middle = (distances[:, 1:] + distances[:, :-1]) / 2  # (R, S - 1)
    mass = weights[:, 1:-1] + 1e-5  # (R, S - 2)
    cumulative = torch.cumsum(mass / mass.sum(dim=1, keepdim=True), dim=1)
    cumulative = torch.cat([torch.zeros_like(cumulative[:, :1]), cumulative], dim=1)  # (R, S - 1)
    if generator:
        u = torch.rand(len(mass), count, generator=generator, dtype=mass.dtype).to(mass.device)
    else:
        line = torch.linspace(0, 1, count, dtype=mass.dtype) if ends else (torch.arange(count) + 0.5) / count
        u = line.to(mass.device).expand(len(mass), count).contiguous()
    above = torch.searchsorted(cumulative, u.contiguous(), right=True)
    last = cumulative.shape[1] - 1
    below = (above - 1).clamp(0, last if ends else last - 1)
    above = above.clamp(1, last)
    low, high = cumulative.gather(1, below), cumulative.gather(1, above)
    start, end = middle.gather(1, below), middle.gather(1, above)
    if ends:
        held = high - low
        return start + (end - start) * (u - low) / torch.where(held < 1e-5, 1.0, held)
    return start + (end - start) * ((u - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)
