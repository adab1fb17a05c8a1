"""Training the network as published: Adam, one random batch of pixels a step, loss over both renderings (eq. 6)."""

from __future__ import annotations

from functools import partial

import torch
from torch.nn import functional

from bench.task import Job
from methods.nerf.config import FieldConfig
from methods.nerf.field.bounds import Bounds
from methods.nerf.field.mlp import MlpField
from methods.nerf.field.storage import describe
from methods.nerf.images.posed_images import PosedImages
from methods.nerf.training.checkpointing import Checkpoints, generator, preview, psnr
from methods.nerf.training.deadline import Deadline
from methods.nerf.training.optimizer_state import optimizer_tensors, restore_optimizer, with_prefix
from methods.nerf.training.rates import decayed


def train_mlp(views: PosedImages, bounds: Bounds, config: FieldConfig, job: Job, deadline: Deadline) -> MlpField:
    budget = config.budget(job.effort)
    field = MlpField(bounds, views.background, config, generator(job.seed, -1)).to(views.pixels.device)
    adam = torch.optim.Adam(field.parameters(), lr=config.mlp_lr)
    checkpoints = Checkpoints(
        job, "mlp", {**describe(field), "seed": job.seed, "steps": budget.steps, "rays": budget.rays}
    )
    first = _resume(checkpoints, field, adam)
    for step in range(first, budget.steps):
        if deadline.reached(step, budget.steps, "field"):
            break
        rng = generator(job.seed, step)
        batch = views.draw(budget.rays, rng)
        shades = field.both(batch.origins, batch.directions, rng)
        losses = [functional.mse_loss(shade.over(field.background), batch.colours) for shade in shades]
        loss = torch.stack(losses).sum()
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.param_groups[0]["lr"] = decayed(config.mlp_lr, config.mlp_lr_decay, step / budget.steps)
        adam.step()
        if checkpoints.log_due(force=step + 1 == budget.steps):
            checkpoints.log(step + 1, {"loss": loss.item(), "psnr": psnr(losses[-1].item())})
        if checkpoints.preview_due():
            checkpoints.show(step + 1, partial(preview, field, views.poses[:1], views.camera))
        if checkpoints.save_due():
            checkpoints.save(step + 1, {}, _state(field, adam))
    if not deadline.stopped:
        job.log(budget.steps, {}, preview(field, views.poses[:1], views.camera))
    return field.requires_grad_(False)


def _state(field: MlpField, adam: torch.optim.Adam) -> dict[str, torch.Tensor]:
    return {
        **{f"field/{name}": value for name, value in field.state_dict().items()},
        **optimizer_tensors(adam, "adam/"),
    }


def _resume(checkpoints: Checkpoints, field: MlpField, adam: torch.optim.Adam) -> int:
    """The step to go on from: 0 without a checkpoint."""
    found = checkpoints.resume()
    if found is None:
        return 0
    state, tensors = found
    field.load_state_dict(with_prefix("field/", tensors))
    restore_optimizer(adam, "adam/", tensors)
    return state["step"]
