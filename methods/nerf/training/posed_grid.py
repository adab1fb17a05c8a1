"""Training the grid: random pixels, coarse to fine, empty space skipped, Adam on what was touched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bench.task import Camera, Job
from methods.nerf.backends.base import Priors, Rates
from methods.nerf.cameras.rig import faces_one_way
from methods.nerf.config import Budget, FieldConfig
from methods.nerf.field.bounds import Bounds
from methods.nerf.field.grid import GridField
from methods.nerf.field.near_cameras import alone_before_cameras
from methods.nerf.field.occupancy import refresh, resampled
from methods.nerf.field.storage import build, describe
from methods.nerf.field.unseen import begin_with_mean, fill_unseen
from methods.nerf.images.posed_images import Batch, PosedImages
from methods.nerf.training.checkpointing import Checkpoints, generator, preview, psnr
from methods.nerf.training.deadline import Deadline
from methods.nerf.training.exposing import even_before_background, even_by_field, logged_spread
from methods.nerf.training.grid_training import GridTraining
from methods.nerf.training.optimizer_state import with_prefix
from methods.nerf.training.rates import decayed

LOOKS = (0.14, 0.25, 0.39, 0.55, 0.75)
"""Of the steps, shares after which exposures of views are looked at: first before the field grows."""


def train_grid(views: PosedImages, bounds: Bounds, config: FieldConfig, job: Job, deadline: Deadline) -> GridField:
    """Fit a grid field (`PosedGrid`) to images whose poses are known."""
    budget = config.budget(job.effort)
    asked = {"bounds": repr(bounds), "config": config.model_dump(mode="json"), "budget": budget.model_dump()}
    checkpoints = Checkpoints(job, "posed_grid", {**asked, "seed": job.seed, "views": list(views.ids)})
    if config.exposures and not bounds.contract:
        views = even_before_background(views)
    if (found := checkpoints.resume()) is not None:
        state, tensors = found
        grid, first = PosedGrid.resumed(state, tensors, config, views.pixels.device), state["step"]
        views = replace(views, gains=tensors["gains"].to(views.pixels.device) if "gains" in tensors else None)
        del found, state, tensors  # as large as the field and its moments together
    else:
        grid, first = PosedGrid.begun(bounds, views.background, config, budget, views.poses, views.camera), 0
    looks = {round(share * budget.steps) for share in LOOKS} if config.exposures else set()
    for step in range(first, budget.steps):
        if deadline.reached(step, budget.steps, "field"):
            break
        if step in looks:
            views = even_by_field(views, grid.field)
        grid.prepare(step)
        rng = generator(job.seed, step)
        loss = grid.learn(views.draw(grid.rays, rng), rng)
        grid.step(step)
        if checkpoints.log_due(force=step + 1 == budget.steps):
            error = float(loss)
            curves = {"loss": error, "psnr": psnr(error), "resolution": max(grid.field.shape)}
            checkpoints.log(step + 1, curves | logged_spread(views.gains))
        if checkpoints.preview_due():
            checkpoints.show(step + 1, partial(preview, grid.field, views.poses[:1], views.camera))
        if checkpoints.save_due():
            state, tensors = grid.state()
            checkpoints.save(step + 1, state, tensors if views.gains is None else tensors | {"gains": views.gains})
    field = grid.finish()
    if not deadline.stopped:
        job.log(budget.steps, {}, preview(field, views.poses[:1], views.camera))
    return field


class PosedGrid:
    """A grid that learns from poses that are known, or believed: sharp from its beginning, it grows twice, and where
    nothing lies beyond the object it closes around it."""

    def __init__(self, field: GridField, config: FieldConfig, budget: Budget, poses: Tensor, camera: Camera) -> None:
        """`budget` says in how many steps the `field` learns, from how many rays each (`rays`), and to how many voxels
        it grows; `poses` (N, 4, 4) and `camera` are those of the views."""
        self.config, self.budget, self._poses, self._camera = config, budget, poses, camera
        self._sides = [max(4, round(budget.side * share)) for share in (*config.growth, 1.0)]
        self._starts = [0, *(round(budget.steps * share) for share in config.grow_at)]  # the first steps of these sides
        tv_density = budget.tv_density if field.bounds.closed else config.tv_open
        self._smooth = Priors(tv_density=tv_density, tv_colour=config.tv_colour)
        is_spread = field.bounds.contract and not faces_one_way(poses)
        self._distortion = config.distortion_open if is_spread else 0.0
        self.training = GridTraining(field)

    @staticmethod
    def begun(
        bounds: Bounds, background: Tensor, config: FieldConfig, budget: Budget, poses: Tensor, camera: Camera
    ) -> PosedGrid:
        """Before any image has said anything."""
        if bounds.contract:
            chosen = config.shell_open
            bounds = bounds.shelled(camera) if chosen is None else replace(bounds, shell=chosen)
        side = max(4, round(budget.side * (*config.growth, 1.0)[0]))
        field = GridField.empty(bounds, background, config, side).to(background.device)
        grid = PosedGrid(field, config, budget, poses, camera)
        if not bounds.closed:
            begin_with_mean(field)
            grid._bar()
        return grid

    @property
    def field(self) -> GridField:
        return self.training.field

    @property
    def rays(self) -> int:
        """Of a step; fewer before a real background, where each meets many times the voxels."""
        rays = self.budget.rays
        return rays if self.field.bounds.closed else max(1, round(rays * self.config.rays_open))

    @property
    def fog(self) -> int:
        """Steps on its first voxels."""
        return self._starts[1]

    def since(self, step: int) -> int:
        """The step with which the field of a step has become what it is."""
        return max(start for start in self._starts if start <= step)

    def see_from(self, poses: Tensor, camera: Camera) -> None:
        """From now on, `poses` (N, 4, 4) and `camera` are those of the views."""
        self._poses, self._camera = poses, camera
        self._bar()

    def prepare(self, step: int) -> bool:
        """Whatever is due before a step; True where the field has become another one."""
        due = [stage for stage, start in enumerate(self._starts) if stage and start == step]  # several, of few steps
        if not due:
            if step % self.config.occupancy_every == 0 and step > 0:
                refresh(self.field)
            return False
        closed = self.field.bounds.closed
        if 1 in due and not closed:
            fill_unseen(self.field)
        coarse = self.training.finish()
        del self.training  # its moments are twice as large as the field, and nobody asks for them again
        self.training = GridTraining(resampled(coarse, self._sides[due[-1]], shrink=1 in due and closed))
        del coarse
        if not closed:
            self._bar()
        return True

    def learn(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Leave the gradients of the mean squared error, to the rays too, and of the distortion loss; returns that
        error, a scalar."""
        jitter = torch.rand(len(batch.origins), generator=rng).to(self.field.device)
        return self.training.learn(batch, jitter, self._distortion)

    def step(self, step: int) -> None:
        """Spend the gradients of a step."""
        fade = decayed(1.0, self.config.grid_lr_decay, step / self.budget.steps)
        rates = Rates(density=self.config.density_lr * fade, colour=self.config.colour_lr * fade)
        fog = self.config.sparsity if step < self.fog else 0.0
        self.training.step(rates, self._smooth._replace(sparsity=fog))

    def finish(self) -> GridField:
        """The field, on its own again and frozen."""
        refresh(self.field)
        self.field.barred = None  # its clearance knows
        return self.training.finish()

    def _bar(self) -> None:
        """In unbounded space, keep empty from now on what lies before the cameras and few of them see."""
        if self.field.bounds.contract:
            seen_by = self.config.seen_by_open
            self.field.barred = alone_before_cameras(self.field, self._poses, self._camera, seen_by)
        refresh(self.field)

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        tensors = {f"field/{name}": value for name, value in self.field.state_dict().items()}
        tensors |= {f"sink/{name}": value for name, value in self.training.sink.state().items()}
        tensors["poses"] = self._poses
        if self.field.barred is not None:
            tensors["barred"] = self.field.barred
        state = {"field": describe(self.field), "steps": self.training.sink.steps, "distortion": self._distortion}
        return state | {"budget": self.budget.model_dump(), "camera": asdict(self._camera)}, tensors

    @staticmethod
    def resumed(
        state: Mapping[str, Any], tensors: Mapping[str, Tensor], config: FieldConfig, device: torch.device
    ) -> PosedGrid:
        """What a checkpoint holds."""
        field = build(dict(state["field"]))
        if not isinstance(field, GridField):
            raise ValueError("nerf: the checkpoint of a grid holds another field; delete it and start again")
        field.load_state_dict(with_prefix("field/", tensors))
        if "barred" in tensors:
            field.barred = tensors["barred"].to(device)
        budget, poses = Budget.model_validate(state["budget"]), tensors["poses"].to(device)
        grid = PosedGrid(field.to(device), config, budget, poses, Camera(**state["camera"]))
        grid._distortion = state["distortion"]  # by the poses of its beginning
        if state["steps"]:
            grid.training.sink.restore(with_prefix("sink/", tensors), state["steps"])
        return grid
