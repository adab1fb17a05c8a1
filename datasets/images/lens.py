"""Lenses: how each bends the image of a pinhole, and how images are freed of it and brought to one shared pinhole."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bench.scene import SceneError
from bench.task import Camera

Array = NDArray[np.float64]

FULL_FRAME = math.hypot(36, 24)  # mm: the diagonal of 35 mm film
_SLACK = 1.0  # pixels beyond the image's border that may be filled by repeating it
_MOST_ZOOM = 2.0  # of the focal length, to see nothing that the lens did not see
_RADII = 256  # distances from the axis at which a lens is tried for folds


class Bend(Protocol):
    """What a lens does to normalised coordinates x / z, y / z; a frozen dataclass of its coefficients."""

    def __call__(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Where the lens puts what a pinhole would put at (x, y)."""
        ...


@dataclass(frozen=True, kw_only=True)
class Distortion:
    """Brown-Conrady on normalised coordinates (OpenCV: `distCoeffs` k1 k2 p1 p2 k3 k4 k5 k6, the last three dividing).

    `r8` is the coefficient of the eighth power of the radius, which nerfstudio calls k4.
    """

    k1: float = 0.0
    k2: float = 0.0
    p1: float = 0.0
    p2: float = 0.0
    k3: float = 0.0
    k4: float = 0.0
    k5: float = 0.0
    k6: float = 0.0
    r8: float = 0.0

    def __call__(self, x: Array, y: Array) -> tuple[Array, Array]:
        r2 = x * x + y * y
        radial = 1 + r2 * (self.k1 + r2 * (self.k2 + r2 * (self.k3 + r2 * self.r8)))
        radial = radial / (1 + r2 * (self.k4 + r2 * (self.k5 + r2 * self.k6)))
        return (
            x * radial + 2 * self.p1 * x * y + self.p2 * (r2 + 2 * x * x),
            y * radial + self.p1 * (r2 + 2 * y * y) + 2 * self.p2 * x * y,
        )


@dataclass(frozen=True, kw_only=True)
class Fisheye:
    """Kannala-Brandt, equidistant for coefficients of 0 (OpenCV: `fisheye`; COLMAP: OPENCV_FISHEYE): the distance from
    the axis is theta (1 + k1 theta^2 + ... + k4 theta^8), theta the angle to it in radians."""

    k1: float = 0.0
    k2: float = 0.0
    k3: float = 0.0
    k4: float = 0.0

    def __call__(self, x: Array, y: Array) -> tuple[Array, Array]:
        r = np.sqrt(x * x + y * y)
        theta = np.arctan(r)
        t2 = theta * theta
        bent = theta * (1 + t2 * (self.k1 + t2 * (self.k2 + t2 * (self.k3 + t2 * self.k4))))
        scale = np.divide(bent, r, out=np.ones_like(r), where=r > 1e-12)
        return x * scale, y * scale


@dataclass(frozen=True, kw_only=True)
class Optics:
    """A camera as it is: the pinhole part of its intrinsics, for images as they are stored, and what its lens does."""

    camera: Camera
    bend: Bend | None = None  # None: a pinhole

    def resized(self, width: int, height: int) -> Optics:
        """The same optics on images of another size."""
        return replace(self, camera=self.camera.resized(width, height))


def refocused(optics: Optics, millimetres: float) -> Optics:
    """The same optics with a focal length in terms of 35 mm film, which is by the diagonal (CIPA DCG-001)."""
    width, height = optics.camera.width, optics.camera.height
    focal = millimetres / FULL_FRAME * math.hypot(width, height)
    return replace(optics, camera=replace(optics.camera, fx=focal, fy=focal))


def seen_by(pinhole: Camera, optics: Optics) -> Array:
    """Image coordinates (2, H, W) through the optics, pixel centres at +0.5, of all pixels of a pinhole camera."""
    x, y, _ = np.moveaxis(pinhole.directions(), -1, 0)
    if optics.bend is not None:
        x, y = optics.bend(x, y)
    return np.stack([optics.camera.fx * x + optics.camera.cx, optics.camera.fy * y + optics.camera.cy])


def pinhole_for(optics: Iterable[Optics]) -> Camera:
    """The one camera that the images of all `optics` are brought to: the first one's intrinsics, its focal lengths
    raised just so far that every pixel was seen by each. Raises SceneError where that takes more than twice of them.
    """
    first, *others = optics
    low, high = 1.0, _MOST_ZOOM
    each = [first, *others]
    if all(_covered(one, first.camera, low) for one in each):
        return first.camera
    if not all(_covered(one, first.camera, high) for one in each):
        if others:
            raise SceneError(
                f"its {len(each)} cameras share no view that one camera could show (portrait beside landscape, wide "
                "beside tele); keep the images of one of them"
            )
        raise SceneError(
            f"distortion {first.bend} cannot be undone within the image; calibrate again, or undistort the images "
            "beforehand"
        )
    while high - low > 1e-4:
        middle = (low + high) / 2
        fits = all(_covered(one, first.camera, middle) for one in each)
        low, high = (low, middle) if fits else (middle, high)
    return replace(first.camera, fx=first.camera.fx * high, fy=first.camera.fy * high)


def undistort(image: NDArray[np.float32], pinhole: Camera, optics: Optics) -> NDArray[np.float32]:
    """An image (H, W, C) of the optics as the pinhole camera would have taken it, by cubic interpolation."""
    from scipy.ndimage import map_coordinates

    column, row = seen_by(pinhole, optics) - 0.5  # array indices count from the first pixel's centre
    channels = [
        map_coordinates(image[..., c], [row, column], order=3, mode="nearest", output=np.float32)
        for c in range(image.shape[2])
    ]
    return np.clip(np.stack(channels, axis=-1, dtype=np.float32), 0, 255)


def _covered(optics: Optics, camera: Camera, zoom: float) -> bool:
    """Whether a pinhole image of `camera`, its focal lengths raised by `zoom`, shows only what the optics saw."""
    pinhole = replace(camera, fx=camera.fx * zoom, fy=camera.fy * zoom)
    if optics.bend is not None:
        directions = pinhole.directions()
        if _folds(optics.bend, float(np.linalg.norm(directions[..., :2], axis=-1).max())):
            return False
    u, v = seen_by(pinhole, optics)
    lens = optics.camera
    inside = (u >= -_SLACK) & (u <= lens.width + _SLACK) & (v >= -_SLACK) & (v <= lens.height + _SLACK)
    return bool(inside.all())


def _folds(bend: Bend, radius: float) -> bool:
    """Whether the image stops growing within `radius` of the axis: beyond, two directions meet in one pixel."""
    r = np.linspace(0, radius, _RADII)
    for x, y in ((r, 0 * r), (-r, 0 * r), (0 * r, r), (0 * r, -r)):
        out = np.hypot(*bend(x, y))
        if not (np.diff(out) > 0).all():
            return True
    return False
