"""Training the grid: random pixels, coarse to fine, empty space skipped, Adam on what was touched."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bench.task import Job
from methods.nerf.backends.base import Priors, Rates
from methods.nerf.cameras.rig import faces_one_way
from methods.nerf.config import FieldConfig
from methods.nerf.field.bounds import Bounds
from methods.nerf.field.grid import GridField
from methods.nerf.field.near_cameras import alone_before_cameras
from methods.nerf.field.occupancy import refresh, resampled
from methods.nerf.field.storage import build, describe
from methods.nerf.field.unseen import begin_with_mean, fill_unseen
from methods.nerf.images.posed_images import PosedImages
from methods.nerf.training.checkpointing import Checkpoints, generator, preview, psnr
from methods.nerf.training.deadline import Deadline
from methods.nerf.training.grid_training import GridTraining
from methods.nerf.training.optimizer_state import with_prefix
from methods.nerf.training.rates import decayed


def train_grid(views: PosedImages, bounds: Bounds, config: FieldConfig, job: Job, deadline: Deadline) -> GridField:
    """Fit a grid field: the grid grows twice, and where nothing lies beyond the object, closes around it."""
    budget = config.budget(job.effort)
    sides = [max(4, round(budget.side * share)) for share in (*config.growth, 1.0)]
    starts = [0, *(round(budget.steps * share) for share in config.grow_at)]
    asked = {"bounds": repr(bounds), "config": config.model_dump(mode="json"), "budget": budget.model_dump()}
    checkpoints = Checkpoints(job, "grid", {**asked, "seed": job.seed, "views": list(views.ids)})

    if bounds.contract:
        chosen = config.shell_open
        bounds = bounds.shelled(views.camera) if chosen is None else replace(bounds, shell=chosen)
    training = GridTraining(GridField.empty(bounds, views.background, config, sides[0]).to(views.pixels.device))
    if not bounds.closed:
        begin_with_mean(training.field)
        _bar(training.field, views)
        refresh(training.field)
    first = 0
    if (found := checkpoints.resume()) is not None:
        state, tensors = found
        training, first = _restored(state, tensors, views), state["step"]
        _bar(training.field, views)
        del found, state, tensors  # as large as the field and its moments together
    tv_open, distortion = posed_weights(config, views.poses) if bounds.contract else (config.tv_open, 0.0)
    smooth = Priors(tv_density=budget.tv_density if bounds.closed else tv_open, tv_colour=config.tv_colour)
    carving = smooth._replace(sparsity=config.sparsity)
    rays = budget.rays if bounds.closed else max(1, round(budget.rays * config.rays_open))
    for step in range(first, budget.steps):
        if deadline.reached(step, budget.steps, "field"):
            break
        if step in starts[1:]:
            stage = starts.index(step)
            if stage == 1 and not bounds.closed:
                fill_unseen(training.field)
            coarse = training.finish()
            del training  # its moments are twice as large as the field, and nobody asks for them again
            training = GridTraining(resampled(coarse, sides[stage], shrink=stage == 1 and bounds.closed))
            del coarse
            if not bounds.closed:
                _bar(training.field, views)
                refresh(training.field)
        elif step % config.occupancy_every == 0 and step > 0:
            refresh(training.field)
        field, rng = training.field, generator(job.seed, step)
        batch = views.draw(rays, rng)
        loss = training.learn(batch, torch.rand(rays, generator=rng).to(field.device), distortion)
        fade = decayed(1.0, config.grid_lr_decay, step / budget.steps)
        rates = Rates(density=config.density_lr * fade, colour=config.colour_lr * fade)
        training.step(rates, carving if step < starts[1] else smooth)
        if checkpoints.log_due(force=step + 1 == budget.steps):
            error = float(loss)
            checkpoints.log(step + 1, {"loss": error, "psnr": psnr(error), "resolution": max(field.shape)})
        if checkpoints.preview_due():
            checkpoints.show(step + 1, partial(preview, field, views.poses[:1], views.camera))
        if checkpoints.save_due():
            checkpoints.save(step + 1, *_state(training))
    refresh(training.field)
    training.field.barred = None  # its clearance knows
    if not deadline.stopped:
        job.log(budget.steps, {}, preview(training.field, views.poses[:1], views.camera))
    return training.finish()


def posed_weights(config: FieldConfig, poses: Tensor) -> tuple[float, float]:
    """Weights before a real background, with `poses` (N, 4, 4) that are known or believed: of half the squared
    differences between neighbouring densities, and of the distortion loss."""
    return config.tv_open, 0.0 if faces_one_way(poses) else config.distortion_open


def _bar(field: GridField, views: PosedImages) -> None:
    """In unbounded space, keep empty from the next look on what lies before the cameras and few of them see."""
    if field.bounds.contract:
        field.barred = alone_before_cameras(field, views.poses, views.camera, field.config.seen_by_open)


def _state(training: GridTraining) -> tuple[dict[str, Any], dict[str, Tensor]]:
    tensors = {f"field/{name}": value for name, value in training.field.state_dict().items()}
    return {"field": describe(training.field), "steps": training.sink.steps}, tensors | training.sink.state()


def _restored(state: dict[str, Any], tensors: dict[str, Tensor], views: PosedImages) -> GridTraining:
    field = build(state["field"])
    if not isinstance(field, GridField):
        raise ValueError("nerf: the checkpoint of a grid holds another field; delete it and start again")
    field.load_state_dict(with_prefix("field/", tensors))
    training = GridTraining(field.to(views.pixels.device))
    if state["steps"]:
        training.sink.restore(tensors, state["steps"])
    return training
