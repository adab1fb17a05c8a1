"""A fit of a scene whose cameras nobody knows: its own frame is all there is, and its held-out views are looked for.

Nothing here is an error of a pose. The field is judged by what it shows at held-out views (`nvs/refined`, `nvs/half`),
and each of these starts from what the method itself said of the views that were taken beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.judge.align import Alignment, broken_poses, is_rigid
from bench.judge.poses import PoseJudgement
from bench.judge.similarity import Similarity, nearest_rotation, radius
from bench.scene import Truth
from bench.task import Collapsed, Image, Pose, ViewId

NO_TRUTH = "nobody knows the true cameras of this scene"
ALIKE = 2
"""Training views that look most like a held-out one, from which it is looked for."""

THUMBNAIL = 16
"""Rows and columns of the blocks, along the shorter side, by which images are compared."""


def judge_own_frame(poses: Mapping[ViewId, Pose], truth: Truth) -> PoseJudgement:
    """The identity as the alignment, with the size of the estimated rig; no column. Raises `Collapsed`."""
    registered = tuple(view for view in truth.order if view in poses and is_rigid(poses[view]))
    if len(registered) < 2:
        raise Collapsed(f"{len(registered)} of {len(truth.order)} views have a usable pose: there is no rig")
    centres = np.stack([np.asarray(poses[view], np.float64)[:3, 3] for view in registered])
    size = radius(centres)
    if size <= 5e-7 * float(np.abs(centres).max()):  # as in align.Rules.coincident
        raise Collapsed(f"the estimated cameras of all {len(registered)} registered views coincide")
    identity = Similarity(scale=1.0, rotation=np.eye(3), translation=np.zeros(3))
    lost = len(truth.order) - len(registered)
    flags = [*broken_poses(poses, dict.fromkeys(truth.order, np.eye(4)))]
    flags += [f"pose: {lost} of {len(truth.order)} views have no pose"] if lost else []
    alignment = Alignment(
        similarity=identity, robust=identity, registered=registered, inliers=registered, radius=size,
        flags=tuple(flags),
    )  # fmt: skip
    absent = {"pose": NO_TRUTH, "camera": NO_TRUTH}
    return PoseJudgement({}, {}, alignment.flags, absent, alignment)


def starts(poses: Mapping[ViewId, Pose], images: Mapping[ViewId, Image], truth: Truth) -> Pose:
    """Where to look for each held-out view, (K, N, 4, 4) in the method's frame: at the estimated cameras of the views
    taken before and after it, between the two, and at those of the views that look most like its left half."""
    known = [view for view in truth.order if view in poses and is_rigid(poses[view])]
    place = {view: k for k, view in enumerate(truth.order)}
    alike = _alike({view: images[view] for view in known}, truth.heldout.images)
    found = []
    for k, similar in enumerate(alike):
        beside = [known[i] for i in similar]
        if truth.heldout.after:
            at = truth.heldout.after[k]
            before = [view for view in known if place[view] < at]
            since = [view for view in known if place[view] >= at]
            beside = [(before or since)[-1 if before else 0], (since or before)[0 if since else -1], *beside]
        else:
            beside = [*beside[:2], *beside]
        cameras = [np.asarray(poses[view], np.float64) for view in beside]
        found.append([between(*cameras[:2]), *cameras])
    return np.stack(found, axis=1)


def between(a: Pose, b: Pose) -> Pose:
    """The camera half-way, (4, 4): the mean of the centres, and of the rotations."""
    middle = np.eye(4)
    middle[:3, :3] = nearest_rotation(a[:3, :3] + b[:3, :3])
    middle[:3, 3] = (a[:3, 3] + b[:3, 3]) / 2
    return middle


def nearest(renders: Sequence[NDArray[Any]], images: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Of renders (K of (N, H, W, C)) the one for each held-out image (N, H, W, C) whose left half differs least; the
    right half stays unseen, for `nvs/half` is scored on it."""
    left = images.shape[2] // 2
    wanted = images[:, :, :left] / np.float32(255)
    errors = [np.square(np.nan_to_num(each[:, :, :left]) - wanted).mean(axis=(1, 2, 3)) for each in renders]
    return np.argmin(errors, axis=0)


def _alike(shown: Mapping[ViewId, Image], heldout: NDArray[np.uint8]) -> NDArray[np.intp]:
    """(N, ALIKE) indices of the shown images whose left halves correlate best with those of the held-out ones."""
    views = np.stack([_thumbnail(image) for image in shown.values()])
    wanted = np.stack([_thumbnail(image) for image in heldout])
    return np.argsort(-(wanted @ views.T), axis=1, kind="stable")[:, :ALIKE]


def _thumbnail(image: Image) -> NDArray[np.float64]:
    """Block means of the left half in grey, as a vector of mean 0 and length 1."""
    grey = image[:, : image.shape[1] // 2].mean(axis=2)
    step = max(1, min(grey.shape) // THUMBNAIL)
    rows, columns = grey.shape[0] // step, grey.shape[1] // step
    blocks = grey[: rows * step, : columns * step].reshape(rows, step, columns, step).mean(axis=(1, 3)).ravel()
    blocks = blocks - blocks.mean()
    return blocks / max(float(np.linalg.norm(blocks)), 1e-9)
