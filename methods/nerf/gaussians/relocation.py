"""Dead Gaussians moved to where others are, so that what is seen stays the same (Kheradmand et al. 2024, arXiv
2404.09591, sec. 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor

MOST = 51
"""Gaussians that one may be shared out to, as in the authors' code."""


def shared_out(opacities: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
    """Opacity (N,), and the factor (N,) of the scales, of each of the `times` (N,) Gaussians that take the place of one
    (eq. 9).

    The paper's double sum is a single one, for the binomials (i - 1 over k), i from 1 to n, add up to (n over k + 1).
    """
    count = times.clamp(1, MOST).double()
    old = opacities.double()
    new = 1 - (1 - old) ** (1 / count)
    k = torch.arange(1, MOST + 1, device=old.device, dtype=torch.float64)  # (K,)
    n, p = count[:, None], new[:, None]
    chosen = torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma((n - k).clamp(min=0) + 1)
    terms = torch.where(k <= n, chosen.exp() * p**k * (-1) ** (k - 1) / k.sqrt(), 0.0)
    return new.to(opacities), (old / terms.sum(dim=1)).to(opacities)


def drawn(opacities: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Numbers (count,) of Gaussians, the more opaque ones more often. The generator is of the CPU."""
    if count == 0:
        return torch.zeros(0, dtype=torch.long, device=opacities.device)
    chosen = torch.multinomial(opacities.detach().float().cpu(), count, replacement=True, generator=generator)
    return chosen.to(opacities.device)
