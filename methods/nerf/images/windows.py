"""What small windows of an image show, whatever their brightness and contrast: edges and where they are.

A field knows only what other views have seen. Where a view looks past that, what it renders is fog of any colour, and
a wrong pose from which less of it is seen explains the colours better than the right one. Within a window fog has no
edges, and says nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

SIDE = 8  # pixels that are looked at along a side of a window, STRIDE px apart
STRIDE = 2
FLOOR = 0.03
"""Standard deviation of colours in [0, 1] below which a window counts as plain: what is less is noise."""


@dataclass(frozen=True)
class Windows:
    """W windows of an image, of S pixels each."""

    x: Tensor  # (W * S,) the columns of their pixels, from 0, window after window ...
    y: Tensor  # (W * S,) ... and the rows
    size: int  # S

    @staticmethod
    def over(height: int, width: int, *, stride: int = STRIDE, overlap: int = 1) -> Windows:
        """From edge to edge of an image, side by side, or with an `overlap` of 2 half a side apart; smaller ones, or
        of pixels closer together, where it is small."""
        least = min(height, width)
        side = min(SIDE, least)
        stride = max(1, min(stride, least // side))
        offsets = stride * torch.arange(side)
        corners = [_corners(length, stride * side, overlap) for length in (height, width)]
        y, x = ((corner[:, None] + offsets) for corner in corners)  # (rows, side), (columns, side)
        shape = len(y), len(x), side, side
        return Windows(
            x=x[None, :, None, :].expand(shape).flatten(), y=y[:, None, :, None].expand(shape).flatten(),
            size=side * side,
        )  # fmt: skip

    def structure(self, colours: Tensor) -> Tensor:
        """Colours (N, W * S, C) in [0, 1] of the pixels, without each window's mean and contrast.

        The sum of products of two of them is their zero-mean normalised cross-correlation (Lewis, *Fast Normalized
        Cross-Correlation*, 1995), averaged over windows: 1 at most, and less where windows are plain.
        """
        windows = colours.unflatten(1, (-1, self.size))
        varying = windows - windows.mean(dim=2, keepdim=True)
        contrast = (varying.square().mean(dim=(2, 3), keepdim=True) + FLOOR**2).sqrt()
        return (varying / contrast).flatten(1, 2) / (colours[0].numel() ** 0.5)

    def of(self, images: Tensor) -> Tensor:
        """The `structure` of images (N, C, H, W) in [-1, 1]."""
        x, y = self.x.to(images.device), self.y.to(images.device)
        return self.structure((images[:, :, y, x].transpose(1, 2) + 1) / 2)


def _corners(length: int, span: int, overlap: int) -> Tensor:
    """Where windows of `span` begin, evenly from one end of `length` to the other."""
    count = math.ceil(overlap * (length - span) / span) + 1
    return torch.linspace(0, length - span, count).round().long()
