"""A cell's poses for other programs: evo, COLMAP, nerfstudio, and `unposed submit` itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.poses_io import FORMS
from bench.poses_io.capture_export import put_in_place, refuse_full
from bench.poses_io.pose_format import IMAGES
from bench.poses_io.saved_fit import read_fit
from bench.poses_io.shown_images import Images, Shown
from bench.record import Result, read_cameras
from bench.task import Camera, Pose, ViewId

TRUTH = "truth"


def export(
    cells: Sequence[tuple[Path, Result]], to: Path, *, forms: Sequence[str], aligned: bool, truth: bool,
    roots: Sequence[Path], full_size: bool = False,
) -> Iterator[str]:  # fmt: skip
    """Write the poses of `cells` (folder, result) in each of `forms`; yields a line a cell.

    One cell is written into `to` itself, several into folders named as in the suite. Poses are in the method's own
    frame, or, `aligned`, in the truth's, moved there by the protocol's similarity. `truth` adds the true poses, where
    they are known, below `truth/`. Images lie beside the files that name them, where the scene is here: as they were
    shown, v012.png, with `originals.csv` saying which file each was taken from, or, at `full_size`, these files
    themselves, by their own names. Raises ValueError where no cell has an answer, the folder `to` holds something, or
    the originals cannot be had.
    """
    to = to.resolve()
    refuse_full(to)
    answered = [(folder, result) for folder, result in cells if read_cameras(folder)]
    if not answered:
        why = "; ".join(f"{result.cell.id} is {result.status}: {result.reason}" for _, result in cells[:3])
        raise ValueError(f"export: no cell has aligned poses to write ({why})")
    draft = to.with_name(f".{to.name}.tmp")
    shutil.rmtree(draft, ignore_errors=True)
    shown = Shown(roots)
    for folder, result in cells:
        if read_cameras(folder) is None:
            yield f"left out: {result.cell.id} is {result.status}: {result.reason}"
            continue
        place = draft if len(cells) == 1 else draft / result.cell.folder
        place.mkdir(parents=True, exist_ok=True)
        images = shown.full_size(folder, result, place) if full_size else shown.images(result, place, forms)
        count = _write(folder, place, forms, images, aligned=aligned, truth=truth)
        said = f"; without images: {images.absent}" if images.absent else f"; {images.note}" if images.note else ""
        yield f"{result.cell.id}: {count} poses{said}"
    put_in_place(draft, to)


def _write(
    folder: Path, place: Path, forms: Sequence[str], images: Images, *, aligned: bool, truth: bool
) -> int:  # fmt: skip
    """All files but the images; returns how many views have a pose."""
    cameras, fit = read_cameras(folder) or {}, read_fit(folder / "fit")
    true_camera = Camera(**cameras["camera"])
    poses = _poses(cameras["estimate"])
    if not aligned:
        poses = {view: fit.poses[view] for view in poses}
    held = [(place, poses, fit.camera or true_camera, IMAGES)]
    if truth and cameras["truth"]:
        held.append((place / TRUTH, _poses(cameras["truth"]), true_camera, f"../{IMAGES}"))
    for home, each, camera, below in held:
        home.mkdir(parents=True, exist_ok=True)
        sized = camera.resized(*images.size) if images.size else camera
        names = {view: f"{below}/{images.names.get(view, f'{view}.png')}" for view in each}
        for form in forms:
            FORMS[form].write(home, each, sized, names)
    return len(poses)


def _poses(raw: dict[str, Any]) -> dict[ViewId, Pose]:
    return {ViewId(view): np.array(pose, dtype=np.float64) for view, pose in sorted(raw.items())}
