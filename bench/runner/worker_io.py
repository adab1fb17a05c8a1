"""What passes between the judge and a worker: folders of JSON and npz, never pickles, never the truth."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bench.files import printable, read_arrays, write_arrays
from bench.record import read_json, write_json
from bench.task import Camera, Capture, Estimate, Fit, Pose, PosePrior, ViewId

PROGRESS, LOG, USAGE = "progress.json", "log.jsonl", "system.jsonl"

PHASES = 12
"""At most, of a fit, whose seconds are kept: a method may call each step a phase of its own."""
"""What a fit leaves in `out/` while it is at work: where it is, its curves, and what it uses of the machine."""


def write_capture(folder: Path, capture: Capture) -> None:
    """`capture.npz` (stacks in the order of the ids) and `capture.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = list(capture.images)
    arrays: dict[str, np.ndarray] = {"images": np.stack([capture.images[view] for view in ids])}
    if capture.masks is not None:
        arrays["masks"] = np.stack([capture.masks[view] for view in ids])
    if capture.start is not None:
        arrays["start"] = np.stack([capture.start[view] for view in ids])
    estimate = capture.estimate
    if estimate is not None:
        arrays["estimate"] = stacked(estimate.poses, list(estimate.poses))
    write_arrays(folder / "capture.npz", arrays)
    write_json(
        folder / "capture.json",
        {
            "views": ids,
            "camera": asdict(capture.camera) if capture.camera else None,
            "prior": capture.prior.plain() if capture.prior else None,
            "background": capture.background,
            "exact": sorted(capture.exact),
            "estimate": estimate
            and {
                "views": list(estimate.poses),
                "camera": asdict(estimate.camera) if estimate.camera else None,
            },
        },
    )


def read_capture(folder: Path) -> Capture:
    meta = read_json(folder / "capture.json")
    arrays = read_arrays(folder / "capture.npz")
    ids = [ViewId(view) for view in meta["views"]]
    prior: dict[str, Any] | None = meta["prior"] and {
        key: tuple(value) if isinstance(value, list) else value for key, value in meta["prior"].items()
    }
    return Capture(
        images=dict(zip(ids, arrays["images"], strict=True)),
        masks=dict(zip(ids, arrays["masks"], strict=True)) if "masks" in arrays else None,
        start=dict(zip(ids, arrays["start"], strict=True)) if "start" in arrays else None,
        camera=Camera(**meta["camera"]) if meta["camera"] else None,
        exact=frozenset(ViewId(view) for view in meta["exact"]),
        prior=PosePrior(**prior) if prior else None,
        background=tuple(meta["background"]) if meta["background"] else None,
        estimate=_estimate(meta["estimate"], arrays["estimate"]) if meta["estimate"] else None,
    )


def _estimate(meta: Mapping[str, Any], poses: Pose) -> Estimate:
    return Estimate(
        poses=dict(zip(map(ViewId, meta["views"]), poses, strict=True)),
        camera=Camera(**meta["camera"]) if meta["camera"] else None,
    )


def write_fit(folder: Path, fit: Fit) -> None:
    """`poses.json`: poses, camera, notes, flags and margins; the field is the method's own to save."""
    write_json(
        folder / "poses.json",
        {
            "poses": {view: np.asarray(pose, dtype=np.float64) for view, pose in fit.poses.items()},
            "camera": asdict(fit.camera) if fit.camera else None,
            "notes": dict(fit.notes),
            "flags": list(fit.flags),
            "margins": {view: float(margin) for view, margin in fit.margins.items()},
        },
    )


def write_request(folder: Path, request: Mapping[str, Any]) -> None:
    """What the judge asks a worker for: `in/request.json` of its folder. Written last, it makes the folder complete."""
    write_json(folder / "in" / "request.json", request)


def read_request(folder: Path) -> dict[str, Any]:
    """As it was written. Raises FileNotFoundError."""
    return read_json(folder / "in" / "request.json")


def read_outcome(folder: Path) -> dict[str, Any] | None:
    """What a worker says of its end, `out/outcome.json`, or None. It is the worker's word. Raises ForeignFile."""
    path = folder / "out" / "outcome.json"
    return printable(read_json(own(path))) if path.exists() else None


class ForeignFile(ValueError):  # noqa: N818 - reads as what it says
    """A worker left something else than a file or folder of its own: a link could lead to anything that the judge can
    read."""


def own(path: Path) -> Path:
    """The path of a file or folder that a worker wrote, once there is no link in it. Raises ForeignFile."""
    for each in (path, *(sorted(path.rglob("*")) if path.is_dir() and not path.is_symlink() else ())):
        mode = each.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ForeignFile(
                f"the worker left {each.name}, which is neither a file nor a folder but a link or a device"
            )
    return path


def stacked(poses: Mapping[ViewId, Pose], order: list[ViewId]) -> Pose:
    """(N, 4, 4) in the order of the ids."""
    return np.stack([poses[view] for view in order]) if order else np.zeros((0, 4, 4))
