"""Similarities between two frames, E -> T, from points: Umeyama's, and the pieces that it is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.task import Pose

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """x_T = scale * rotation @ x_E + translation. The scale is in units of T over units of E."""

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


def radius(points: Array) -> float:
    """RMS distance of points (N, 3) from their mean."""
    return float(np.sqrt(np.mean(np.sum((points - points.mean(axis=0)) ** 2, axis=1))))


def nearest_rotation(matrix: Array) -> Array:
    """The rotation closest to a matrix (..., 3, 3) in Frobenius norm, or the average of rotations from their sum.

    A reflection is mended along the smallest singular vector, never along a fixed axis (Umeyama 1991, eq. 39-40).
    """
    U, _, Vt = np.linalg.svd(matrix)
    U[..., 2] *= (np.linalg.det(U) * np.linalg.det(Vt))[..., None]
    return U @ Vt


def rotation_between(E: Pose, T: Pose) -> Array:
    """The rotation E -> T that the cameras' own rotations tell: the SVD mean of R_T R_E^T over poses (N, 4, 4)."""
    return nearest_rotation((T[:, :3, :3] @ E[:, :3, :3].transpose(0, 2, 1)).sum(axis=0))


def covariance(source: Array, target: Array) -> Array:
    """(3, 3) of points (N, 3), each set about its mean and in units of its RMS radius (Umeyama 1991, eq. 38).

    Its trace after a rotation is the correlation of the two sets, in [-1, 1]: the scale that fits best there.
    """
    x, y = ((points - points.mean(axis=0)) / radius(points) for points in (source, target))
    return y.T @ x / len(x)


def umeyama(source: Array, target: Array) -> Similarity:
    """The least-squares similarity source -> target of points (N, 3): Umeyama, PAMI 1991, eq. 34-42.

    Both sets are scaled to unit RMS radius first, so that nothing depends on their units.
    """
    return with_rotation(nearest_rotation(covariance(source, target)), source, target)


def with_rotation(R: Array, source: Array, target: Array) -> Similarity:
    """The least-squares similarity of points (N, 3) among those of this rotation (Umeyama, eq. 41-42).

    Where the points contradict the rotation, so that no positive scale is best, the scale is that of the RMS radii.
    """
    correlation = float(np.trace(R.T @ covariance(source, target)))
    return through_means(correlation if correlation > 0 else 1.0, R, source, target)


def through_means(scale: float, R: Array, source: Array, target: Array) -> Similarity:
    """The similarity of a rotation and a scale, in RMS radii of `target` over those of `source`, that takes one mean
    to the other (Umeyama, eq. 41)."""
    scale *= radius(target) / radius(source)
    return Similarity(scale=scale, rotation=R, translation=target.mean(axis=0) - scale * R @ source.mean(axis=0))


def rotation_angle(a: Array, b: Array) -> Array:
    """Geodesic angle in radians between rotations (..., 3, 3), exact near 0 and near pi alike."""
    relative = np.swapaxes(a, -1, -2) @ b
    sine = np.stack([relative[..., k, j] - relative[..., j, k] for j, k in ((0, 1), (0, 2), (1, 2))], axis=-1)
    return np.arctan2(np.linalg.norm(sine, axis=-1), np.trace(relative, axis1=-2, axis2=-1) - 1)
