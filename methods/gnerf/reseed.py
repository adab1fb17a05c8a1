"""Render and compare: the whole prior, seen from the present field, against every image.

The inversion network maps an image to one pose, so views that look alike from two sides may be lost to the wrong one,
and the photometric loss cannot bring them back. Comparing each image with renders from all over the prior can.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from methods.gnerf.model import Body, Model
from methods.gnerf.poses import turned
from methods.gnerf.register import refine
from methods.nerf.field.render_and_compare import RenderedCandidates, render_views

ANCHORS = 8
"""Members of a rigid body at whose present poses the whole is tried."""

JUDGED = 16
"""Members of a rigid body whose images tell where it is tried best, up to twice as many in a small one: what it costs
must not grow with the square of its size, or with more than the search for single views."""

AS_WELL = 1.1
"""A body has six freedoms and not six for each view: its error may be larger by so much."""

DOUBT = 1.5
"""A view is doubtful when its error is above so many times the median view's."""


@torch.no_grad()
def reseed(model: Model, rng: torch.Generator, free: Tensor | None = None) -> int:
    """Move each view whose best candidate looks much more like its image than its present render; returns how many.

    With `free` (N,), only those.
    """
    search, targets, present = compared(model, rng)
    errors, best = search.errors(targets).min(dim=1)
    better = errors < model.config.reseed_gain * present
    lost = (better if free is None else better & free).nonzero()[:, 0]
    model.place(lost, model.family.encode(search.candidates[best[lost]]))
    return len(lost)


@torch.no_grad()
def settle(model: Model, bodies: Sequence[Body], rng: torch.Generator) -> int:
    """Place each rigid body as a whole, if that explains its images about as well as a pose of its own for each does.

    It is tried where each of its members stands by now, and at the likeliest candidates for each, and the best of these
    is taken. Returns how many views moved.
    """
    bodies = [body for body in bodies if len(body.views) > 1]
    if not bodies:
        return 0
    side, moved, field = model.config.reseed_side, 0, model.generator.field
    search, targets = _searched(model, rng)

    def misfit(poses: Tensor, views: Tensor) -> float:
        seen = render_views(field, model.intrinsics, poses, side)
        return float((seen - targets[views]).square().mean())

    for body in bodies:
        present = model.poses().detach()[body.views]
        shape = model.family.stretched(body.poses)
        anchors = torch.arange(0, len(present), max(1, len(present) // ANCHORS))
        likely = search.likeliest(search.errors(targets[body.views[anchors]]), model.config.hypotheses)  # (A, H)
        stands = torch.cat([present[anchors, None], search.candidates[likely]], dim=1)  # (A, 1 + H, 4, 4)
        tried = [move @ shape for move in (stands @ shape[anchors, None].inverse()).flatten(0, 1)]
        judged = torch.arange(0, len(present), max(1, len(present) // JUDGED))
        best = min(tried, key=lambda poses: misfit(poses[judged], body.views[judged]))
        if misfit(best, body.views) < AS_WELL * misfit(present, body.views):
            model.place(body.views, model.family.encode(best))
            moved += len(body.views)
    return moved


def reconsider(model: Model, rng: torch.Generator) -> int:
    """Try other poses of the doubtful views in earnest: refine each hypothesis, the field frozen, and keep the best.

    For phase B, whose field is sharp enough to tell. Returns how many views moved.
    """
    search, targets, present = compared(model, rng)
    doubtful = (present > DOUBT * present.median()).nonzero()[:, 0]
    if len(doubtful) == 0:
        return 0
    others = search.likeliest(search.errors(targets[doubtful]), model.config.hypotheses)  # (K, H)
    kind = model.family.bounded(model.prior)
    present_ones = model.family.recoded(model.variables[doubtful].detach(), kind)
    starts = torch.cat([present_ones[:, None], kind.encode(search.candidates)[others]], 1)
    count = starts.shape[1]
    images = model.sight.at(64)[doubtful].repeat_interleave(count, dim=0)
    tried, errors = refine(
        model.generator.field, model.intrinsics, kind, starts.flatten(0, 1), images, rng,
        steps=30, rays=192, rate=1e-2,
    )  # fmt: skip
    errors, tried = errors.reshape(-1, count), tried.reshape(len(doubtful), count, -1)
    best = errors.argmin(dim=1)
    moves = errors.gather(1, best[:, None])[:, 0] < model.config.reseed_gain * errors[:, 0]
    model.place(doubtful[moves], kind.recoded(tried[moves.nonzero()[:, 0], best[moves]], model.family))
    return int(moves.sum())


@torch.no_grad()
def candidates(model: Model, rng: torch.Generator) -> Tensor:
    """Poses (M, 4, 4) where a view may have been taken: of the prior, like those of a rigid group where there is one
    and not of all views, and what the inversion network answers."""
    drawn = model.sample(model.config.candidates, rng)
    known = model.known
    if known is not None and len(known) < len(model.sight.ids):
        drawn = torch.cat([drawn, turned(known, model.prior, len(drawn), rng)])
    return torch.cat([drawn, model.answer_family.decode(model.inverted())]) if model.config.inversion else drawn


def compared(model: Model, rng: torch.Generator) -> tuple[RenderedCandidates, Tensor, Tensor]:
    """The search, all images squeezed to its size, and the errors (N,) of the renders at their present poses."""
    search, targets = _searched(model, rng)
    now = render_views(model.generator.field, model.intrinsics, model.poses().detach(), model.config.reseed_side)
    return search, targets, (now - targets).square().flatten(1).mean(dim=1)


def _searched(model: Model, rng: torch.Generator) -> tuple[RenderedCandidates, Tensor]:
    """The search, and all images squeezed to its size."""
    side = model.config.reseed_side
    search = RenderedCandidates.of(model.generator.field, model.intrinsics, candidates(model, rng), side)
    return search, model.sight.square(side)
