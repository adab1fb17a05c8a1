"""One frame for two sets of cameras: the similarity between a method's world and the truth's.

E is the method's frame, T the truth's; poses are `world_from_camera`. Views are matched by id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bench.judge.consensus import consensus, inlier_distance
from bench.judge.rig import FrameTilt, frame_tilt, is_forward_facing
from bench.judge.similarity import (
    Array,
    Similarity,
    covariance,
    radius,
    rotation_between,
    through_means,
    umeyama,
    with_rotation,
)
from bench.task import Collapsed, Pose, ViewId

Rotations = Literal["centres", "cameras"]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """When an alignment can be trusted, and what the robust one calls an inlier."""

    min_views: int = 4  # fewer registered views leave the alignment undetermined
    min_flatness: float = 1e-3  # so does a second singular value below this share of the first: centres on a line
    coincident: float = 5e-7  # RMS radius over distance from the origin: four float32 roundings
    chance: float = 2.0  # a normalised scale below chance / sqrt(N - 1) is that of noise around a point, ...
    chance_sigma: float = 1.64  # ... or below so many standard deviations of chance, where centres choose no rotation;
    chance_at_most: float = 0.5  # ... half of an exact one is never that, ...
    partly_right: float = 0.2  # ... unless this share of the views agree on a similarity
    poor_scale: float = 0.5**0.5  # below it, less than half of the true centres' variance is explained
    inlier_deg: float = 10.0
    hypotheses: int = 500  # pairs of views tried by the consensus; all of them up to 32 views
    seed: int = 0  # of the pairs drawn where there are more
    cone_deg: float = 30.0  # a rig is forward-facing where its cameras look within this angle of one direction ...
    rig_depth: float = 0.5  # ... from centres that spread along it by this share of their RMS radius at most
    tilt_level: float = 0.99  # a frame tilt is flagged where chance explains it in less than one row of a hundred


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """E -> T, by all registered views and by those that agree."""

    similarity: Similarity
    robust: Similarity
    registered: tuple[ViewId, ...]  # views with a usable pose, in the truth's order
    inliers: tuple[ViewId, ...]  # of these, the views that the robust alignment rests on
    radius: float  # RMS distance of the true centres of all views from their mean, scene units
    flags: tuple[str, ...]  # what the reader of a number made with this must know
    normalised_scale: float = 1.0  # see `align`
    rotation_from: Rotations = "centres"
    tilt: FrameTilt | None = None  # None where the centres fix no rotation


def align(
    estimate: Mapping[ViewId, Pose],
    truth: Mapping[ViewId, Pose],
    rules: Rules | None = None,
    *,
    rig: Mapping[ViewId, Pose] | None = None,
) -> Alignment:
    """The similarity E -> T of the registered views: least squares over their centres (Umeyama 1991).

    The rotation comes from the cameras' own rotations instead, their SVD mean of R_T R_E^T, where the true `rig`
    (default: `truth`) is forward-facing (`rig.is_forward_facing`), and where centres do not determine one: fewer than
    `min_views` of them, or all on a line. In the latter case the scale is the ratio of the RMS radii.

    The *normalised scale* is that of both sets of centres at unit RMS radius: their correlation, whose square is the
    share of the true centres' variance that is explained. It is 1 for exact poses in any unit, and never bounded. Noise
    around a point has no unit either; a random matching of N centres has a cross-covariance of RMS Frobenius norm
    1 / sqrt(N - 1), and a normalised scale of 0.9 to 1.3 times that in the median. Below twice that, and below 1/2, the
    answer is noise as far as its centres tell. Random centres pass in 1 to 4 % of the cases from 17 views on, in 8 % at
    13, in 20 % at 10, and at 5 mostly: so few centres are always alike. Where the rotation is not of their choosing,
    a random matching has the mean 0 and the variance tr(S_T R S_E R^T) / (N - 1), S the covariances at unit RMS radius,
    and the bound is 1.64 standard deviations: 5 %. An answer that is right in part is none of this: a fifth of the
    views (and `min_views`) that agree on a similarity, and do not all stand in one place, keep it.

    Poses that are not finite rigid motions count as unregistered, with a flag. Raises `Collapsed` where the centres
    say nothing: no registered view, only one, one centre for all of them, or noise around one.
    """
    rules = rules or Rules()
    registered = tuple(view for view in truth if view in estimate and is_rigid(estimate[view]))
    flags = broken_poses(estimate, truth)
    if len(registered) < 2:
        raise Collapsed(f"{len(registered)} of {len(truth)} views have a usable pose: no alignment exists")
    E = np.stack([np.asarray(estimate[view], np.float64) for view in registered])
    T = np.stack([truth[view] for view in registered])
    for name, poses in (("estimated", E), ("true", T)):
        centres = poses[:, :3, 3]
        if radius(centres) <= max(rules.coincident * np.abs(centres).max(), np.finfo(np.float64).tiny):
            raise Collapsed(f"the {name} cameras of all {len(registered)} registered views coincide")

    true_rig = np.stack(list((rig or truth).values()))
    from_cameras = is_forward_facing(true_rig, cone_deg=rules.cone_deg, depth=rules.rig_depth)
    reason = undetermined(E[:, :3, 3], T[:, :3, 3], rules)
    if reason:
        flags.append(f"pose: alignment undetermined ({reason}), rotation taken from the cameras' own")

    def fit(E: Pose, T: Pose) -> Similarity:
        return fitted(E, T, rules, from_cameras=from_cameras)

    similarity = fit(E, T)
    robust, agree = consensus(
        similarity, E, T, fit,
        inlier_deg=rules.inlier_deg, hypotheses=rules.hypotheses, min_views=rules.min_views, seed=rules.seed,
    )  # fmt: skip
    scale = float(np.trace(similarity.rotation.T @ covariance(E[:, :3, 3], T[:, :3, 3])))
    fixed = similarity.rotation if from_cameras or reason else None
    bound = chance_scale(E[:, :3, 3], T[:, :3, 3], fixed, rules)
    if scale < bound and not _is_partly_right(robust.points(E[agree, :3, 3]), T, rules):
        raise Collapsed(
            f"the estimated cameras are noise around one point: normalised scale {scale:.2f}, where exact poses have 1 "
            f"and chance gives {len(E)} views up to {bound:.2f}"
        )
    if scale < rules.poor_scale:
        explained = max(scale, 0.0) ** 2
        flags.append(f"pose: normalised scale {scale:.2f}: {explained:.0%} of the true centres' variance is explained")
    tilt = None if reason else frame_tilt(umeyama(E[:, :3, 3], T[:, :3, 3]), E, T, rules.tilt_level)
    if tilt and not tilt.is_explained:
        flags.append(
            f"pose: centres and rotations tell two frames, {tilt.degrees:.2f} deg apart "
            f"(the residuals explain {tilt.expected:.2f}); the frame is that of the "
            + ("rotations, for the rig is forward-facing" if from_cameras else "centres")
        )
    return Alignment(
        similarity=similarity,
        robust=robust,
        registered=registered,
        inliers=tuple(view for view, yes in zip(registered, agree, strict=True) if yes),
        radius=radius(np.stack([pose[:3, 3] for pose in truth.values()])),
        flags=tuple(flags),
        normalised_scale=scale,
        rotation_from="centres" if fixed is None else "cameras",
        tilt=tilt,
    )


def broken_poses(estimate: Mapping[ViewId, Pose], truth: Mapping[ViewId, Pose]) -> list[str]:
    """The flag of poses that are none, where there are some."""
    broken = sum(view in truth and not is_rigid(pose) for view, pose in estimate.items())
    what = f"pose: {broken} of {len(truth)} poses are not finite rigid motions and count as unregistered"
    return [what] if broken else []


def is_rigid(pose: Pose, tolerance: float = 1e-3) -> bool:
    """Whether a (4, 4) matrix is finite, a proper rotation (to float32 and a little more) and a translation."""
    pose = np.asarray(pose, dtype=np.float64)
    if not np.isfinite(pose).all():
        return False
    R = pose[:3, :3]
    orthogonal = np.abs(R @ R.T - np.eye(3)).max() < tolerance
    return bool(orthogonal and np.linalg.det(R) > 0 and np.abs(pose[3] - [0, 0, 0, 1]).max() < tolerance)


def undetermined(source: Array, target: Array, rules: Rules) -> str | None:
    """Why centres (N, 3) do not fix a rotation, or None where they do."""
    if len(source) < rules.min_views:
        return f"{len(source)} registered views"
    for name, points in (("estimated", source), ("true", target)):
        singular = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
        if singular[1] < rules.min_flatness * singular[0]:
            return f"the {name} cameras lie on a line"
    return None


def fitted(E: Pose, T: Pose, rules: Rules, *, from_cameras: bool) -> Similarity:
    """The similarity of cameras (N, 4, 4), as `align` says."""
    if undetermined(E[:, :3, 3], T[:, :3, 3], rules):
        return through_means(1.0, rotation_between(E, T), E[:, :3, 3], T[:, :3, 3])
    if from_cameras:
        return with_rotation(rotation_between(E, T), E[:, :3, 3], T[:, :3, 3])
    return umeyama(E[:, :3, 3], T[:, :3, 3])


def chance_scale(source: Array, target: Array, fixed: Array | None, rules: Rules) -> float:
    """The normalised scale below which centres (N, 3) are no better than noise, under a rotation of their own choice
    or a `fixed` one (`align`). Of too few of them nothing is said."""
    if len(source) < rules.min_views:
        return -np.inf
    bound = rules.chance
    if fixed is not None:
        spread = covariance(target, target) @ fixed @ covariance(source, source) @ fixed.T
        bound = rules.chance_sigma * np.sqrt(np.trace(spread))
    return float(min(rules.chance_at_most, bound / np.sqrt(len(source) - 1)))


def _is_partly_right(inliers: Array, T: Pose, rules: Rules) -> bool:
    """Whether the views of a consensus, their centres (M, 3) in T, are many enough and stand apart."""
    enough = len(inliers) >= max(rules.min_views, rules.partly_right * len(T))
    return enough and radius(inliers) > inlier_distance(rules.inlier_deg) * radius(T[:, :3, 3])
