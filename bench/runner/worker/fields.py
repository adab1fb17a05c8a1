"""A saved field, loaded and asked: to render poses, to refine them on images, to find where images were taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from bench.files import read_arrays, write_arrays
from bench.matrix.method_class import made
from bench.runner import worker_io
from bench.task import Camera, DifferentiableField, Field, RasterisedField, RegisteringField

NO_FIELD = "the method saved no field"


def _field(folder: Path, request: dict[str, Any]) -> Field | None:
    method = made(request["method"], request["config"])
    return method.load(folder / "in" / "field", request["device"])


def render(folder: Path) -> dict[str, Any]:
    """Colours (N, H, W, C) of every stack of poses (N, 4, 4) in views.npz, each under its name; `depth` and `opacity`
    (N, H, W) of the first, `aligned`."""
    request = worker_io.read_request(folder)
    field = _field(folder, request)
    if field is None:
        return {"status": "done", "absent": NO_FIELD}
    camera = Camera(**request["camera"])
    views = read_arrays(folder / "in" / "views.npz")
    aligned = field.render(views.pop("aligned"), camera)
    arrays: dict[str, np.ndarray] = {"aligned": aligned.rgb, "depth": aligned.depth, "opacity": aligned.opacity}
    arrays |= {stage: field.render(poses, camera).rgb for stage, poses in views.items()}
    write_arrays(folder / "out" / "renders.npz", arrays)
    return {"status": "done"}


def refine(folder: Path) -> dict[str, Any]:
    """Held-out poses, refined on the whole of each image (`refined`) and on its left half (`half`)."""
    request = worker_io.read_request(folder)
    field = _field(folder, request)
    if field is None:
        return {"status": "done", "absent": NO_FIELD}
    if not isinstance(field, DifferentiableField | RasterisedField):
        return {"status": "done", "absent": "the field carries no gradient to the pose"}
    from bench.judge.refine import refine as refined

    views = read_arrays(folder / "in" / "views.npz")
    stages: dict[str, Literal["all", "left"]] = {"refined": "all", "half": "left"}
    poses = {
        stage: refined(
            field, views["aligned"], Camera(**request["camera"]), views["images"],
            columns=columns, device=request["device"], **request["refine"],
        )
        for stage, columns in stages.items()
    }  # fmt: skip
    write_arrays(folder / "out" / "poses.npz", poses)
    return {"status": "done"}


def find(folder: Path) -> dict[str, Any]:
    """Poses of held-out images whose cameras nobody knows: of `starts` (K, N, 4, 4) those that show the left half of
    each best, moved by `refine` on these halves where that brings them nearer."""
    try:
        from bench.judge.own_frame import nearest
        from bench.judge.refine import refine as refined
    except ImportError:
        return {"status": "done", "absent": "the method's own environment holds nothing that looks for held-out views"}
    request = worker_io.read_request(folder)
    field = _field(folder, request)
    if field is None:
        return {"status": "done", "absent": NO_FIELD}
    views, camera = read_arrays(folder / "in" / "views.npz"), Camera(**request["camera"])
    images = views["images"]

    def best(stacks: np.ndarray) -> np.ndarray:
        return stacks[nearest([field.render(poses, camera).rgb for poses in stacks], images), np.arange(len(images))]

    poses = best(views["starts"])
    if isinstance(field, DifferentiableField | RasterisedField):
        constants = request["refine"]
        moved = refined(field, poses, camera, images, columns="left", device=request["device"], **constants)
        poses = best(np.stack([poses, moved]))
    write_arrays(folder / "out" / "poses.npz", {"found": poses})
    return {"status": "done"}


def register(folder: Path) -> dict[str, Any]:
    """Poses of the held-out images, found by the method itself: no held-out pose is anywhere in this process."""
    request = worker_io.read_request(folder)
    field = _field(folder, request)
    if field is None:
        return {"status": "done", "absent": NO_FIELD}
    if not isinstance(field, RegisteringField):
        return {"status": "done", "absent": "the method does not register new images"}
    images = read_arrays(folder / "in" / "views.npz")["images"]
    poses = field.register(images, Camera(**request["camera"]), request["seed"])
    write_arrays(folder / "out" / "poses.npz", {"registered": poses})
    return {"status": "done"}


def path(folder: Path) -> dict[str, Any]:
    """Render poses one by one, for a person to look at: each frame is a file as soon as it is there."""
    request = worker_io.read_request(folder)
    field = _field(folder, request)
    if field is None:
        return {"status": "failed", "reason": NO_FIELD}
    camera = Camera(**request["camera"])
    frames = folder / "out" / "frames"
    frames.mkdir()
    for k, pose in enumerate(read_arrays(folder / "in" / "views.npz")["poses"]):
        seen = field.render(pose[None], camera)
        rgb = (np.clip(np.nan_to_num(seen.rgb[0]), 0, 1) * 255 + 0.5).astype(np.uint8)
        write_arrays(frames / f"{k:05d}.npz", {"rgb": rgb, "depth": seen.depth[0], "opacity": seen.opacity[0]})
    return {"status": "done"}
