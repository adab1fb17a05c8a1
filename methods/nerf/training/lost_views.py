"""Views that are lost, found by how badly they are explained, and placed anew against a field that never saw them.

As in structure from motion, where an image that fits no track is taken out and registered later against what the
others have built (Schoenberger and Frahm, CVPR 2016, sec. 4.2): a view that is part of a field holds it, and itself,
where they are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from methods.nerf.cameras.intrinsics import Intrinsics
from methods.nerf.cameras.levenberg_marquardt import moved_about
from methods.nerf.field.base import RadianceField
from methods.nerf.field.render_and_compare import RenderedCandidates
from methods.nerf.images.pyramid import ImagePyramid
from methods.nerf.training.pose_hypotheses import PoseHypotheses

DOUBT = 2.0
"""A view is doubtful when its error is above so many times the median view's."""

LEAST = 6
"""Views: what fewer have built is no judge of another one."""

SIDE = 24
"""px, of the renders by which all candidates are compared with an image."""

BLURRED = 64
"""px, longest side, of the images that errors are measured on and hypotheses are followed on."""

SCATTER = 0.1
"""Radians, and units: how far candidates lie from the poses of other views, as a standard deviation in each axis ..."""

COPIES = 8
"""... and how many of them for each."""

HYPOTHESES = 16
"""Candidates of a view that are followed for a while, FIRST, ..."""

FINALISTS = 2
"""... and that then are, beside the present pose, LAST."""

FIRST = (4, 192)
"""Steps of Levenberg-Marquardt, and pixels."""

LAST = (8, 512)

CHECKED = 1024
"""Pixels on which poses are compared in the end."""

GAIN = 0.9
"""Another hypothesis replaces the present pose, followed as far, where its error is below so much of that one's."""


@torch.no_grad()
def doubtful_views(
    field: RadianceField, intrinsics: Intrinsics, poses: Tensor, pyramid: ImagePyramid, rng: torch.Generator
) -> tuple[int, ...]:
    """The numbers of the views which `field`, seen from `poses` (N, 4, 4), explains much worse than the median one.

    None where there are fewer than LEAST.
    """
    if len(poses) < LEAST:
        return ()
    held = PoseHypotheses(field, intrinsics, rng)
    errors = held.errors(poses[:, None], pyramid.at(BLURRED), CHECKED)[:, 0]
    return tuple((errors > DOUBT * errors.median()).nonzero()[:, 0].tolist())


def left_out(found: tuple[int, ...], before: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Which of `count` views a field is not shown: those `found` doubtful now and those left out `before`, which it has
    not seen since; but always fewer than half, for the others must build it."""
    both = tuple(sorted({*found, *before}))
    return next((lost for lost in (both, found) if 2 * len(lost) < count), ())


@torch.no_grad()
def placed_anew(
    field: RadianceField, intrinsics: Intrinsics, poses: Tensor, lost: tuple[int, ...], pyramid: ImagePyramid,
    unit: float, rng: torch.Generator,
) -> Tensor:  # fmt: skip
    """Poses (N, 4, 4), those of the views `lost` as `field`, which learnt from the others, tells; lengths in `unit`s.

    Hypotheses are the poses of all other views and what lies around them, for most captures have neighbours, and the
    pose that a view has by now. The likeliest are followed to where they fit best, the field as it is meanwhile.
    """
    views = torch.tensor(lost, device=poses.device)
    is_other = torch.ones(len(poses), dtype=torch.bool, device=poses.device)
    is_other[views] = False
    others = poses[is_other]
    around = others.repeat(COPIES, 1, 1)
    scatter = (SCATTER * torch.randn(len(around), 6, generator=rng)).to(poses)
    candidates = torch.cat([others, moved_about(around, scatter, field.centre, unit)])
    search = RenderedCandidates.of(field, intrinsics, candidates, SIDE)
    errors = search.errors(pyramid.square(SIDE)[views])
    likeliest = errors.topk(min(HYPOTHESES, len(candidates)), dim=1, largest=False).indices
    held, images = PoseHypotheses(field, intrinsics, rng), pyramid.at(BLURRED)[views]
    tried = torch.cat([poses[views, None], candidates[likeliest]], dim=1)  # (L, 1 + H, 4, 4)
    tried = held.followed(tried, images, unit, *FIRST)
    errors = held.errors(tried, images, LAST[1])
    best = errors[:, 1:].topk(FINALISTS, dim=1, largest=False).indices + 1
    chosen = torch.cat([torch.zeros_like(best[:, :1]), best], dim=1)[..., None, None].expand(-1, -1, 4, 4)
    tried = held.followed(tried.gather(1, chosen), images, unit, *LAST)
    errors = held.errors(tried, images, CHECKED).nan_to_num(nan=torch.inf)
    errors[:, 0] *= GAIN
    placed = poses.clone()
    placed[views] = tried[torch.arange(len(views), device=views.device), errors.argmin(dim=1)]
    return placed
