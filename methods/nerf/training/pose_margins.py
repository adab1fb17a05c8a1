"""How sure is a pose? By how much it explains its image better than the best pose that is turned from it.

A repeated scene looks alike from several sides, and a view that was lost to the wrong one is explained about as well
as one in its place: no loss tells. The margin between the two hypotheses does. The field is frozen and the poses stay
where they are: this is a measurement after the training, with a randomness of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bench.task import Job, Pose, PosePrior, ViewId
from methods.nerf.cameras.intrinsics import Intrinsics
from methods.nerf.field.base import RadianceField
from methods.nerf.field.render_and_compare import APART, RenderedCandidates
from methods.nerf.images.pyramid import ImagePyramid, shrunk, shrunk_to
from methods.nerf.training.checkpointing import generator
from methods.nerf.training.deadline import Deadline
from methods.nerf.training.pose_hypotheses import PoseHypotheses

SIDE = 24
"""px, of the renders by which all candidates are compared with an image."""

BLURRED = 64
"""px, longest side, of the images that hypotheses are first held against; the last steps look at the whole ones."""

DRAWS = 2**31
"""Whose randomness comes after that of all steps of a training."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What it may cost: about a twentieth of a fit on a grid."""

    drawn: int = 1000  # candidates, where a prior tells where cameras may be
    rivals: int = 4  # hypotheses of a view that are followed for a while; then the best of them alone
    # steps of Levenberg-Marquardt, and pixels, for the two: a candidate is never exact, and without
    # these steps would always lose against a pose that is
    first: tuple[int, int] = (2, 96)
    last: tuple[int, int] = (6, 256)
    sorted: int = 256  # pixels, the same for all hypotheses of an image, by which the best is chosen, ...
    checked: int = 1024  # ... and held against the pose


SMALL = Budget(drawn=200, rivals=2, first=(1, 48), last=(2, 96), checked=256)
"""For smoke tests, and for networks, whose rays cost a hundred times those of a grid."""


@dataclass(frozen=True, kw_only=True)
class Rival:
    """What explains the image of a view best, of all poses that are turned by more than APART from the view's own."""

    pose: Pose  # (4, 4)
    margin: float  # dB by which its error is above that of the view's own pose


def pose_margins(
    field: RadianceField, intrinsics: Intrinsics, pyramid: ImagePyramid, poses: Mapping[ViewId, Pose], job: Job,
    deadline: Deadline, *, elsewhere: Tensor | PosePrior | None = None, views: Collection[ViewId] | None = None,
) -> dict[ViewId, float]:  # fmt: skip
    """The margin (dB) of each view of `poses`, or of `views` among them: `bench.task.Fit.margins`."""
    found = pose_rivals(field, intrinsics, pyramid, poses, job, deadline, elsewhere=elsewhere, views=views)
    return {view: rival.margin for view, rival in found.items()}


def pose_rivals(
    field: RadianceField, intrinsics: Intrinsics, pyramid: ImagePyramid, poses: Mapping[ViewId, Pose], job: Job,
    deadline: Deadline, *, elsewhere: Tensor | PosePrior | None = None, views: Collection[ViewId] | None = None,
) -> dict[ViewId, Rival]:  # fmt: skip
    """The rival of each view of `poses`, or of `views` among them.

    Hypotheses are the poses of all other views, which are exact places of the rig, and `elsewhere`: poses (M, 4, 4),
    or what they are drawn from. A view has none where no hypothesis is turned from its own pose; no view has one where
    the time is nearly over, which `deadline` notes, or in a smoke test of a network, which would take longer than its
    training.
    """
    poses = {view: pose for view, pose in poses.items() if np.isfinite(pose).all()}
    order = [view for view in pyramid.ids if view in poses and (views is None or view in views)]
    network = field.config.field == "mlp"
    too_dear = job.effort == "smoke" and network
    if not order or too_dear:
        return {}
    if not deadline.leaves_room():
        deadline.leave_out("margins")
        return {}
    budget = SMALL if job.effort == "smoke" or network else Budget()
    if isinstance(elsewhere, PosePrior):
        elsewhere = torch.from_numpy(elsewhere.sample(np.random.default_rng([job.seed, DRAWS]), budget.drawn))
    own, every = _stacked(poses, order, field), _stacked(poses, list(poses), field)
    candidates = every if elsewhere is None else torch.cat([every, elsewhere.to(every)])
    images = pyramid.images[[pyramid.ids.index(view) for view in order]]
    rivals, margins = _Comparison(field, intrinsics, images, budget, generator(job.seed, DRAWS)).rivals(own, candidates)
    found = zip(order, rivals.double().cpu().numpy(), margins.tolist(), strict=True)
    return {view: Rival(pose=pose, margin=margin) for view, pose, margin in found if np.isfinite(margin)}


def _stacked(poses: Mapping[ViewId, Pose], order: list[ViewId], field: RadianceField) -> Tensor:
    return torch.from_numpy(np.stack([poses[view] for view in order])).float().to(field.device)


@dataclass(frozen=True)
class _Comparison:
    """Of a frozen field with images (N, C, H, W) in [-1, 1], each from several poses."""

    field: RadianceField
    intrinsics: Intrinsics
    images: Tensor
    budget: Budget
    rng: torch.Generator

    @torch.no_grad()
    def rivals(self, own: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """The best (N, 4, 4) that `candidates` (M, 4, 4) lead to, and dB (N,) between the poses `own` (N, 4, 4) and it;
        infinite without one."""
        search = RenderedCandidates.of(self.field, self.intrinsics, candidates, SIDE)
        squeezed = shrunk(self.images, (SIDE, SIDE))
        chosen, found = search.rivals(search.errors(squeezed), own, self.budget.rivals)  # (N, K)
        if not found.any():
            return own, torch.full_like(own[:, 0, 0], torch.inf)
        unit = self.field.bounds.distance_of(list(own.double().cpu().numpy())) / 4 or 1.0
        small, starts = shrunk_to(self.images, BLURRED), candidates[chosen]
        held = PoseHypotheses(self.field, self.intrinsics, self.rng)
        moved = held.followed(starts, small, unit, *self.budget.first)
        moved = torch.where(_apart(own[:, None], moved)[..., None, None], moved, starts)
        best = held.errors(moved, small, self.budget.sorted).masked_fill(~found, torch.inf).argmin(dim=1)
        tried = [each[torch.arange(len(own)), best][:, None] for each in (starts, moved)]
        moved = held.followed(tried[-1], self.images, unit, *self.budget.last)
        errors = held.errors(torch.cat([own[:, None], *tried, moved], dim=1), self.images, self.budget.checked)
        errors[:, 3:].masked_fill_(~_apart(own[:, None], moved), torch.inf)
        least, which = errors[:, 1:].min(dim=1)
        margins = 10 * (least / errors[:, 0]).log10()
        poses = torch.cat([*tried, moved], dim=1)[torch.arange(len(own)), which]
        return poses, margins.masked_fill(~found.any(dim=1), torch.inf)


def _apart(one: Tensor, other: Tensor) -> Tensor:
    """Whether poses (..., 4, 4) are turned from others."""
    return ((one[..., :3, :3] * other[..., :3, :3]).sum(dim=(-2, -1)) - 1) / 2 < np.cos(APART)
