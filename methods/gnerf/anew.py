"""Phase B before a real background (not published): fields that begin anew, and cameras free of the prior's family.

AB leaves some views in the wrong place, and its field holds them there. As in this suite's `barf` before a real
background, a field begins anew several times, from poses that are adjusted all at once and without the views that see
too little of what the last field has learnt; these are then placed anew against what the others have built. The last
field is trained as where poses are known, and poses rest for it, but that it adjusts them once itself
(`methods/nerf/training/joint_grid.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bench.task import Effort
from methods.gnerf.fast import Fast, FastBudget
from methods.gnerf.generator import GridGenerator
from methods.nerf.cameras.intrinsics import Intrinsics
from methods.nerf.cameras.pose_variables import Cameras
from methods.nerf.field.grid import GridField
from methods.nerf.field.storage import build, describe
from methods.nerf.images.pyramid import ImagePyramid
from methods.nerf.training.camera_training import CameraTraining
from methods.nerf.training.deadline import Deadline
from methods.nerf.training.grid_training import GridTraining
from methods.nerf.training.joint import joint_step
from methods.nerf.training.joint_grid import JointGrid
from methods.nerf.training.joint_schedule import CoarseToFine, Draw, FinalGrid, JointGridBudget, JointGridSchedule
from methods.nerf.training.optimizer_state import with_prefix

LED = 2
"""Fields, where matched features told poses: one to adjust all poses by, and the last."""


class Done(NamedTuple):
    """A field that was done."""

    field: GridField
    twists: Tensor  # (N, 6) of its cameras
    gains: Tensor | None  # (N, C) of the views, as it had them; None: their exposures were alike


@dataclass(kw_only=True)
class FieldsAnew:
    """The fields, one after another, and the cameras that are trained with them."""

    generator: GridGenerator  # which has the present one
    joint: JointGrid
    moving: CameraTraining
    last: Done | None = None

    @staticmethod
    def of(
        generator: GridGenerator, intrinsics: Intrinsics, poses: Tensor, sight: ImagePyramid, effort: Effort,
        held: Sequence[int] = (),
    ) -> FieldsAnew:  # fmt: skip
        """After the field of the `generator`, which has led to `poses` (N, 4, 4).

        Where matched features told the poses of the views of the numbers `held`, there are two fields, the first from
        these poses.
        """
        field, bounds = generator.field, generator.field.bounds
        schedule = joint_schedule(generator.preset, getattr(generator.preset, effort), effort)
        if held:
            schedule = schedule.model_copy(update={"anew_open": LED})
        unit = bounds.distance_of(list(poses.double().cpu().numpy())) / 4
        pivot = torch.tensor(bounds.centre)
        cameras = Cameras(poses, intrinsics, pivot=pivot, unit=unit).to(poses.device)
        begun, none = generator.growing, torch.Generator()
        joint = JointGrid(bounds, field.background, schedule, effort, sight, none, begun=begun, held=held)
        return FieldsAnew(generator=generator, joint=joint, moving=CameraTraining(cameras))

    def step(
        self, index: int, sight: ImagePyramid, rng: torch.Generator, deadline: Deadline
    ) -> tuple[Tensor, Draw, int | None]:
        """Iteration `index` of B: its mean squared error, its pixels, and how many lost views were asked for anew."""
        if self.joint.begins_anew(index):
            gains = None if sight.gains is None else sight.gains.clone()
            self.last = Done(self.joint.grid.training.finish(), self.moving.cameras.twists.detach().clone(), gains)
        lost, is_once = self.joint.lost, self.joint.once(index)
        self.joint.prepare(index, self.moving, rng, deadline)
        if is_once:
            deadline.no_step()
        self.generator.grid = self.joint.grid
        draw = self.joint.draw(index)
        error = joint_step(self.joint, self.moving, index, draw, sight, rng)
        return error, draw, len(lost) if self.joint.places(index) else None

    def done(self, iterations: int) -> int:
        """How many of the fields are done after so many iterations of B."""
        return sum(course.end <= iterations for course in self.joint.courses)

    def stop(self, misfit: Callable[[], float]) -> None:
        """Where there is no time to do the present field: go back to the last one, if that explains all images better.

        Half done, a field is often better than the one before it; as fog it is worse.
        """
        if self.last is None:
            return
        field, twists, gains = self.last
        present = self.generator.grid.training, self.moving.cameras.twists.detach().clone(), self.joint.pyramid.gains
        error = misfit()
        self._take(GridTraining(field), twists, gains)
        if not misfit() < error:
            self._take(*present)

    @torch.no_grad()
    def _take(self, training: GridTraining, twists: Tensor, gains: Tensor | None) -> None:
        self.generator.grid.training = training
        self.moving.cameras.twists.copy_(twists)
        self.joint.pyramid.retake(gains)

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        state, tensors = self.joint.state()
        # copies: the intrinsics are a part of the model's state as well, and no file of tensors has one twice
        tensors = dict(tensors) | {f"moving/{name}": value.clone() for name, value in self.moving.state().items()}
        if self.last is not None:
            field, tensors["last/twists"], gains = self.last
            state["last"] = describe(field)
            if gains is not None:
                tensors["last/gains"] = gains
            own = {"background": field.background.clone()}  # all fields have one and the same
            tensors |= {f"last/field/{name}": value for name, value in (field.state_dict() | own).items()}
            if field.barred is not None:
                tensors["last/barred"] = field.barred
        return state, tensors

    def restore(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self.joint.restore(state, tensors)
        self.moving.restore(with_prefix("moving/", tensors))
        self.generator.grid = self.joint.grid
        if "last" in state:
            field, device = build(dict(state["last"])), self.joint.field.device
            assert isinstance(field, GridField)
            field.load_state_dict(with_prefix("last/field/", tensors))
            if "last/barred" in tensors:
                field.barred = tensors["last/barred"].to(device)
            gains = tensors["last/gains"].to(device) if "last/gains" in tensors else None
            self.last = Done(field.to(device), tensors["last/twists"].to(device), gains)


def joint_schedule(preset: Fast, budget: FastBudget, effort: Effort) -> JointGridSchedule:
    """The numbers of the `preset`, as joint training names them."""
    shared = {name: getattr(preset, name) for name in CoarseToFine.model_fields}
    sizes = {name: getattr(budget, name) for name in FinalGrid.model_fields}
    pays = JointGridBudget(coarse=0, fine=budget.b, rays_coarse=preset.rays_ab, rays=budget.rays, **sizes)
    rates = {"pose_lr": preset.pose_lr, "pose_lr_fine": preset.pose_lr_b, "pose_decay": preset.pose_decay}
    sides = {"side_start": preset.side_ab, "side_coarse": preset.side_ab}
    return JointGridSchedule.model_validate({**shared, **rates, **sides, effort: pays})
