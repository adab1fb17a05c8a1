"""Start poses that are not the truth: what methods are given that improve poses rather than find them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bench.geometry import nearest_to_axes
from bench.stated_prior import StatedPrior
from bench.task import Capture, InitialPoses, Pose, ViewId

Vector = NDArray[np.float64]


def perturbed(
    capture: Capture, start: InitialPoses, rng_of: Callable[[ViewId], np.random.Generator],
    scale: tuple[Vector, float] | None = None,
) -> Capture:  # fmt: skip
    """The capture with its start poses moved as `start` says; the share that stays exact is `capture.exact` now.

    Lengths are in quarters of the distance from the cameras to the scene: the radius is 4 where the published levels
    come from. `scale` is that of the capture as it was before a degradation, which is not to change them (default:
    `scale_of` this one). Raises ValueError where there are no start poses.
    """
    if capture.start is None:
        raise ValueError("start: this capture has no start poses to move")
    if start.is_exact:
        return capture
    pivot, unit = scale or scale_of(capture)
    luck = {view: float(rng_of(view).random()) for view in capture.start}
    kept = sorted(luck, key=luck.__getitem__)[: round(start.exact * len(luck))]
    moved = {
        view: np.array(pose) if view in kept else moved_pose(pose, start, rng_of(view), pivot, unit)
        for view, pose in capture.start.items()
    }
    return replace(capture, start=moved, exact=capture.exact & frozenset(kept))


def moved_pose(pose: Pose, start: InitialPoses, rng: np.random.Generator, pivot: Vector, unit: float) -> Pose:
    """One pose, moved: by a twist of the world about `pivot`, and by a turn and a shift of the camera itself."""
    from scipy.spatial.transform import RigidTransform, Rotation  # heavy: not for those who only list

    rng.random()  # decided whether this view stays exact
    omega, v = start.noise * rng.standard_normal(3), start.noise * unit * rng.standard_normal(3)
    axis, share = rng.standard_normal(3), rng.random()
    shift = start.shift * unit * rng.uniform(-1, 1, 3)
    world = RigidTransform.from_exp_coords(np.concatenate([omega, v])).as_matrix()
    there, back = np.eye(4), np.eye(4)
    there[:3, 3], back[:3, 3] = pivot, -pivot
    moved = there @ world @ back @ pose
    turn = np.radians(start.turn) * share * axis / np.linalg.norm(axis)
    moved[:3, :3] = moved[:3, :3] @ Rotation.from_rotvec(turn).as_matrix()
    moved[:3, 3] += shift
    return moved


def scale_of(capture: Capture) -> tuple[Vector, float]:
    """The point (3,) that the cameras surround, and a quarter of their distance from it.

    From the prior where there is one in the frame of the start poses, as that of a stated family is not; else the
    point nearest to all optical axes, or, where these are all but parallel, the mean of the centres and their spread
    about it.
    """
    if capture.prior is not None and not isinstance(capture.prior, StatedPrior):
        return np.array(capture.prior.look_at, dtype=np.float64), float(np.mean(capture.prior.radius)) / 4
    poses = np.stack(list((capture.start or {}).values()))
    centres, forwards = poses[:, :3, 3], poses[:, :3, 2]
    nearest, condition = nearest_to_axes(centres, forwards)
    pivot = nearest if condition < 100 else centres.mean(axis=0)
    return pivot, float(np.sqrt(((centres - pivot) ** 2).sum(axis=1).mean())) / 4


def generator_of(scene: str, seed: int) -> Callable[[ViewId], np.random.Generator]:
    """A view's own generator for one scene and seed, the same for every method."""

    def rng_of(view: ViewId) -> np.random.Generator:
        key = json.dumps(["start", scene, view, seed]).encode()
        return np.random.default_rng(int.from_bytes(hashlib.sha256(key).digest()))

    return rng_of
