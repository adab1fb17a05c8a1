"""Which space is empty, and how far it is to the next that is not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from scipy.ndimage import distance_transform_cdt, label
from torch import Tensor
from torch.nn import functional

from methods.nerf.backends.base import CELL
from methods.nerf.field.grid import GridField
from methods.nerf.rendering.contraction import outside

LAYERS = 8
"""Of a grid, that are interpolated at a time."""

SOLID = 0.5
"""Opacity that some voxel of a part must reach: a part without one is fog."""

PART = 1e-3
"""Of the opacity of the largest part, that a part must hold: one with less is a floater."""

LEAST = 0.1
"""Of all opacity, that parts which count must hold: with less the object itself is faint, and nothing is left out."""


@torch.no_grad()
def refresh(field: GridField) -> float:
    """Bring `field.clearance` up to date with its density; returns the share of space that is not empty."""
    occupied = _occupied(field)
    barred = torch.zeros_like(occupied) if field.barred is None else field.barred
    occupied &= ~barred
    away: Any = barred.cpu().numpy()
    if occupied.any():
        away = distance_transform_cdt(~occupied.cpu().numpy(), "chessboard")
    field.clearance.copy_(torch.from_numpy(np.minimum(away, 255).astype(np.uint8)))
    return float(occupied.float().mean())


def _occupied(field: GridField) -> Tensor:
    """Cells (cells,) in which a sample could be more than `min_alpha` opaque: the densest corner decides."""
    padded = functional.pad(field.density[None, None], [CELL, CELL] * 3, mode="replicate")[0, 0]
    padded = padded[tuple(slice(CELL, CELL + cells * CELL + 1) for cells in field.clearance.shape)]
    densest = functional.max_pool3d(padded[None, None], CELL + 1, stride=CELL)[0, 0]
    length = field.config.sample_step * field.voxel * _stretch(field)
    depth = field.config.density_gain * functional.softplus(densest) * length
    return depth > max(-math.log1p(-field.config.min_alpha), 1e-12)


def _stretch(field: GridField) -> Tensor:
    """How much longer than one step the longest interval in each cell is: 1, or the distance it has in open space."""
    if not field.bounds.contract:
        return torch.ones((), device=field.device)
    squeezed = _middles(field).abs().amax(dim=-1).clamp(max=field.bounds.reach - field.voxel)
    far = outside(squeezed, field.bounds.shell)
    # a camera is taken to be at most one half size further away than it is said to be
    return (far + max(0.0, 1 - field.bounds.camera_distance / field.bounds.half_size)).clamp(min=1)


def cell_centres(field: GridField) -> Tensor:
    """The middles (cells, 3) of the cells of the clearance map, in half sizes from the centre of the bounds."""
    at = _middles(field)
    if not field.bounds.contract:
        return at
    squeezed = at.abs().amax(dim=-1, keepdim=True)
    known = squeezed.clamp(min=1e-9, max=field.bounds.reach - field.voxel)
    return at * (outside(known, field.bounds.shell) / known)


def _middles(field: GridField) -> Tensor:
    """The same in contracted space, in which the cells are even."""
    axes = [
        low + CELL * field.voxel * (torch.arange(cells, device=field.device) + 0.5)
        for low, cells in zip(field.low, field.clearance.shape, strict=True)
    ]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)


def seen_voxels(field: GridField) -> Tensor:
    """Mask (X, Y, Z) of the voxels at the corners of cells that are not empty: no ray ever asks for another."""
    mask = field.clearance == 0
    for axis, count in enumerate(field.shape):
        # cell c has the voxels CELL c, ..., CELL c + CELL: the last is also the first of the next cell
        wide = mask.repeat_interleave(CELL, dim=axis)
        lead, rest = wide.narrow(axis, 0, 1), torch.zeros_like(wide.narrow(axis, 0, 1))
        mask = (torch.cat([wide, rest], dim=axis) | torch.cat([lead, wide], dim=axis)).narrow(axis, 0, count)
    return mask


def extent(field: GridField, opacity: float = 0.02) -> tuple[Tensor, Tensor]:
    """Corners (3,), (3,) in voxels of the box of all parts, of voxels more than `opacity` opaque, but for floaters and
    for fog that touches nothing solid; all where there is none.

    A single faint voxel far out would make the box around the object twice as wide, and its voxels twice as coarse.
    """
    depth = field.config.density_gain * functional.softplus(field.density.detach()) * field.voxel
    opaque = (1 - (-depth).exp()).cpu().numpy()
    labelled: Any = label(opaque > opacity, structure=np.ones((3, 3, 3)))  # voxels that share a corner hang together
    parts, count = labelled
    held = np.bincount(parts.ravel(), weights=opaque.ravel(), minlength=count + 1)
    solid = np.zeros(count + 1, dtype=bool)
    solid[parts[opaque >= SOLID]] = True
    counts = solid & (held > PART * held[1:].max(initial=0.0))
    if held[counts].sum() < LEAST * held[1:].sum():
        counts[1:] = True
    counts[0] = False
    found = np.argwhere(counts[parts])
    if len(found) == 0:
        return torch.zeros(3), torch.tensor(field.shape) - 1.0
    return torch.from_numpy(found.min(axis=0)).float(), torch.from_numpy(found.max(axis=0)).float()


@torch.no_grad()
def resampled(field: GridField, side: int, *, shrink: bool) -> GridField:
    """The same field on about side^3 cubic voxels; with `shrink`, on the box of what it holds and a margin alone."""
    low, high = extent(field) if shrink else (torch.zeros(3), torch.tensor(field.shape) - 1.0)
    if shrink:
        limit = torch.tensor(field.shape) - 1.0
        low, high = (low - 2).clamp(min=0), torch.minimum(high + 2, limit)
    size = (high - low) * field.voxel
    voxel = float(size.prod().item() ** (1 / 3) / (side - 1))
    shape = [max(2, math.ceil(length / voxel - 1e-3) + 1) for length in size.tolist()]
    at = [low[axis] + torch.arange(shape[axis]) * (voxel / field.voxel) for axis in range(3)]  # in old voxels
    corner = tuple(field.low[axis] + float(low[axis]) * field.voxel for axis in range(3))
    finer = GridField(field.bounds, field.background, field.config, tuple(shape), corner, voxel)  # type: ignore[arg-type]
    finer = finer.to(field.device)
    for first in range(0, shape[0], LAYERS):  # a few at a time: colours of a fine grid take gigabytes
        layers = slice(first, first + LAYERS)
        part = [at[0][layers], *at[1:]]
        finer.density[layers] = _interpolate(field.density, part)
        finer.colour[layers] = _interpolate(field.colour, part)
    refresh(finer)
    return finer


def _interpolate(values: Tensor, at: list[Tensor]) -> Tensor:
    """`values` (X, Y, Z, ...) at the lattice of indices `at`, linearly along one axis after another."""
    for axis, index in enumerate(at):
        index = index.to(values.device).clamp(0, values.shape[axis] - 1)
        below = index.floor().long().clamp(max=values.shape[axis] - 2)
        share = (index - below).reshape([-1 if k == axis else 1 for k in range(values.dim())])
        values = torch.lerp(values.index_select(axis, below), values.index_select(axis, below + 1), share)
    return values
