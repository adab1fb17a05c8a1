"""Phase B before a real background (not published): fields that begin anew, and cameras free of the prior's family.

AB leaves some views in the wrong place, and its field holds them there. As BARF does before a real background, a field
begins anew several times, without the views that the last one explained worst; these are then placed anew against what
the others have built (`methods/nerf/training/joint_grid.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.task import Effort
from methods.gnerf.fast import Fast, FastBudget
from methods.gnerf.generator import GridGenerator
from methods.nerf.cameras.intrinsics import Intrinsics
from methods.nerf.cameras.pose_variables import Cameras
from methods.nerf.images.pyramid import ImagePyramid
from methods.nerf.training.camera_training import CameraTraining
from methods.nerf.training.joint import joint_step
from methods.nerf.training.joint_grid import JointGrid
from methods.nerf.training.joint_schedule import CoarseToFine, Draw, FinalGrid, JointGridBudget, JointGridSchedule


@dataclass(frozen=True, kw_only=True)
class FieldsAnew:
    """The fields, one after another, and the cameras that are trained with them."""

    generator: GridGenerator  # which has the present one
    joint: JointGrid
    moving: CameraTraining

    @staticmethod
    def of(
        generator: GridGenerator, intrinsics: Intrinsics, poses: Tensor, sight: ImagePyramid, effort: Effort
    ) -> FieldsAnew:
        """After the field of the `generator`, which has led to `poses` (N, 4, 4)."""
        field, bounds = generator.field, generator.field.bounds
        schedule = joint_schedule(generator.preset, getattr(generator.preset, effort), effort)
        unit = bounds.distance_of(list(poses.double().cpu().numpy())) / 4
        pivot = torch.tensor(bounds.centre)
        cameras = Cameras(poses, intrinsics, pivot=pivot, unit=unit).to(poses.device)
        joint = JointGrid(bounds, field.background, schedule, effort, sight, torch.Generator(), begun=generator.grid)
        return FieldsAnew(generator=generator, joint=joint, moving=CameraTraining(cameras))

    def step(self, index: int, sight: ImagePyramid, rng: torch.Generator) -> tuple[Tensor, Draw, int | None]:
        """Iteration `index` of B: its mean squared error, its pixels, and how many lost views were placed anew."""
        lost = self.joint.lost
        self.joint.prepare(index, self.moving, rng)
        self.generator.grid = self.joint.grid
        draw = self.joint.draw(index)
        error = joint_step(self.joint, self.moving, index, draw, sight, rng)
        return error, draw, len(lost) if self.joint.places(index) else None


def joint_schedule(preset: Fast, budget: FastBudget, effort: Effort) -> JointGridSchedule:
    """The numbers of the `preset`, as joint training names them."""
    shared = {name: getattr(preset, name) for name in CoarseToFine.model_fields}
    sizes = {name: getattr(budget, name) for name in FinalGrid.model_fields}
    pays = JointGridBudget(coarse=0, fine=budget.b, rays_coarse=preset.rays_ab, rays=budget.rays, **sizes)
    rates = {"pose_lr": preset.pose_lr, "pose_lr_fine": preset.pose_lr_b, "pose_decay": preset.pose_decay}
    sides = {"side_start": preset.side_ab, "side_coarse": preset.side_ab}
    return JointGridSchedule.model_validate({**shared, **rates, **sides, effort: pays})
