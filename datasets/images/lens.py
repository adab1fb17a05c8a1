"""Lens distortion, and how an image is freed of it (OpenCV's model with two radial and two tangential terms)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.scene import SceneError
from bench.task import Camera

Array = NDArray[np.float64]

_SLACK = 1.0  # pixels beyond the image's border that may be filled by repeating it


@dataclass(frozen=True, kw_only=True)
class Distortion:
    """Brown-Conrady coefficients on normalised coordinates x / z, y / z (OpenCV: `distCoeffs` k1 k2 p1 p2)."""

    k1: float = 0.0
    k2: float = 0.0
    p1: float = 0.0
    p2: float = 0.0

    def __call__(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Where the lens puts what a pinhole would put at normalised coordinates (x, y)."""
        r2 = x * x + y * y
        radial = 1 + r2 * (self.k1 + r2 * self.k2)
        return (
            x * radial + 2 * self.p1 * x * y + self.p2 * (r2 + 2 * x * x),
            y * radial + self.p1 * (r2 + 2 * y * y) + 2 * self.p2 * x * y,
        )

    def folds(self, radius: float) -> bool:
        """Whether the radial part stops growing within `radius`: beyond, two directions meet in one pixel."""
        r2 = np.linspace(0, radius, 64) ** 2
        return bool((1 + r2 * (3 * self.k1 + 5 * self.k2 * r2) <= 0).any())


def seen_by(pinhole: Camera, lens: Camera, distortion: Distortion) -> Array:
    """Image coordinates (2, H, W) through the lens, pixel centres at +0.5, of all pixels of a pinhole camera."""
    x, y, _ = np.moveaxis(pinhole.directions(), -1, 0)
    x, y = distortion(x, y)
    return np.stack([lens.fx * x + lens.cx, lens.fy * y + lens.cy])


def pinhole_for(lens: Camera, distortion: Distortion) -> Camera:
    """The camera of the undistorted images: the lens's own intrinsics, its focal lengths raised just so far that
    every pixel was seen. Raises SceneError for a distortion that no pinhole image can undo."""
    low, high = 1.0, 2.0
    if _covered(lens, distortion, low):
        return lens
    if not _covered(lens, distortion, high):
        raise SceneError(
            f"distortion k1={distortion.k1:g}, k2={distortion.k2:g}, p1={distortion.p1:g}, p2={distortion.p2:g} cannot "
            "be undone within the image; calibrate again, or undistort the images beforehand"
        )
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if _covered(lens, distortion, middle) else (middle, high)
    return replace(lens, fx=lens.fx * high, fy=lens.fy * high)


def undistort(image: NDArray[np.float32], pinhole: Camera, lens: Camera, distortion: Distortion) -> NDArray[np.float32]:
    """An image (H, W, C) of the lens as the pinhole camera would have taken it, by cubic interpolation."""
    from scipy.ndimage import map_coordinates

    column, row = seen_by(pinhole, lens, distortion) - 0.5  # array indices count from the first pixel's centre
    channels = [
        map_coordinates(image[..., c], [row, column], order=3, mode="nearest", output=np.float32)
        for c in range(image.shape[2])
    ]
    return np.clip(np.stack(channels, axis=-1, dtype=np.float32), 0, 255)


def _covered(lens: Camera, distortion: Distortion, zoom: float) -> bool:
    """Whether a pinhole image with focal lengths raised by `zoom` shows only what the lens saw."""
    pinhole = replace(lens, fx=lens.fx * zoom, fy=lens.fy * zoom)
    directions = pinhole.directions()
    if distortion.folds(float(np.linalg.norm(directions[..., :2], axis=-1).max())):
        return False
    u, v = seen_by(pinhole, lens, distortion)
    inside = (u >= -_SLACK) & (u <= lens.width + _SLACK) & (v >= -_SLACK) & (v <= lens.height + _SLACK)
    return bool(inside.all())
