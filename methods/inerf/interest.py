"""Which pixels of an image tell most about its pose: those around its corners (iNeRF, sec. 3.3)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

APART = 2
"""Pixels between two corners."""


def interest_region(image: NDArray[np.uint8], keypoints: int, dilation: int) -> NDArray[np.bool_]:
    """Mask (H, W) of an image (H, W, C): its strongest corners, dilated. Everything, where it has no corner."""
    from scipy.ndimage import binary_dilation
    from skimage.feature import corner_peaks, corner_shi_tomasi

    grey = image.mean(axis=-1) / 255
    found = corner_peaks(
        corner_shi_tomasi(grey, sigma=1), min_distance=APART, threshold_rel=0.01, num_peaks=keypoints
    )  # fmt: skip
    region = np.zeros(grey.shape, dtype=bool)
    region[tuple(found.T)] = True
    if dilation:
        region = np.asarray(binary_dilation(region, np.ones((5, 5)), iterations=dilation), dtype=bool)
    return region if region.any() else np.ones_like(region)


def draw_points(regions: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """`count` pixels of each of `regions` (N, H, W) bool, as image points (N, count, 2) in [-1, 1]^2. Both are on the
    CPU: a seed draws the same wherever its field is."""
    height, width = regions.shape[1:]
    pixels = torch.multinomial(regions.flatten(1).float(), count, replacement=True, generator=rng)
    x, y = pixels % width, pixels // width
    return torch.stack([(x + 0.5) * (2 / width) - 1, (y + 0.5) * (2 / height) - 1], dim=-1)
