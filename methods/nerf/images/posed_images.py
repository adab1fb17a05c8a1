"""Posed images as a source of pixels and their rays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bench.task import Camera, Image, Pose, ViewId
from methods.nerf.cameras.rays import pixel_rays
from methods.nerf.images.exposures import clipped, evened, others_for


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rays and the colours they should see."""

    origins: Tensor  # (R, 3)
    directions: Tensor  # (R, 3), unit
    colours: Tensor  # (R, C) in [0, 1]


@dataclass(frozen=True, kw_only=True)
class PosedImages:
    """N posed images of one camera on one device."""

    ids: tuple[ViewId, ...]
    pixels: Tensor  # (N, H * W, C) uint8
    poses: Tensor  # (N, 4, 4) float32
    camera: Camera
    background: Tensor  # (C,): what is behind the object; the mean colour where that is not known
    gains: Tensor | None = None  # (N, C): exposures of their own (`exposures.py`), that are taken out of what is drawn
    gains_known: Tensor | None = None  # (N, C) bool: those that a known background tells; None: it was not asked
    clipped_background: Tensor | None = None  # (N, H, W) bool: where it was too bright to tell them

    @staticmethod
    def of(
        images: Mapping[ViewId, Image],
        poses: Mapping[ViewId, Pose],
        camera: Camera,
        background: tuple[float, float, float] | None,
        device: torch.device,
    ) -> PosedImages:
        """The views that have a pose, in the order of `images`. Raises ValueError where none has."""
        ids = tuple(view for view in images if view in poses)
        if not ids:
            raise ValueError(f"nerf: none of the {len(images)} images has a pose, so there is nothing to train from")
        pixels = torch.from_numpy(np.stack([images[view] for view in ids])).flatten(1, 2)
        channels = pixels.shape[-1]
        colour = torch.tensor(background[:channels]) if background else pixels.float().mean(dim=(0, 1)) / 255
        matrices = torch.from_numpy(np.stack([np.asarray(poses[view]) for view in ids])).float()
        return PosedImages(
            ids=ids, pixels=pixels.to(device), poses=matrices.to(device), camera=camera,
            background=colour.float().to(device),
        )  # fmt: skip

    @property
    def channels(self) -> int:
        return self.pixels.shape[2]

    @property
    def taken(self) -> Tensor:
        """(N, H, W, C) uint8, as they were taken."""
        return self.pixels.unflatten(1, (self.camera.height, self.camera.width))

    def draw(self, rays: int, generator: torch.Generator) -> Batch:
        """Pixels drawn from all views alike. The generator is of the CPU, so that every device draws the same."""
        device = self.pixels.device
        view = torch.randint(len(self.ids), (rays,), generator=generator).to(device)
        pixel = torch.randint(self.camera.width * self.camera.height, (rays,), generator=generator).to(device)
        colours = self.pixels[view, pixel].float() / 255
        if self.gains is not None:
            view, pixel, colours = self._evened(view, pixel, colours, self.gains)
        at = torch.stack([pixel % self.camera.width, pixel // self.camera.width], dim=-1) + 0.5
        origins, directions = pixel_rays(at, self.camera, self.poses[view])
        return Batch(origins=origins, directions=directions, colours=colours)

    def _evened(self, view: Tensor, pixel: Tensor, colours: Tensor, gains: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pixels (R,) of views (R,) and their colours (R, C) as of one exposure; others instead of those that were
        clipped, but for the background."""
        behind = None if self.clipped_background is None else self.clipped_background.flatten(1)
        useless = clipped(colours, gains[view])
        if behind is not None:
            useless &= ~behind[view, pixel]
        taken = others_for(useless[None])[0]
        view, pixel = view[taken], pixel[taken]
        colours = evened(colours[taken], gains[view])
        if behind is not None:
            colours = torch.where(behind[view, pixel][:, None], self.background, colours)
        return view, pixel, colours
