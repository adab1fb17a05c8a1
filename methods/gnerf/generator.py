"""The generator (GNeRF sec. 3.2): a radiance field, and how each phase teaches it."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from bench.task import Effort, PosePrior
from methods.gnerf.fast import Fast, FastBudget
from methods.gnerf.poses import Family
from methods.gnerf.published import Published
from methods.gnerf.schedule import Iteration, Plan
from methods.nerf.cameras.intrinsics import Intrinsics
from methods.nerf.cameras.rays import view_rays
from methods.nerf.field.base import RadianceField
from methods.nerf.field.bounds import Bounds
from methods.nerf.field.grid import GridField
from methods.nerf.field.mlp import MlpField
from methods.nerf.field.render import lattice, pictures, render_patches
from methods.nerf.images.posed_images import Batch
from methods.nerf.images.pyramid import ImagePyramid
from methods.nerf.training.coarse_to_fine import CoarseToFineGrid, noisy
from methods.nerf.training.optimizer_state import optimizer_tensors, restore_optimizer, with_prefix
from methods.nerf.training.posed_grid import PosedGrid
from methods.nerf.training.rates import ramped

CLEAR = 0.06
"""A pixel this close to the known background, in all channels of [0, 1], shows nothing else."""

MARGIN = 1.1
"""Room around the object that the images let us see."""


ZOOM = 4.0
"""Between the first guess of a free focal length divided and multiplied by this, rays reach the object ..."""

ZOOM_OPEN = 2.0
"""... and before a real background, where each step towards the cameras is room for floaters, divided by this."""

ROAM = 4.0
"""Cameras that are free of the prior reach the object from this many times nearer or farther than its ends."""


class Generator(Protocol):
    """A field and its optimiser. `backward` through the field leaves gradients, `step` spends them."""

    @property
    def field(self) -> RadianceField: ...

    def noisy(self, std: float, generator: torch.Generator) -> contextlib.AbstractContextManager[None]:
        """Within it, the raw density that `generator`-jittered rays see is noisy."""
        ...

    def patches(self, intrinsics: Intrinsics, poses: Tensor, points: Tensor, rng: torch.Generator | None) -> Tensor:
        """Lattices of points (B, h, w, 2) seen from `poses`, in [-1, 1]: (K B, C, h, w), its K renderings in turn."""
        ...

    def learn(self, batch: Batch, rng: torch.Generator, noise: float) -> Tensor:
        """Leave the gradients of the mean squared error (GNeRF eq. 7), to the rays too; returns that error, a scalar.

        `noise` is the standard deviation on the raw density.
        """
        ...

    def step(self, iteration: Iteration) -> None:
        """Spend the gradients."""
        ...

    def advance(self, iteration: Iteration) -> bool:
        """Whatever is due before this iteration; True where the field has become another one."""
        ...

    def stages(self, plan: Plan) -> Mapping[int, int]:
        """From which iteration of AB on the field has how many voxels to an edge; empty where AB has one field."""
        ...

    def trust(self, iteration: Iteration) -> float:
        """Share, in (0, 1], of their rate at which poses move: a field that has just become another one says little."""
        ...

    def finish(self) -> None:
        """Freeze the field: nothing is learnt any more."""
        ...

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]: ...

    def restore(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None: ...


class GridGenerator:
    """Voxels: coarse and soft while they grow out of fog in A and AB, fine and sharp in B.

    Before a real background AB begins on a field anew, coarser than that of A, which becomes finer in steps: the voxels
    of A are large there, and poses that follow them end where these have put them. Then it begins anew once more: what
    the first field has built for a view that is lost, at the end of a row of cameras, is gone, and the others bring it
    back.
    """

    def __init__(
        self, bounds: Bounds, background: Tensor, preset: Fast, budget: FastBudget, generator: torch.Generator, *,
        open: bool = False,
    ) -> None:  # fmt: skip
        self.preset, self.open = preset, open
        final = budget.sides(closed=bounds.closed)
        # in B, of fields that begin anew (`anew.py`), that of the present one
        self.grid: CoarseToFineGrid | PosedGrid = CoarseToFineGrid(bounds, background, preset, final, generator)
        self._anew = generator.initial_seed() if open else 0

    @property
    def field(self) -> GridField:
        return self.grid.field

    def noisy(self, std: float, generator: torch.Generator) -> contextlib.AbstractContextManager[None]:
        return noisy(self.field, std, generator)

    @property
    def growing(self) -> CoarseToFineGrid:
        """The grid, where it is none of those that begin anew in B."""
        assert isinstance(self.grid, CoarseToFineGrid)
        return self.grid

    def patches(self, intrinsics: Intrinsics, poses: Tensor, points: Tensor, rng: torch.Generator | None) -> Tensor:
        return render_patches(self.field, intrinsics, poses, points, rng)

    def learn(self, batch: Batch, rng: torch.Generator, noise: float) -> Tensor:
        """Without noise: with so many pixels at once there is no need of it."""
        return self.grid.learn(batch, rng)

    def step(self, iteration: Iteration) -> None:
        self.growing.step(iteration.fine)

    def finish(self) -> None:
        self.grid.finish()

    def advance(self, iteration: Iteration) -> bool:
        first, stages = iteration.fine_from, self._due(iteration)
        side = stages.get(iteration.index)
        if side is not None and iteration.index in begun_anew(stages):
            rng = torch.Generator().manual_seed(self._anew + iteration.index)
            bounds, background, last = self.field.bounds, self.field.background, self.growing.final
            self.grid = CoarseToFineGrid(bounds, background, self.preset, last, rng, coarse_side=side)
            return True
        if side is not None:
            self.growing.sharpen(side)
            return True
        return iteration.number >= first and self.growing.refine(iteration.number - first, iteration.plan.total - first)

    def trust(self, iteration: Iteration) -> float:
        """As in `JointGrid`: Adam's first steps are as long as its rate, however little a gradient says."""
        stages = self._due(iteration)
        if not stages:
            return 1.0
        since = max(start for start in stages if start <= iteration.index)
        return ramped(iteration.index - since, round(self.preset.pose_ramp * iteration.plan.coarse_ab))

    def stages(self, plan: Plan) -> Mapping[int, int]:
        """Several before a real background alone."""
        return self.preset.stages_open(plan.coarse_ab) if self.open else {}

    def _due(self, iteration: Iteration) -> Mapping[int, int]:
        """Those of the phase that this iteration is of."""
        return self.stages(iteration.plan) if iteration.phase == "AB" and iteration.fine is None else {}

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        return self.grid.state()

    def restore(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self.growing.restore(state, tensors)


def begun_anew(stages: Mapping[int, int]) -> list[int]:
    """Those of the `stages` (their first iterations, and voxels to an edge) that are no finer than the one before."""
    starts = sorted(stages)
    return starts[:1] + [start for last, start in itertools.pairwise(starts) if stages[start] <= stages[last]]


class NetworkGenerator:
    """The published network (GNeRF sec. 4): one for coarse and fine samples, taught by RMSprop.

    Every loss is taken on both renderings, the coarse one and the fine one.
    """

    def __init__(
        self, bounds: Bounds, background: Tensor, preset: Published, effort: Effort, generator: torch.Generator
    ) -> None:
        self.preset = preset
        self.field = MlpField(bounds, background, preset.radiance.sized(effort), generator).to(background.device)
        self.optimiser = torch.optim.RMSprop(self.field.parameters(), lr=preset.field_lr)

    @contextlib.contextmanager
    def noisy(self, std: float, generator: torch.Generator | None) -> Iterator[None]:
        self.field.noise = std
        try:
            yield
        finally:
            self.field.noise = 0.0

    def patches(self, intrinsics: Intrinsics, poses: Tensor, points: Tensor, rng: torch.Generator | None) -> Tensor:
        shades = self.field.both(*view_rays(intrinsics, poses, points.flatten(1, 2)), rng)
        return torch.cat([pictures(shade.over(self.field.background), points) for shade in shades])

    def learn(self, batch: Batch, rng: torch.Generator | None, noise: float) -> Tensor:
        with self.noisy(noise, rng):
            shades = self.field.both(batch.origins, batch.directions, rng)
        seen = torch.stack([shade.over(self.field.background) for shade in shades])
        error = functional.mse_loss(seen, batch.colours.expand_as(seen))
        (4 * self.preset.photometric * error).backward()  # 4: the published weight is for colours in [-1, 1]
        return error.detach()

    def step(self, iteration: Iteration) -> None:
        self.optimiser.param_groups[0]["lr"] = iteration.halved(self.preset.field_lr, self.preset.field_halving)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def advance(self, iteration: Iteration) -> bool:
        return False

    def stages(self, plan: Plan) -> Mapping[int, int]:
        return {}

    def trust(self, iteration: Iteration) -> float:
        return 1.0

    def finish(self) -> None:
        self.field.requires_grad_(False)

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        tensors = {f"field/{name}": value for name, value in self.field.state_dict().items()}
        return {}, tensors | optimizer_tensors(self.optimiser, "learner/")

    def restore(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self.field.load_state_dict(with_prefix("field/", tensors))
        restore_optimizer(self.optimiser, "learner/", tensors)


def published_bounds(prior: PosePrior, family: Family) -> Bounds:
    """Near and far of the prior along every ray, positions in published scene units (GNeRF sec. 4.1)."""
    return Bounds(centre=prior.look_at, half_size=family.unit, near=prior.near, far=prior.far)


def whole(
    generator: Generator, intrinsics: Intrinsics, poses: Tensor, side: int, rng: torch.Generator | None
) -> Tensor:
    """Whole views squeezed into (K B, C, side, side), in [-1, 1], as `patches` has them."""
    points = lattice(side).to(poses.device).expand(len(poses), -1, -1, -1)
    return generator.patches(intrinsics, poses, points, rng)


def bounds_of(
    prior: PosePrior, sight: ImagePyramid, intrinsics: Intrinsics, *, shrink: bool, dolly: bool = False,
    freed: bool = False,
) -> Bounds:  # fmt: skip
    """The prior's cube; with `shrink`, no larger than what the images show before a known background.

    All cameras of a prior look at one point: a pixel at an angle a from there has seen something of radius r sin(a) at
    least, and from all sides together the object cannot be much larger than the largest of these. With a free focal
    length that is so at the first one, and for others where cameras move with it (`dolly`, see `Model`). Cameras that
    are `freed` of the prior may be nearer and farther than it says, and look past its point.
    """
    camera = None if intrinsics.free else intrinsics.camera
    bounds = Bounds.from_prior(prior, contract=sight.background is None, camera=camera)
    if dolly:
        nearer, farther = (ZOOM, ZOOM) if bounds.closed else (ZOOM_OPEN, 1.0)
        bounds = replace(bounds, near=bounds.near / nearer, far=bounds.far * farther)
    if freed and bounds.closed:
        bounds = replace(bounds, near=bounds.near / ROAM, far=bounds.far * ROAM)
    at_one_point = prior.look_at_std == 0 and not freed
    if not shrink or sight.background is None or not at_one_point or (intrinsics.free and not dolly):
        return bounds
    colour = sight.images.new_tensor(sight.background)[:, None, None] * 2 - 1
    filled = ((sight.at(64) - colour).abs() > 2 * CLEAR).any(dim=1)  # (N, h, w); noise is averaged away
    height, width = filled.shape[1:]
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    points = torch.stack([x * 2 / width - 1, y * 2 / height - 1], dim=-1).to(filled.device)
    off = intrinsics.directions(points).detach()
    sine = off[..., :2].norm(dim=-1) / off.norm(dim=-1)
    seen = float((filled * sine).max()) * prior.radius[1] * MARGIN
    if not 0 < seen < bounds.half_size:
        return bounds
    if dolly:
        return replace(bounds, half_size=seen)
    reach = math.sqrt(3) * seen
    return Bounds(
        centre=bounds.centre, half_size=seen, near=max(bounds.near, prior.radius[0] - reach),
        far=min(bounds.far, prior.radius[1] + reach),
    )  # fmt: skip
