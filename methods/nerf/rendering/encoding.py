"""What a field sees of a position or a direction."""

from __future__ import annotations

import torch
from torch import Tensor


def frequencies(x: Tensor, count: int, coarse_to_fine: float = 1.0, *, lowest: float = torch.pi) -> Tensor:
    """x, sin(2^k pi x), cos(2^k pi x) for k < `count`: (..., 3) -> (..., 3 + 6 count). Mildenhall 2020, eq. 4.

    With another `lowest` frequency than pi: sin(2^k lowest x).
    `coarse_to_fine` in [0, 1] lets in that share of the frequencies, the next one fading in: BARF's alpha over `count`
    (Lin et al. 2021, eq. 14).
    """
    if count == 0:
        return x
    angle = (x[..., None, :] * (2.0 ** torch.arange(count, device=x.device, dtype=x.dtype) * lowest)[:, None]).flatten(
        -2
    )
    waves = angle.sin(), angle.cos()
    if coarse_to_fine < 1:
        fading = (coarse_to_fine * count - torch.arange(count, device=x.device, dtype=x.dtype)).clamp(0, 1)
        weight = ((1 - (fading * torch.pi).cos()) / 2).repeat_interleave(x.shape[-1])
        waves = waves[0] * weight, waves[1] * weight
    return torch.cat([x, *waves], dim=-1)


def harmonics(direction: Tensor, degree: int) -> Tensor:
    """Real spherical harmonics up to `degree` of unit directions, (R, 3) -> (R, (degree + 1)^2).

    Scaled so that the constant one is 1: a field of degree 0 stores colours as they are.
    """
    x, y, z = direction.unbind(-1)
    terms = [torch.ones_like(x)]
    if degree >= 1:
        terms += [3**0.5 * y, 3**0.5 * z, 3**0.5 * x]
    if degree >= 2:
        terms += [
            15**0.5 * x * y, 15**0.5 * y * z, 5**0.5 / 2 * (3 * z * z - 1), 15**0.5 * x * z,
            15**0.5 / 2 * (x * x - y * y),
        ]  # fmt: skip
    if degree >= 3:
        terms += [
            (35 / 8) ** 0.5 * y * (3 * x * x - y * y), 105**0.5 * x * y * z, (21 / 8) ** 0.5 * y * (5 * z * z - 1),
            7**0.5 / 2 * z * (5 * z * z - 3), (21 / 8) ** 0.5 * x * (5 * z * z - 1),
            105**0.5 / 2 * z * (x * x - y * y), (35 / 8) ** 0.5 * x * (x * x - 3 * y * y),
        ]  # fmt: skip
    return torch.stack(terms, dim=-1)
