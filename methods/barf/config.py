"""Every choice of this method, with its default: this file is the only place where they live."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from methods.nerf.config import FieldConfig, RayField
from methods.nerf.training.joint_schedule import JointGridBudget, JointGridSchedule, JointMlpSchedule

PUBLISHED = JointMlpSchedule(
    radiance=FieldConfig(
        field="mlp", samples=128, fine_samples=0, mlp_activation="softplus", mlp_lr=5e-4, mlp_lr_decay=0.2
    ),
    pose_lr=1e-3, pose_decay=0.01, coarse_to_fine_from=0.1, coarse_to_fine_by=0.5,
)  # fmt: skip
"""BARF, sec. 4.2 and the authors' options: 8 x 256, 128 samples, no fine network, 200,000 steps of 1,024 rays."""


class BarfConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    field: RayField = "grid"
    start_noise: float = Field(default=0.15, ge=0)  # std of the se(3) noise on its start poses (sec. 4.2)
    grid: JointGridSchedule = JointGridSchedule(
        quick=JointGridBudget(coarse=900, fine=1000),
        full=JointGridBudget(coarse=900, fine=4000, side=256, side_closed=144, side_late=224),
        side_start=64, anew_open=3, seen_by_open=0.2, bundle_open=True, posed_open=True,
    )  # fmt: skip
    mlp: JointMlpSchedule = PUBLISHED

    @property
    def schedule(self) -> JointGridSchedule | JointMlpSchedule:
        return self.grid if self.field == "grid" else self.mlp
