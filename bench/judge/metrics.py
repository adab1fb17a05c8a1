"""What poses and images are worth: pure functions of arrays.

Images are floats in [0, 1], (N, H, W, C), estimate first and target second; every image metric gives one value a
view, (N,). Poses are `world_from_camera`, (N, 4, 4), in one frame unless said otherwise. Angles are in degrees.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.judge.similarity import rotation_angle
from bench.task import Pose

Array = NDArray[np.float64]

MSE_FLOOR = 1e-10
"""An exact image would have infinite PSNR and spoil every mean: it gets 100 dB. 8-bit rounding alone gives 58.9."""


def psnr(images: Array, targets: Array) -> Array:
    """Peak signal-to-noise ratio in dB over all pixels and channels of a view, (N,)."""
    error = (np.asarray(images, np.float64) - targets) ** 2
    return -10 * np.log10(np.maximum(error.reshape(len(error), -1).mean(axis=1), MSE_FLOOR))


def ssim(images: Array, targets: Array) -> Array:
    """Structural similarity with the 11x11 gaussian window (sigma 1.5) of Wang et al. 2004, by skimage, (N,).

    Raises ValueError for images smaller than the window.
    """
    from skimage.metrics import structural_similarity

    return np.array(
        [
            structural_similarity(
                np.asarray(image, np.float64),
                target,
                data_range=1.0,
                channel_axis=-1,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
            for image, target in zip(images, targets, strict=True)
        ]
    )


def iou(images: Array, targets: Array, threshold: float = 0.5) -> Array:
    """Intersection over union of one-channel masks, (N,); 1 where both are empty."""
    a, b = (np.asarray(mask).reshape(len(mask), -1) >= threshold for mask in (images, targets))
    union = (a | b).sum(axis=1)
    return np.where(union == 0, 1.0, (a & b).sum(axis=1) / np.maximum(union, 1))


def rotation_errors(estimate: Pose, truth: Pose) -> Array:
    """Geodesic angle between the cameras' axes, degrees, (N,)."""
    return np.degrees(rotation_angle(estimate[..., :3, :3], truth[..., :3, :3]))


def translation_errors(estimate: Pose, truth: Pose) -> Array:
    """Distance of the camera centres, (N,). Not of world-to-camera translations: those mix rotation in."""
    return np.linalg.norm(estimate[..., :3, 3] - truth[..., :3, 3], axis=-1)


def pair_errors(estimate: Pose, truth: Pose) -> Array:
    """max(rotation angle, translation-direction angle) of the motion between two views, degrees, (N (N - 1),).

    All ordered pairs, because the direction from i to j is seen in the axes of i. Each set of poses may be in a frame
    of its own: relative motions up to scale need no alignment. Where the true centres coincide only the rotation
    counts; where only the estimated ones do the pair counts 180.
    """
    count = len(truth)
    tiny = [
        1e-9 * np.abs(poses[:, :3, 3] - poses[:, :3, 3].mean(axis=0)).max(initial=0.0) for poses in (estimate, truth)
    ]
    errors = []
    for i in range(count):
        others = np.arange(count) != i
        rotations, directions = [], []
        for poses in (estimate, truth):
            R = poses[i, :3, :3]
            rotations.append(R.T @ poses[others, :3, :3])
            directions.append((poses[others, :3, 3] - poses[i, :3, 3]) @ R)
        e, t = directions
        angle = np.arctan2(np.linalg.norm(np.cross(e, t), axis=-1), (e * t).sum(axis=-1))
        angle = np.where(np.linalg.norm(e, axis=-1) <= tiny[0], np.pi, angle)
        angle = np.where(np.linalg.norm(t, axis=-1) <= tiny[1], 0.0, angle)
        errors.append(np.degrees(np.maximum(rotation_angle(*rotations), angle)))
    return np.concatenate(errors) if errors else np.empty(0)


def auc(errors: Array, threshold: float) -> float:
    """Area under the recall curve from 0 to `threshold`, over `threshold`: in [0, 1].

    Recall is the step function of the errors, integrated exactly; no bins, no trapezoids between samples.
    """
    return float(np.clip(1 - np.asarray(errors) / threshold, 0, 1).mean())
