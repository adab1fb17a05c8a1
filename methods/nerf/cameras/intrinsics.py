"""The camera that took all images, its focal length known or free."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from bench.task import Camera


class Intrinsics(nn.Module):
    """A pinhole camera whose focal length may be free: one factor on fx and fy, shared by all views."""

    def __init__(self, camera: Camera, *, free: bool) -> None:
        super().__init__()
        self.camera, self.free = camera, free
        self.log_zoom = nn.Parameter(torch.zeros(()), requires_grad=free)

    @staticmethod
    def guessed(width: int, height: int) -> Camera:
        """Where nothing is known: the principal point in the middle and a focal length of the longer side (53 deg)."""
        focal = float(max(width, height))
        return Camera(width=width, height=height, fx=focal, fy=focal, cx=width / 2, cy=height / 2)

    def directions(self, points: Tensor) -> Tensor:
        """Directions (..., 3) in camera axes, z = 1, of image points (..., 2) in [-1, 1]^2."""
        camera, zoom = self.camera, self.log_zoom.exp() if self.free else 1.0
        x = ((points[..., 0] + 1) * (camera.width / 2) - camera.cx) / (camera.fx * zoom)
        y = ((points[..., 1] + 1) * (camera.height / 2) - camera.cy) / (camera.fy * zoom)
        return torch.stack([x, y, torch.ones_like(x)], dim=-1)

    @torch.no_grad()
    def take(self, camera: Camera) -> None:
        """Where the focal length is free, go on from that of `camera`, of an image of the same size."""
        if self.free:
            self.log_zoom.fill_(math.log((camera.fx + camera.fy) / (self.camera.fx + self.camera.fy)))

    @torch.no_grad()
    def estimate(self) -> Camera:
        zoom = float(self.log_zoom.exp()) if self.free else 1.0
        camera = self.camera
        return Camera(
            width=camera.width, height=camera.height, fx=camera.fx * zoom, fy=camera.fy * zoom, cx=camera.cx,
            cy=camera.cy,
        )  # fmt: skip
