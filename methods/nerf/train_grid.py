"""Training the grid: random pixels, coarse to fine, empty space skipped, Adam on what was touched."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from bench.task import Job
from methods.nerf.bounds import Bounds
from methods.nerf.config import FieldConfig
from methods.nerf.grid import GridField
from methods.nerf.occupancy import refresh, resampled
from methods.nerf.progress import Progress, decayed, generator, preview, psnr
from methods.nerf.store import build, describe
from methods.nerf.views import Batch, Views


class Learner(Protocol):
    """What takes one step; the fused `SparseAdam`, or `DenseAdam` in plain torch."""

    def learn(self, batch: Batch, jitter: Tensor) -> float: ...

    def step(self, rate: float, *, tv_density: float, tv_colour: float) -> None: ...

    @property
    def steps(self) -> int: ...

    def state(self) -> dict[str, Tensor]: ...

    def restore(self, tensors: dict[str, Tensor], steps: int) -> None: ...


def train_grid(views: Views, bounds: Bounds, config: FieldConfig, job: Job) -> GridField:
    """Fit a grid field: the grid grows twice, and where nothing lies beyond the object, closes around it."""
    budget = config.budget(job.effort)
    sides = [max(4, round(budget.side * share)) for share in (*config.growth, 1.0)]
    starts = [0, *(round(budget.steps * share) for share in config.grow_at)]
    asked = {"bounds": repr(bounds), "config": config.model_dump(mode="json"), "budget": budget.model_dump()}
    progress = Progress(job, "grid", {**asked, "seed": job.seed, "views": list(views.ids)})

    field = GridField.empty(bounds, views.background, config, sides[0]).to(views.pixels.device)
    learner, first = learner_of(field), 0
    if (found := progress.resume()) is not None:
        state, tensors = found
        field, learner, first = _restored(state, tensors, views)
    for step in range(first, budget.steps):
        if step in starts[1:]:
            stage = starts.index(step)
            field = resampled(field, sides[stage], shrink=stage == 1 and not bounds.contract)
            learner = learner_of(field)
        elif step % config.occupancy_every == 0 and step > 0:
            refresh(field)
        rng = generator(job.seed, step)
        batch = views.draw(budget.rays, rng)
        loss = learner.learn(batch, torch.rand(budget.rays, generator=rng).to(field.device))
        rate = decayed(config.grid_lr, config.grid_lr_decay, step / budget.steps)
        learner.step(rate, tv_density=config.tv_density, tv_colour=config.tv_colour)
        last = step + 1 == budget.steps
        progress.log(step + 1, {"loss": loss, "psnr": psnr(loss), "resolution": max(field.shape)}, force=last)
        progress.keep(step + 1, *_state(field, learner))
    refresh(field)
    job.log(budget.steps, {}, preview(field, views))
    field.optimiser = None
    progress.done()
    return field.requires_grad_(False)


def learner_of(field: GridField) -> Learner:
    """The optimiser that suits the back end."""
    if not field.fused:
        return DenseAdam(field)
    from methods.nerf.optimiser import SparseAdam

    return SparseAdam(field)


class DenseAdam:
    """The same steps in plain torch, on any device; Adam on all voxels, total variation over the whole grid."""

    def __init__(self, field: GridField) -> None:
        self.field, self.steps = field, 0
        self.adam = torch.optim.Adam([field.density, field.colour], lr=1.0, betas=(0.9, 0.99))

    def learn(self, batch: Batch, jitter: Tensor) -> float:
        self.adam.zero_grad(set_to_none=True)
        shade = self.field.march(self.field.normalised(batch.origins), batch.directions, jitter)
        loss = functional.mse_loss(shade.over(self.field.background), batch.colours)
        loss.backward()
        return loss.item()

    def step(self, rate: float, *, tv_density: float, tv_colour: float) -> None:
        for weight, grid in ((tv_density, self.field.density), (tv_colour, self.field.colour)):
            if weight > 0:
                (weight / 2 * sum(grid.diff(dim=axis).square().sum() for axis in range(3))).backward()
        self.adam.param_groups[0]["lr"] = rate
        self.adam.step()
        self.steps += 1

    def state(self) -> dict[str, Tensor]:
        entries = self.adam.state_dict()["state"]
        return {f"moment{index}/{name}": value for index, entry in entries.items() for name, value in entry.items()}

    def restore(self, tensors: dict[str, Tensor], steps: int) -> None:
        names = ("step", "exp_avg", "exp_avg_sq")
        state = {index: {name: tensors[f"moment{index}/{name}"] for name in names} for index in range(2)}
        self.adam.load_state_dict({"state": state, "param_groups": self.adam.state_dict()["param_groups"]})
        self.steps = steps


def _state(field: GridField, learner: Learner) -> tuple[dict[str, Any], dict[str, Tensor]]:
    tensors = {f"field/{name}": value for name, value in field.state_dict().items()}
    return {"field": describe(field), "steps": learner.steps}, {**tensors, **learner.state()}


def _restored(state: dict[str, Any], tensors: dict[str, Tensor], views: Views) -> tuple[GridField, Learner, int]:
    field = build(state["field"])
    if not isinstance(field, GridField):
        raise ValueError("nerf: the checkpoint of a grid holds another field; delete it and start again")
    field.load_state_dict({name[6:]: value for name, value in tensors.items() if name.startswith("field/")})
    field = field.to(views.pixels.device)
    learner = learner_of(field)
    if state["steps"]:
        learner.restore(tensors, state["steps"])
    return field, learner, state["step"]
