"""A fitted scene as geometry for other programs: rendered depth fused into a mesh, or a cloud of points, as PLY.

All in the method's own frame and unit. Nothing here knows the truth: depth is rendered at the method's own estimates of
the training cameras, by a worker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.files import replacing
from bench.judge.similarity import Similarity
from bench.poses_io.saved_fit import read_fit
from bench.runner.executors.base import Executor
from bench.task import Camera, Pose
from bench.view.camera_path import Frames, seen_from
from bench.view.fitted_field import truth_from_field

Array = NDArray[np.float64]
Colours = NDArray[np.uint8]

MOST_VIEWS = 48
"""Cameras rendered, evenly chosen among those estimated."""

VOXELS = 128  # along the longest side of the box that is fused
BAND = 3.0  # voxels on either side of a surface in which distances count (truncation)
SOLID = 0.5  # opacity from which a pixel shows a surface
AGREE = 0.02  # of the depth: a point of one view is kept where another view sees a surface no further from it
MOST_POINTS = 400_000


@dataclass(frozen=True, kw_only=True)
class Cloud:
    points: Array  # (P, 3)
    colours: Colours  # (P, 3) sRGB


@dataclass(frozen=True, kw_only=True)
class Mesh:
    vertices: Array  # (V, 3)
    colours: Colours  # (V, 3) sRGB
    faces: NDArray[np.int32]  # (F, 3), counter-clockwise from outside


def cloud(seen: Frames, poses: Pose, camera: Camera) -> Cloud:
    """Points where rendered rays end, of solid pixels whose depth (along z of the camera) another view confirms.

    `poses` (N, 4, 4) are of the frames. Raises ValueError where there are none.
    """
    rays = camera.directions() / camera.directions()[..., 2:]  # (H, W, 3) at depth 1
    step = max(1, int(np.sqrt(len(poses) * camera.width * camera.height / MOST_POINTS)))
    points, colours = [], []
    for k, pose in enumerate(poses):
        solid = (seen.opacity[k] > SOLID) & np.isfinite(seen.depth[k]) & (seen.depth[k] > 0)
        chosen = np.zeros_like(solid)
        chosen[::step, ::step] = solid[::step, ::step]
        world = (rays[chosen] * seen.depth[k][chosen][:, None]) @ pose[:3, :3].T + pose[:3, 3]
        confirmed = np.zeros(len(world), bool)
        for other in [i for i in range(len(poses)) if i != k]:
            depth, surface, inside = _looked_up(world, poses[other], camera, seen.depth[other], seen.opacity[other])
            confirmed |= inside & (surface > 0) & (np.abs(surface - depth) <= AGREE * depth)
        points.append(world[confirmed])
        colours.append(np.broadcast_to(seen.rgb[k], (*solid.shape, 3))[chosen][confirmed])
    if not sum(map(len, points)):
        raise ValueError("no surface is seen by two of its cameras: there is nothing to write")
    return Cloud(points=np.concatenate(points), colours=np.concatenate(colours))


def mesh(seen: Frames, poses: Pose, camera: Camera, found: Cloud) -> Mesh:
    """The zero level of truncated signed distances, averaged over views on a grid (Curless and Levoy 1996), by marching
    cubes (Lewiner et al. 2003), over the box of all but the outermost 1 % of the cloud `found`, which colours it.

    Raises ValueError where no surface is there.
    """
    from scipy.spatial import KDTree
    from skimage.measure import marching_cubes

    low, high = np.quantile(found.points, [0.01, 0.99], axis=0)
    low, high = low - 0.05 * (high - low), high + 0.05 * (high - low)
    voxel = float((high - low).max()) / VOXELS
    shape = np.maximum(4, np.ceil((high - low) / voxel).astype(int))
    distance, visible = np.ones(shape), np.zeros(shape, bool)
    y, z = np.meshgrid(np.arange(shape[1]), np.arange(shape[2]), indexing="ij")
    for x in range(shape[0]):  # a slab at a time, for memory
        world = low + voxel * np.stack([np.full_like(y, x), y, z], axis=-1).reshape(-1, 3)
        total, count, within = np.zeros(len(world)), np.zeros(len(world)), np.zeros(len(world), bool)
        for k, pose in enumerate(poses):
            depth, surface, inside = _looked_up(world, pose, camera, seen.depth[k], seen.opacity[k])
            free = np.where(surface > 0, (surface - depth) / (BAND * voxel), 1.0)  # nothing hit: free to the end
            counts = inside & (free > -1)
            total += np.where(counts, np.minimum(free, 1), 0)
            count += counts
            within |= inside
        visible[x] = within.reshape(y.shape)
        hidden = np.where(within, -1.0, 1.0)  # behind every surface: inside, so that no second one lies in the first
        distance[x] = np.divide(total, count, out=hidden, where=count > 0).reshape(y.shape)
    if not (distance < 0).any():
        raise ValueError("no surface is inside of what its cameras see: there is no mesh to write")
    vertices, faces, *_ = marching_cubes(distance, 0.0, mask=visible, gradient_direction="descent")
    vertices = low + voxel * vertices
    _, nearest = KDTree(found.points).query(vertices)
    return Mesh(vertices=vertices, faces=faces.astype(np.int32), colours=found.colours[nearest])


def _looked_up(
    world: Array, pose: Pose, camera: Camera, depth: NDArray[np.float32], opacity: NDArray[np.float32]
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Of points (P, 3) their depth before a camera, the depth of the surface that it sees there (0: none), and whether
    they are in its image."""
    x, y, ahead = ((world - pose[:3, 3]) @ pose[:3, :3]).T
    behind = ahead <= 1e-9
    along = np.where(behind, 1.0, ahead)
    u, v = camera.fx * x / along + camera.cx, camera.fy * y / along + camera.cy
    inside = ~behind & (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    column, row = np.where(inside, u, 0).astype(int), np.where(inside, v, 0).astype(int)
    surface = np.where(opacity > SOLID, np.nan_to_num(depth, posinf=0, neginf=0), 0)[row, column]
    return ahead, surface, inside


def moved(points: Array, by: Similarity | None) -> Array:
    """Points in another frame, or as they are."""
    return points if by is None else by.points(points)


def write_ply(path: Path, points: Array, colours: Colours, faces: NDArray[np.int32] | None = None) -> Path:
    """Binary little-endian PLY: vertices with colours, and triangles where there are some."""
    kinds = [(axis, "<f4") for axis in "xyz"] + [(name, "u1") for name in ("red", "green", "blue")]
    rows = np.empty(len(points), dtype=kinds)
    for k, axis in enumerate("xyz"):
        rows[axis] = points[:, k]
    for k, name in enumerate(("red", "green", "blue")):
        rows[name] = colours[:, k]
    head = ["ply", "format binary_little_endian 1.0", f"element vertex {len(points)}"]
    head += [f"property float {axis}" for axis in "xyz"] + [
        f"property uchar {name}" for name in ("red", "green", "blue")
    ]
    if faces is not None:
        head += [f"element face {len(faces)}", "property list uchar int vertex_indices"]
    with replacing(path) as draft, draft.open("wb") as file:
        file.write(("\n".join([*head, "end_header"]) + "\n").encode())
        file.write(rows.tobytes())
        if faces is not None:
            triangles = np.empty(len(faces), dtype=[("count", "u1"), ("of", "<i4", (3,))])
            triangles["count"], triangles["of"] = 3, faces
            file.write(triangles.tobytes())
    return path


def extract(
    cell: Path, to: Path, *, points: bool, surface: bool, aligned: bool, device: str, executor: Executor,
    progress: Callable[[int], None],
) -> Iterator[Path]:  # fmt: skip
    """Write `points.ply` and `mesh.ply` of a fitted cell into a folder, and yield their paths.

    They are in the method's own frame, or, `aligned`, in the truth's. Raises ValueError where it has no field, or shows
    no surface.
    """
    held = read_fit(cell / "fit").poses
    views = sorted(held)[:: max(1, -(-len(held) // MOST_VIEWS))]
    poses = np.stack([held[view] for view in views])
    seen, camera = seen_from(cell, poses, side=None, device=device, executor=executor, progress=progress)
    frame = truth_from_field(cell) if aligned else None
    found = cloud(seen, poses, camera)
    if points:
        yield write_ply(to / "points.ply", moved(found.points, frame), found.colours)
    if surface:
        made = mesh(seen, poses, camera, found)
        yield write_ply(to / "mesh.ply", moved(made.vertices, frame), made.colours, made.faces)
