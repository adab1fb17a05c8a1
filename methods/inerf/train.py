"""A field from the views whose poses are known; then, the field frozen, the poses of the others."""

from __future__ import annotations

import numpy as np
import torch

from bench.task import Capture, Fit, Job
from methods.inerf.config import InerfConfig
from methods.inerf.field import InerfField
from methods.inerf.register import register
from methods.nerf.cameras.intrinsics import Intrinsics
from methods.nerf.images.pyramid import ImagePyramid
from methods.nerf.train import train_rays
from methods.nerf.training.checkpointing import generator
from methods.nerf.training.deadline import Deadline
from methods.nerf.training.hull_bounds import bounds_of
from methods.nerf.training.pose_margins import pose_margins

TRAINING = 0.7
"""Share of the time that the field may take, where time is short."""

REGISTERING = 2**30
"""Whose randomness comes after that of all steps of the training."""


def fit(capture: Capture, config: InerfConfig, job: Job) -> Fit:
    """Register the views whose start pose is rough against a field of those whose start pose is exact."""
    if capture.camera is None or capture.start is None or not capture.exact:
        raise ValueError("inerf: needs intrinsics and start poses, some of them exact")
    known = {view: capture.start[view] for view in capture.images if view in capture.exact}
    sought = [view for view in capture.images if view not in capture.exact]
    training = Deadline(job, share=TRAINING, after=config.registration.steps if sought else 0)
    whole = Deadline(job, before=config.radiance.budget(job.effort).steps)
    bounds = bounds_of(capture.images, known, capture.camera, capture.prior, capture.background)
    images, radiance = capture.images, config.radiance
    field = train_rays(images, known, capture.camera, bounds, capture.background, radiance, job, training)
    places = torch.from_numpy(np.stack(list(known.values()))).float().to(field.device)
    unit = bounds.distance_of(list(known.values())) / 4
    fitted = InerfField(
        field=field, known=places, unit=unit, registration=config.registration, candidates=config.candidates
    )
    poses, margins = dict(known), {}
    if sought:
        start = torch.from_numpy(np.stack([capture.start[view] for view in sought])).float().to(field.device)
        images = np.stack([capture.images[view] for view in sought])
        intrinsics, rng = Intrinsics(capture.camera, free=False).to(field.device), generator(job.seed, REGISTERING)
        found, errors = register(
            field, intrinsics, images, start, config.registration, rng, unit=unit, deadline=whole
        )  # fmt: skip
        poses |= dict(zip(sought, found.double().cpu().numpy(), strict=True))
        job.log(config.registration.steps, {"registration/loss": float(errors.mean())})
        pyramid = ImagePyramid.of(capture, masked=False, device=field.device)
        margins = pose_margins(field, intrinsics, pyramid, poses, job, whole, elsewhere=capture.prior, views=sought)
    notes = {"views_given": len(known), "views_registered": len(sought)}
    notes |= training.notes() | whole.notes("registration_share_done")
    return Fit(poses=poses, field=fitted, notes=notes, margins=margins)
