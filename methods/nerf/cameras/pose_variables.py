"""Cameras as free variables: poses that move from where they start, and perhaps a focal length."""

from __future__ import annotations

import torch
from scipy.spatial.transform import RigidTransform
from torch import Tensor, nn

from bench.geometry_torch import exp_se3
from methods.nerf.cameras.intrinsics import Intrinsics


class Cameras(nn.Module):
    """N poses, each its start moved by a twist in se(3) (BARF, Lin et al. 2021, eq. 1-3), and their common intrinsics.

    The motion is about `pivot`, in the axes of the world: `around(pivot) @ exp(twist) @ start`. Twists are (omega, v),
    omega in radians and v in `unit`s, a length of the scene: one step means the same at every scale.

    The field may lie in a space of its own, z' = mu x + nu y + lambda z about the pivot (`bas_relief`: mu, nu, log
    lambda), a bas-relief of the scene (Belhumeur et al. 1999). Views from nearly one side hardly tell the two apart: a
    tilt of the plane of the cameras against a slant of the scene, a focal length against its depth. In a space of its
    own the field need not be carved anew while these are found.
    """

    start: Tensor
    pivot: Tensor

    def __init__(self, start: Tensor, intrinsics: Intrinsics, *, pivot: Tensor, unit: float) -> None:
        """`start` (N, 4, 4), `pivot` (3,) and `unit` in scene units."""
        super().__init__()
        self.register_buffer("start", start, persistent=False)
        self.register_buffer("pivot", pivot, persistent=False)
        self.unit, self.intrinsics = unit, intrinsics
        self.twists = nn.Parameter(torch.zeros(len(start), 6, device=start.device))
        self.bas_relief = nn.Parameter(torch.zeros(3, device=start.device))

    def poses(self) -> Tensor:
        """(N, 4, 4) of all views in the scene, differentiably."""
        rotations, centres = self._moved()
        mu, nu, lam = self._space()
        height = (centres[:, 2] - mu * centres[:, 0] - nu * centres[:, 1]) / lam
        centres = torch.cat([centres[:, :2], height[:, None]], dim=1) + self.pivot
        return torch.cat([torch.cat([rotations, centres[:, :, None]], dim=2), self.start[:, 3:]], dim=1)

    @torch.no_grad()
    def place(self, poses: Tensor) -> None:
        """Move the views to `poses` (N, 4, 4), from where they go on, but for those that are not finite.

        Not for a field in a space of its own.
        """
        finite = poses.isfinite().all(dim=2).all(dim=1)
        around = torch.eye(4, dtype=torch.float64)
        around[:3, 3] = self.pivot
        motions = around.inverse() @ poses.double().cpu() @ self.start.double().cpu().inverse() @ around
        motions[:, 3] = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)  # to the last bit, or it is refused
        twists = RigidTransform.from_matrix(motions[finite.cpu()].numpy()).as_exp_coords()
        twists[:, 3:] /= self.unit
        self.twists[finite] = torch.from_numpy(twists).to(self.twists)

    @torch.no_grad()
    def settle(self) -> None:
        """Leave the field's own space: the next one lies in the scene, where the poses are by now."""
        poses = self.poses()
        self.bas_relief.zero_()
        self.place(poses)

    def rays(self, views: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """Origins and unit directions, (V K, 3) each, in the field's space, of points (V, K, 2) of `views` (V,)."""
        rotations, centres = self._moved()
        directions = self.intrinsics.directions(points) @ rotations[views].transpose(1, 2)  # (V, K, 3)
        mu, nu, lam = self._space()
        height = mu * directions[..., 0] + nu * directions[..., 1] + lam * directions[..., 2]
        directions = torch.cat([directions[..., :2], height[..., None]], dim=2)
        origins = (centres + self.pivot)[views][:, None].expand_as(directions)
        return origins.reshape(-1, 3), torch.nn.functional.normalize(directions.reshape(-1, 3), dim=1)

    def _moved(self) -> tuple[Tensor, Tensor]:
        """Rotations (N, 3, 3) and, in the field's space and from the pivot, centres (N, 3)."""
        motion = exp_se3(self.twists, self.unit)  # (N, 3, 4)
        centres = motion[:, :, :3] @ (self.start[:, :3, 3] - self.pivot)[:, :, None] + motion[:, :, 3:]
        return motion[:, :, :3] @ self.start[:, :3, :3], centres[:, :, 0]

    def _space(self) -> tuple[Tensor, Tensor, Tensor]:
        """mu, nu, lambda."""
        mu, nu, lam = self.bas_relief.unbind()
        return mu, nu, lam.exp()
