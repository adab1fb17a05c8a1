"""How cameras move: Adam on what each of their variables was told by the last backward pass."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from methods.nerf.cameras.pose_variables import Cameras
from methods.nerf.field.base import RadianceField
from methods.nerf.training.optimizer_state import optimizer_tensors, restore_optimizer, with_prefix


class CameraTraining:
    """Cameras, and one optimizer for each kind of their variables."""

    def __init__(self, cameras: Cameras) -> None:
        self.cameras = cameras
        self._optimizers = {
            "poses": torch.optim.Adam([cameras.twists], betas=(0.9, 0.99)),
            "bas_relief": torch.optim.Adam([cameras.bas_relief], betas=(0.9, 0.99)),
            "focal": torch.optim.Adam([cameras.intrinsics.log_zoom], betas=(0.9, 0.99)),
        }

    def step(self, pose_rate: float, focal_rate: float = 0.0, bas_relief_rate: float = 0.0) -> None:
        """One step of Adam, and the gradients are spent.

        Rates are how far a variable moves at most: a pose radians and `cameras.unit`s, a focal length its logarithm. A
        rate of 0 leaves its variables where they are.
        """
        for name, rate in (("poses", pose_rate), ("focal", focal_rate), ("bas_relief", bas_relief_rate)):
            optimizer = self._optimizers[name]
            if rate > 0:
                optimizer.param_groups[0]["lr"] = rate
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def forget_momentum(self) -> None:
        """Of the poses, when the field they are drawn by has become another one."""
        self._optimizers["poses"].state.clear()

    def hold(self, views: Sequence[int]) -> None:
        """Forget what was told of the poses of these."""
        if self.cameras.twists.grad is not None:
            self.cameras.twists.grad[list(views)] = 0.0

    def settle(self, field: RadianceField) -> None:
        """Go on without this `field`, which is asked by rays of the scene from now on: see `Cameras`."""
        in_scene(field, self.cameras)
        self.cameras.settle()
        self._optimizers["bas_relief"].state.clear()

    def state(self) -> dict[str, Tensor]:
        """Variables and optimizers, for a checkpoint."""
        tensors = {f"cameras/{name}": value for name, value in self.cameras.state_dict().items()}
        for name, optimizer in self._optimizers.items():
            tensors |= optimizer_tensors(optimizer, f"{name}/")
        return tensors

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        self.cameras.load_state_dict(with_prefix("cameras/", tensors))
        for name, optimizer in self._optimizers.items():
            restore_optimizer(optimizer, f"{name}/", tensors)


def in_scene(field: RadianceField, cameras: Cameras) -> None:
    """From now on a `field` that learnt in a space of its own is asked by rays of the scene."""
    if field.bounds.frustum is not None:
        mu, nu, lam = cameras.bas_relief.tolist()
        frustum = replace(field.bounds.frustum, bas_relief=(mu, nu, math.exp(lam)))
        field.bounds = replace(field.bounds, frustum=frustum)
