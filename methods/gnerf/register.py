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

BRIEFLY, AT_LAST = (60, 192, 1e-2), (100, 256, 3e-3)
"""Steps, pixels a step and rate by which poses of a new image are refined, on a small copy and on the image itself."""

FREELY = ((64, 60, 1e-2), (None, 150, 3e-3))
"""How a pose that is nearly right is followed, free of the prior's family: images' longest side, px (None: their own),
steps, and rate ..."""

RAYS = 512
"""... on so many pixels a step."""


def refine(
    field: RadianceField, intrinsics: Intrinsics, family: Family, variables: Tensor, images: Tensor,
    rng: torch.Generator, *, steps: int, rays: int, rate: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Move each of H pose `variables` (H, D) to where its image of `images` (N, C, h, w) fits best, the field frozen:
    of the first H / N the first, and so on.

    Adam at `rate`, which falls to 0, on `rays` random pixels a step and pose. Returns the variables, and their mean
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
                points = 2 * torch.rand(len(moved), rays, 2, generator=rng).to(images.device) - 1
                loss = _errors(field, intrinsics, family, moved, images, points).sum()
                (moved.grad,) = torch.autograd.grad(loss, [moved])
                adam.step()
        points = (2 * torch.rand(1, CHECKED, 2, generator=rng) - 1).to(images.device).expand(len(moved), -1, -1)
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
    points = points.unflatten(0, (len(images), -1))  # (N, H / N, R, 2): an image is not copied for each of its poses
    wanted = torch.nn.functional.grid_sample(images, points, padding_mode="border", align_corners=False)
    return (seen - (wanted.permute(0, 2, 3, 1).flatten(0, 1) + 1) / 2).square().mean(dim=(1, 2))


def locate(
    field: RadianceField, intrinsics: Intrinsics, family: Family, images: Tensor, candidates: Tensor,
    answers: Tensor | None, rng: torch.Generator, *, side: int, hypotheses: int,
) -> Tensor:  # fmt: skip
    """Poses (N, 4, 4) of new `images` (N, C, H, W) in [-1, 1].

    `candidates` (M, 4, 4) come from the prior, `answers` (N, D) from the inversion network. Twice as many of the
    likeliest as `hypotheses`, and the network's answer, are refined on a small copy of the image; as many as these, the
    best, on the image itself, and what fits best there is the pose.
    """
    search = RenderedCandidates.of(field, intrinsics, candidates, side)
    chosen = search.likeliest(search.errors(shrunk(images, (side, side))), 2 * hypotheses)  # (N, K)
    starts = family.encode(candidates)[chosen]  # (N, K, D)
    if answers is not None:
        starts = torch.cat([starts, answers[:, None]], dim=1)
    for seen, (steps, rays, rate), left in (
        (shrunk_to(images, 64), BRIEFLY, hypotheses),
        (images, AT_LAST, 1),
    ):
        count = starts.shape[1]
        tried, errors = refine(
            field, intrinsics, family, starts.flatten(0, 1), seen, rng, steps=steps, rays=rays, rate=rate
        )
        best = errors.unflatten(0, (-1, count)).topk(min(left, count), dim=1, largest=False).indices
        starts = tried.unflatten(0, (-1, count)).gather(1, best[..., None].expand(-1, -1, tried.shape[1]))
    return family.decode(starts[:, 0])


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
