"""Judge a finished fit by the protocol: align, render through a worker, score, and keep what a person will look at."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

from bench.degrade import degrade_truth
from bench.judge import confidence, protocol
from bench.judge.lpips import Lpips
from bench.judge.own_frame import NO_TRUTH, judge_own_frame, starts
from bench.judge.poses import PoseJudgement, judge_poses
from bench.judge.protocol import STAGES
from bench.judge.views import judge_floor, judge_views, mean_colour
from bench.matrix.plan import Planned
from bench.poses_io.saved_fit import read_fit
from bench.poses_io.transforms import describe
from bench.record import write_json
from bench.runner.executors.base import Executor
from bench.runner.provenance import versions
from bench.runner.render_client import HeldOutRenders, RenderClient, RenderError, SavedField
from bench.scene import Scene, Truth
from bench.submission import HELDOUT, Submission
from bench.task import Camera, Capture, Collapsed, Fit, ViewId

SHOWN_VIEWS = 6
"""Degraded training views kept for a person to see what the method saw."""

_SHOWING = threading.Lock()
"""Cells side by side may have two draws of a degradation, whose pictures must not be mixed."""

SUITE_NOTES = frozenset(
    {"attempts", "fitted_again", "frame", "machine", "phases", "renders", "rewritten", "scene", "submitted"}
)
"""What the suite notes of a cell itself. A method's note of such a name goes on as `method_<name>`."""

LIBRARIES = ("evo", "lpips", "numpy", "pillow", "scikit-image", "scipy", "torch")
"""What a judgement is computed by; torch computes LPIPS and refines poses."""


class Judge:
    """The protocol over fits saved in folders. `judge(...)` returns the fields of a Result.

    Without `refine`, the stages that are rendered from refined poses are absent.
    """

    protocol = protocol.ID

    def __init__(self, *, executor: Executor, lpips: Path | None, device: str, refine: bool = True) -> None:
        self.executor, self.device, self.refine = executor, device, refine
        self._backbone = lpips
        self._lpips: Lpips | str | None = None

    def ingredients(self) -> dict[str, Any]:
        """What decides a judgement beside the fit: rules, constants, code, libraries, and the weights of LPIPS."""
        made_of = {**protocol.constants(), "lpips": Lpips.identify(self._backbone), "libraries": versions(LIBRARIES)}
        return made_of if self.refine else made_of | {"refine": False}

    def level(self, planned: Planned, scene: Scene) -> dict[str, float]:
        """The mean-colour level of a cell, `nvs/mean_colour/psnr`, however it ends."""
        truth = degrade_truth(scene.truth, planned.degradation)
        return judge_floor(_mean_colour(scene, truth), truth)

    def __call__(
        self, planned: Planned, scene: Scene, capture: Capture, folder: Path, outcome: Mapping[str, Any], *,
        limit: float,
    ) -> dict[str, Any]:  # fmt: skip
        """Judge the fit in `folder`, which ended as `outcome` says; rendering is given up after `limit` seconds.

        A render that fails leaves the poses judged: `done`, stopped at stage `judge` for that reason.
        """
        start = time.monotonic()
        fit = read_fit(folder / "fit")
        truth = degrade_truth(scene.truth, planned.degradation).only(capture.images)
        colour = _mean_colour(scene, truth)
        _show(folder.parent.parent, capture, truth)
        try:
            poses = (
                judge_poses(fit.poses, truth, fit.camera, given=capture.exact)
                if truth.poses
                else judge_own_frame(fit.poses, truth)
            )
        except Collapsed as collapse:
            return {
                "status": "collapsed",
                "stage": "judge",
                "reason": str(collapse),
                "metrics": judge_floor(colour, truth),
                "flags": fit.flags,
                "notes": _own(fit.notes),
                "cost": {"judge_seconds": time.monotonic() - start},
            }
        camera = protocol.render_camera(fit.camera or capture.camera, truth)
        if planned.submission and truth.poses:
            _keep_heldout(folder / HELDOUT, poses, truth, camera)
        failed = None
        try:
            renders = self._render(planned, fit, capture, poses, truth, camera, folder, outcome, limit)
        except RenderError as error:
            failed = str(error)
            renders = _absent(failed)
        views = judge_views(
            renders.stages, truth,
            colour=colour, lpips=self.lpips, alignment=poses.alignment,
            corrections=renders.corrections if truth.poses else None, missing=renders.missing,
        )  # fmt: skip
        said, said_per_view = confidence.stated(fit.margins, _judged(poses, truth))
        per_view = {view: {**poses.per_view.get(view, {}), **each} for view, each in said_per_view.items()}
        _keep_renders(folder / "renders", truth, renders)
        _keep_cameras(folder / "cameras.json", fit, truth, poses, renders)
        return {
            "status": "done",
            "stage": "judge" if failed else None,
            "reason": failed,
            "metrics": {**poses.metrics, **said, **views.metrics},
            "per_view": {**poses.per_view, **per_view, **views.per_view},
            "flags": (*fit.flags, *poses.flags, *((f"nvs: {failed}",) if failed else ()), *views.flags),
            "absent": {**poses.absent, **views.absent},
            "notes": {**_own(fit.notes), **_frame(poses)},
            "cost": {"judge_seconds": time.monotonic() - start},
        }

    @property
    def lpips(self) -> Lpips | str:
        if self._lpips is None:
            self._lpips = Lpips.find(self._backbone)
        return self._lpips

    def _render(
        self,
        planned: Planned,
        fit: Fit,
        capture: Capture,
        poses: PoseJudgement,
        truth: Truth,
        camera: Camera,
        folder: Path,
        outcome: Mapping[str, Any],
        limit: float,
    ) -> HeldOutRenders:
        """Have a worker render the held-out views; it is told their cameras in its method's own frame only.

        Raises RenderError.
        """
        if not outcome["field"]:
            return _without_field(planned.submission, truth)
        field = SavedField(
            cell=folder, method=planned.method.ref, config=planned.method.config,
            differentiable=outcome.get("differentiable", True), registers=outcome.get("registers", True),
        )  # fmt: skip
        client = RenderClient(field, self.executor, device=self.device, limit=limit)
        constants, images = protocol.refinement(poses.alignment), truth.heldout.images
        if truth.poses:
            begin = protocol.plan_heldout(poses.alignment, truth)
        else:
            around, search = starts(fit.poses, capture.images, truth), protocol.search(poses.alignment)
            begin = client.found(around, camera, images, search=search)
        renders = client.heldout(
            begin, camera, images, refine=constants if self.refine else None, seed=constants["seed"]
        )
        if not truth.poses:
            stages = {stage: made for stage, made in renders.stages.items() if stage != "aligned"}
            renders = replace(renders, stages=stages, missing={**renders.missing, "aligned": NO_TRUTH})
        return renders


def _mean_colour(scene: Scene, truth: Truth) -> NDArray[np.float64]:
    """Of the scene's clean training images, all of them, whatever was shown; of their masks where the held-out views
    are silhouettes."""
    masks = scene.capture.masks
    if truth.heldout.images.shape[-1] == 1 and masks is not None:
        return mean_colour({view: mask[..., None] for view, mask in masks.items()})
    return mean_colour(scene.capture.images)


def _judged(poses: PoseJudgement, truth: Truth) -> list[ViewId]:
    """Registered views that the method was not told the pose of."""
    return [view for view in poses.alignment.registered if view in poses.per_view or not truth.poses]


def _own(notes: Mapping[str, Any]) -> dict[str, Any]:
    """What a method notes, as a result has it: under names that are not the suite's own to write."""
    own: dict[str, Any] = {}
    for name, note in notes.items():
        while name.partition("/")[0] in SUITE_NOTES or name in own:  # a table calls a note within a note `phases/A`
            name = f"method_{name}"
        own[name] = note
    return own


def _frame(poses: PoseJudgement) -> dict[str, str]:
    """A note where the frame's rotation is not that of the centres."""
    if poses.alignment.rotation_from == "centres":
        return {}
    return {"frame": "its rotation is that of the cameras' own rotations, scale and place are those of their centres"}


def _without_field(submission: Submission | None, truth: Truth) -> HeldOutRenders:
    """The renders that were submitted, where some were: they have the one stage that they were made for."""
    if submission is None:
        return _absent("the method returned no field")
    if submission.renders is None:
        return _absent("no renders were submitted")
    stack = np.divide([submission.renders[view] for view in truth.heldout.ids], 255, dtype=np.float32)
    return replace(_absent("the renders were submitted, without a field"), stages={"aligned": stack})


def _absent(reason: str) -> HeldOutRenders:
    return HeldOutRenders(stages={}, corrections={}, missing=dict.fromkeys(STAGES, reason))


def _show(folder: Path, capture: Capture, truth: Truth) -> None:
    """Beside the methods of a scene and degradation: clean held-out images, and some views as methods saw them.

    They are those of the cell judged last: another effort or draw takes their place, pictures and ids.
    """
    with _SHOWING:
        _keep_pictures(folder, capture, truth)


def _keep_pictures(folder: Path, capture: Capture, truth: Truth) -> None:
    for name, images in (
        ("truth", dict(zip(truth.heldout.ids, truth.heldout.images, strict=True))),
        ("shown", dict(sorted(capture.images.items())[:SHOWN_VIEWS])),
    ):
        for view, image in images.items():
            if not _is_picture_of(folder / name / f"{view}.png", image):
                _write_png(folder / name / f"{view}.png", image)
        for path in (folder / name).glob("*.png"):
            if path.stem not in images:
                path.unlink(missing_ok=True)


def _is_picture_of(path: Path, image: NDArray[np.uint8]) -> bool:
    """Whether it is there, whole, and shows this image."""
    try:
        with Picture.open(path) as picture:
            return np.array_equal(np.asarray(picture), image.squeeze(-1) if image.shape[-1] == 1 else image)
    except (OSError, SyntaxError):
        return False


def _keep_renders(folder: Path, truth: Truth, renders: HeldOutRenders) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for stage in ("aligned", "refined", "registered"):
        for view, image in zip(truth.heldout.ids, renders.stages.get(stage, ()), strict=False):
            _write_png(folder / f"{view}.{stage}.png", _to_bytes(image))
    for view, depth in zip(truth.heldout.ids, renders.depth if renders.depth is not None else (), strict=False):
        _write_png(folder / f"{view}.depth.png", _depth_image(depth))


def _keep_cameras(path: Path, fit: Fit, truth: Truth, poses: PoseJudgement, renders: HeldOutRenders) -> None:
    """What the camera plot needs, all in the truth's frame (see bench.record.read_cameras); without one, in the
    method's own, the held-out views where they were found."""
    alignment = poses.alignment
    estimate = {view: alignment.similarity.apply(fit.poses[view]) for view in alignment.registered}
    places = truth.heldout.poses if truth.poses else renders.corrections.get("refined", ())
    heldout = dict(zip(truth.heldout.ids, places, strict=False))
    camera = truth.camera if truth.poses else protocol.render_camera(fit.camera, truth)
    write_json(
        path,
        {"camera": asdict(camera), "truth": dict(truth.poses), "estimate": estimate, "heldout": heldout},
    )


def _keep_heldout(path: Path, poses: PoseJudgement, truth: Truth, camera: Camera) -> None:
    """What renders are made from by whoever submitted the poses: the held-out cameras, in the frame of his own."""
    planned = protocol.plan_heldout(poses.alignment, truth)
    write_json(
        path, describe({f"{view}.png": pose for view, pose in zip(truth.heldout.ids, planned, strict=True)}, camera)
    )


def _to_bytes(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    return (np.clip(np.nan_to_num(image), 0, 1) * 255 + 0.5).astype(np.uint8)


def _depth_image(depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Near is bright; the range is the view's own 1st to 99th percentile."""
    low, high = np.nanpercentile(depth, [1, 99])
    return _to_bytes(1 - (depth - low) / max(float(high - low), 1e-9))


def _write_png(path: Path, image: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{threading.get_ident()}.tmp")  # cells side by side write the same image
    Picture.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(draft, format="png")
    draft.replace(path)
