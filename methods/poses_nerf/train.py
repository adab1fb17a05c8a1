"""The shared field trained on poses that somebody else found."""

from __future__ import annotations

from bench.task import Capture, Estimate, Fit, Job
from methods.nerf.config import PosedFieldConfig
from methods.nerf.train import train
from methods.nerf.training.deadline import Deadline
from methods.nerf.training.hull_bounds import bounds_of


def fit(capture: Capture, estimate: Estimate, config: PosedFieldConfig, job: Job) -> Fit:
    """A field of the views that have a pose. The prior is of no use: its frame is not the estimate's. Before a known
    background the field is the cube around the visual hull, as that of true poses; where the poses are too far off for
    the views to agree on an object, it is as the cameras look."""
    camera = estimate.camera or capture.camera
    if camera is None:
        raise ValueError("poses+nerf: neither the scene nor the submission has intrinsics, and a field needs some")
    images = {view: capture.images[view] for view in estimate.poses}
    bounds = bounds_of(images, estimate.poses, camera, None, capture.background)
    deadline = Deadline(job)
    field = train(capture.images, estimate.poses, camera, bounds, capture.background, config, job, deadline)
    return Fit(poses=estimate.poses, field=field, camera=estimate.camera, notes=deadline.notes())
