"""What no ray has ever crossed: it goes on as the space around it does."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from methods.nerf.field.grid import GridField


@torch.no_grad()
def fill_unseen(field: GridField) -> None:
    """Give each voxel whose colour still is what it was before training (exactly 0) the values of those around it.

    Before a real background a new view looks past what the others have seen. Left as they are, such voxels are grey
    fog; their surroundings are the better guess: a table goes on, and a dark room stays dark.
    """
    seen = (field.colour != 0).any(dim=-1)
    values = torch.cat([field.density[..., None], field.colour], dim=-1).permute(3, 0, 1, 2)  # (1 + C K, X, Y, Z)
    density, *colour = pushed_and_pulled(values, seen)
    field.density.copy_(density)
    field.colour.copy_(torch.stack(colour, dim=-1))


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
