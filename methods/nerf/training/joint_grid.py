"""A grid that learns together with the cameras: coarse and then fine, on images that grow with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bench.task import Effort
from methods.nerf.field.bounds import Bounds
from methods.nerf.field.grid import GridField
from methods.nerf.images.posed_images import Batch
from methods.nerf.training.camera_training import CameraTraining
from methods.nerf.training.coarse_to_fine import CoarseToFineGrid
from methods.nerf.training.joint_schedule import Draw, JointGridBudget, JointGridSchedule
from methods.nerf.training.rates import decayed, ramped


class JointGrid:
    """The `JointField` of a `JointGridSchedule`."""

    def __init__(
        self, bounds: Bounds, background: Tensor, schedule: JointGridSchedule, effort: Effort, side: int,
        rng: torch.Generator,
    ) -> None:  # fmt: skip
        """`side`: the longest one of the images themselves, px."""
        self.schedule, self.side = schedule, side
        self.budget: JointGridBudget = getattr(schedule, effort)
        self._coarse_sides = (  # from which iteration on
            schedule.stages_open(self.budget.coarse) if bounds.contract else {0: schedule.coarse_side}
        )
        first = schedule.coarse_sides_open[0] if bounds.contract else schedule.coarse_side
        final = self.budget.sides(closed=bounds.closed)
        self.grid = CoarseToFineGrid(bounds, background, schedule, final, rng, coarse_side=first)

    @property
    def field(self) -> GridField:
        return self.grid.field

    @property
    def iterations(self) -> int:
        return self.budget.coarse + self.budget.fine

    def phase(self, index: int) -> str:
        return "coarse" if self._fine(index) is None else "fine"

    def draw(self, index: int) -> Draw:
        schedule, fine = self.schedule, self._fine(index)
        end = min(schedule.side_coarse, self.side)
        if fine is None:
            start = min(schedule.side_start, self.side)
            return Draw(side=_between(start, end, index / self.budget.coarse, 4), rays=self.budget.rays_coarse)
        if fine >= schedule.sharp_at:
            return Draw(side=self.side, rays=self.budget.rays)
        return Draw(side=_between(end, self.side, fine / schedule.sharp_at, 8), rays=self.budget.rays)

    def prepare(self, index: int, cameras: CameraTraining) -> None:
        if index in self._coarse_sides and index > 0:
            self.grid.sharpen(self._coarse_sides[index])
            cameras.forget_momentum()
        index -= self.budget.coarse
        if index >= 0 and self.grid.refine(index, self.budget.fine):
            cameras.forget_momentum()

    def learn(self, batch: Batch, rng: torch.Generator) -> Tensor:
        return self.grid.learn(batch, rng)

    def step(self, index: int, cameras: CameraTraining) -> None:
        schedule, fine = self.schedule, self._fine(index)
        if fine is None:
            rate, fade = schedule.pose_lr, decayed(1.0, schedule.pose_decay_coarse, index / self.budget.coarse)
        else:
            rate, fade = schedule.pose_lr_fine, decayed(1.0, schedule.pose_decay, fine)
        fade *= self._trust(index)
        has_own_space = self.field.bounds.frustum is not None
        relief = schedule.relief_lr if has_own_space else 0.0
        cameras.step(fade * rate, fade * schedule.focal_lr, fade * relief)
        self.grid.step(fine)

    def _trust(self, index: int) -> float:
        """0 to 1: how far the field is believed about the cameras at iteration `index`.

        Adam's first steps are as long as its rate, however little a gradient says: poses that were exact end degrees
        away when a field that is still fog, or has just become another one, moves them.
        """
        schedule, coarse, fine = self.schedule, self.budget.coarse, self.budget.fine
        if not self.field.bounds.contract:  # around an object a field soon says more than its first step costs
            return 1.0
        if index < coarse:
            begins = max(start for start in self._coarse_sides if start <= index)
            moves, ramp = begins or round(schedule.pose_from * coarse), round(schedule.pose_ramp * coarse)
        else:
            starts = [coarse + round(fine * share) for share in schedule.grow_at]
            moves, ramp = max(start for start in starts if start <= index), round(schedule.pose_ramp * fine)
        return ramped(index - moves, ramp)

    def finish(self) -> GridField:
        return self.grid.finish()

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        return self.grid.state()

    def restore(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self.grid.restore(state, tensors)

    def _fine(self, index: int) -> float | None:
        """Share of the fine iterations that is over; None before them."""
        return (index - self.budget.coarse) / self.budget.fine if index >= self.budget.coarse else None


def _between(start: int, end: int, share: float, step: int) -> int:
    """A size on the way from `start` to `end` px, in multiples of `step`."""
    return max(start, int(start + (end - start) * share) // step * step)
