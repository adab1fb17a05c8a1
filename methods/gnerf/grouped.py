"""Another beginning, where features matched: the largest rigid group is believed, and all other views find to it.

A field is trained from the poses of the largest group alone. The views that are in none are then placed by render and
compare, as in phase AB; smaller groups as one body. Where the prior's family cannot say what the group's poses are
(photographs by hand are not upright and look at no one point), poses are free of it. The phases A and AB go their own
way, from nothing; whichever of the two explains all images better goes on to phase B. So matches that mislead cost time
and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from bench.task import Job, PosePrior
from methods.gnerf.config import GnerfConfig
from methods.gnerf.groups import RigidGroup
from methods.gnerf.model import Body, Model
from methods.gnerf.photometric import photometric_step
from methods.gnerf.poses import Family
from methods.gnerf.reseed import reseed, settle
from methods.gnerf.schedule import Iteration, Plan
from methods.nerf.field.render_and_compare import render_views
from methods.nerf.training.checkpointing import generator
from methods.nerf.training.deadline import Deadline

ALONE = 1 / 3
"""Share of the iterations for the largest group by itself."""

BEYOND_TURN, BEYOND_SHIFT = 1.0, 0.1
"""Degrees, and shares of a camera's distance, in the median over views: of poses of groups that are farther than one of
these from what the prior's family says of them, the family is wrong, and not the groups. Photographs by hand are 9
degrees and 0.15 from `sphere` (fox, `dome`); DTU's and templeRing's are 0.003 and 0.008 at most from their families,
which know of roll and of cameras that look past the middle."""

TELLING = 5
"""Views of groups, at least, to tell that: three or four may be off by what their matches leave open."""

COMPARED = 48
"""px: of the renders by which two beginnings are compared."""


def bodies_of(groups: Sequence[RigidGroup], model: Model) -> list[Body]:
    number = {view: index for index, view in enumerate(model.sight.ids)}
    return [
        Body(
            views=torch.tensor([number[view] for view in group.views], device=model.device),
            poses=torch.from_numpy(group.poses).float().to(model.device),
        )
        for group in groups
    ]


def beyond_family(groups: Sequence[RigidGroup], prior: PosePrior, config: GnerfConfig) -> bool:
    """Whether poses of the groups, where they were placed, are beyond the prior's family: see BEYOND_TURN.

    An option that names a family is kept to. Poses that two views' matches tell look at one point because it was so
    supposed: they say nothing.
    """
    poses = np.concatenate([group.poses[: group.sure] for group in groups if not group.joined])
    if config.pose_family != "preset" or len(poses) < TELLING:
        return False
    family = Family.of(prior, config.numbers.family(prior.family))
    said = family.decode(family.encode(torch.from_numpy(poses).float())).double().numpy()
    cosine = ((said[:, :3, :3] * poses[:, :3, :3]).sum(axis=(1, 2)) - 1) / 2
    turned = np.degrees(np.arccos(cosine.clip(-1, 1)))
    distances = np.linalg.norm(poses[:, :3, 3] - prior.look_at, axis=1)
    moved = np.linalg.norm(said[:, :3, 3] - poses[:, :3, 3], axis=1) / distances
    return bool(np.median(turned) > BEYOND_TURN or np.median(moved) > BEYOND_SHIFT)


def group_iterations(plan: Plan) -> int:
    """As many as phase AB has before a known background."""
    return plan.early - plan.a


def begin_from_groups(model: Model, groups: Sequence[RigidGroup], plan: Plan, job: Job, seed: int, after: int) -> bool:
    """Train `model`, a fresh one, from the largest group on; then it stands where phase AB of `plan` ends.

    False where there was no time for it, in its share, by iterations, of what matching left of the time: it and those
    `after` it. Then it is of no use.
    """
    main, *others = bodies_of(groups, model)
    model.place(main.views, model.family.encode(main.poses))
    model.held = torch.zeros(len(model.sight.ids), dtype=torch.bool, device=model.device)
    for group, body in zip(groups[1:], others, strict=True):
        if group.joined:
            model.place(body.views, model.family.encode(body.poses))
    model.held[main.views] = True
    model.rests = not groups[0].relaxed
    model.intrinsics.take(groups[0].camera)
    length = group_iterations(plan)
    deadline = Deadline(job, length / (length + after), after=after)
    everyone = bool(model.held.all())
    for index in range(length):
        if deadline.reached(index, length, "rigid groups"):
            return False
        iteration = Iteration(preset=model.preset, plan=plan, phase="AB", index=index, before=plan.a)
        rng = generator(seed, 2**29 + index)
        alone = index < ALONE * length
        if not everyone and not alone and index % model.config.reseed_every == 0:
            reseed(model, rng, free=~model.held)
            settle(model, others, rng)
        photometric_step(model, iteration, rng, among=main.views if alone else None)
    return True


@torch.no_grad()
def misfit(model: Model) -> float:
    """Mean squared error of all images against their renders, colours in [-1, 1]."""
    seen = render_views(model.generator.field, model.intrinsics, model.poses().detach(), COMPARED)
    return float((seen - model.sight.square(COMPARED)).square().mean())
