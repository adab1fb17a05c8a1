"""Cameras as free variables: poses that move from where they start, and perhaps a focal length."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from methods.nerf.cameras.intrinsics import Intrinsics
from methods.nerf.training.optimizer_state import optimizer_tensors, restore_optimizer


class Cameras(nn.Module):
    """N poses, each its start moved by a twist in se(3) (BARF, Lin et al. 2021, eq. 1-3), and their common intrinsics.

    The motion is about `pivot`, in the axes of the world: `around(pivot) @ exp(twist) @ start`. Twists are (omega, v),
    omega in radians and v in `unit`s, a length of the scene: one step means the same at every scale.

    The field may lie in a space of its own, z' = mu x + nu y + lambda z about the pivot (`relief`: mu, nu, log lambda),
    the bas-relief of the scene (Belhumeur et al. 1999). Views from nearly one side hardly tell the two apart: a tilt of
    the plane of the cameras against a slant of the scene, a focal length against its depth. In a space of its own the
    field need not be carved anew while these are found.
    """

    start: Tensor
    pivot: Tensor

    def __init__(self, start: Tensor, intrinsics: Intrinsics, *, pivot: Tensor, unit: float) -> None:
        super().__init__()
        self.register_buffer("start", start, persistent=False)
        self.register_buffer("pivot", pivot, persistent=False)
        self.unit, self.intrinsics = unit, intrinsics
        self.twists = nn.Parameter(torch.zeros(len(start), 6, device=start.device))
        self.relief = nn.Parameter(torch.zeros(3, device=start.device))
        self.movers = {
            "poses": torch.optim.Adam([self.twists], betas=(0.9, 0.99)),
            "relief": torch.optim.Adam([self.relief], betas=(0.9, 0.99)),
            "focal": torch.optim.Adam([intrinsics.log_zoom], betas=(0.9, 0.99)),
        }

    def poses(self) -> Tensor:
        """(N, 4, 4) of all views in the scene, differentiably."""
        turned, centre = self._moved()
        mu, nu, lam = self._relief()
        height = (centre[:, 2] - mu * centre[:, 0] - nu * centre[:, 1]) / lam
        centre = torch.cat([centre[:, :2], height[:, None]], dim=1) + self.pivot
        return torch.cat([torch.cat([turned, centre[:, :, None]], dim=2), self.start[:, 3:]], dim=1)

    def rays(self, views: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """Origins and unit directions, (V K, 3) each, in the field's space, of points (V, K, 2) of `views` (V,)."""
        turned, centre = self._moved()
        directions = self.intrinsics.directions(points) @ turned[views].transpose(1, 2)  # (V, K, 3)
        mu, nu, lam = self._relief()
        height = mu * directions[..., 0] + nu * directions[..., 1] + lam * directions[..., 2]
        directions = torch.cat([directions[..., :2], height[..., None]], dim=2)
        origins = (centre + self.pivot)[views][:, None].expand_as(directions)
        return origins.reshape(-1, 3), torch.nn.functional.normalize(directions.reshape(-1, 3), dim=1)

    def _moved(self) -> tuple[Tensor, Tensor]:
        """Rotations (N, 3, 3) and, in the field's space and from the pivot, centres (N, 3)."""
        motion = exp_se3(self.twists, self.unit)  # (N, 3, 4)
        centre = motion[:, :, :3] @ (self.start[:, :3, 3] - self.pivot)[:, :, None] + motion[:, :, 3:]
        return motion[:, :, :3] @ self.start[:, :3, :3], centre[:, :, 0]

    def _relief(self) -> tuple[Tensor, Tensor, Tensor]:
        mu, nu, lam = self.relief.unbind()
        return mu, nu, lam.exp()

    def step(self, pose_rate: float, focal_rate: float = 0.0, relief_rate: float = 0.0) -> None:
        """One step of Adam on what the last backward pass left, and forget it."""
        for name, rate in (("poses", pose_rate), ("focal", focal_rate), ("relief", relief_rate)):
            mover = self.movers[name]
            if rate > 0:
                mover.param_groups[0]["lr"] = rate
                mover.step()
            mover.zero_grad(set_to_none=True)

    def forget_momentum(self) -> None:
        """Forget where the poses were going: the field they are drawn by has become another one."""
        self.movers["poses"].state.clear()

    def state(self) -> dict[str, Tensor]:
        tensors = {f"cameras/{name}": value for name, value in self.state_dict().items()}
        for name, mover in self.movers.items():
            tensors |= optimizer_tensors(mover, f"{name}/")
        return tensors

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        self.load_state_dict(
            {name.removeprefix("cameras/"): value for name, value in tensors.items() if name.startswith("cameras/")}
        )
        for name, mover in self.movers.items():
            restore_optimizer(mover, f"{name}/", tensors)


def exp_se3(twists: Tensor, unit: float) -> Tensor:
    """Rigid motions (N, 3, 4) of twists (N, 6); Rodrigues' formula, smooth at 0."""
    omega, v = twists[:, :3], twists[:, 3:] * unit
    square = omega.square().sum(dim=1)[:, None, None]  # (N, 1, 1)
    small = square < 1e-4
    theta = torch.where(small, torch.ones_like(square), square).sqrt()
    a = torch.where(small, 1 - square / 6, theta.sin() / theta)
    b = torch.where(small, 0.5 - square / 24, (1 - theta.cos()) / theta.square())
    c = torch.where(small, 1 / 6 - square / 120, (theta - theta.sin()) / theta**3)
    zero = torch.zeros_like(omega[:, 0])
    x, y, z = omega.unbind(dim=1)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).reshape(-1, 3, 3)
    eye, twice = torch.eye(3, dtype=twists.dtype, device=twists.device), skew @ skew
    rotation = eye + a * skew + b * twice
    return torch.cat([rotation, (eye + b * skew + c * twice) @ v[:, :, None]], dim=2)
