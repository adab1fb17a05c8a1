"""posefree/1: the order of judging. Every number in a report carries this id; change a rule, change the id.

The judge holds the truth and never the field; a worker holds the field and never the truth. Between them go the
held-out cameras in the method's own frame (`plan_heldout`), for the refined stages the held-out images, and renders:

    poses = judge_poses(fit.poses, truth, fit.camera)                  # raises Collapsed
    request = plan_heldout(poses.alignment, truth), render_camera(camera, truth), refinement(poses.alignment)
    views = judge_views({"aligned": ..., "refined": ..., "half": ...}, truth, alignment=poses.alignment, ...)

E is the method's frame, T the truth's. Lengths are in scene units (of T) unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from bench.judge import metrics
from bench.judge.align import Alignment, Rules, align, trajectory_errors
from bench.judge.lpips import Lpips
from bench.scene import Truth
from bench.task import Camera, Collapsed, Image, Pose, ViewId

ID = "posefree/1"

Stage = Literal["aligned", "refined", "half", "registered"]
STAGES: tuple[Stage, ...] = get_args(Stage)
"""Rendered at the aligned pose; after refinement on the whole image; after refinement on its left half; from where the
method's own registration, which is told the image and nothing else, says that it was taken."""


@dataclass(frozen=True, kw_only=True)
class Constants:
    """All that the protocol fixes: part of the judgement fingerprint (`asdict`)."""

    alignment: Rules = field(default_factory=Rules)
    unregistered_deg: float = 180.0
    auc_deg: tuple[int, ...] = (5, 15, 30)
    refine_steps: int = 100
    refine_rate: float = 1e-3  # Adam, at the first step; falls to 0 over the last fifth
    refine_rays: int = 256  # a view and step; four times as many gain 0.04 dB on fields of 30 dB
    refine_seed: int = 0
    constant_std: float = 1 / 255  # standard deviation below which a render is one colour
    mse_floor: float = metrics.MSE_FLOOR
    ssim: str = "skimage, 11x11 gaussian, sigma 1.5, data_range 1"
    lpips: str = "lpips 0.1, alex, inputs in [-1, 1]"


CONSTANTS = Constants()

Columns = Mapping[str, float]


class PoseJudgement(NamedTuple):
    """What the poses of the training views are worth."""

    metrics: Columns
    per_view: Mapping[ViewId, Columns]  # pose/rotation_deg, pose/translation; an unregistered view has only the first
    flags: tuple[str, ...]
    absent: Mapping[str, str]  # column -> why it has no value
    alignment: Alignment


class ViewJudgement(NamedTuple):
    """What the held-out views are worth."""

    metrics: Columns
    per_view: Mapping[ViewId, Columns]
    flags: tuple[str, ...]
    absent: Mapping[str, str]


def judge_poses(
    poses: Mapping[ViewId, Pose], truth: Truth, camera: Camera | None = None, *, told: Collection[ViewId] = ()
) -> PoseJudgement:
    """Judge the poses of a fit (frame E) and, where it estimated one, its camera. Raises `Collapsed`, as `align`.

    `told` are views whose true poses the method was given. Where it had others to find, those alone are judged, in the
    frame of the told ones: views that it lost must not move it.
    """
    alignment = align(poses, truth.poses, CONSTANTS.alignment)
    sought = {view: pose for view, pose in truth.poses.items() if view not in told}
    if told and sought:
        known = {view: pose for view, pose in truth.poses.items() if view in told}
        frame = align({view: poses[view] for view in known if view in poses}, known, CONSTANTS.alignment)
        alignment = replace(alignment, similarity=frame.similarity, robust=frame.robust, flags=frame.flags)
        truth = replace(truth, poses=sought, order=tuple(view for view in truth.order if view in sought))
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
    all_rotations = np.array([rotation.get(view, lost) for view in truth.poses])
    all_robust = np.array([robust_rotation.get(view, lost) for view in truth.poses])
    pairs = len(truth.poses) * (len(truth.poses) - 1)
    pair_errors = np.full(pairs, lost)
    known = metrics.pair_errors(E, T)
    pair_errors[: len(known)] = known
    values = {
        "pose/registered": len(registered) / len(truth.poses),
        "pose/rotation_deg_mean": float(all_rotations.mean()),
        "pose/rotation_deg_median": float(np.median(all_rotations)),
        "pose/translation_mean": float(np.mean(list(translation.values()))),
        "pose/translation_relative": float(np.mean(list(translation.values())) / alignment.radius),
        **{f"pose/auc_{limit}": metrics.auc(pair_errors, limit) for limit in CONSTANTS.auc_deg},
        "pose/robust_rotation_deg_median": float(np.median(all_robust)),
        "pose/inliers_10deg": float((all_robust < CONSTANTS.alignment.inlier_deg).mean()),
        **_trajectory(dict(zip(registered, aligned, strict=True)), truth),
    }
    absent = {}
    if "pose/rpe_translation" not in values:
        absent["pose/rpe_translation"] = "no two consecutive views were registered"
    if camera is None:
        absent["camera/focal_relative_error"] = "the method was given its camera, or did not estimate one"
    else:
        values["camera/focal_relative_error"] = _focal_error(camera, truth.camera)
    per_view = {
        view: {"pose/rotation_deg": rotation.get(view, lost)}
        | ({"pose/translation": translation[view]} if view in translation else {})
        for view in truth.poses
    }
    return PoseJudgement(values, per_view, alignment.flags, absent, alignment)


def _trajectory(aligned: Mapping[ViewId, Pose], truth: Truth) -> dict[str, float]:
    """ATE over registered views; RPE as the mean over consecutive views of the capture, as in the pose-free literature
    (NoPe-NeRF, sec. 4.1). A step from or to an unregistered view counts 180 degrees, and has no translation error."""
    place = {view: k for k, view in enumerate(truth.order)}
    views = sorted(aligned, key=place.__getitem__)
    errors = trajectory_errors([aligned[view] for view in views], [truth.poses[view] for view in views])
    adjacent = np.diff([place[view] for view in views]) == 1  # evo would pair across a gap
    rotations = np.full(len(truth.order) - 1, CONSTANTS.unregistered_deg)
    rotations[: adjacent.sum()] = errors.rpe_rotation_deg[adjacent]
    values = {
        "pose/ate_rmse": float(np.sqrt(np.mean(errors.ate**2))),
        "pose/rpe_rotation_deg": float(rotations.mean()),
    }
    if adjacent.any():
        values["pose/rpe_translation"] = float(errors.rpe_translation[adjacent].mean())
    return values


def _focal_error(camera: Camera, truth: Camera) -> float:
    """Relative error of the focal length, mean of both axes, at the truth's image size."""
    camera = camera.resized(truth.width, truth.height)
    return (abs(camera.fx / truth.fx - 1) + abs(camera.fy / truth.fy - 1)) / 2


def plan_heldout(alignment: Alignment, truth: Truth) -> Pose:
    """The true held-out cameras in the method's frame E, (N, 4, 4): all that a field is ever told of them."""
    return alignment.similarity.inverse().apply(truth.heldout.poses)


def render_camera(camera: Camera | None, truth: Truth) -> Camera:
    """The intrinsics to render with, at the held-out images' size: the fit's own where it returned some, or those that
    it was given; the true ones where it had none.

    A field trained with a wrong focal length shows its own scene rightly only through that focal length.
    """
    return truth.camera if camera is None else camera.resized(truth.camera.width, truth.camera.height)


def refinement(alignment: Alignment) -> dict[str, Any]:
    """Keyword arguments of `refine.refine`, as JSON: the steps of posefree/1 in the units of this frame E."""
    return {
        "steps": CONSTANTS.refine_steps,
        "rate": CONSTANTS.refine_rate,
        "rays": CONSTANTS.refine_rays,
        "seed": CONSTANTS.refine_seed,
        "unit": alignment.radius / alignment.similarity.scale,
    }


def constants() -> dict[str, Any]:
    """All that decides a judgement but the truth and the LPIPS weights, for its fingerprint."""
    return {"protocol": ID} | asdict(CONSTANTS)


def mean_colour(images: Mapping[ViewId, Image]) -> NDArray[np.float64]:
    """Mean colour (C,) in [0, 1] of the images a method was shown: all that needs no pose at all."""
    return np.mean([image.reshape(-1, image.shape[-1]).mean(axis=0) for image in images.values()], axis=0) / 255


def judge_floor(colour: NDArray[np.float64], truth: Truth) -> dict[str, float]:
    """What the mean-colour image scores, collapsed or not: the reference below which a render is worth nothing, and
    the PSNR by which reports penalise a failure."""
    return {"nvs/mean_colour/psnr": float(_floor(colour, _unit(truth.heldout.images)).mean())}


def judge_views(
    renders: Mapping[Stage, NDArray[Any]],
    truth: Truth,
    *,
    colour: NDArray[np.float64],
    lpips: Lpips | str,
    alignment: Alignment | None = None,
    corrections: Mapping[Stage, Pose] | None = None,
    missing: Mapping[Stage, str] | str = "the method returned no field",
) -> ViewJudgement:
    """Judge renders (N, H, W, C) of the held-out views, float in [0, 1], by stage.

    `colour` is the `mean_colour` of the training images; `lpips` the metric, or why there is none. `corrections` are
    the refined poses in E, (N, 4, 4), of the stages that have some; they need the `alignment`. A stage without renders
    is absent for the reason in `missing`. A pixel that is not finite counts as wrong as it can be: black against a
    light target, white against a dark one. Values outside [0, 1] are clipped.
    Raises ValueError where renders do not have the held-out images' shape.
    """
    ids, targets = truth.heldout.ids, _unit(truth.heldout.images)
    values: dict[str, float] = judge_floor(colour, truth)
    per_view: dict[ViewId, dict[str, float]] = {view: {} for view in ids}
    flags: list[str] = []
    absent: dict[str, str] = {}
    for stage in STAGES:
        if stage not in renders:
            absent[f"nvs/{stage}"] = missing if isinstance(missing, str) else missing.get(stage, "not rendered")
            continue
        stack, broken = _sound(renders[stage], targets, stage)
        shown, right = (stack, targets) if stage != "half" else (_right(stack), _right(targets))
        flags += _doubts(stage, shown, broken, right, colour)
        columns, reasons = _score(shown, right, lpips)
        absent |= {f"nvs/{stage}/{name}": reason for name, reason in reasons.items()}
        if corrections and stage in corrections:
            if alignment is None:
                raise ValueError("judge_views: corrections are measured through an alignment: give it too")
            moved, moves = _corrections(corrections[stage], alignment, truth)
            columns |= moves
            if not moved.all():
                flags.append(f"nvs/{stage}: {(~moved).sum()} of {len(ids)} refined poses are not finite")
        for name, column in columns.items():
            values[f"nvs/{stage}/{name}"] = float(column.mean())
            for view, value in zip(ids, column.tolist(), strict=True):
                per_view[view][f"nvs/{stage}/{name}"] = value
    return ViewJudgement(values, per_view, tuple(flags), absent)


def _unit(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    return images.astype(np.float64) / 255


def _right(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """The columns that the `half` stage is scored on: those it was not fitted on."""
    return images[:, :, images.shape[2] // 2 :]


def _floor(colour: NDArray[np.float64], targets: NDArray[np.float64]) -> NDArray[np.float64]:
    return metrics.psnr(np.broadcast_to(colour, targets.shape), targets)


def _sound(
    renders: NDArray[Any], targets: NDArray[np.float64], stage: Stage
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Renders that every metric can take, and which views held a value that is not finite."""
    if renders.shape != targets.shape:
        raise ValueError(f"nvs/{stage}: renders are {renders.shape} but the held-out images are {targets.shape}")
    finite = np.isfinite(renders)
    worst = (targets < 0.5).astype(np.float64)
    stack = np.where(finite, np.clip(np.nan_to_num(renders.astype(np.float64)), 0, 1), worst)
    return stack, np.asarray(~finite.reshape(len(finite), -1).all(axis=1))


def _doubts(
    stage: Stage,
    renders: NDArray[np.float64],
    broken: NDArray[np.bool_],
    targets: NDArray[np.float64],
    colour: NDArray[np.float64],
) -> list[str]:
    """What a reader must know beside this stage's numbers."""
    flags = []
    flat, flat_target = (
        stack.reshape(len(stack), -1, stack.shape[-1]).std(axis=1).max(axis=-1) < CONSTANTS.constant_std
        for stack in (renders, targets)
    )
    for found, what in ((broken, "not finite"), (flat & ~flat_target, "constant image")):
        if found.any():
            flags.append(f"nvs/{stage}: {what} in {found.sum()} of {len(found)} views")
    if metrics.psnr(renders, targets).mean() < _floor(colour, targets).mean():
        flags.append(f"nvs/{stage}: worse than the mean-colour image")
    return flags


def _score(
    renders: NDArray[np.float64], targets: NDArray[np.float64], lpips: Lpips | str
) -> tuple[dict[str, NDArray[np.float64]], dict[str, str]]:
    """Columns (N,) of one stage, and why the others have no value."""
    columns = {"psnr": metrics.psnr(renders, targets)}
    if targets.shape[-1] == 1:
        reason = "a silhouette capture is judged by iou and psnr of its masks"
        return columns | {"iou": metrics.iou(renders, targets)}, {"ssim": reason, "lpips_alex": reason}
    rest: dict[str, Callable[[], NDArray[np.float64]] | str] = {
        "ssim": lambda: metrics.ssim(renders, targets),
        "lpips_alex": lpips if isinstance(lpips, str) else lambda: lpips(renders, targets),
    }
    absent: dict[str, str] = {}
    for name, metric in rest.items():
        if isinstance(metric, str):
            absent[name] = metric
            continue
        try:
            columns[name] = metric()
        except ValueError as error:  # images smaller than the metric's window
            absent[name] = str(error)
    return columns, absent


def _corrections(
    refined: Pose, alignment: Alignment, truth: Truth
) -> tuple[NDArray[np.bool_], dict[str, NDArray[np.float64]]]:
    """Which refined poses (frame E) are finite, and how far each went from the true camera: degrees, scene units."""
    finite = np.asarray(np.isfinite(refined).all(axis=(1, 2)))
    moved = alignment.similarity.apply(np.where(finite[:, None, None], refined, np.eye(4)))
    rotation = metrics.rotation_errors(moved, truth.heldout.poses)
    distance = metrics.translation_errors(moved, truth.heldout.poses)
    return finite, {
        "correction_deg": np.where(finite, rotation, CONSTANTS.unregistered_deg),
        "correction_units": np.where(finite, distance, alignment.radius),
    }
