"""What the held-out views are worth: `nvs/*`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.judge import metrics
from bench.judge.align import Alignment
from bench.judge.lpips import Lpips
from bench.judge.protocol import CONSTANTS, STAGES, Columns, Stage
from bench.scene import Truth
from bench.task import Image, Pose, ViewId


class ViewJudgement(NamedTuple):
    """What the held-out views are worth."""

    metrics: Columns
    per_view: Mapping[ViewId, Columns]
    flags: tuple[str, ...]
    absent: Mapping[str, str]


def mean_colour(images: Mapping[ViewId, Image]) -> NDArray[np.float64]:
    """Mean colour (C,) in [0, 1] of images (H, W, C): all that needs no pose at all."""
    return np.mean([image.reshape(-1, image.shape[-1]).mean(axis=0) for image in images.values()], axis=0) / 255


def judge_floor(colour: NDArray[np.float64], truth: Truth) -> dict[str, float]:
    """What an image of one colour scores on the held-out views: the level below which a render is worth nothing, and
    the PSNR that reports charge for a failure."""
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

    `colour` is the `mean_colour` of the clean training images; `lpips` the metric, or why there is none. `corrections`
    are the refined poses in E, (N, 4, 4), of the stages that have some; they need the `alignment`. A stage without
    renders is absent for the reason in `missing`. A pixel that is not finite counts as wrong as it can be: black
    against a light target, white against a dark one. Values outside [0, 1] are clipped.
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
