"""Where was this image taken? Candidates all over the prior, the likeliest refined photometrically, the field frozen.

The same for a training view that may be lost (`reseed.py`) and for a new image of the same scene.
"""

from __future__ import annotations

import torch
from torch import Tensor

from methods.gnerf.poses import Family
from methods.nerf.cameras.intrinsics import Intrinsics
from methods.nerf.field.base import RadianceField
from methods.nerf.field.render import render_points
from methods.nerf.field.render_and_compare import RenderedCandidates
from methods.nerf.images.pyramid import shrunk, shrunk_to
from methods.nerf.training.lost_views import BLURRED, SIDE, Search, placed_among

CHECKED = 1024  # pixels of an image that hypotheses are compared on

FREELY = ((64, 60, 1e-2), (None, 150, 3e-3))
"""How a pose that is nearly right is followed, free of the prior's family: images' longest side, px (None: their own),
steps, and rate ..."""

RAYS = 512
"""... on so many pixels a step."""


def refine(
    field: RadianceField, intrinsics: Intrinsics, family: Family, variables: Tensor, images: Tensor,
    rng: torch.Generator, *, steps: int, rays: int, rate: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Move each of H pose `variables` (H, D) to where its image of `images` (H, C, h, w) fits best, the field frozen.

    Adam at `rate`, which falls to 0, on `rays` random pixels a step and image. Returns the variables, and their mean
    squared errors (H,) on pixels that are the same for all.
    """
    learns = [part.requires_grad for part in field.parameters()]
    field.requires_grad_(False)
    try:
        moved = variables.detach().clone().requires_grad_()
        adam = torch.optim.Adam([moved], lr=rate, betas=(0.9, 0.99))
        with torch.enable_grad():
            for step in range(steps):
                adam.param_groups[0]["lr"] = rate * (1 - step / steps)
                points = 2 * torch.rand(len(images), rays, 2, generator=rng).to(images.device) - 1
                loss = _errors(field, intrinsics, family, moved, images, points).sum()
                (moved.grad,) = torch.autograd.grad(loss, [moved])
                adam.step()
        points = (2 * torch.rand(1, CHECKED, 2, generator=rng) - 1).to(images.device).expand(len(images), -1, -1)
        with torch.no_grad():
            return moved.detach(), _errors(field, intrinsics, family, moved, images, points)
    finally:
        for part, learnt in zip(field.parameters(), learns, strict=True):
            part.requires_grad_(learnt)


def _errors(
    field: RadianceField, intrinsics: Intrinsics, family: Family, variables: Tensor, images: Tensor, points: Tensor
) -> Tensor:
    """Mean squared errors (H,), colours in [0, 1], at image points (H, R, 2)."""
    seen = render_points(field, intrinsics, family.decode(variables), points, None)  # (H, R, C)
    wanted = torch.nn.functional.grid_sample(images, points[:, None], padding_mode="border", align_corners=False)
    return (seen - (wanted[:, :, 0].transpose(1, 2) + 1) / 2).square().mean(dim=(1, 2))


def locate(
    field: RadianceField, intrinsics: Intrinsics, family: Family, images: Tensor, candidates: Tensor,
    answers: Tensor | None, rng: torch.Generator, *, side: int, hypotheses: int,
) -> Tensor:  # fmt: skip
    """Poses (N, 4, 4) of new `images` (N, C, H, W) in [-1, 1].

    `candidates` (M, 4, 4) come from the prior, `answers` (N, D) from the inversion network. The likeliest `hypotheses`
    and the network's answer are refined on a small copy of the image, the best of them on the image itself.
    """
    search = RenderedCandidates.of(field, intrinsics, candidates, side)
    chosen = search.likeliest(search.errors(shrunk(images, (side, side))), hypotheses)  # (N, K)
    starts = family.encode(candidates)[chosen]  # (N, K, D)
    if answers is not None:
        starts = torch.cat([starts, answers[:, None]], dim=1)
    count = starts.shape[1]
    small = shrunk_to(images, 64)
    tried, errors = refine(
        field, intrinsics, family, starts.flatten(0, 1), small.repeat_interleave(count, dim=0), rng,
        steps=40, rays=128, rate=1e-2,
    )  # fmt: skip
    best = errors.reshape(-1, count).argmin(dim=1)
    variables = tried.reshape(len(images), count, -1)[torch.arange(len(images)), best]
    variables, _ = refine(field, intrinsics, family, variables, images, rng, steps=100, rays=256, rate=3e-3)
    return family.decode(variables)


def located_among(
    field: RadianceField, intrinsics: Intrinsics, free: Family, images: Tensor, views: Tensor, present: Tensor,
    rng: torch.Generator, *, budget: Search,
) -> Tensor:  # fmt: skip
    """Poses (N, 4, 4) of new `images` (N, C, H, W) in [-1, 1] before a real background, where `present` (N, 4, 4) is
    what `locate` says, and `free` the family of all poses.

    A capture's cameras are in no family, and what a new image shows beside that which `views` (K, 4, 4) have seen is
    fog of any colour: so its pose is looked for as that of a lost view is, and then followed by colours, freely.
    """
    unit = float((views[:, :3, 3] - field.centre).norm(dim=1).median()) / 4
    squeezed, small = shrunk(images, (SIDE, SIDE)), shrunk_to(images, BLURRED)
    poses = placed_among(field, intrinsics, views, present, squeezed, small, unit, rng, budget=budget)
    variables = free.encode(poses)
    for side, steps, rate in FREELY:
        seen = images if side is None else shrunk_to(images, side)
        variables, _ = refine(field, intrinsics, free, variables, seen, rng, steps=steps, rays=RAYS, rate=rate)
    return free.decode(variables)
