"""One frame for two sets of cameras: the similarity between a method's world and the truth's.

E is the method's frame, T the truth's; poses are `world_from_camera`. Views are matched by id. This is the only
module that imports evo, and it imports `evo.core` alone (`evo.tools` writes a folder into HOME at import).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.task import Collapsed, Pose, ViewId

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """When an alignment can be trusted, and what the robust one calls an inlier."""

    min_views: int = 4  # fewer registered views leave the alignment undetermined
    min_flatness: float = 1e-3  # so does a second singular value below this share of the first: centres on a line
    coincident: float = 5e-7  # RMS radius over distance from the origin: four float32 roundings
    max_scale: float = 1e3  # the scale stays in [1 / max_scale, max_scale]
    inlier_deg: float = 10.0
    hypotheses: int = 500  # pairs of views tried by the consensus; all of them up to 32 views
    seed: int = 0  # of the pairs drawn where there are more


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """x_T = scale * rotation @ x_E + translation."""

    scale: float
    rotation: Array  # (3, 3)
    translation: Array  # (3,)

    def apply(self, poses: Pose) -> Pose:
        """Poses (..., 4, 4) of E in T. Their rotations stay rotations: the scale acts on the centres only."""
        moved = np.array(poses, dtype=np.float64)
        moved[..., :3, :3] = self.rotation @ moved[..., :3, :3]
        moved[..., :3, 3] = self.points(moved[..., :3, 3])
        return moved

    def points(self, points: Array) -> Array:
        """Points (..., 3) of E in T."""
        return self.scale * points @ self.rotation.T + self.translation

    def inverse(self) -> Similarity:
        """T -> E."""
        rotation = self.rotation.T
        return Similarity(
            scale=1 / self.scale, rotation=rotation, translation=-(rotation @ self.translation) / self.scale
        )


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """E -> T, by all registered views and by those that agree."""

    similarity: Similarity
    robust: Similarity
    registered: tuple[ViewId, ...]  # views with a usable pose, in the truth's order
    inliers: tuple[ViewId, ...]  # of these, the views that the robust alignment rests on
    radius: float  # RMS distance of the true centres of all views from their mean, scene units
    flags: tuple[str, ...]  # what the reader of a number made with this must know


def align(estimate: Mapping[ViewId, Pose], truth: Mapping[ViewId, Pose], rules: Rules | None = None) -> Alignment:
    """Align by the camera centres of the registered training views.

    Poses that are not finite rigid motions count as unregistered, with a flag. Raises `Collapsed` where no scale
    exists: no registered view, only one, or one centre for all of them.
    """
    rules = rules or Rules()
    registered = tuple(view for view in truth if view in estimate and is_rigid(estimate[view]))
    flags = []
    if broken := sum(view in truth and not is_rigid(pose) for view, pose in estimate.items()):
        flags.append(f"pose: {broken} of {len(truth)} poses are not finite rigid motions and count as unregistered")
    if len(registered) < 2:
        raise Collapsed(f"{len(registered)} of {len(truth)} views have a usable pose: no alignment exists")
    E = np.stack([np.asarray(estimate[view], np.float64) for view in registered])
    T = np.stack([truth[view] for view in registered])
    for name, poses in (("estimated", E), ("true", T)):
        centres = poses[:, :3, 3]
        if radius(centres) <= max(rules.coincident * np.abs(centres).max(), np.finfo(np.float64).tiny):
            raise Collapsed(f"the {name} cameras of all {len(registered)} registered views coincide")

    reason = _undetermined(E[:, :3, 3], T[:, :3, 3], rules)
    if reason:
        flags.append(f"pose: alignment undetermined ({reason}), rotation taken from the cameras' own")
    similarity = _from_rotations(E, T) if reason else umeyama(E[:, :3, 3], T[:, :3, 3])
    bounded = _bound(similarity, E, T, rules)
    if bounded.scale != similarity.scale:
        flags.append(f"pose: scale bound hit ({similarity.scale:.3g} set to {bounded.scale:.3g})")
    robust, agree = _consensus(bounded, E, T, rules)
    return Alignment(
        similarity=bounded,
        robust=robust,
        registered=registered,
        inliers=tuple(view for view, yes in zip(registered, agree, strict=True) if yes),
        radius=radius(np.stack([pose[:3, 3] for pose in truth.values()])),
        flags=tuple(flags),
    )


def is_rigid(pose: Pose, tolerance: float = 1e-3) -> bool:
    """Whether a (4, 4) matrix is finite, a proper rotation (to float32 and a little more) and a translation."""
    pose = np.asarray(pose, dtype=np.float64)
    if not np.isfinite(pose).all():
        return False
    R = pose[:3, :3]
    orthogonal = np.abs(R @ R.T - np.eye(3)).max() < tolerance
    return bool(orthogonal and np.linalg.det(R) > 0 and np.abs(pose[3] - [0, 0, 0, 1]).max() < tolerance)


def radius(points: Array) -> float:
    """RMS distance of points (N, 3) from their mean."""
    return float(np.sqrt(np.mean(np.sum((points - points.mean(axis=0)) ** 2, axis=1))))


def nearest_rotation(matrix: Array) -> Array:
    """The rotation closest to a matrix (3, 3) in Frobenius norm, or the average of rotations from their sum.

    A reflection is mended along the smallest singular vector, never along a fixed axis (Umeyama 1991, eq. 39-40).
    """
    U, _, Vt = np.linalg.svd(matrix)
    return U @ np.diag([1.0, 1.0, np.linalg.det(U) * np.linalg.det(Vt)]) @ Vt


def umeyama(source: Array, target: Array) -> Similarity:
    """The least-squares similarity source -> target of points (N, 3): Umeyama, PAMI 1991, eq. 34-42.

    Both sets are scaled to unit RMS radius first, so that nothing depends on their units.
    """
    size = radius(source), radius(target)
    x, y = (source - source.mean(axis=0)) / size[0], (target - target.mean(axis=0)) / size[1]
    covariance = y.T @ x / len(x)  # eq. 38; the variance of x, eq. 36, is now 1
    R = nearest_rotation(covariance)
    return _through_means(float(np.trace(R.T @ covariance)) * size[1] / size[0], R, source, target)  # eq. 42


def _through_means(scale: float, R: Array, source: Array, target: Array) -> Similarity:
    """The similarity of a scale and a rotation that takes one mean to the other (Umeyama, eq. 41)."""
    return Similarity(scale=scale, rotation=R, translation=target.mean(axis=0) - scale * R @ source.mean(axis=0))


def _undetermined(source: Array, target: Array, rules: Rules) -> str | None:
    """Why centres do not fix a rotation, or None where they do."""
    if len(source) < rules.min_views:
        return f"{len(source)} registered views"
    for name, points in (("estimated", source), ("true", target)):
        singular = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
        if singular[1] < rules.min_flatness * singular[0]:
            return f"the {name} cameras lie on a line"
    return None


def _from_rotations(E: Pose, T: Pose) -> Similarity:
    """Rotation from the average of R_T R_E^T, scale from the ratio of RMS radii."""
    R = nearest_rotation((T[:, :3, :3] @ E[:, :3, :3].transpose(0, 2, 1)).sum(axis=0))
    return _through_means(radius(T[:, :3, 3]) / radius(E[:, :3, 3]), R, E[:, :3, 3], T[:, :3, 3])


def _bound(similarity: Similarity, E: Pose, T: Pose, rules: Rules) -> Similarity:
    scale = float(np.clip(similarity.scale, 1 / rules.max_scale, rules.max_scale))
    return _through_means(scale, similarity.rotation, E[:, :3, 3], T[:, :3, 3])


def _consensus(plain: Similarity, E: Pose, T: Pose, rules: Rules) -> tuple[Similarity, NDArray[np.bool_]]:
    """The similarity most views agree with, refitted to them, and which they are.

    A hypothesis is made of two views: rotation from the average of their R_T R_E^T, scale from their distance. Its
    cost is truncated (MSAC: Torr and Zisserman 2000) in the rotation and in the centre, whose bound is what the same
    angle moves a camera at the true RMS radius. The plain alignment takes part, so consensus never does worse.
    """
    pairs = np.stack(np.triu_indices(len(E), k=1), axis=1)
    spread = [np.linalg.norm(centres[pairs[:, 0]] - centres[pairs[:, 1]], axis=1) / radius(centres)
              for centres in (E[:, :3, 3], T[:, :3, 3])]  # fmt: skip
    pairs = pairs[np.min(spread, axis=0) > rules.min_flatness]
    if len(pairs) > rules.hypotheses:
        pairs = np.random.default_rng(rules.seed).choice(pairs, rules.hypotheses, replace=False)
    distance = 2 * np.sin(np.radians(rules.inlier_deg) / 2) * radius(T[:, :3, 3])

    def errors(candidate: Similarity) -> Array:
        """(2, N), 1 at the bound."""
        moved = candidate.apply(E)
        angle = np.degrees(rotation_angle(moved[:, :3, :3], T[:, :3, :3])) / rules.inlier_deg
        return np.stack([angle, np.linalg.norm(moved[:, :3, 3] - T[:, :3, 3], axis=1) / distance])

    def cost(candidate: Similarity) -> float:
        return float(np.minimum(errors(candidate) ** 2, 1).sum())

    def fit(rows: NDArray[np.integer[Any]], by_rotation: bool) -> Similarity:
        similarity = _from_rotations(E[rows], T[rows]) if by_rotation else umeyama(E[rows, :3, 3], T[rows, :3, 3])
        return _bound(similarity, E[rows], T[rows], rules)

    candidates = [plain, *(fit(pair, by_rotation=True) for pair in pairs)]
    best = min(candidates, key=cost)
    agree = np.asarray((errors(best) < 1).all(axis=0))
    if agree.sum() >= rules.min_views:
        rows = np.flatnonzero(agree)
        refit = fit(rows, by_rotation=_undetermined(E[rows, :3, 3], T[rows, :3, 3], rules) is not None)
        if cost(refit) <= cost(best):
            best, agree = refit, np.asarray((errors(refit) < 1).all(axis=0))
    return best, agree


def rotation_angle(a: Array, b: Array) -> Array:
    """Geodesic angle in radians between rotations (..., 3, 3), exact near 0 and near pi alike."""
    relative = np.swapaxes(a, -1, -2) @ b
    sine = np.stack([relative[..., k, j] - relative[..., j, k] for j, k in ((0, 1), (0, 2), (1, 2))], axis=-1)
    return np.arctan2(np.linalg.norm(sine, axis=-1), np.trace(relative, axis1=-2, axis2=-1) - 1)


@dataclass(frozen=True, kw_only=True)
class TrajectoryErrors:
    """evo's errors of an aligned trajectory; lengths in scene units."""

    ate: Array  # (N,) distance of centres
    rpe_rotation_deg: Array  # (N - 1,) of the motion from each pose to the next
    rpe_translation: Array  # (N - 1,)


def trajectory_errors(estimate: Pose | Sequence[Pose], truth: Pose | Sequence[Pose]) -> TrajectoryErrors:
    """evo's APE and RPE of aligned poses (N, 4, 4) in their order. The arguments are copied: evo changes its own."""
    from evo.core.metrics import APE, RPE, PoseRelation, Unit
    from evo.core.trajectory import PosePath3D

    if len(truth) < 2:
        raise ValueError(f"trajectory: needs 2 poses or more, got {len(truth)}")
    paths = (
        PosePath3D(poses_se3=[_rigid(pose) for pose in truth]),
        PosePath3D(poses_se3=[_rigid(pose) for pose in estimate]),
    )
    relations = PoseRelation.rotation_angle_deg, PoseRelation.translation_part
    steps = [RPE(relation, delta=1, delta_unit=Unit.frames) for relation in relations]
    ate = APE(PoseRelation.translation_part)
    for metric in (ate, *steps):
        metric.process_data(paths)
    return TrajectoryErrors(ate=ate.error, rpe_rotation_deg=steps[0].error, rpe_translation=steps[1].error)


def _rigid(pose: Pose) -> Pose:
    """A copy with its rotation made exact: evo refuses what float32 leaves of one."""
    exact = np.array(pose, dtype=np.float64)
    exact[:3, :3] = nearest_rotation(exact[:3, :3])
    return exact
