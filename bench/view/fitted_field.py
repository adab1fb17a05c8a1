"""A cell's field read back from its folder, and the similarity between its frame and the truth's."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.judge.similarity import Similarity
from bench.matrix.method_class import made
from bench.poses_io.saved_fit import read_fit, refuse_changed
from bench.record import find_cell, read_cameras, read_json
from bench.task import Field, Pose


def find_fitted_cell(suite: Path, cell: str) -> Path:
    """The folder of a cell that has a field. Raises ValueError."""
    folder, result = find_cell(suite, cell)
    if not (folder / "fit" / "field").is_dir():
        raise ValueError(f"{cell} has no field to look at: it is {result.status} ({result.reason or 'poses only'})")
    return folder


def load_field(cell: Path, device: str) -> Field | None:
    """The field of a fit, in the method's own frame; None of a method that returns poses alone. Raises ValueError for
    one that is not what was kept.

    The method is imported into this process, which may hold the truth: the fit is done and judged by then.
    """
    folder = cell / "fit" / "field"
    if not folder.is_dir():
        return None
    refuse_changed(cell / "fit", "field/")
    request = read_json(cell / "fit" / "request.json")
    if request["method"].get("python") and request["method"].get("file"):
        other = request["method"]["python"]
        raise ValueError(f"this field's method runs under {other}, and not here; `unposed render` has its worker do it")
    return made(request["method"], request["config"]).load(folder, device)


def truth_from_field(cell: Path) -> Similarity:
    """The protocol's similarity from the method's own frame to the truth's, found from the poses kept in both.

    Raises ValueError where fewer than two aligned poses were kept.
    """
    held = read_cameras(cell)
    if held is None or len(held["estimate"]) < 2:
        raise ValueError(f"{cell} keeps no cameras of truth and estimate; `unposed run` makes them")
    fit = read_fit(cell / "fit")
    shared = sorted(view for view in held["estimate"] if view in fit.poses)
    return between(
        np.stack([fit.poses[view] for view in shared]), np.array([held["estimate"][view] for view in shared])
    )


def between(source: Pose, target: Pose) -> Similarity:
    """The similarity that carries cameras (N, 4, 4) exactly onto their copies in another frame."""
    rotation = target[0, :3, :3] @ source[0, :3, :3].T
    a, b = source[:, :3, 3], target[:, :3, 3]
    spread = [float(np.linalg.norm(points - points.mean(axis=0))) for points in (a, b)]
    scale = spread[1] / spread[0]
    return Similarity(scale=scale, rotation=rotation, translation=b.mean(axis=0) - scale * rotation @ a.mean(axis=0))
