"""From solids and cameras to pixels: every ray is solved exactly, nine rays a pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.task import Camera, Pose
from datasets.procedural.shapes import Array, Shape
from datasets.procedural.textures import Paint

SAMPLES = 3  # a side: rays of a pixel stand on a regular 3 x 3 raster
LIGHT = np.array(
    [0.48, -0.36, 0.80], dtype=np.float32
)  # towards the light, fixed in the world: brightness does not turn with the camera
AMBIENT, DIFFUSE, SKY = 0.56, 0.40, 0.08


@dataclass(frozen=True, kw_only=True)
class Solid:
    shape: Shape
    paint: Paint


@dataclass(frozen=True, kw_only=True)
class View:
    """One picture."""

    rgb: NDArray[np.uint8]  # (H, W, 3) sRGB, on the background
    coverage: NDArray[np.uint8]  # (H, W), 255 where the object fills the pixel


def first_hit(solids: Sequence[Solid], origin: Array, directions: Array) -> tuple[Array, NDArray[np.intp]]:
    """Ray parameter (R,) of the nearest surface along `directions` (3, R), inf for none, and which solid it is."""
    t = np.stack([solid.shape.hit(origin, directions).t for solid in solids])  # (S, R)
    nearest = np.argmin(t, axis=0)
    return t[nearest, np.arange(t.shape[1])], nearest


def picture(solids: Sequence[Solid], pose: Pose, camera: Camera, background: tuple[float, float, float]) -> View:
    """Colours are averaged as they are displayed (sRGB), like the published composites of NeRF-Synthetic."""
    fine = camera.resized(camera.width * SAMPLES, camera.height * SAMPLES)
    x = ((np.arange(fine.width) + 0.5 - fine.cx) / fine.fx).astype(np.float32)
    y = ((np.arange(fine.height) + 0.5 - fine.cy) / fine.fy).astype(np.float32)
    rotation, origin = pose[:3, :3].astype(np.float32), pose[:3, 3]
    depth = np.full((fine.height, fine.width), np.inf, dtype=np.float32)
    rgb = np.empty((fine.height * fine.width, 3), dtype=np.float32)
    rgb[:] = background
    for solid in sorted(solids, key=lambda solid: float(np.linalg.norm(solid.shape.hull.mean(axis=0) - origin))):
        rows, columns = _window(solid.shape.hull, pose, fine)
        down = rotation[:, 1, None] * y[rows] + rotation[:, 2, None]  # (3, h)
        across = rotation[:, 0, None] * x[columns]  # (3, w)
        directions = (down[:, :, None] + across[:, None, :]).reshape(3, -1)  # world axes; z of the camera is 1
        hits = solid.shape.hit(origin, directions)
        window = depth[rows, columns]
        seen = np.flatnonzero(hits.t < window.ravel())
        v, u = np.divmod(seen, window.shape[1] or 1)
        pixel = (v + rows.start) * fine.width + u + columns.start
        t, part = hits.t[seen], hits.part[seen]
        depth.ravel()[pixel] = t
        points = (origin.astype(np.float32)[:, None] + directions.take(seen, axis=1) * t).T
        for one in np.unique(part):
            on_part = np.flatnonzero(part == one)
            rgb[pixel[on_part]] = shade(solid, points[on_part], int(one))
    colours = _pooled(rgb.reshape(fine.height, fine.width, 3))
    return View(rgb=_quantised(colours), coverage=_quantised(_pooled(np.isfinite(depth)[..., None]))[..., 0])


def shade(solid: Solid, points: Array, part: int) -> Array:
    """Colours (N, 3) of points of one part of the surface: paint under a distant light and a sky, without shine."""
    surface = solid.shape.surface(points, part)
    light = AMBIENT + DIFFUSE * np.maximum(surface.normals @ LIGHT, 0) + SKY * surface.normals[..., 2]
    return np.minimum(solid.paint.at(surface.uv) * light[..., None], 1)


def _window(hull: Array, pose: Pose, camera: Camera) -> tuple[slice, slice]:
    """Rows and columns of the smallest rectangle of the image that contains a convex solid in front of the camera."""
    in_camera = (hull - pose[:3, 3]) @ pose[:3, :3]
    u = camera.fx * in_camera[:, 0] / in_camera[:, 2] + camera.cx
    v = camera.fy * in_camera[:, 1] / in_camera[:, 2] + camera.cy
    return _span(v, camera.height), _span(u, camera.width)


def _span(values: Array, size: int) -> slice:
    return slice(int(np.clip(np.floor(values.min()), 0, size)), int(np.clip(np.ceil(values.max()), 0, size)))


def _pooled(fine: NDArray[np.floating] | NDArray[np.bool_]) -> NDArray[np.float32]:
    """Mean over the rays of each pixel."""
    height, width, channels = fine.shape
    rows = fine.reshape(height // SAMPLES, SAMPLES, width * channels).sum(axis=1, dtype=np.float32)
    columns = rows.reshape(height // SAMPLES, width // SAMPLES, SAMPLES, channels)
    return np.add.reduce([columns[:, :, k] for k in range(SAMPLES)]) / np.float32(SAMPLES**2)


def _quantised(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.round(values * 255).astype(np.uint8)
