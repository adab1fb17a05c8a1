"""Every choice of this method, with its default: this file is the only place where they live."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from methods.nerf.config import Budget, FieldConfig, RayField
from methods.nerf.training.joint_schedule import JointGridBudget, JointGridSchedule, JointMlpSchedule

PUBLISHED = JointMlpSchedule(
    # an epoch is one step for each image: 10,000 epochs of the 20 to 62 images of an LLFF scene
    smoke=Budget(steps=20, rays=256), quick=Budget(steps=20_000, rays=1024), full=Budget(steps=300_000, rays=1024),
    radiance=FieldConfig(field="mlp", width=128, samples=128, fine_samples=0, mlp_lr=1e-3, mlp_lr_decay=0.01),
    views=1, pose_lr=1e-3, pose_decay=3e-5,
)  # fmt: skip
"""NeRF--, sec. 4.1: 8 x 128, 128 samples in NDC, 1,024 rays of one image a step; Adam 1e-3, for the field times 0.9954
every 10 epochs and for the cameras 0.9 every 100: after 10,000 epochs 0.01 and 0.00003 are left."""


class NerfmmConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    field: RayField = "grid"
    start: Literal["identity", "given"] = "identity"  # given: from rough poses, as BARF, to see what they are worth
    start_noise: float = Field(default=0.15, ge=0)  # std of the se(3) noise on them
    intrinsics: Literal["unknown", "given"] = "unknown"
    near: float = Field(default=1.0, gt=0)  # distance of the frustum's front from the first cameras: sets the scale
    margin: float = Field(default=1.5, ge=1)  # how much wider than the first view it is
    grid: JointGridSchedule = JointGridSchedule(
        smoke=JointGridBudget(
            coarse=150, fine=60, rays_coarse=2048, rays=2048, side=40, coarse_anew=20, fine_anew=30
        ),
        quick=JointGridBudget(coarse=1500, fine=2000), full=JointGridBudget(coarse=1500, fine=5000, side=256),
        side_start=64, pose_lr_fine=0.016, pose_decay=0.05, focal_lr=0.01, relief_lr=0.03,
        anew_open=2, bundle_open=True,
    )  # fmt: skip
    mlp: JointMlpSchedule = PUBLISHED

    @property
    def schedule(self) -> JointGridSchedule | JointMlpSchedule:
        return self.grid if self.field == "grid" else self.mlp
