"""Poses, then a field: a fit that is killed goes on from the poses it had."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from bench.files import read_arrays, replacing, write_arrays
from bench.task import Camera, Capture, Fit, Job, ViewId
from methods.colmap_nerf.config import ColmapNerfConfig
from methods.nerf.field.bounds import Bounds
from methods.nerf.train import train
from methods.nerf.training.deadline import Deadline
from methods.sfm.reconstruct import Reconstruction, reconstruct

ARRAYS, DESCRIPTION = "reconstruction.npz", "reconstruction.json"


def fit(capture: Capture, config: ColmapNerfConfig, job: Job) -> Fit:
    """COLMAP's poses and the shared field trained on the views that have one."""
    deadline, found = Deadline(job), read(job.workdir)
    if found is None:
        found = reconstruct(
            capture, config, job.workdir / "sfm", job.seed, job.threads, job.progress, prepared=job.prepared
        )
        write(found, job.workdir)
        job.log(0, {"sfm/registered": len(found.poses) / len(capture.images), "sfm/points": len(found.points)})
    contract = capture.background is None
    bounds = Bounds.from_points(found.points, list(found.poses.values()), contract=contract, camera=found.camera)
    field = train(
        capture.images, found.poses, found.camera, bounds, capture.background, config.radiance, job, deadline,
        points=found.points,
    )  # fmt: skip
    estimated = found.camera if config.intrinsics == "unknown" or capture.camera is None else None
    return Fit(poses=found.poses, field=field, camera=estimated, notes={**found.notes, **deadline.notes()})


def write(found: Reconstruction, folder: Path) -> None:
    """Arrays first, description last, each file whole: with the description there, all is there."""
    write_arrays(folder / ARRAYS, {"poses": np.stack(list(found.poses.values())), "points": found.points})
    description = {"views": list(found.poses), "camera": asdict(found.camera), "notes": dict(found.notes)}
    with replacing(folder / DESCRIPTION) as draft:
        draft.write_text(json.dumps(description, indent=1) + "\n")


def read(folder: Path) -> Reconstruction | None:
    """What `write` left in `folder`, or None."""
    if not (folder / DESCRIPTION).exists():
        return None
    description = json.loads((folder / DESCRIPTION).read_text())
    arrays = read_arrays(folder / ARRAYS)
    return Reconstruction(
        poses=dict(zip(map(ViewId, description["views"]), arrays["poses"], strict=True)),
        points=arrays["points"],
        camera=Camera(**description["camera"]),
        notes=description["notes"],
    )
