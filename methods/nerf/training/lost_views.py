"""Views that are lost, found by how badly they are explained, and placed anew against a field that never saw them.

As in structure from motion, where an image that fits no track is taken out and registered later against what the
others have built (Schoenberger and Frahm, CVPR 2016, sec. 4.2): a view that is part of a field holds it, and itself,
where they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from methods.nerf.cameras.intrinsics import Intrinsics
from methods.nerf.cameras.levenberg_marquardt import moved_about
from methods.nerf.field.base import RadianceField
from methods.nerf.field.render_and_compare import render_views
from methods.nerf.images.pyramid import ImagePyramid
from methods.nerf.images.windows import Windows
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


@dataclass(frozen=True, kw_only=True)
class Search:
    """What looking for a lost view may cost."""

    closer: tuple[float, ...] = (0.1, 0.07, 0.05)
    """As SCATTER, of candidates around the likeliest of those before, one time after another: other views may all be
    too far off ..."""
    likeliest: int = 16  # ... and how many those are
    hypotheses: int = 4  # candidates of a view that are followed for `first` steps of Levenberg-Marquardt, ...
    finalists: int = 2  # ... and that then are, beside the present pose, for `last`
    first: int = 4
    last: int = 8

    def shared(self, count: int) -> Search:
        """The same for each of `count` views, or less where they are more than MOST: together they cost about as much
        as so many."""
        if count <= MOST:
            return self
        return replace(self, likeliest=max(2, self.likeliest * MOST // count), hypotheses=2, finalists=1)


MOST = 8  # lost views that are looked for at the whole cost each

WHOLE = Search()

SMALL = Search(closer=(0.1,), likeliest=4, hypotheses=2, finalists=1, first=2, last=3)
"""For smoke tests."""

CHECKED = 1024
"""Pixels on which colours are compared."""

GAIN = 0.8
"""The pose that a view has gives way to another one whose error, followed as far, is below so much of its own."""


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
    unit: float, rng: torch.Generator, *, budget: Search,
) -> Tensor:  # fmt: skip
    """Poses (N, 4, 4), those of the views `lost` as `field`, which learnt from the others, tells; lengths in `unit`s.

    Hypotheses are the poses of all other views and what lies around them, for most captures have neighbours, then what
    lies around the likeliest of these, and the pose that a view has by now. The best are followed to where they fit
    best, the field as it is meanwhile. What windows show is compared, and not colours: a lost view often looks past
    what the others have seen.
    """
    views = torch.tensor(lost, device=poses.device)
    is_other = torch.ones(len(poses), dtype=torch.bool, device=poses.device)
    is_other[views] = False
    placed = poses.clone()
    placed[views] = placed_among(
        field, intrinsics, poses[is_other], poses[views], pyramid.square(SIDE)[views], pyramid.at(BLURRED)[views],
        unit, rng, budget=budget.shared(len(lost)), gain=GAIN,
    )  # fmt: skip
    return placed


@torch.no_grad()
def placed_among(
    field: RadianceField, intrinsics: Intrinsics, others: Tensor, present: Tensor, squeezed: Tensor, images: Tensor,
    unit: float, rng: torch.Generator, *, budget: Search, gain: float = 1.0,
) -> Tensor:  # fmt: skip
    """Poses (L, 4, 4) of images in [-1, 1] that `field` has not seen, squeezed to squares (L, C, s, s) and small ones
    (L, C, h, w).

    Hypotheses come from the poses of `others` (K, 4, 4), lengths in `unit`s; one more is the `present` (L, 4, 4), which
    another replaces where its error is below `gain` times that one's. The `budget` is that of each image.
    """
    search = _Renders(field, intrinsics, unit, rng, budget, gain)
    candidates = search.around(others, COPIES, SCATTER)
    likeness = search.likeness(candidates, squeezed)  # (L, M)
    placed = []
    for pose, alike, square, image in zip(present, likeness, squeezed, images, strict=True):
        found = search.closer(candidates, alike, square[None])
        placed.append(search.best(torch.cat([pose[None], found]), image[None]))
    return torch.stack(placed)


@dataclass(frozen=True)
class _Renders:
    """What a frozen field shows from poses, held against single images."""

    field: RadianceField
    intrinsics: Intrinsics
    unit: float
    rng: torch.Generator
    budget: Search
    gain: float

    def around(self, poses: Tensor, copies: int, scatter: float) -> Tensor:
        """Poses (M, 4, 4): these (K, 4, 4), and `copies` of each, moved at random."""
        twists = scatter * torch.randn(copies * len(poses), 6, generator=self.rng)
        moved = moved_about(poses.repeat(copies, 1, 1), twists.to(poses), self.field.centre, self.unit)
        return torch.cat([poses, moved])

    def likeness(self, candidates: Tensor, images: Tensor) -> Tensor:
        """How much renders from `candidates` (M, 4, 4) are like squeezed `images` (N, C, s, s): (N, M), 1 at most."""
        windows = Windows.over(*images.shape[2:], stride=1, overlap=2)
        renders = render_views(self.field, self.intrinsics, candidates, images.shape[3])
        alike = windows.of(images).flatten(1) @ windows.of(renders).flatten(1).T
        return alike.nan_to_num(nan=-torch.inf)

    def closer(self, candidates: Tensor, likeness: Tensor, image: Tensor) -> Tensor:
        """The hypotheses (H, 4, 4) that are found around the likeliest `candidates` (M, 4, 4), by their `likeness` (M,)
        to an `image` (1, C, s, s)."""
        for scatter in self.budget.closer:
            parents = likeness.topk(min(self.budget.likeliest, len(candidates))).indices
            candidates = self.around(candidates[parents], COPIES, scatter)
            children = self.likeness(candidates[len(parents) :], image)[0]
            likeness = torch.cat([likeness[parents], children])
        return candidates[likeness.topk(self.budget.hypotheses).indices]

    def best(self, tried: Tensor, image: Tensor) -> Tensor:
        """The pose (4, 4) from which the field is most like an `image` (1, C, h, w): of `tried` (1 + H, 4, 4), of which
        the first is the present one, each followed for a while."""
        held = PoseHypotheses(self.field, self.intrinsics, self.rng, by_structure=True)
        tried = held.followed(tried[None], image, self.unit, self.budget.first)
        errors = held.errors(tried, image)[0]
        finalists = errors[1:].topk(self.budget.finalists, largest=False).indices + 1
        tried = held.followed(tried[:, [0, *finalists.tolist()]], image, self.unit, self.budget.last)
        errors = held.errors(tried, image)[0].nan_to_num(nan=torch.inf)
        errors[0] *= self.gain
        return tried[0, errors.argmin()]
