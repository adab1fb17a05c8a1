"""Training the grid: coarse to fine, random pixels, Adam on the voxels that were touched."""

from __future__ import annotations

import torch
from torch.nn import functional

from bench.task import Job
from methods.nerf.bounds import Bounds
from methods.nerf.config import FieldConfig
from methods.nerf.grid import GridField
from methods.nerf.progress import Progress, decayed, generator, preview, psnr
from methods.nerf.views import Views


def train_grid(views: Views, bounds: Bounds, config: FieldConfig, job: Job) -> GridField:
    budget = config.budget(job.effort)
    side = max(2, round(budget.side * config.growth[0]))
    field = GridField.empty(bounds, views.background, config, side).to(views.pixels.device)
    progress = Progress(job, "grid", {})
    adam = torch.optim.Adam(field.parameters(), lr=config.grid_lr)
    for step in range(budget.steps):
        rng = generator(job.seed, step)
        batch = views.draw(budget.rays, rng)
        loss = functional.mse_loss(
            field.shade(batch.origins, batch.directions, rng).over(field.background), batch.colours
        )
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.param_groups[0]["lr"] = decayed(config.grid_lr, config.grid_lr_decay, step / budget.steps)
        adam.step()
        progress.log(step + 1, {"loss": loss.item(), "psnr": psnr(loss.item()), "side": max(field.shape)})
    job.log(budget.steps, {}, preview(field, views))
    return field.requires_grad_(False)
