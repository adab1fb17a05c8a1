"""Fields as the judge meets them: what can be rendered, refined and asked where an image was taken. numpy alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bench.camera import Camera
from bench.geometry import Pose

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """Images of a field from N cameras; float32, colours in [0, 1], depth along z of the camera in field units."""

    rgb: NDArray[np.float32]  # (N, H, W, C): C = 3, or 1 for a silhouette field
    depth: NDArray[np.float32]  # (N, H, W)
    opacity: NDArray[np.float32]  # (N, H, W) in [0, 1]


@runtime_checkable
class Field(Protocol):
    """A scene that can be rendered, in the method's own arbitrary frame."""

    def render(self, poses: Pose, camera: Camera) -> Rendering:
        """Render from `poses` (N, 4, 4)."""
        ...


@runtime_checkable
class DifferentiableField(Field, Protocol):
    """A field whose colours carry gradients to the rays, so that the protocol can refine held-out poses."""

    def render_rays(self, origins: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
        """Colours (R, C) in [0, 1] of rays with `origins` (R, 3) and unit `directions` (R, 3), on its device."""
        ...


@runtime_checkable
class RasterisedField(Field, Protocol):
    """A field that knows images and no rays, and whose pixels carry gradients to the pose: for refinement, too."""

    def render_pixels(self, poses: torch.Tensor, camera: Camera, pixels: torch.Tensor) -> torch.Tensor:
        """Colours (N, R, C) in [0, 1] of `pixels` (N, R), numbered row by row (y * width + x), of the images that
        `camera` takes from `poses` (N, 4, 4), on its device. A field may draw the whole images and pick them out."""
        ...


@runtime_checkable
class RegisteringField(Field, Protocol):
    """A field that finds out by itself where a new image of its scene was taken."""

    def register(self, images: NDArray[np.uint8], camera: Camera, seed: int) -> Pose:
        """Poses (N, 4, 4), in the field's frame, of `images` (N, H, W, C): from their pixels alone."""
        ...
