"""Projection matrices K [R | t] taken apart: what DTU, IDR and NeuS write instead of intrinsics and poses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.scene import SceneError
from bench.task import Pose

Array = NDArray[np.float64]

SLACK = 0.5  # px by which the intrinsics of images of one camera may differ: matrices are written in single precision


def matrix(arrays: Mapping[str, NDArray[Any]], key: str, frame: str, path: Path) -> Array:
    """4x4 finite numbers of an .npz. Raises SceneError."""
    if key not in arrays:
        raise SceneError(f"{path}: has no {key}, which {frame} needs")
    given = arrays[key]
    if given.dtype.kind not in "fiu" or given.shape != (4, 4) or not np.isfinite(given).all():
        raise SceneError(f"{path}: {key} must be 4x4 finite numbers, and is {given.dtype} of shape {given.shape}")
    return given.astype(np.float64)


def decomposed(projection: Array, frame: str, path: Path) -> tuple[Array, Pose]:
    """K (3, 3), its last entry 1, and the pose, of K [R | t] (3, 4) at any positive scale. Raises SceneError."""
    from scipy.linalg import rq  # 0.1 s to import: not needed to list scenes

    if not np.linalg.det(projection[:, :3]) > 0:
        raise SceneError(f"{path}: the matrices of {frame} make no camera: their determinant is not positive")
    K, R = rq(projection[:, :3])
    signs = np.sign(np.diag(K))  # the decomposition is unique with a positive diagonal
    K, R = K * signs, signs[:, None] * R
    pose = np.eye(4)
    pose[:3, :3] = R.T
    pose[:3, 3] = -np.linalg.solve(projection[:, :3], projection[:, 3])
    return K / K[2, 2], pose


def upright(K: Array, path: Path) -> tuple[float, float, float, float]:
    """fx, fy, cx, cy of intrinsics without skew. Raises SceneError."""
    (fx, skew, cx), (_, fy, cy), _ = K.tolist()
    if abs(skew) > SLACK:
        raise SceneError(f"{path}: K has a skew of {skew:.3g} px; a camera must have axes at right angles")
    return fx, fy, cx, cy
