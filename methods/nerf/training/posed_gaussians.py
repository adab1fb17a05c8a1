"""Training Gaussians: an image a step, colours of a higher degree by and by, dead ones moved, their number grown."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.task import Job
from methods.nerf.config import GaussianBudget, GaussianConfig, PosedFieldConfig
from methods.nerf.field.bounds import Bounds
from methods.nerf.field.gaussians import GaussianField
from methods.nerf.field.storage import build, describe
from methods.nerf.images.posed_images import PosedImages
from methods.nerf.training.checkpointing import Checkpoints, generator, preview, psnr
from methods.nerf.training.deadline import Deadline
from methods.nerf.training.gaussian_training import GaussianTraining
from methods.nerf.training.initial_gaussians import initial_gaussians
from methods.nerf.training.optimizer_state import optimizer_tensors, restore_optimizer, with_prefix

ORDERS, MOVES = 2**28, 2**29
"""Whose randomness comes after that of all steps: in which order images are shown, which Gaussians are moved."""

WIDER = 1.1
"""Radius of the cameras about their middle, times this: what published learning rates are told in."""


def train_gaussians(
    views: PosedImages, bounds: Bounds, config: PosedFieldConfig, job: Job, deadline: Deadline,
    points: NDArray[np.float64] | None = None,
) -> GaussianField:  # fmt: skip
    """Fit Gaussians, from `points` (P, 3) where some are known. Before a real background each step draws a colour of
    its own behind them, so that they cannot hide in it."""
    choices, budget = config.gaussians, config.gaussian_budget(job.effort)
    asked = {"bounds": repr(bounds), "config": config.model_dump(mode="json"), "budget": budget.model_dump()}
    digest = "" if points is None else hashlib.sha256(np.ascontiguousarray(points).tobytes()).hexdigest()
    key = {**asked, "seed": job.seed, "views": list(views.ids), "points": digest}
    checkpoints = Checkpoints(job, "gaussians", key)
    radius, first = WIDER * _radius(views.poses), 0
    if (found := checkpoints.resume()) is not None:
        state, tensors = found
        training, first = _restored(state, tensors, views, radius, budget), state["step"]
    else:
        field = initial_gaussians(
            views, bounds, config, points, start=budget.start, most=budget.most, generator=generator(job.seed, -1)
        )
        training = GaussianTraining(field, radius / field.unit, budget.pace)
    camera, size = views.camera, (views.camera.height, views.camera.width, -1)
    for step in range(first, budget.steps):
        if deadline.reached(step, budget.steps, "field"):
            break
        share, rng = step / budget.steps, generator(job.seed, step)
        if _is_moving(step, budget, choices):
            chosen = generator(job.seed, MOVES + step)
            training.move_dead(chosen)
            training.grow(budget.most, chosen)
        field = training.field
        view = _shown(job.seed, step, len(views.ids))
        target = views.pixels[view].reshape(size).float() / 255
        background = field.background
        if not bounds.closed:
            background = torch.rand(field.channels, generator=rng).to(field.device)
        error = training.learn(target, views.poses[view : view + 1], camera, background, int(share / choices.sh_every))
        training.step(share)
        training.shake(share, _on(field.device, rng))
        if checkpoints.log_due(force=step + 1 == budget.steps):
            loss = float(error)
            checkpoints.log(step + 1, {"loss": loss, "psnr": psnr(loss), "gaussians": len(field)})
        if checkpoints.preview_due():
            checkpoints.show(step + 1, partial(preview, field, views.poses[:1], camera))
        if checkpoints.save_due():
            checkpoints.save(step + 1, {"field": describe(field)}, _tensors(training))
    if not deadline.stopped:
        job.log(budget.steps, {}, preview(training.field, views.poses[:1], camera))
    return training.field.requires_grad_(False)


def _is_moving(step: int, budget: GaussianBudget, choices: GaussianConfig) -> bool:
    """Whether the dead are moved before this step."""
    inside = choices.move_from * budget.steps < step < choices.move_until * budget.steps
    return inside and step % choices.move_every == 0


def _shown(seed: int, step: int, count: int) -> int:
    """Which of `count` images is looked at: all of them, in an order drawn anew, before one is again."""
    order = torch.randperm(count, generator=generator(seed, ORDERS + step // count))
    return int(order[step % count])


def _on(device: torch.device, rng: torch.Generator) -> torch.Generator:
    """A generator of the device, from the next number of this one."""
    word = int(torch.randint(2**62, (), generator=rng))
    return torch.Generator(device=device).manual_seed(word)


def _radius(poses: Tensor) -> float:
    """How far the farthest of the cameras (N, 4, 4) is from their middle; 1 where all are in one place."""
    centres = poses[:, :3, 3]
    return float((centres - centres.mean(dim=0)).norm(dim=-1).max()) or 1.0


def _tensors(training: GaussianTraining) -> dict[str, Tensor]:
    values = {f"field/{name}": value for name, value in training.field.state_dict().items()}
    return values | optimizer_tensors(training.adam, "adam/")


def _restored(
    state: dict[str, Any], tensors: dict[str, Tensor], views: PosedImages, radius: float, budget: GaussianBudget
) -> GaussianTraining:
    field = build(state["field"])
    if not isinstance(field, GaussianField):
        raise ValueError("nerf: the checkpoint of Gaussians holds another field; delete it and start again")
    field.load_state_dict(with_prefix("field/", tensors))
    training = GaussianTraining(field.to(views.pixels.device), radius / field.unit, budget.pace)
    restore_optimizer(training.adam, "adam/", tensors)
    return training
