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
from scipy.spatial.transform import Rotation

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

UNHEARD_OF = 1.0
"""Degrees, in the median: poses of a group that are farther from all that the prior's family can say are believed
instead. Rigs that follow theirs are within 0.02 (DTU, templeRing); a walk by hand was 9 from `sphere` (fox)."""

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


def is_unheard_of(group: RigidGroup, prior: PosePrior, config: GnerfConfig) -> bool:
    """Whether the prior's family is far from saying the group's rotations; an option that names a family is kept to."""
    if config.pose_family != "preset":
        return False
    family = Family.of(prior, config.numbers.family(prior.family))
    said = family.decode(family.encode(torch.from_numpy(group.poses).float())).double().numpy()
    apart = Rotation.from_matrix(said[:, :3, :3].transpose(0, 2, 1) @ group.poses[:, :3, :3]).magnitude()
    return bool(np.rad2deg(np.median(apart)) > UNHEARD_OF)


def group_iterations(plan: Plan) -> int:
    """As many as phase AB has."""
    return plan.early - plan.a


def begin_from_groups(model: Model, groups: Sequence[RigidGroup], plan: Plan, job: Job, seed: int) -> bool:
    """Train `model`, a fresh one, from the largest group on; then it stands where phase AB of `plan` ends.

    False where there was no time for it, in its share of the iterations: then it is of no use.
    """
    main, *others = bodies_of(groups, model)
    model.place(main.views, model.family.encode(main.poses))
    model.held = torch.zeros(len(model.sight.ids), dtype=torch.bool, device=model.device)
    model.held[main.views] = True
    model.intrinsics.take(groups[0].camera)
    length = group_iterations(plan)
    deadline = Deadline(job, length / (length + plan.total), after=plan.total)
    everyone = bool(model.held.all())
    for index in range(length):
        if deadline.reached(index, length, "rigid groups"):
            return False
        iteration = Iteration(preset=model.preset, plan=plan, phase="AB", index=index, before=plan.a)
        rng = generator(seed, 2**29 + index)
        alone = index < ALONE * length
        if not everyone and not alone and index % model.config.reseed_every == 0:
            reseed(model, rng, free=~model.held)
            settle(model, others)
        photometric_step(model, iteration, rng, among=main.views if alone else None)
    return True


@torch.no_grad()
def misfit(model: Model) -> float:
    """Mean squared error of all images against their renders, colours in [-1, 1]."""
    seen = render_views(model.generator.field, model.intrinsics, model.poses().detach(), COMPARED)
    return float((seen - model.sight.square(COMPARED)).square().mean())
