"""Dynamic patches (GNeRF sec. 3.2, after GRAF, Schwarz et al. 2020): few pixels that show the whole or a detail."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from methods.nerf.field.render import lattice


@dataclass(frozen=True, kw_only=True)
class Patches:
    """B square lattices of points in image coordinates [-1, 1]^2, x to the right and y down."""

    points: Tensor  # (B, side, side, 2)
    scale: Tensor  # (B, 1) share of the image's side that each covers: what the discriminator is told

    def to(self, device: torch.device) -> Patches:
        return Patches(points=self.points.to(device), scale=self.scale.to(device))


def draw(count: int, side: int, smallest: float, generator: torch.Generator) -> Patches:
    """Scale uniform in [smallest, 1], then a place uniform among those that stay inside the image."""
    scale = smallest + (1 - smallest) * torch.rand(count, 1, generator=generator)
    shift = (2 * torch.rand(count, 2, generator=generator) - 1) * (1 - scale)
    return Patches(points=lattice(side) * scale[:, :, None, None] + shift[:, None, None], scale=scale)


@dataclass(frozen=True, kw_only=True)
class RealPatches:
    """Patches of images: of which views, where, and what is to be seen there."""

    views: Tensor  # (B,)
    patches: Patches
    pictures: Tensor  # (B, C, side, side) in [-1, 1]


def draw_real(images: Tensor, count: int, side: int, smallest: float, generator: torch.Generator) -> RealPatches:
    """A patch of each of `count` different `images` (N, C, H, W), or of all where there are fewer."""
    views = torch.randperm(len(images), generator=generator)[:count].to(images.device)
    drawn = draw(len(views), side, smallest, generator).to(images.device)
    return RealPatches(views=views, patches=drawn, pictures=cut(images[views], drawn))


def cut(images: Tensor, patches: Patches) -> Tensor:
    """Those patches (B, C, side, side) of `images` (B, C, H, W), bilinearly."""
    return functional.grid_sample(images, patches.points, padding_mode="border", align_corners=False)
