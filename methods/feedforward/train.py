"""Poses by a process in the estimator's environment, then the shared field trained on them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.files import read_arrays, replacing
from bench.task import Camera, Capture, Fit, Job, Pose, ViewId
from methods.feedforward.config import FeedforwardConfig
from methods.feedforward.runners import estimate
from methods.nerf.train import train
from methods.nerf.training.deadline import Deadline
from methods.nerf.training.hull_bounds import bounds_of

LAST, WIDEST = 3, 120
"""Lines of what an estimator said that are a failed cell's reason, and their characters; a reason has 500. All of it is
in the cell's stderr.txt."""

ANSWER, MADE = "poses.npz", "seconds.json"


@dataclass(frozen=True, kw_only=True)
class Estimated:
    """What a feed-forward estimator said of a capture."""

    poses: Mapping[ViewId, Pose]
    intrinsics: NDArray[np.float64]  # (N, 3, 3) pixel_from_camera, or (0, 3, 3)
    weights: str  # sha256, or "unknown"

    def camera(self, width: int, height: int) -> Camera:
        """One for all views: the medians over them. Raises ValueError where there are none."""
        if not len(self.intrinsics):
            raise ValueError("this estimator gives no intrinsics, and the scene has none either: a field needs some")
        inner = np.median(self.intrinsics, axis=0)
        return Camera(width=width, height=height, fx=inner[0, 0], fy=inner[1, 1], cx=inner[0, 2], cy=inner[1, 2])


def fit(capture: Capture, config: FeedforwardConfig, job: Job, *, weights: str, licence: str) -> Fit:
    """The estimator's poses, found once for all cells of a capture, and a field of the views. Before a known background
    it is the cube around the visual hull."""
    deadline = Deadline(job)
    found = estimated(capture, config, job)
    height, width = capture.shape[:2]
    camera = capture.camera or found.camera(width, height)
    bounds = bounds_of(capture.images, found.poses, camera, None, capture.background)
    field = train(capture.images, found.poses, camera, bounds, capture.background, config.radiance, job, deadline)
    notes = {"weights": weights, "weights_sha256": found.weights}
    notes |= {"weights_licence": licence, **deadline.notes()}
    return Fit(poses=found.poses, field=field, camera=None if capture.camera else camera, notes=notes)


def estimated(capture: Capture, config: FeedforwardConfig, job: Job) -> Estimated:
    """What the estimator says of these images, or what another cell left of it. Raises RuntimeError."""
    place = job.prepared
    if not (place / MADE).exists():
        job.progress(config.model)
        began = time.monotonic()
        place.mkdir(parents=True, exist_ok=True)
        write_images(capture, job.workdir / "export" / "images")
        run(config, job.workdir / "export", place / ANSWER, job)
        with replacing(place / MADE) as draft:
            draft.write_text(json.dumps({"seconds": time.monotonic() - began}))
    answer = read_arrays(place / ANSWER)
    poses = dict(zip(map(ViewId, answer["views"].tolist()), answer["poses"], strict=True))
    return Estimated(poses=poses, intrinsics=answer["intrinsics"], weights=str(answer["weights"]))


def write_images(capture: Capture, folder: Path) -> None:
    """A PNG a view, under its opaque name."""
    from PIL import Image as Picture

    folder.mkdir(parents=True, exist_ok=True)
    for view, image in capture.images.items():
        Picture.fromarray(image).save(folder / f"{view}.png")


def run(config: FeedforwardConfig, export: Path, answer: Path, job: Job) -> None:
    """The script, under the estimator's interpreter. What it prints is this process's. Raises RuntimeError with the
    last lines of what it said."""
    if not config.python:
        raise RuntimeError(f"feedforward needs [python=...], the interpreter of {config.model}'s environment")
    command = [config.python, "-s", estimate.__file__, config.model, str(export), str(answer), "--device", job.device]
    command += ["--weights", config.weights] if config.weights else []
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    said: deque[str] = deque(maxlen=LAST)
    with subprocess.Popen(
        command, env=env, cwd=export, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:  # fmt: skip
        assert process.stderr
        for line in process.stderr:
            sys.stderr.write(line)
            said.extend([line.strip()[-WIDEST:]] if line.strip() else [])
    if process.returncode:
        words = f": {' / '.join(said)}" if said else ""
        raise RuntimeError(f"{config.model} could not be run, its process ended with {process.returncode}{words}")
