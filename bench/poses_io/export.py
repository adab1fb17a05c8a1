"""A cell's poses for other programs: evo, COLMAP, nerfstudio, and `unposed submit` itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.degrade import degrade, parse
from bench.matrix.again import scene_of
from bench.poses_io import FORMS
from bench.poses_io.capture_export import put_in_place, refuse_full, write_images
from bench.poses_io.pose_format import IMAGES
from bench.poses_io.saved_fit import read_fit
from bench.record import Result, drawn, read_cameras
from bench.scene import SIDE
from bench.task import Camera, Capture, Pose, ViewId

TRUTH = "truth"


def export(
    cells: Sequence[tuple[Path, Result]], to: Path, *, forms: Sequence[str], aligned: bool, truth: bool,
    roots: Sequence[Path],
) -> Iterator[str]:  # fmt: skip
    """Write the poses of `cells` (folder, result) in each of `forms`; yields a line a cell.

    One cell is written into `to` itself, several into folders named as in the suite. Poses are in the method's own
    frame, or, `aligned`, in the truth's, moved there by the protocol's similarity. `truth` adds the true poses, where
    they are known, below `truth/`. Images lie beside the files that name them, where the scene is here. Raises
    ValueError where no cell has an answer, or the folder `to` holds something.
    """
    to = to.resolve()
    refuse_full(to)
    answered = [(folder, result) for folder, result in cells if read_cameras(folder)]
    if not answered:
        why = "; ".join(f"{result.cell.id} is {result.status}: {result.reason}" for _, result in cells[:3])
        raise ValueError(f"export: no cell has aligned poses to write ({why})")
    draft = to.with_name(f".{to.name}.tmp")
    shutil.rmtree(draft, ignore_errors=True)
    shown = _Shown(roots)
    for folder, result in cells:
        if read_cameras(folder) is None:
            yield f"left out: {result.cell.id} is {result.status}: {result.reason}"
            continue
        place = draft if len(cells) == 1 else draft / result.cell.folder
        count = _write(folder, place, forms, aligned=aligned, truth=truth)
        line = f"{result.cell.id}: {count} poses"
        if set(forms) != {"tum"}:
            capture = shown.to(result)
            if isinstance(capture, str):
                line += f"; without images: {capture}"
            else:
                write_images(place, capture)
        yield line
    put_in_place(draft, to)


def _write(folder: Path, place: Path, forms: Sequence[str], *, aligned: bool, truth: bool) -> int:
    """All files but the images; returns how many views have a pose."""
    cameras, fit = read_cameras(folder) or {}, read_fit(folder / "fit")
    true_camera = Camera(**cameras["camera"])
    poses = _poses(cameras["estimate"])
    if not aligned:
        poses = {view: fit.poses[view] for view in poses}
    held = [(place, poses, fit.camera or true_camera, IMAGES)]
    if truth and cameras["truth"]:
        held.append((place / TRUTH, _poses(cameras["truth"]), true_camera, f"../{IMAGES}"))
    for home, each, camera, images in held:
        home.mkdir(parents=True, exist_ok=True)
        for form in forms:
            FORMS[form].write(home, each, camera, images)
    return len(poses)


def _poses(raw: dict[str, Any]) -> dict[ViewId, Pose]:
    return {ViewId(view): np.array(pose, dtype=np.float64) for view, pose in sorted(raw.items())}


class _Shown:
    """What the methods of a question were shown: read once for all of them."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self.roots = roots
        self._held: dict[tuple[str, str, int, str], Capture | str] = {}

    def to(self, result: Result) -> Capture | str:
        """The capture of a cell, or why it cannot be shown again."""
        cell = result.cell
        key = (cell.scene, cell.degradation, drawn(result), cell.effort)
        if key not in self._held:
            self._held = {key: self._read(result)}  # one at a time: cells come scene by scene
        return self._held[key]

    def _read(self, result: Result) -> Capture | str:
        cell = result.cell
        try:
            source = scene_of(result, self.roots)
            if source.digest(SIDE[cell.effort]) != result.ingredients["fit"]["scene"]["digest"]:
                return f"scene {cell.scene!r} has changed since"
            scene = source.load(SIDE[cell.effort])
            degradation = replace(parse(cell.degradation), seed=drawn(result))
            return degrade(replace(scene.capture, start=scene.truth.poses or None), degradation, cell.scene)
        except ValueError as error:
            return str(error)
