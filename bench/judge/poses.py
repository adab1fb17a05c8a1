"""What the poses of the training views are worth: `pose/*` and `camera/*`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from bench.judge import metrics
from bench.judge.align import Alignment, align, broken_poses, is_rigid
from bench.judge.protocol import CONSTANTS, Columns
from bench.judge.rig import parallel_cameras_deg
from bench.judge.similarity import radius
from bench.judge.trajectory import trajectory_errors
from bench.record import NO_BETTER
from bench.scene import Truth
from bench.task import Camera, Collapsed, Pose, ViewId


class PoseJudgement(NamedTuple):
    """What the poses of the training views are worth."""

    metrics: Columns
    # pose/rotation_deg, pose/robust_rotation_deg, pose/translation; an unregistered view has only the first
    per_view: Mapping[ViewId, Columns]
    flags: tuple[str, ...]
    absent: Mapping[str, str]  # column -> why it has no value
    alignment: Alignment


def judge_poses(
    poses: Mapping[ViewId, Pose], truth: Truth, camera: Camera | None = None, *, given: Collection[ViewId] = ()
) -> PoseJudgement:
    """Judge the poses of a fit (frame E) and, where it estimated one, its camera. Raises `Collapsed`, as `align`.

    `given` are views whose true poses the method was given. Where others were hidden, those alone are judged, in the
    frame of the given ones: views that it lost must not move it.

    Columns, over the N views that are judged; an unregistered one counts `unregistered_deg` in every angle:

    - `pose/rotation_deg_mean`, `_median`: geodesic angle after alignment.
    - `pose/translation_mean`: distance of the centres, scene units, registered views alone;
      `pose/translation_relative`: over the RMS radius of the true centres, about 1 where nothing was found.
    - `pose/ate_rmse`, `pose/rpe_rotation_deg`, `pose/rpe_translation`: see `_trajectory`.
    - `pose/auc_5`, `_15`, `_30`: area under the recall of max(rotation angle, translation-direction angle) over all
      pairs of views. Needs no alignment.
    - `pose/robust_rotation_deg_median`, `pose/inliers_10deg`: rotations under the alignment that most views agree with.
    - `pose/registered`: share of the views that have a pose.
    - `pose/normalised_scale`, `pose/frame_tilt_deg`: how far centres and rotations can be trusted to tell the frame
      (`align`, `rig.frame_tilt`).
    - `camera/focal_relative_error`: mean of both axes, where the method estimates intrinsics.
    """
    alignment = align(poses, truth.poses, CONSTANTS.alignment) if not given else _align_by(given, poses, truth)
    hidden = {view: pose for view, pose in truth.poses.items() if view not in given} or truth.poses
    truth = replace(truth, poses=hidden, order=tuple(view for view in truth.order if view in hidden))
    registered = [view for view in alignment.registered if view in truth.poses]
    if not registered:
        raise Collapsed(f"none of the {len(truth.poses)} views that it had to find has a pose")
    E = np.stack([np.asarray(poses[view], np.float64) for view in registered])
    T = np.stack([truth.poses[view] for view in registered])
    aligned, robust = alignment.similarity.apply(E), alignment.robust.apply(E)
    rotation = dict(zip(registered, metrics.rotation_errors(aligned, T).tolist(), strict=True))
    robust_rotation = dict(zip(registered, metrics.rotation_errors(robust, T).tolist(), strict=True))
    translation = dict(zip(registered, metrics.translation_errors(aligned, T).tolist(), strict=True))

    lost = CONSTANTS.unregistered_deg
    rotations = np.array([rotation.get(view, lost) for view in truth.poses])
    robust_rotations = np.array([robust_rotation.get(view, lost) for view in truth.poses])
    centres = float(np.mean(list(translation.values())))
    values = {
        "pose/registered": len(registered) / len(truth.poses),
        "pose/rotation_deg_mean": float(rotations.mean()),
        "pose/rotation_deg_median": float(np.median(rotations)),
        "pose/translation_mean": centres,
        "pose/translation_relative": centres / alignment.radius,
        "pose/robust_rotation_deg_median": float(np.median(robust_rotations)),
        "pose/inliers_10deg": float((robust_rotations < CONSTANTS.alignment.inlier_deg).mean()),
        "pose/normalised_scale": alignment.normalised_scale,
    }
    absent: dict[str, str] = {}
    if alignment.tilt is None:
        absent["pose/frame_tilt_deg"] = "the centres do not determine a rotation of their own"
    else:
        values["pose/frame_tilt_deg"] = alignment.tilt.degrees
    for found, missing in (_pairs(E, T, len(truth.poses)), _trajectory(aligned, registered, truth)):
        values |= found
        absent |= missing
    if camera is None:
        absent["camera/focal_relative_error"] = "the method was given its camera, or did not estimate one"
    else:
        values["camera/focal_relative_error"] = _focal_error(camera, truth.camera)
    per_view = {
        view: {
            "pose/rotation_deg": rotation[view],
            "pose/robust_rotation_deg": robust_rotation[view],
            "pose/translation": translation[view],
        }
        if view in rotation
        else {"pose/rotation_deg": lost}
        for view in truth.poses
    }
    flags = (*alignment.flags, *_doubts(alignment, truth, values["pose/rotation_deg_median"]))
    return PoseJudgement(values, per_view, flags, absent, alignment)


def _align_by(given: Collection[ViewId], poses: Mapping[ViewId, Pose], truth: Truth) -> Alignment:
    """The frame of the given views, for all that are registered."""
    known = {view: pose for view, pose in truth.poses.items() if view in given}
    frame = align({view: poses[view] for view in known if view in poses}, known, CONSTANTS.alignment, rig=truth.poses)
    hidden = {view: pose for view, pose in truth.poses.items() if view not in given}
    return replace(
        frame,
        registered=tuple(view for view in truth.poses if view in poses and is_rigid(poses[view])),
        radius=radius(np.stack([pose[:3, 3] for pose in truth.poses.values()])),
        flags=(*frame.flags, *broken_poses(poses, hidden)),
    )


def _doubts(alignment: Alignment, truth: Truth, rotation: float) -> list[str]:
    """What a reader must know of rotations that are told apart from their centres."""
    if alignment.rotation_from == "centres":
        return []
    parallel = parallel_cameras_deg(np.stack(list(truth.poses.values())))
    if rotation < 0.999 * parallel:
        return []
    return [f"{NO_BETTER}, which are {parallel:.1f} deg off"]


def _pairs(E: Pose, T: Pose, count: int) -> tuple[dict[str, float], dict[str, str]]:
    """AUC over the ordered pairs of `count` views, of which (N, 4, 4) are registered."""
    if count < 2:
        return {}, {f"pose/auc_{limit}": "one view makes no pair" for limit in CONSTANTS.auc_deg}
    errors = np.full(count * (count - 1), CONSTANTS.unregistered_deg)
    known = metrics.pair_errors(E, T)
    errors[: len(known)] = known
    return {f"pose/auc_{limit}": metrics.auc(errors, limit) for limit in CONSTANTS.auc_deg}, {}


def _trajectory(aligned: Pose, registered: list[ViewId], truth: Truth) -> tuple[dict[str, float], dict[str, str]]:
    """ATE over registered views; RPE as the mean over consecutive views of the capture, as in the pose-free literature
    (NoPe-NeRF, sec. 4.1). A step from or to an unregistered view counts 180 degrees, and has no translation error."""
    place = {view: k for k, view in enumerate(truth.order)}
    rows = sorted(range(len(registered)), key=lambda row: place[registered[row]])
    errors = trajectory_errors(aligned[rows], [truth.poses[registered[row]] for row in rows])
    adjacent = np.diff([place[registered[row]] for row in rows]) == 1  # evo would pair across a gap
    values = {"pose/ate_rmse": float(np.sqrt(np.mean(errors.ate**2)))}
    absent: dict[str, str] = {}
    if len(truth.order) > 1:
        rotations = np.full(len(truth.order) - 1, CONSTANTS.unregistered_deg)
        rotations[: adjacent.sum()] = errors.rpe_rotation_deg[adjacent]
        values["pose/rpe_rotation_deg"] = float(rotations.mean())
    else:
        absent["pose/rpe_rotation_deg"] = "one view makes no step"
    if adjacent.any():
        values["pose/rpe_translation"] = float(errors.rpe_translation[adjacent].mean())
    else:
        absent["pose/rpe_translation"] = "no two consecutive views were registered"
    return values, absent


def _focal_error(camera: Camera, truth: Camera) -> float:
    """Relative error of the focal length, mean of both axes, at the truth's image size."""
    camera = camera.resized(truth.width, truth.height)
    return (abs(camera.fx / truth.fx - 1) + abs(camera.fy / truth.fy - 1)) / 2
