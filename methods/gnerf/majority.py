"""A scene that looks much the same from several sides: its views come to one of these by majority (not published).

Where each image is explained about as well from elsewhere, AB leaves some views on each side, and its field has learnt
them all there: it explains every view where it stands, and nothing looks wrong. So fields are trained on half of the
views, and the other half, which they have not seen, is placed against them: a field shows best what most of its views
agree on, and more and more views go there. Then the field of phase B begins anew, from one that has not learnt the
others.

Where no side is ahead, chance has to make one so: it did in one such fit, and in one of five no side won (README).
Cross-validation against what a field was taught is as in k-fold; that a majority grows by itself, as in voter models;
no paper has it for poses, as far as we know.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from methods.gnerf.generator import GridGenerator
from methods.gnerf.model import Model
from methods.gnerf.reseed import candidates, compared
from methods.nerf.cameras.rays import view_rays
from methods.nerf.field.grid import GridField
from methods.nerf.field.render_and_compare import RenderedCandidates
from methods.nerf.images.posed_images import Batch
from methods.nerf.training.checkpointing import generator
from methods.nerf.training.coarse_to_fine import CoarseToFineGrid
from methods.nerf.training.deadline import Deadline
from methods.nerf.training.pose_hypotheses import PoseHypotheses

ALIKE = 0.15
"""A view is about as well placed elsewhere where its error there is above that of its best place by less than this
share of what the error of a candidate like any other, the median one, is above it; a scene looks alike from several
sides where half of the views are. What no place explains, noise or occluders, is in all three errors."""

FIRST = 10.0
"""s, that a round may take, before one has been timed."""

FEWEST = 30
"""Views: half of fewer make no field."""

ROUNDS = 10
AGREED = 0.04
"""Share of the views: where no more move in a round, there will be none."""

SIDE, STEPS, RAYS = 48, 200, 3072
"""Voxels along an edge of the half's field, and its training."""

IMAGE = 64
"""px, the longest side of the images that it is trained on, and that views are compared by."""

HYPOTHESES, FOLLOWED, PIXELS, COMPARED = 4, 4, 256, 1024
"""Places of a view, steps of Levenberg-Marquardt from each, on so many pixels; pixels by which they are compared."""

BETTER = 0.97
"""A view moves where its error elsewhere is below this share of that where it stands."""

DRAWS = 2**27
"""Whose randomness is not that of an iteration."""


@dataclass(frozen=True)
class Agreement:
    """How the views of such a scene came to agree."""

    moved: tuple[int, ...]  # views, in each round


@torch.no_grad()
def looks_alike(model: Model, seed: int) -> bool:
    """Whether half of the views are explained about as well from a place that looks from elsewhere."""
    if len(model.sight.ids) < FEWEST or not isinstance(model.generator, GridGenerator):
        return False
    search, targets, present = compared(model, generator(seed, DRAWS))
    errors = search.errors(targets)
    rivals, there = search.rivals(errors, model.poses().detach(), 1)
    elsewhere = torch.where(there, errors.gather(1, rivals), torch.inf)[:, 0]
    best, typical = torch.minimum(present, errors.min(dim=1).values), errors.median(dim=1).values
    return bool((elsewhere - best < ALIKE * (typical - best)).float().mean() >= 0.5)


def agree(model: Model, seed: int, deadline: Deadline, after: int) -> Agreement:
    """Bring the views to the side that most of them are on, and have the field begin anew from there.

    As many rounds as there is time for, with `after` iterations behind them; that there was none for one is noted.
    """
    rng, count, moved, took = generator(seed, DRAWS + 1), len(model.sight.ids), [], FIRST
    while len(moved) < ROUNDS and deadline.leaves(2 * took, after):
        began = time.monotonic()
        moved.append(_round(model, rng))
        took = time.monotonic() - began
        if moved[-1] <= AGREED * count:
            break
    if moved:
        assert isinstance(model.generator, GridGenerator)
        grid = _begun(model, rng, model.generator.preset.coarse_side)
        everyone = torch.arange(count, device=model.device)
        _taught(model, grid, everyone, model.budget.ab, rng)
        model.generator.grid = grid
    else:
        deadline.leave_out("bringing views to one of several sides")
    deadline.no_step()
    return Agreement(moved=tuple(moved))


def _round(model: Model, rng: torch.Generator) -> int:
    """Both halves of the views, placed against what the other half has taught; how many moved."""
    shuffled = torch.randperm(len(model.sight.ids), generator=rng).to(model.device)
    halves = shuffled[: len(shuffled) // 2], shuffled[len(shuffled) // 2 :]
    fields = [_taught(model, _begun(model, rng, SIDE), half, STEPS, rng) for half in halves]
    poses, moved = model.poses().detach().clone(), 0
    for field, half in zip(fields, reversed(halves), strict=True):
        placed, is_new = _placed(model, field, half, rng)
        poses[half] = placed
        moved += int(is_new.sum())
    model.place(torch.arange(len(poses), device=model.device), model.family.encode(poses))
    return moved


@torch.no_grad()
def _placed(model: Model, field: GridField, views: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Where each of the `views` (K,) is explained best, (K, 4, 4), and whether that is elsewhere, (K,)."""
    own = model.poses().detach()
    known = torch.cat([candidates(model, rng), own])
    search = RenderedCandidates.of(field, model.intrinsics, known, model.config.reseed_side)
    errors = search.errors(model.sight.square(model.config.reseed_side)[views])
    starts = torch.cat([own[views, None], known[search.likeliest(errors, HYPOTHESES)]], dim=1)
    held, images = PoseHypotheses(field, model.intrinsics, rng), model.sight.at(IMAGE)[views]
    unit = field.bounds.distance_of(list(own.double().cpu().numpy())) / 4
    followed = held.followed(starts, images, unit, FOLLOWED, PIXELS)
    errors = held.errors(followed, images, COMPARED)
    best = errors.argmin(dim=1)
    moves = errors.gather(1, best[:, None])[:, 0] < BETTER * errors[:, 0]
    best = torch.where(moves, best, 0)
    return followed[torch.arange(len(views), device=best.device), best], moves


def _begun(model: Model, rng: torch.Generator, side: int) -> CoarseToFineGrid:
    assert isinstance(model.generator, GridGenerator)
    field, last = model.generator.field, model.generator.growing.final
    return CoarseToFineGrid(field.bounds, field.background, model.generator.preset, last, rng, coarse_side=side)


def _taught(
    model: Model, grid: CoarseToFineGrid, views: Tensor, steps: int, rng: torch.Generator
) -> GridField:  # fmt: skip
    """The field of a grid after so many `steps` on the `views`, from where these stand."""
    poses = model.poses().detach()
    for _ in range(steps):
        drawn, points, colours = model.sight.draw(IMAGE, RAYS, rng, among=views)
        with torch.no_grad():
            origins, directions = view_rays(model.intrinsics, poses[drawn], points)
        grid.learn(Batch(origins=origins, directions=directions, colours=colours.flatten(0, 1)), rng)
        grid.step(None)
    return grid.field
