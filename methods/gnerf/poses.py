"""Poses as free variables: one family for each kind of prior (GNeRF sec. 3.2 and 4.1).

`position` is the published choice for Blender (the position alone, the camera looks at one point and stands upright),
`position+6d` that for DTU (position and the 6D rotation of Zhou et al. 2019). The fast preset's `sphere` and `full` say
the same in radii of the prior, `sphere` within its range of distances; `sphere+jitter` lies between.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from bench.task import PosePrior

PUBLISHED_RADIUS = 4.0
"""Distance of the cameras in the published scene units (GNeRF sec. 4.1), in which its rates are given."""

SIZES = {"sphere": 3, "sphere+jitter": 7, "full": 9, "position": 3, "position+6d": 9}


@dataclass(frozen=True, kw_only=True)
class Family:
    """Pose variables (N, size) <-> poses `world_from_camera` (N, 4, 4)."""

    name: str
    look_at: tuple[float, float, float]
    up: int  # the axis that is up: 0, 1 or 2
    radius: float  # scene units: the middle of the prior's range
    unit: float  # scene units: the length of 1 in variables, and in `reach`
    reach: tuple[float, float] | None  # of the distance from the look-at point; None: free
    # logarithm (a scalar) of how many times farther than `unit` says; None: 0. With a free focal length it is that of
    # the zoom: see `Model`
    log_stretch: Tensor | None = None

    @staticmethod
    def of(prior: PosePrior, name: str | None = None, log_stretch: Tensor | None = None) -> Family:
        name = name or prior.family
        low, high = prior.radius
        radius = (low + high) / 2
        unit, reach = radius, None
        if name.startswith("position"):
            unit = radius / PUBLISHED_RADIUS
        elif name != "full":
            stray = 4 * prior.look_at_std if name != "sphere" else 0.0
            reach = (max(0.05, (low - stray) / radius), (high + stray) / radius)
        return Family(
            name=name, look_at=prior.look_at, up="xyz".index(prior.up), radius=radius, unit=unit, reach=reach,
            log_stretch=log_stretch,
        )  # fmt: skip

    def bounded(self, prior: PosePrior) -> Family:
        """The same poses in radii and within the prior's range: what a search moves in."""
        name = {"position": "sphere", "position+6d": "full"}.get(self.name, self.name)
        return Family.of(prior, name, self.log_stretch)

    @property
    def size(self) -> int:
        return SIZES[self.name]

    def recoded(self, variables: Tensor, family: Family) -> Tensor:
        """Variables (N, size) of the same poses in another `family`."""
        return variables if family == self else family.encode(self.decode(variables))

    def encode(self, poses: Tensor) -> Tensor:
        """The variables (N, size) of `poses` (N, 4, 4); what the family cannot say is lost."""
        centre = self._centre(poses)
        offset = (poses[:, :3, 3] - centre) / (self.unit * self._stretch)
        if self.size == 3:
            return offset
        if self.name == "position+6d":
            return torch.cat([offset, poses[:, 0, :3], poses[:, 1, :3]], dim=1)
        if self.name == "full":
            return torch.cat([offset, poses[:, :3, 0], poses[:, :3, 1]], dim=1)
        forward = poses[:, :3, 2]
        target = offset - (offset * forward).sum(dim=1, keepdim=True) * forward  # nearest to the look-at point
        upright = look_at(offset, target, self._up(poses))
        roll = torch.atan2(
            (poses[:, :3, 0] * upright[:, :, 1]).sum(dim=1), (poses[:, :3, 0] * upright[:, :, 0]).sum(dim=1)
        )
        return torch.cat([offset, target, roll[:, None]], dim=1)

    def decode(self, variables: Tensor) -> Tensor:
        """Poses (N, 4, 4) of `variables` (N, size), differentiably; distances are kept within `reach`."""
        offset = variables[:, :3]
        if self.reach is not None:
            length = offset.norm(dim=1, keepdim=True).clamp(min=1e-6)
            offset = offset / length * length.clamp(*self.reach)
        if self.size == 3:
            rotation = look_at(offset, torch.zeros_like(offset), self._up(variables))
        elif self.size == 9:
            rotation = gram_schmidt(variables[:, 3:6], variables[:, 6:9])
            if self.name == "position+6d":  # the authors' code: the first two rows
                rotation = rotation.transpose(1, 2)
        else:
            rotation = look_at(offset, variables[:, 3:6], self._up(variables))
            c, s = variables[:, 6].cos()[:, None], variables[:, 6].sin()[:, None]
            right, down, forward = rotation.unbind(dim=2)
            rotation = torch.stack([c * right + s * down, c * down - s * right, forward], dim=2)
        position = offset * (self.unit * self._stretch) + self._centre(variables)
        pose = torch.cat([rotation, position[:, :, None]], dim=2)  # (N, 3, 4)
        last = pose.new_tensor([[[0.0, 0.0, 0.0, 1.0]]]).expand(len(pose), 1, 4)
        return torch.cat([pose, last], dim=1)

    def settled(self, variables: Tensor) -> Tensor:
        """The same poses in variables of their natural size: directions of unit length, distances in range."""
        return self.encode(self.decode(variables))

    def stretched(self, poses: Tensor) -> Tensor:
        """Poses (N, 4, 4) at the prior's distances, as much farther from the look-at point as all are."""
        if self.log_stretch is None:
            return poses
        centre, moved = self._centre(poses), poses.clone()
        moved[:, :3, 3] = centre + self._stretch * (poses[:, :3, 3] - centre)
        return moved

    @property
    def _stretch(self) -> Tensor | float:
        return 1.0 if self.log_stretch is None else self.log_stretch.exp()

    def _centre(self, like: Tensor) -> Tensor:
        return like.new_tensor(self.look_at)

    def _up(self, like: Tensor) -> Tensor:
        return torch.eye(3, dtype=like.dtype, device=like.device)[self.up]


def look_at(position: Tensor, target: Tensor, up: Tensor) -> Tensor:
    """Rotations (N, 3, 3) `world_from_camera` of upright cameras at `position` that look at `target`, both (N, 3)."""
    forward = normalize(target - position, dim=1)
    right = normalize(torch.linalg.cross(forward, up.expand_as(forward)), dim=1, eps=1e-5)
    down = normalize(torch.linalg.cross(forward, right), dim=1, eps=1e-5)
    return torch.stack([right, down, forward], dim=2)


def gram_schmidt(first: Tensor, second: Tensor) -> Tensor:
    """Rotations (N, 3, 3) of the 6D representation (Zhou et al. 2019, eq. 15): two columns, made orthonormal."""
    x = normalize(first, dim=1)
    y = normalize(second - (x * second).sum(dim=1, keepdim=True) * x, dim=1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=2)


Sampler = Callable[[int, torch.Generator], Tensor]
"""n poses (n, 4, 4) drawn from a distribution."""


def turned(poses: Tensor, prior: PosePrior, count: int, rng: torch.Generator) -> Tensor:
    """`count` poses (count, 4, 4): of `poses` (K, 4, 4) any, turned about the prior's axis to any of its azimuths.

    Where some cameras are known, others are as far away, as high and as rolled: a prior that leaves the roll open, or
    knows nothing of a photographer's hand, has few candidates near any of them.
    """
    k, centre = "xyz".index(prior.up), torch.tensor(prior.look_at, dtype=poses.dtype, device=poses.device)
    chosen = poses[torch.randint(len(poses), (count,), generator=rng).to(poses.device)]
    low, high = prior.azimuth
    wanted = torch.deg2rad(low + (high - low) * torch.rand(count, generator=rng)).to(poses)
    offset = chosen[:, :3, 3] - centre
    angle = wanted - torch.atan2(offset[:, (k + 2) % 3], offset[:, (k + 1) % 3])
    turn = torch.zeros(count, 3, 3, dtype=poses.dtype, device=poses.device)
    i, j = (k + 1) % 3, (k + 2) % 3
    turn[:, k, k] = 1.0
    turn[:, i, i] = turn[:, j, j] = angle.cos()
    turn[:, j, i] = angle.sin()
    turn[:, i, j] = -angle.sin()
    made = chosen.clone()
    made[:, :3, :3] = turn @ chosen[:, :3, :3]
    made[:, :3, 3] = (turn @ offset[:, :, None])[:, :, 0] + centre
    return made
