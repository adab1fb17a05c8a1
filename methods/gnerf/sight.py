"""What the method looks at: the images at any size, and the camera that took them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.task import Camera, Capture, ViewId

WHITE = (1.0, 1.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Sight:
    """N images (N, C, H, W) in [-1, 1] on one device, and smaller copies of them made when asked for."""

    ids: tuple[ViewId, ...]
    images: Tensor
    background: tuple[float, ...] | None  # [0, 1], (C,); None: a real background
    _copies: dict[int, Tensor] = field(default_factory=dict, repr=False)

    @staticmethod
    def of(capture: Capture, *, masked: bool, device: torch.device) -> Sight:
        """The capture's images; with `masked`, its masks cut the objects out, and what is behind them becomes white."""
        ids = tuple(capture.images)
        stack = torch.from_numpy(np.stack([capture.images[view] for view in ids])).to(device)
        images = stack.permute(0, 3, 1, 2).float() / 255
        background = capture.background
        if masked and capture.masks is not None and background is None:
            cover = torch.from_numpy(np.stack([capture.masks[view] for view in ids])).to(device)[:, None].float() / 255
            background = WHITE
            images = images * cover + (1 - cover)
        return Sight(
            ids=ids, images=images * 2 - 1,
            background=None if background is None else background[: images.shape[1]],
        )  # fmt: skip

    @property
    def channels(self) -> int:
        return self.images.shape[1]

    @property
    def side(self) -> int:
        """The longest side, px."""
        return max(self.images.shape[2:])

    def at(self, side: int) -> Tensor:
        """All images, their longest side `side` px, averaged over areas; (N, C, h, w)."""
        if side >= self.side:
            return self.images
        if side not in self._copies:
            if len(self._copies) > 3:  # sizes grow: those before are not asked for again
                self._copies.clear()
            self._copies[side] = shrunk_to(self.images, side)
        return self._copies[side]

    def square(self, side: int) -> Tensor:
        """All images squeezed to `side` x `side`, for the inversion network and for comparisons."""
        if -side not in self._copies:
            self._copies[-side] = shrunk(self.images, (side, side))
        return self._copies[-side]


def shrunk(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images (N, C, H, W) at another size (h, w), anti-aliased."""
    return functional.interpolate(images, size=size, mode="bilinear", antialias=True, align_corners=False)


def shrunk_to(images: Tensor, side: int) -> Tensor:
    """Images (N, C, H, W) with their longest side at most `side` px."""
    height, width = images.shape[2:]
    scale = side / max(height, width)
    return images if scale >= 1 else shrunk(images, (max(1, round(height * scale)), max(1, round(width * scale))))


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
    def estimate(self) -> Camera:
        zoom = float(self.log_zoom.exp()) if self.free else 1.0
        camera = self.camera
        return Camera(
            width=camera.width, height=camera.height, fx=camera.fx * zoom, fy=camera.fy * zoom, cx=camera.cx,
            cy=camera.cy,
        )  # fmt: skip
