"""Several poses for one image, held against a frozen field: followed to where they fit better, and compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from methods.nerf.cameras.intrinsics import Intrinsics
from methods.nerf.cameras.levenberg_marquardt import fitted
from methods.nerf.field.base import RadianceField
from methods.nerf.field.render import render_points
from methods.nerf.images.windows import Windows

RAYS = 8192
"""At once: a network's activations of all images and hypotheses would take gigabytes."""

LEAST = 1e-6
"""Mean squared error below which nothing is told apart: 60 dB."""


@dataclass(frozen=True)
class PoseHypotheses:
    """Of N images (N, C, H, W) in [-1, 1], each with H poses (N, H, 4, 4) from which it may have been taken."""

    field: RadianceField
    intrinsics: Intrinsics
    rng: torch.Generator
    by_structure: bool = False
    """Whether what windows show is compared (`images/windows.py`), and not colours: for views that look past what the
    field knows."""

    @torch.no_grad()
    def followed(self, starts: Tensor, images: Tensor, unit: float, steps: int, pixels: int | None = None) -> Tensor:
        """Poses (N, H, 4, 4), moved from `starts` to where each hypothesis fits its image of `images` better.

        In `steps` of Levenberg-Marquardt on so many `pixels`, the same in all (by structure, on those of all windows);
        lengths in `unit`s.
        """
        count = starts.shape[1]
        points, wanted, look = self._pixels(images, pixels)
        points, wanted = (part.repeat_interleave(count, dim=0) for part in (points, wanted))

        def residuals(poses: Tensor) -> Tensor:
            return (look(self._seen(poses, points)) - wanted).flatten(1)

        found = fitted(residuals, starts.flatten(0, 1), pivot=self.field.centre, unit=unit, steps=steps)
        return found.unflatten(0, (-1, count))

    @torch.no_grad()
    def errors(self, poses: Tensor, images: Tensor, pixels: int | None = None) -> Tensor:
        """Mean squared errors (N, H), colours in [0, 1], of the hypotheses (N, H, 4, 4), on the same `pixels`; by
        structure 1 less the correlation."""
        points, wanted, look = self._pixels(images, pixels)
        held = [look(self._seen(each, points)) for each in poses.unbind(dim=1)]
        if self.by_structure:
            return torch.stack([1 - (seen * wanted).sum(dim=(1, 2)) for seen in held], dim=1)
        return torch.stack([(seen - wanted).square().mean(dim=(1, 2)) for seen in held], dim=1).clamp(min=LEAST)

    def _seen(self, poses: Tensor, points: Tensor) -> Tensor:
        """Colours (N, P, C) of points (N, P, 2) from poses (N, 4, 4), RAYS or one image's at a time."""
        size = max(1, RAYS // points.shape[1])
        parts = zip(poses.split(size), points.split(size), strict=True)
        return torch.cat([render_points(self.field, self.intrinsics, *part, None) for part in parts])

    def _pixels(self, images: Tensor, count: int | None) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
        """Points (N, P, 2) in [-1, 1]^2, the same in all images, what is to be seen there (N, P, C), and how to look at
        colours (N, P, C) in [0, 1] to compare them with that."""
        height, width = images.shape[2:]
        if self.by_structure:
            windows = Windows.over(height, width)
            x, y, wanted, look = windows.x, windows.y, windows.of(images), windows.structure
        else:
            assert count, "colours are compared on some pixels"
            pixels = torch.randperm(height * width, generator=self.rng)[:count]
            x, y, look = pixels % width, pixels // width, _as_they_are
            wanted = (images[:, :, y, x].transpose(1, 2) + 1) / 2
        points = torch.stack([(x + 0.5) * (2 / width) - 1, (y + 0.5) * (2 / height) - 1], dim=-1).to(images.device)
        return points.expand(len(images), -1, -1), wanted, look


def _as_they_are(colours: Tensor) -> Tensor:
    return colours
