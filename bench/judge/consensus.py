"""The similarity that most views agree with: a handful of wrong views must not hide that the others are right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bench.judge.similarity import Array, Similarity, nearest_rotation, radius, rotation_angle
from bench.task import Pose

Refit = Callable[[Pose, Pose], Similarity]
"""E, T (M, 4, 4) of the views that agree -> their similarity."""


def consensus(
    plain: Similarity, E: Pose, T: Pose, refit: Refit, *, inlier_deg: float, hypotheses: int, min_views: int, seed: int
) -> tuple[Similarity, NDArray[np.bool_]]:
    """The similarity most of the views (N, 4, 4) agree with, refitted to them, and which they are, (N,).

    A hypothesis is made of two views: rotation from the average of their R_T R_E^T, scale from their distance. Its
    cost is truncated (MSAC: Torr and Zisserman 2000) in the rotation, at `inlier_deg`, and in the centre, whose bound
    is what the same angle moves a camera at the true RMS radius. All pairs are tried up to `hypotheses` of them, else
    as many drawn by `seed`. The plain alignment takes part, so that consensus never does worse. `min_views` that agree
    are refitted.
    """
    distance = inlier_distance(inlier_deg) * radius(T[:, :3, 3])

    def errors(rotation: Array, scale: Array, translation: Array) -> tuple[Array, Array]:
        """Of H similarities: rotation and centre errors (H, N), 1 at the bound."""
        turned = rotation[:, None] @ E[:, :3, :3]
        moved = scale[:, None, None] * np.einsum("hij,nj->hni", rotation, E[:, :3, 3]) + translation[:, None]
        angle = np.degrees(rotation_angle(turned, T[:, :3, :3])) / inlier_deg
        return angle, np.linalg.norm(moved - T[:, :3, 3], axis=-1) / distance

    def judge(rotation: Array, scale: Array, translation: Array) -> tuple[Array, NDArray[np.bool_]]:
        """Cost (H,), and which views agree, (H, N)."""
        angle, off = errors(rotation, scale, translation)
        cost = (np.minimum(angle**2, 1) + np.minimum(off**2, 1)).sum(axis=1)
        return cost, np.asarray((angle < 1) & (off < 1))

    made = _stack([plain])
    pairs = _pairs(E, T, hypotheses, seed)
    if len(pairs):
        made = tuple(np.concatenate(parts) for parts in zip(made, _of_pairs(E, T, pairs), strict=True))
    cost, agree = judge(*made)
    best = int(np.argmin(cost))
    found = Similarity(scale=float(made[1][best]), rotation=made[0][best], translation=made[2][best])
    if agree[best].sum() >= min_views:
        again = refit(E[agree[best]], T[agree[best]])
        cost_again, agree_again = judge(*_stack([again]))
        if cost_again[0] <= cost[best]:
            return again, agree_again[0]
    return found, agree[best]


def inlier_distance(inlier_deg: float) -> float:
    """How far a turn by this angle moves a camera that stands at radius 1."""
    return float(2 * np.sin(np.radians(inlier_deg) / 2))


def _pairs(E: Pose, T: Pose, hypotheses: int, seed: int, apart: float = 1e-3) -> NDArray[np.intp]:
    """(H, 2) views that stand further apart than `apart` of the RMS radius, in both frames."""
    pairs = np.stack(np.triu_indices(len(E), k=1), axis=1)
    spread = [
        np.linalg.norm(centres[pairs[:, 0]] - centres[pairs[:, 1]], axis=1) / radius(centres)
        for centres in (E[:, :3, 3], T[:, :3, 3])
    ]
    pairs = pairs[np.min(spread, axis=0) > apart]
    if len(pairs) > hypotheses:
        pairs = np.random.default_rng(seed).choice(pairs, hypotheses, replace=False)
    return pairs


def _of_pairs(E: Pose, T: Pose, pairs: NDArray[np.intp]) -> tuple[Array, Array, Array]:
    """Rotations (H, 3, 3), scales (H,) and translations (H, 3) of the similarities of two views each."""
    between = T[:, :3, :3] @ E[:, :3, :3].transpose(0, 2, 1)
    rotation = nearest_rotation(between[pairs].sum(axis=1))
    e, t = E[pairs, :3, 3], T[pairs, :3, 3]  # (H, 2, 3)
    scale = np.linalg.norm(t[:, 1] - t[:, 0], axis=-1) / np.linalg.norm(e[:, 1] - e[:, 0], axis=-1)
    turned = np.einsum("hij,hj->hi", rotation, e.mean(axis=1))
    return rotation, scale, t.mean(axis=1) - scale[:, None] * turned


def _stack(similarities: list[Similarity]) -> tuple[Array, Array, Array]:
    return (
        np.stack([each.rotation for each in similarities]),
        np.array([each.scale for each in similarities]),
        np.stack([each.translation for each in similarities]),
    )
