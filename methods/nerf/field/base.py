"""The field that every method renders, and fields of rays: rays in, colours out, gradients back to the rays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from bench.task import Camera, Pose, Rendering
from methods.nerf.cameras.rays import image_pixels, pixel_rays
from methods.nerf.config import FieldConfig
from methods.nerf.field.bounds import Bounds


@dataclass(frozen=True, kw_only=True)
class Shade:
    """What R rays see. `colour` is what the field itself emits, before the background shows through."""

    colour: Tensor  # (R, C)
    opacity: Tensor  # (R,)
    depth: Tensor  # (R,) mean distance along the ray, in scene units, without gradient; 0 where nothing is hit

    def over(self, background: Tensor) -> Tensor:
        """Colours (R, C) on a `background` of (C,) or (R, C)."""
        return self.colour + (1 - self.opacity)[:, None] * background


class SharedField(nn.Module, ABC):
    """What grid, network and Gaussians share. Positions are in the frame of the poses it was trained with, in scene
    units."""

    bounds: Bounds
    config: FieldConfig
    channels: int
    background: Tensor  # (C,)
    centre: Tensor  # (3,)

    def __init__(self, bounds: Bounds, background: Tensor, config: FieldConfig) -> None:
        super().__init__()
        self.bounds, self.config, self.channels = bounds, config, len(background)
        self.register_buffer("background", background.to(torch.float32))
        self.register_buffer("centre", torch.tensor(bounds.centre, dtype=torch.float32), persistent=False)

    @property
    def device(self) -> torch.device:
        return self.background.device

    @abstractmethod
    def render(self, poses: Pose, camera: Camera) -> Rendering:
        """Images from `poses` (N, 4, 4)."""


class RadianceField(SharedField):
    """What grid and network share. A subclass says what rays see in `shade`; it is differentiable in its parameters,
    the origins and the directions.
    """

    @abstractmethod
    def shade(self, origins: Tensor, directions: Tensor, generator: torch.Generator | None = None) -> Shade:
        """What rays with `origins` (R, 3) and unit `directions` (R, 3) see; samples jittered when given a generator."""

    def render_rays(self, origins: Tensor, directions: Tensor) -> Tensor:
        """Colours (R, C) in [0, 1], on the background."""
        return self.shade(origins, directions).over(self.background)

    def local(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Rays in units of the bounds' half size, from their centre; in a frustum those of its box."""
        if self.bounds.frustum is not None:
            return self.bounds.frustum.rays(origins, directions)
        return (origins - self.centre) / self.bounds.half_size, directions

    def distance(self, travelled: Tensor, origins: Tensor, directions: Tensor) -> Tensor:
        """Distances (R,) in scene units of what lies `travelled` (R,) along the local rays."""
        if self.bounds.frustum is not None:
            return self.bounds.frustum.distance(travelled, origins, directions)
        return travelled * self.bounds.half_size

    @torch.no_grad()
    def render(self, poses: Pose, camera: Camera, rays: int = 8192) -> Rendering:
        """Images from `poses` (N, 4, 4), `rays` pixels at a time."""
        poses = np.asarray(poses, dtype=np.float64).reshape(-1, 4, 4)
        pixels = image_pixels(camera, self.device)
        shape = (len(poses), camera.height, camera.width)
        rgb = np.empty((*shape, self.channels), np.float32)
        depth, opacity = np.empty(shape, np.float32), np.empty(shape, np.float32)
        for n, pose in enumerate(poses):
            matrix = torch.as_tensor(pose[None], dtype=torch.float32, device=self.device)
            origins, directions = pixel_rays(pixels, camera, matrix)
            pieces = [
                self.shade(o.contiguous(), d) for o, d in zip(origins.split(rays), directions.split(rays), strict=True)
            ]
            shade = Shade(
                colour=torch.cat([piece.colour for piece in pieces]),
                opacity=torch.cat([piece.opacity for piece in pieces]),
                depth=torch.cat([piece.depth for piece in pieces]),
            )
            rgb[n] = shade.over(self.background).clamp(0, 1).reshape(*shape[1:], -1).cpu().numpy()
            along = directions @ matrix[0, :3, 2]  # distance along the ray -> along z of the camera
            depth[n] = (shade.depth * along).reshape(shape[1:]).cpu().numpy()
            opacity[n] = shade.opacity.reshape(shape[1:]).cpu().numpy()
        return Rendering(rgb=rgb, depth=depth, opacity=opacity)
