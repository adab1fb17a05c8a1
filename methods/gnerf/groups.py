"""Rigid groups: views whose relative poses matched features make sure, as one body in the frame of the prior."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from bench.files import replacing
from bench.task import Camera, Capture, Job, Pose, PosePrior, ViewId
from methods.gnerf.config import GnerfConfig
from methods.nerf.field.bounds import meeting_point
from methods.sfm.config import SfmConfig

SMALLEST = 3
"""Views of a group: two always agree."""

ORIENTATIONS = 4096
"""Rotations that a group is tried at, before the best is refined."""

SLACK = 5.0
"""Degrees outside of the prior's ranges that count as one standard deviation."""


@dataclass(frozen=True, kw_only=True)
class RigidGroup:
    """K views and their poses in one frame, that of the prior as far as the prior can say."""

    views: tuple[ViewId, ...]
    poses: Pose  # (K, 4, 4)
    camera: Camera  # as given, or as the matches have it


def rigid_groups(capture: Capture, config: GnerfConfig, job: Job) -> list[RigidGroup]:
    """Groups of at least SMALLEST views, the largest first, by structure from motion on matched features."""
    if capture.prior is None or config.features == "none":
        return []
    from methods.sfm.reconstruct import partial_models

    asked = SfmConfig(features=config.features, intrinsics=config.intrinsics, masks=config.masks)
    kept, prior = job.workdir / "groups.json", capture.prior
    if kept.exists():  # a fit that is killed after this goes on from here
        return _read(kept)
    folder = job.workdir / "sfm"
    models = partial_models(capture, asked, folder, job.seed, job.threads, job.progress, prepared=job.prepared)
    groups: list[RigidGroup] = []
    taken: set[ViewId] = set()
    for model, camera in sorted(models, key=lambda found: len(found[0]), reverse=True):
        views = tuple(view for view in capture.images if view in model and view not in taken)
        if len(views) < SMALLEST:
            continue
        taken |= set(views)
        poses = np.stack([model[view] for view in views])
        groups.append(RigidGroup(views=views, poses=in_frame_of(prior, poses), camera=camera))
    _write(groups, kept)
    return groups


def _write(groups: list[RigidGroup], path: Path) -> None:
    rows = [{"views": group.views, "poses": group.poses.tolist(), "camera": asdict(group.camera)} for group in groups]
    with replacing(path) as draft:
        draft.write_text(json.dumps(rows) + "\n")


def _read(path: Path) -> list[RigidGroup]:
    return [
        RigidGroup(views=tuple(row["views"]), poses=np.array(row["poses"]), camera=Camera(**row["camera"]))
        for row in json.loads(path.read_text())
    ]


def in_frame_of(prior: PosePrior, poses: Pose) -> Pose:
    """Poses (K, 4, 4) of a frame of their own, moved as one body to where `prior` finds them likeliest.

    What they look at comes to the prior's look-at point, their median distance to the middle of its radii; of
    rotations, the one that breaks its ranges of azimuth and elevation and its roll least. What the prior leaves open,
    a turn about its axis for one, stays arbitrary.
    """
    target, distance = meeting_point(poses[:, :3, 3], poses[:, :3, 2])
    scale = sum(prior.radius) / 2 / distance
    centred = poses.copy()
    centred[:, :3, 3] = scale * (poses[:, :3, 3] - target)
    rng = np.random.default_rng(0)
    tried = Rotation.random(ORIENTATIONS, rng=rng).as_matrix()
    best = tried[np.argsort(_misfit(prior, centred, tried), kind="stable")[:8]]
    for spread in (16.0, 8.0, 4.0, 2.0, 1.0, 0.5):
        noise = Rotation.from_rotvec(np.radians(spread) * rng.standard_normal((64, 3))).as_matrix()
        tried = np.concatenate([best, (noise[:, None] @ best[None]).reshape(-1, 3, 3)])
        best = tried[np.argsort(_misfit(prior, centred, tried), kind="stable")[:8]]
    placed = centred.copy()
    placed[:, :3] = best[0] @ centred[:, :3]
    placed[:, :3, 3] += prior.look_at
    return placed


def _misfit(prior: PosePrior, poses: Pose, rotations: NDArray[np.float64]) -> NDArray[np.float64]:
    """How ill each of M rotations (M, 3, 3) of `poses` (K, 4, 4) about the look-at point agrees with the prior (M,)."""
    k = "xyz".index(prior.up)
    turned = rotations[:, None] @ poses[None, :, :3]  # (M, K, 3, 4)
    offset = turned[..., 3] / np.linalg.norm(turned[..., 3], axis=-1, keepdims=True)
    elevation = np.degrees(np.arcsin(offset[..., k].clip(-1, 1)))
    azimuth = np.degrees(np.arctan2(offset[..., (k + 2) % 3], offset[..., (k + 1) % 3]))
    roll = np.degrees(np.arctan2(turned[..., k, 0], -turned[..., k, 1]))
    terms = _beyond(elevation, prior.elevation, None) / SLACK, _beyond(azimuth, prior.azimuth, 360.0) / SLACK
    off = [np.minimum(term**2, 9.0) for term in (*terms, roll / max(prior.roll_std, SLACK))]
    # what the ranges leave open: as far from their ends as can be, so that the other views find room beside
    inside = [_away(elevation, prior.elevation, None) / 90, _away(azimuth, prior.azimuth, 360.0) / 90]
    if prior.azimuth[1] - prior.azimuth[0] >= 360:
        inside.pop()
    return np.sum([*off, *(1e-3 * value**2 for value in inside)], axis=0).mean(axis=1)


def _beyond(values: NDArray[np.float64], ends: tuple[float, float], period: float | None) -> NDArray[np.float64]:
    """How far values lie outside of a range, on a circle where there is a `period`."""
    return np.maximum(np.abs(_away(values, ends, period)) - (ends[1] - ends[0]) / 2, 0.0)


def _away(values: NDArray[np.float64], ends: tuple[float, float], period: float | None) -> NDArray[np.float64]:
    """How far values lie from the middle of a range."""
    away = values - sum(ends) / 2
    return away if period is None else (away + period / 2) % period - period / 2
