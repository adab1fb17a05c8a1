"""What a field holds before images have said anything, and what it is given where they never do."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from methods.nerf.field.grid import GridField
from methods.nerf.rendering.encoding import harmonics

GRAZED = 10
"""Steps of Adam by which neither a raw colour nor the raw density of a voxel has moved: what a ray or two grazed says
no more of a place than what is around it. (A wall of the mean colour has its density.)"""


@torch.no_grad()
def begin_with_mean(field: GridField) -> None:
    """Give every voxel the colour of the background (within 0.02 to 0.98), before a real one the images' mean colour.

    Then a surface costs nothing, and empty space wins nothing, before it has a colour.
    """
    field.colour.copy_(_start(field))


@torch.no_grad()
def fill_unseen(field: GridField) -> None:
    """Give each voxel that is nearly what it was before training the values of those around it.

    Before a real background a new view looks past what the others have seen. Left as they are, such voxels are fog of
    the mean colour; their surroundings are the better guess: a table goes on, and a dark room stays dark.
    """
    config = field.config
    seen = ((field.colour - _start(field)).abs() > GRAZED * config.colour_lr).any(dim=-1)
    seen |= (field.density - config.density_start).abs() > GRAZED * config.density_lr
    values = torch.cat([field.density[..., None], field.colour], dim=-1).permute(3, 0, 1, 2)  # (1 + C K, X, Y, Z)
    density, *colour = pushed_and_pulled(values, seen)
    field.density.copy_(density)
    field.colour.copy_(torch.stack(colour, dim=-1))


def _start(field: GridField) -> Tensor:
    """The raw colours (C K,) of `begin_with_mean`."""
    terms = field.colour.shape[-1] // field.channels
    constant = harmonics(field.background.new_tensor([[0.0, 0.0, 1.0]]), 0)
    start = torch.zeros_like(field.colour[0, 0, 0])
    start[::terms] = torch.logit(field.background.clamp(0.02, 0.98)) / constant[0, 0]
    return start


def pushed_and_pulled(values: Tensor, known: Tensor) -> Tensor:
    """`values` (K, X, Y, Z) where `known` (X, Y, Z); elsewhere what a pyramid of means says of the neighbourhood.

    Push and pull (Gortler et al. 1996, The Lumigraph, sec. 3.4), with hard masks. Unchanged where nothing is known.
    """
    if known.all() or not known.any():
        return values
    share = known.to(values)
    means = functional.avg_pool3d(torch.cat([values * share, share[None]]), 2, ceil_mode=True)
    weight = means[-1]
    coarse = pushed_and_pulled(means[:-1] / weight.clamp(min=1e-9), weight > 0)
    wide = functional.interpolate(coarse[None], size=values.shape[1:], mode="trilinear", align_corners=False)[0]
    return torch.where(known, values, wide)
