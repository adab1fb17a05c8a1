"""The network that learns together with the cameras, as published: on the images as they are, rates that decay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bench.task import Effort
from methods.nerf.config import Budget
from methods.nerf.field.bounds import Bounds
from methods.nerf.field.mlp import MlpField
from methods.nerf.images.posed_images import Batch
from methods.nerf.training.camera_training import CameraTraining
from methods.nerf.training.deadline import Deadline
from methods.nerf.training.joint_schedule import Draw, JointMlpSchedule
from methods.nerf.training.optimizer_state import optimizer_tensors, restore_optimizer, with_prefix
from methods.nerf.training.rates import decayed


class JointMlp:
    """The `JointField` of a `JointMlpSchedule`."""

    def __init__(
        self, bounds: Bounds, background: Tensor, schedule: JointMlpSchedule, effort: Effort, side: int,
        rng: torch.Generator,
    ) -> None:  # fmt: skip
        """`side`: the longest one of the images, px."""
        self.schedule, self.side = schedule, side
        self.budget: Budget = getattr(schedule, effort)
        self.field = MlpField(bounds, background, schedule.radiance.sized(effort), rng).to(background.device)
        self.adam = torch.optim.Adam(self.field.parameters(), lr=schedule.radiance.mlp_lr)

    @property
    def iterations(self) -> int:
        return self.budget.steps

    def phase(self, index: int) -> str:
        return "poses and field"

    def ahead(self, index: int) -> int:
        return 1

    def once(self, index: int) -> bool:
        return False

    def draw(self, index: int) -> Draw:
        return Draw(side=self.side, rays=self.budget.rays, views=self.schedule.views)

    def prepare(self, index: int, cameras: CameraTraining, rng: torch.Generator, deadline: Deadline) -> None:
        start, end = self.schedule.coarse_to_fine_from, self.schedule.coarse_to_fine_by
        if end > start:
            self.field.set_coarse_to_fine(min(max((index / self.budget.steps - start) / (end - start), 0.0), 1.0))

    def learn(self, batch: Batch, rng: torch.Generator) -> Tensor:
        shades = self.field.both(batch.origins, batch.directions, rng)
        errors = [(shade.over(self.field.background) - batch.colours).square().mean() for shade in shades]
        torch.stack(errors).sum().backward()
        return errors[-1].detach()

    def step(self, index: int, cameras: CameraTraining) -> None:
        schedule, share = self.schedule, index / self.budget.steps
        fade = decayed(1.0, schedule.pose_decay, share)
        cameras.step(fade * schedule.pose_lr, fade * schedule.focal_lr)
        self.adam.param_groups[0]["lr"] = decayed(schedule.radiance.mlp_lr, schedule.radiance.mlp_lr_decay, share)
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)

    def tell(self, deadline: Deadline) -> None:
        pass

    def finish(self) -> MlpField:
        return self.field.requires_grad_(False)

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        values = {f"field/{name}": value for name, value in self.field.state_dict().items()}
        return {}, values | optimizer_tensors(self.adam, "adam/")

    def restore(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self.field.load_state_dict(with_prefix("field/", tensors))
        restore_optimizer(self.adam, "adam/", tensors)
