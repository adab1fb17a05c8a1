"""What the kernels take: `backends/base.py`'s structures as arrays and float32 constants, as numba compiles them.

The lengths of the tuples `channels` and `row` are known when compiling, and loops over them are unrolled.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from methods.nerf.backends.base import GridView, RayBatch

Floats = NDArray[np.float32]

RAYS = 64
"""Rays of a group: what a thread takes at a time, and whose records lie together."""

POSITION = 4
"""Floats of a record before its C colours: x, y, z (voxels), d(loss)/d(raw density)."""


class Grid(NamedTuple):
    """A `GridView`. It shares memory with the field's tensors and is soon stale."""

    density: Floats  # (X Y Z,)
    colour: Floats  # (X Y Z C K,)
    clearance: NDArray[np.uint8]  # (cells,)
    size: tuple[int, int, int]  # X, Y, Z
    low: tuple[np.float32, np.float32, np.float32]
    voxel: np.float32
    density_gain: np.float32
    min_transmittance: np.float32
    edges: Floats  # (S + 1,)
    shell: np.float32  # of contracted space
    empty_threshold: Floats  # (S,) raw density below which a sample of that interval is empty
    channels: tuple[int, ...]  # C zeros
    row: tuple[int, ...]  # C K zeros: one voxel's colours


class Rays(NamedTuple):
    """A `RayBatch`."""

    origins: Floats  # (R, 3)
    directions: Floats  # (R, 3)
    jitter: Floats  # (R,)
    basis: Floats  # (R, K)


class RayGradients(NamedTuple):
    """d(loss) by what each ray is made of; the kernels add to them."""

    origins: Floats  # (R, 3)
    directions: Floats  # (R, 3)
    basis: Floats  # (R, K)


class Records(NamedTuple):
    """Gradients of one backward march, sample by sample: those of each group of rays from `capacity` times its number
    on. POSITION + C floats a sample: its place and d(loss)/d(raw density), d(loss)/d(raw colour before the basis)."""

    values: Floats  # (groups * capacity * (POSITION + C),)
    owners: NDArray[np.int32]  # (groups * capacity,) the ray of each
    counts: NDArray[np.int64]  # (groups,) how many each group left
    capacity: int
    basis: Floats  # (R, K) of the rays


class SortedRecords(NamedTuple):
    """Records by the layer (x index) of their voxel."""

    values: Floats
    owners: NDArray[np.int32]
    basis: Floats
    order: NDArray[np.int64]  # their numbers
    starts: NDArray[np.int64]  # (layers + 1,) where in `order` each layer begins


class Moments(NamedTuple):
    """Running means of Adam, of the gradients and of their squares; memory that is never written is never taken."""

    density_mean: Floats  # (X Y Z,)
    density_square: Floats
    colour_mean: Floats  # (X Y Z C K,)
    colour_square: Floats


class Scratch(NamedTuple):
    """A layer of the grid for each thread."""

    density: Floats  # (threads, Y Z) zeros
    colour: Floats  # (threads, Y Z C K) zeros
    seen: NDArray[np.uint8]  # (threads, Y Z) zeros
    touched: NDArray[np.int64]  # (threads, Y Z)


class StepSizes(NamedTuple):
    """Of one step of Adam, float32; the rates and epsilon hold the bias correction."""

    density: np.float32
    colour: np.float32
    keep_mean: np.float32  # beta 1
    keep_square: np.float32  # beta 2
    epsilon: np.float32


def grid_arrays(view: GridView) -> Grid:
    gain = np.float32(view.density_gain)
    edges = array(view.edges)
    with np.errstate(divide="ignore"):
        empty = np.log(np.expm1(-np.log1p(-view.min_alpha) / (gain * np.diff(edges))))
    return Grid(
        density=array(view.density).reshape(-1),
        colour=array(view.colour).reshape(-1),
        clearance=array(view.clearance).reshape(-1),
        size=tuple(view.density.shape),  # type: ignore[arg-type]
        low=tuple(np.float32(value) for value in view.low),  # type: ignore[arg-type]
        voxel=np.float32(view.voxel),
        density_gain=gain,
        min_transmittance=np.float32(view.min_transmittance),
        edges=edges,
        shell=np.float32(view.shell),
        empty_threshold=np.maximum(empty, -1e30).astype(np.float32),
        channels=(0,) * view.channels,
        row=(0,) * view.colour.shape[-1],
    )


def camera_distance(view: GridView) -> np.float32 | None:
    """An argument of its own: kernels are compiled once for contracted space and once, without its code, for None."""
    return None if view.camera_distance is None else np.float32(view.camera_distance)


def ray_arrays(rays: RayBatch) -> Rays:
    return Rays(*(array(value) for value in rays))


def most_samples(view: GridView) -> int:
    """How many samples of one ray can lie in the grid."""
    intervals = len(view.edges) - 1
    if view.camera_distance is not None:
        return intervals
    return min(intervals, int(np.sqrt(3) * (max(view.density.shape) - 1) / view.sample_step) + 3)


def groups(rays: int) -> int:
    """Into how many groups so many rays are cut."""
    return -(-rays // RAYS)


def room_for_records(rays: int, samples: int, channels: int, basis: Floats) -> Records:
    """Space for all there can be; what is not written to takes no memory."""
    parts, capacity = groups(rays), samples * RAYS
    return Records(
        values=np.empty(parts * capacity * (POSITION + channels), np.float32),
        owners=np.empty(parts * capacity, np.int32),
        counts=np.zeros(parts, np.int64),
        capacity=capacity,
        basis=basis,
    )


def array(tensor: Tensor) -> Any:
    """A tensor's memory, contiguous."""
    return tensor.detach().contiguous().numpy()
