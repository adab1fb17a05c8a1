"""Volume rendering by the quadrature rule of Max 1995, as in Mildenhall et al. 2020, eq. 3."""

from __future__ import annotations

import torch
from torch import Tensor


def weights_of(optical_depth: Tensor, min_alpha: float = 0.0, min_transmittance: float = 0.0) -> Tensor:
    """What each sample adds to its ray: (R, S) density times interval -> (R, S) weights that sum to the opacity.

    A sample fainter than `min_alpha` counts as empty; behind transmittance `min_transmittance` nothing is seen.
    """
    alpha = 1 - torch.exp(-optical_depth)
    if min_alpha > 0:
        alpha = torch.where(alpha > min_alpha, alpha, 0.0)
    passed = torch.cumprod(1 - alpha, dim=1)
    transmittance = torch.cat([torch.ones_like(passed[:, :1]), passed[:, :-1]], dim=1)
    if min_transmittance > 0:
        alpha = torch.where(transmittance >= min_transmittance, alpha, 0.0)
    return alpha * transmittance
