"""Training the grid: random pixels, coarse to fine, empty space skipped, Adam on what was touched."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from bench.task import Job
from methods.nerf.config import FieldConfig
from methods.nerf.field.bounds import Bounds
from methods.nerf.field.grid import GridField
from methods.nerf.field.occupancy import refresh, resampled
from methods.nerf.field.storage import build, describe
from methods.nerf.images.posed_images import PosedImages
from methods.nerf.training.checkpointing import Checkpoints, decayed, generator, preview, psnr
from methods.nerf.training.grid_training import Learner, Priors, Rate, learner_of


def train_grid(views: PosedImages, bounds: Bounds, config: FieldConfig, job: Job) -> GridField:
    """Fit a grid field: the grid grows twice, and where nothing lies beyond the object, closes around it."""
    budget = config.budget(job.effort)
    sides = [max(4, round(budget.side * share)) for share in (*config.growth, 1.0)]
    starts = [0, *(round(budget.steps * share) for share in config.grow_at)]
    asked = {"bounds": repr(bounds), "config": config.model_dump(mode="json"), "budget": budget.model_dump()}
    checkpoints = Checkpoints(job, "grid", {**asked, "seed": job.seed, "views": list(views.ids)})

    field = GridField.empty(bounds, views.background, config, sides[0]).to(views.pixels.device)
    learner, first = learner_of(field), 0
    if (found := checkpoints.resume()) is not None:
        state, tensors = found
        field, learner, first = _restored(state, tensors, views)
    smooth = Priors(tv_density=config.tv_density if bounds.closed else config.tv_open, tv_colour=config.tv_colour)
    carving = replace(smooth, sparsity=config.sparsity)
    rays = budget.rays if bounds.closed else max(1, round(budget.rays * config.rays_open))
    for step in range(first, budget.steps):
        if step in starts[1:]:
            stage = starts.index(step)
            field = resampled(field, sides[stage], shrink=stage == 1 and bounds.closed)
            learner = learner_of(field)
        elif step % config.occupancy_every == 0 and step > 0:
            refresh(field)
        rng = generator(job.seed, step)
        batch = views.draw(rays, rng)
        loss = learner.learn(batch, torch.rand(rays, generator=rng).to(field.device))
        fade = decayed(1.0, config.grid_lr_decay, step / budget.steps)
        learner.step(
            Rate(density=config.density_lr * fade, colour=config.colour_lr * fade),
            carving if step < starts[1] else smooth,
        )
        last = step + 1 == budget.steps
        checkpoints.log(step + 1, {"loss": loss, "psnr": psnr(loss), "resolution": max(field.shape)}, force=last)
        checkpoints.save(step + 1, *_state(field, learner))
    refresh(field)
    job.log(budget.steps, {}, preview(field, views))
    field.optimiser = None
    checkpoints.clear()
    return field.requires_grad_(False)


def _state(field: GridField, learner: Learner) -> tuple[dict[str, Any], dict[str, Tensor]]:
    tensors = {f"field/{name}": value for name, value in field.state_dict().items()}
    return {"field": describe(field), "steps": learner.steps}, {**tensors, **learner.state()}


def _restored(state: dict[str, Any], tensors: dict[str, Tensor], views: PosedImages) -> tuple[GridField, Learner, int]:
    field = build(state["field"])
    if not isinstance(field, GridField):
        raise ValueError("nerf: the checkpoint of a grid holds another field; delete it and start again")
    field.load_state_dict({name[6:]: value for name, value in tensors.items() if name.startswith("field/")})
    field = field.to(views.pixels.device)
    learner = learner_of(field)
    if state["steps"]:
        learner.restore(tensors, state["steps"])
    return field, learner, state["step"]
