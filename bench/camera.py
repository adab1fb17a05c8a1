"""Cameras: pinhole intrinsics, and the distribution of viewpoints that GNeRF calls the pose prior. numpy alone."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.geometry import Pose, look_at


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Pinhole intrinsics in pixels, pixel centres at +0.5: pixel (0, 0) is seen along ((0.5 - cx) / fx, ...)."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"camera: image size must be positive, got {self.width}x{self.height}")
        if not (self.fx > 0 and self.fy > 0 and np.isfinite([self.fx, self.fy, self.cx, self.cy]).all()):
            raise ValueError(f"camera: focal lengths must be positive and finite, got fx={self.fx}, fy={self.fy}")

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(3, 3) `pixel_from_camera`."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    def resized(self, width: int, height: int) -> Camera:
        """The same camera for images resampled to `width` x `height` pixels."""
        sx, sy = width / self.width, height / self.height
        return Camera(width=width, height=height, fx=self.fx * sx, fy=self.fy * sy, cx=self.cx * sx, cy=self.cy * sy)

    def directions(self) -> NDArray[np.float64]:
        """Viewing directions of all pixels in camera axes, (H, W, 3), z = 1 (not normalised)."""
        x = (np.arange(self.width) + 0.5 - self.cx) / self.fx
        y = (np.arange(self.height) + 0.5 - self.cy) / self.fy
        xx, yy = np.meshgrid(x, y)
        return np.stack([xx, yy, np.ones_like(xx)], axis=-1).astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class PosePrior:
    """A family of viewpoints, never one of them: what GNeRF calls the prior pose distribution (sec. 3.1).

    The camera sits on a sphere around `look_at` (+ N(0, look_at_std^2) on each axis) and looks at it.
    Angles are in degrees. Azimuth turns counter-clockwise about `up` from the world axis that follows `up`
    cyclically (x for z-up); elevation rises from the plane normal to `up`. Lengths are in scene units.
    """

    family: Literal["sphere", "sphere+jitter", "full"] = "sphere"
    azimuth: tuple[float, float] = (0.0, 360.0)
    elevation: tuple[float, float] = (0.0, 90.0)
    elevation_by: Literal["angle", "area"] = "angle"  # uniform in the angle, or uniform on the sphere
    radius: tuple[float, float] = (4.0, 4.0)
    look_at: tuple[float, float, float] = (0.0, 0.0, 0.0)
    look_at_std: float = 0.0
    up: Literal["x", "y", "z"] = "z"
    roll_std: float = 0.0
    near: float = 2.0  # along a ray from the camera
    far: float = 6.0

    def __post_init__(self) -> None:
        for name, (low, high) in (("azimuth", self.azimuth), ("elevation", self.elevation), ("radius", self.radius)):
            if not low <= high:
                raise ValueError(f"prior: {name} must be a range low <= high, got [{low}, {high}]")
        if self.radius[0] <= 0:
            raise ValueError(f"prior: radius must be positive, got {self.radius[0]}")
        if not -90 <= self.elevation[0] <= self.elevation[1] <= 90:
            raise ValueError(f"prior: elevation must lie in [-90, 90] degrees, got {self.elevation}")
        if not 0 <= self.near < self.far:
            raise ValueError(f"prior: needs 0 <= near < far, got near={self.near}, far={self.far}")

    def plain(self) -> dict[str, Any]:
        """The fields of a prior by name, as `PosePrior(**fields)` takes them, and none of what a subclass adds."""
        return {field.name: getattr(self, field.name) for field in fields(PosePrior)}

    def sample(self, rng: np.random.Generator, n: int) -> Pose:
        """Draw `n` poses, (n, 4, 4)."""
        azimuth = np.radians(rng.uniform(*self.azimuth, size=n))
        low, high = np.radians(self.elevation)
        if self.elevation_by == "area":
            elevation = np.arcsin(rng.uniform(np.sin(low), np.sin(high), size=n))
        else:
            elevation = rng.uniform(low, high, size=n)
        radius = rng.uniform(*self.radius, size=n)
        target = np.asarray(self.look_at) + self.look_at_std * rng.standard_normal((n, 3))
        roll = np.radians(self.roll_std) * rng.standard_normal(n)
        k = "xyz".index(self.up)
        offset = np.zeros((n, 3))
        offset[:, k] = np.sin(elevation)
        offset[:, (k + 1) % 3] = np.cos(elevation) * np.cos(azimuth)
        offset[:, (k + 2) % 3] = np.cos(elevation) * np.sin(azimuth)
        return look_at(target + radius[:, None] * offset, target, np.eye(3)[k], roll)


@dataclass(frozen=True, kw_only=True)
class InitialPoses:
    """How far from the truth a method wants its start poses: by default they are the truth.

    The suite moves them, keyed by scene, view and seed, and keeps with the fit what it gave. Lengths are in quarters
    of the distance from the cameras to the scene, 1 scene unit where published levels come from.
    """

    noise: float = 0.0  # std of a twist of the world about the scene's middle, radians and lengths (BARF, sec. 4.2)
    turn: float = 0.0  # degrees, at most: a turn of the camera about a random axis (iNeRF, sec. 4.1)
    shift: float = 0.0  # at most, along each axis of the world (iNeRF, sec. 4.1)
    exact: float = 0.0  # share of the views that keep their true poses: they are not judged

    def __post_init__(self) -> None:
        if min(self.noise, self.turn, self.shift) < 0 or not 0 <= self.exact <= 1:
            raise ValueError(f"start: noise, turn and shift must not be negative and exact lie in [0, 1], got {self}")

    @property
    def is_exact(self) -> bool:
        return not (self.noise or self.turn or self.shift)
