"""Forward-facing scenes: the frustum before the cameras, out to infinity, as a box (Mildenhall 2020, appendix C)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

SIDEWAYS = 0.05
"""Least z of a unit direction: a ray that looks further aside than 87 degrees does not look into the frustum."""

REACH = 2.5
"""Length of the longest path through the box, which is 2 deep."""


@dataclass(frozen=True, kw_only=True)
class Frustum:
    """What a camera at the origin that looks along +z sees from z = `near` on. Straight rays stay straight in the box.

    In the box z' runs from -1 at `near` to 1 at infinity, evenly in disparity; x' and y' are x / z and y / z over the
    larger of `slopes`, so that voxels look alike from the front whatever the image's shape. `bas_relief` (mu, nu,
    lambda) is what becomes of z before that: mu x + nu y + lambda z (see `Cameras`).
    """

    near: float  # scene units
    slopes: tuple[float, float]  # |x / z| and |y / z| at its sides
    bas_relief: tuple[float, float, float] = (0.0, 0.0, 1.0)

    @property
    def widths(self) -> tuple[float, float, float]:
        """Half extents of the box along x', y', z'."""
        x, y = self.slopes
        return x / max(x, y), y / max(x, y), 1.0

    def rays(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Rays (R, 3), (R, 3) of the scene as rays of the box: from its front, directions of unit length."""
        import torch  # not at the top: those who list methods read this module too

        height, rise = self._depths(origins), self._depths(directions)
        tangent = directions[:, :2] / rise.clamp(min=SIDEWAYS)
        entry = origins[:, :2] + (self.near - height) * tangent  # on the plane z = near
        scale = 1 / max(self.slopes)
        start = torch.cat([entry * (scale / self.near), torch.full_like(entry[:, :1], -1)], dim=1)
        along = torch.cat([(tangent - entry / self.near) * scale, torch.full_like(entry[:, :1], 2)], dim=1)
        return start, torch.nn.functional.normalize(along, dim=1)

    def distance(self, travelled: Tensor, origins: Tensor, directions: Tensor) -> Tensor:
        """Distances (R,) in the scene of points that lie `travelled` (R,) along the box's rays."""
        _, along = self.rays(origins, directions)
        disparity = (1 - (travelled * along[:, 2] - 1)).clamp(min=1e-3) / 2  # near / z
        height, rise = self._depths(origins)[:, 0], self._depths(directions)[:, 0]
        return (self.near / disparity - height) / rise.clamp(min=SIDEWAYS)

    def _depths(self, vectors: Tensor) -> Tensor:
        """z' (R, 1) of `vectors` (R, 3)."""
        mu, nu, lam = self.bas_relief
        return mu * vectors[:, :1] + nu * vectors[:, 1:2] + lam * vectors[:, 2:]
