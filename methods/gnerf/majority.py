"""A scene that looks much the same from several sides: its views come to one of these by majority (not published).

Where each image is explained about as well from elsewhere, AB leaves some views on each side, and its field has learnt
them all there: it explains every view where it stands, and nothing looks wrong. So fields are trained on half of the
views, and the other half, which they have not seen, is placed against them: a field shows best what most of its views
agree on, and more and more views go there. Then the field of phase B begins anew, from one that has not learnt the
others.

The halves are placed one after the other, so that the second learns from where the first has come: with both at once,
what a side is ahead by grows slowly. Where sides are about even chance has to put one ahead, which it does not always
(README). Cross-validation against what a field was taught is as in k-fold; that a majority grows by itself, as in voter
models; no paper has it for poses, as far as we know.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from methods.gnerf.generator import GridGenerator
from methods.gnerf.model import Model
from methods.gnerf.reseed import candidates, compared
from methods.gnerf.training_run import TrainingRun
from methods.nerf.cameras.rays import view_rays
from methods.nerf.field.grid import GridField
from methods.nerf.field.render_and_compare import RenderedCandidates, same_rotation
from methods.nerf.images.posed_images import Batch
from methods.nerf.training.checkpointing import generator
from methods.nerf.training.coarse_to_fine import CoarseToFineGrid
from methods.nerf.training.pose_hypotheses import PoseHypotheses

ALIKE = 0.15
"""A view is about as well placed elsewhere where its error there is above that of its best place by less than this
share of what the error of a candidate like any other, the median one, is above it; a scene looks alike from several
sides where half of the views are. What no place explains, noise or occluders, is in all three errors."""

FIRST = 10.0
"""s, that a round may take, before one has been timed."""

FEWEST = 30
"""Views: half of fewer make no field."""

ROUNDS = 20
AGREED = 0.01
"""Share of the views, or one: where no more turn in two rounds, hardly one will."""

SIDE, STEPS, RAYS = 48, 200, 3072
"""Voxels along an edge of the half's field, and its training."""

IMAGE = 64
"""px, the longest side of the images that it is trained on, and that views are compared by."""

HYPOTHESES, FOLLOWED, PIXELS, COMPARED = 4, 4, 256, 1024
"""Places of a view, steps of Levenberg-Marquardt from each, on so many pixels; pixels by which they are compared."""

BETTER = 0.97
"""A view moves where its error elsewhere is below this share of that about where it stands."""

DRAWS = 2**27
"""Whose randomness is not that of an iteration."""


@torch.no_grad()
def looks_alike(model: Model, seed: int) -> bool:
    """Whether half of the views are explained about as well from a pose that is turned from their own."""
    if len(model.sight.ids) < FEWEST or not isinstance(model.generator, GridGenerator):
        return False
    search, targets, present = compared(model, generator(seed, DRAWS))
    errors = search.errors(targets)
    rivals, there = search.rivals(errors, model.poses().detach(), 1)
    elsewhere = torch.where(there, errors.gather(1, rivals), torch.inf)[:, 0]
    best, typical = torch.minimum(present, errors.min(dim=1).values), errors.median(dim=1).values
    return bool((elsewhere - best < ALIKE * (typical - best)).float().mean() >= 0.5)


def agree(run: TrainingRun, after: int) -> None:
    """Bring the views to the side that most of them are on, and have the field begin anew from there.

    As many rounds as there is time for, with `after` iterations behind them; that there was none for one is noted. A
    fit that was killed goes on with the round that it was in, where writing the checkpoints takes little beside one.
    """
    model, progress, deadline = run.model, run.progress, run.deadline
    count, turned = len(model.sight.ids), progress.turned
    progress.seconds_after = progress.seconds_after or deadline.foreseen(after)
    run.tell("B", "views to one side")
    while len(turned) < ROUNDS and not agreed(turned, count):
        if not deadline.leaves(2 * (progress.round_seconds or FIRST) + progress.seconds_after):
            break
        began = time.monotonic()
        turned.append(_round(model, generator(run.seed, DRAWS + 1 + len(turned))))
        progress.round_seconds = time.monotonic() - began
        run.save_where_worth("B", progress.round_seconds)
    if turned:
        assert isinstance(model.generator, GridGenerator)
        rng = generator(run.seed, DRAWS + 1 + len(turned))
        grid = _begun(model, rng, model.generator.preset.coarse_side)
        everyone = torch.arange(count, device=model.device)
        _taught(model, grid, everyone, model.budget.ab, rng)
        model.generator.grid = grid
    else:
        deadline.leave_out("bringing views to one of several sides")
    deadline.no_step()


def agreed(turned: Sequence[int], count: int) -> bool:
    """Whether `count` views have come to rest: none `turned` in the last round, or hardly one in the last two.

    That is on one side as a rule; of sides that are even, and all at rest, nothing tells.
    """
    if not turned or turned[-1] == 0:
        return bool(turned)
    return len(turned) > 1 and max(turned[-2:]) <= max(1, AGREED * count)


def _round(model: Model, rng: torch.Generator) -> int:
    """Each half of the views, placed against what the other half teaches, one after the other: how many turned."""
    count, turned = len(model.sight.ids), 0
    first, second = torch.randperm(count, generator=rng).to(model.device).tensor_split([count // 2])
    for teaching, half in ((first, second), (second, first)):
        field = _taught(model, _begun(model, rng, SIDE), teaching, STEPS, rng)
        moving, poses = _placed(model, field, half, rng)
        moving = half[moving]
        own = model.poses().detach()[moving]
        model.place(moving, model.family.encode(poses))
        turned += int((~same_rotation(own, model.poses().detach()[moving]).diagonal()).sum())
    return turned


@torch.no_grad()
def _placed(model: Model, field: GridField, views: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Which of the `views` (K,), by number among them (M,), are explained better than about where they stand, and the
    poses (M, 4, 4) from which they are best."""
    own = model.poses().detach()
    known = torch.cat([candidates(model, rng), own])
    search = RenderedCandidates.of(field, model.intrinsics, known, model.config.reseed_side)
    errors = search.errors(model.sight.square(model.config.reseed_side)[views])
    likely = search.likeliest(errors, HYPOTHESES)
    starts = torch.cat([own[views, None], known[likely]], dim=1)
    held, images = PoseHypotheses(field, model.intrinsics, rng), model.sight.at(IMAGE)[views]
    unit = field.bounds.distance_of(list(own.double().cpu().numpy())) / 4
    followed = held.followed(starts, images, unit, FOLLOWED, PIXELS)
    errors = held.errors(followed, images, COMPARED)
    least, best = errors.min(dim=1)
    moving = (least < BETTER * errors[:, 0]).nonzero()[:, 0]
    return moving, followed[moving, best[moving]]


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
