"""How far an image is from another, differentiably, where whole images are rendered."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

WINDOW, SIGMA = 11, 1.5  # px
C1, C2 = 0.01**2, 0.03**2


def image_loss(image: Tensor, target: Tensor, weight: float) -> Tensor:
    """(1 - weight) * mean absolute error + weight * (1 - SSIM) of images (H, W, C) in [0, 1] (Kerbl et al. 2023, arXiv
    2308.04079, eq. 7, as in the authors' code, where the second term is not halved)."""
    error = functional.l1_loss(image, target)
    return error if weight == 0 else (1 - weight) * error + weight * (1 - similarity(image, target).mean())


def similarity(image: Tensor, target: Tensor) -> Tensor:
    """Structural similarity (C, H, W) of images (H, W, C), Gaussian windows, zeros around the images (Wang et al.
    2004)."""
    pair = torch.stack([image, target]).permute(0, 3, 1, 2)  # (2, C, H, W)
    stack = torch.cat([pair, pair.square(), pair[:1] * pair[1:]])
    (x, y, xx, yy, xy) = _blurred(stack)
    similar = (2 * x * y + C1) * (2 * (xy - x * y) + C2)
    return similar / ((x * x + y * y + C1) * (xx - x * x + yy - y * y + C2))


def _blurred(stack: Tensor) -> Tensor:
    """(N, C, H, W), rows and then columns."""
    at = torch.arange(WINDOW, device=stack.device, dtype=stack.dtype) - WINDOW // 2
    bell = torch.exp(-0.5 * (at / SIGMA) ** 2)
    bell = bell / bell.sum()
    flat = stack.reshape(-1, 1, *stack.shape[2:])
    rows = functional.conv2d(flat, bell[None, None, :, None], padding=(WINDOW // 2, 0))
    return functional.conv2d(rows, bell[None, None, None], padding=(0, WINDOW // 2)).reshape(stack.shape)
