"""The shared field trained on poses that somebody else found."""

from __future__ import annotations

from bench.task import Capture, Estimate, Fit, Job
from methods.nerf.config import FieldConfig
from methods.nerf.field.bounds import Bounds
from methods.nerf.train import train
from methods.nerf.training.deadline import Deadline


def fit(capture: Capture, estimate: Estimate, config: FieldConfig, job: Job) -> Fit:
    """A field of the views that have a pose. The prior is of no use: its frame is not the estimate's."""
    camera = estimate.camera or capture.camera
    if camera is None:
        raise ValueError("poses+nerf: neither the scene nor the submission has intrinsics, and a field needs some")
    bounds = Bounds.from_cameras(list(estimate.poses.values()), contract=capture.background is None)
    deadline = Deadline(job)
    field = train(capture.images, estimate.poses, camera, bounds, capture.background, config, job, deadline)
    return Fit(poses=estimate.poses, field=field, camera=estimate.camera, notes=deadline.notes())
