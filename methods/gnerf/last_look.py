"""Views that another pose explains better when all is trained are moved there (not published).

Phase B doubts a view that is explained worse than others (`reseed.reconsider`). Where a scene looks about alike from
two sides a view on the wrong one is not: its image is explained passably, and much better from the other. The rival
that the margins are measured against says so (`methods/nerf/training/pose_margins.py`), at no cost to a fit without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from bench.task import Pose, ViewId
from methods.gnerf.model import Model
from methods.gnerf.register import AT_LAST, refine
from methods.nerf.training.deadline import Deadline
from methods.nerf.training.pose_margins import Rival

BEATEN = -0.5
"""dB of the margin below which a view is looked at again."""

BETTER = 0.9
"""It moves where its error there is below this share of that about where it stands, both poses refined alike."""

AT_ONCE = 8
"""Views, before the time is looked at again."""


def moved_at_last(
    model: Model, rivals: Mapping[ViewId, Rival], rng: torch.Generator, deadline: Deadline
) -> list[ViewId]:  # fmt: skip
    """Move the views whose rivals explain their images better, the field frozen, the surest to be wrong first.

    Returns which. Where the time is nearly over the rest stay, which `deadline` notes.

    A rival is free in all six coordinates, and is refined as the prior's family has it: one that is better only for a
    roll that no camera can have is none. It may be beyond the prior's ranges of azimuth and elevation.
    """
    beaten = sorted((view for view in rivals if rivals[view].margin < BEATEN), key=lambda view: rivals[view].margin)
    moved: list[ViewId] = []
    for some in (beaten[start : start + AT_ONCE] for start in range(0, len(beaten), AT_ONCE)):
        if not deadline.leaves_room():
            deadline.leave_out("a last look at poses")
            break
        moved += _moved(model, some, [rivals[view].pose for view in some], rng)
    return moved


def _moved(model: Model, some: list[ViewId], poses: Sequence[Pose], rng: torch.Generator) -> list[ViewId]:
    views = torch.tensor([model.sight.ids.index(view) for view in some], device=model.device)
    others = torch.from_numpy(np.stack(poses)).to(model.variables)
    family = model.family.bounded(model.prior)
    stood = model.family.recoded(model.variables[views].detach(), family)
    starts = torch.stack([stood, family.encode(others)], dim=1)  # (K, 2, D)
    steps, rays, rate = AT_LAST
    tried, errors = refine(
        model.generator.field, model.intrinsics, family, starts.flatten(0, 1), model.sight.images[views], rng,
        steps=steps, rays=rays, rate=rate,
    )  # fmt: skip
    errors = errors.unflatten(0, (-1, 2))
    better = errors[:, 1] < BETTER * errors[:, 0]
    places = tried.unflatten(0, (-1, 2))[better, 1]
    model.place(views[better], family.recoded(places, model.family))
    return [view for view, moves in zip(some, better.tolist(), strict=True) if moves]
