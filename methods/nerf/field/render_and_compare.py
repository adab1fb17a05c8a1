"""Render and compare: how a field looks from many poses, against images of which no pose is known."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from methods.nerf.cameras.intrinsics import Intrinsics
from methods.nerf.field.base import RadianceField
from methods.nerf.field.render import render_whole

CHUNK = 64  # renders at a time
APART = 0.35  # radians (20 degrees) between the rotations of different hypotheses: from above all sides of a scene are
# about one viewing direction
FLANK = 1e3  # more than any error: what a neighbour beats is looked at after all that none does


@dataclass(frozen=True, kw_only=True)
class RenderedCandidates:
    """What is searched: poses `candidates` (M, 4, 4) and how they look, squeezed to (M, C, s, s) in [-1, 1]."""

    candidates: Tensor
    renders: Tensor

    @staticmethod
    @torch.no_grad()
    def of(field: RadianceField, intrinsics: Intrinsics, candidates: Tensor, side: int) -> RenderedCandidates:
        return RenderedCandidates(candidates=candidates, renders=render_views(field, intrinsics, candidates, side))

    def errors(self, targets: Tensor) -> Tensor:
        """Mean squared errors (N, M) of all renders against squeezed images `targets` (N, C, s, s), in one product."""
        a, b = targets.flatten(1), self.renders.flatten(1)
        squares = a.square().sum(dim=1)[:, None] + b.square().sum(dim=1) - 2 * a @ b.T
        return squares.clamp(min=0) / a.shape[1]

    def likeliest(self, errors: Tensor, count: int) -> Tensor:
        """The `count` best candidates (N, count) that are turned by APART from each other, by `errors` (N, M).

        An image with fewer such modes repeats its best one.
        """
        alike = same_rotation(self.candidates, self.candidates)
        left, first = errors.clone(), errors.argmin(dim=1)
        chosen = []
        for _ in range(count):
            best = left.argmin(dim=1)
            spent = left.gather(1, best[:, None])[:, 0].isinf()
            chosen.append(torch.where(spent, first, best))
            left[alike[best]] = torch.inf
        return torch.stack(chosen, dim=1)

    def rivals(self, errors: Tensor, own: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The `count` best candidates (N, count) of each image that are turned by APART from its `own` pose (N, 4, 4),
        and from each other, by `errors` (N, M); and whether there is one, (N, count).

        First those that no candidate near them beats: the flank of the own pose is no hypothesis of its own.
        """
        near = same_rotation(self.candidates, self.candidates)
        left = torch.stack([each + FLANK * (torch.where(near, each, torch.inf).amin(dim=1) < each) for each in errors])
        left[same_rotation(own, self.candidates)] = torch.inf
        chosen, found = [], []
        for _ in range(count):
            best = left.argmin(dim=1)
            chosen.append(best)
            found.append(left.gather(1, best[:, None])[:, 0].isfinite())
            left[near[best]] = torch.inf
        return torch.stack(chosen, dim=1), torch.stack(found, dim=1)


def same_rotation(a: Tensor, b: Tensor) -> Tensor:
    """Whether poses (N, 4, 4) and (M, 4, 4) are turned by less than APART radians from each other, (N, M)."""
    cosine = (a[:, :3, :3].flatten(1) @ b[:, :3, :3].flatten(1).T - 1) / 2
    return cosine > math.cos(APART)


@torch.no_grad()
def render_views(field: RadianceField, intrinsics: Intrinsics, poses: Tensor, side: int) -> Tensor:
    """PosedImages (M, C, side, side) in [-1, 1] from `poses` (M, 4, 4), a few at a time."""
    return torch.cat([render_whole(field, intrinsics, part, side) for part in poses.split(CHUNK)])
