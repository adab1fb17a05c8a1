"""Field, poses and focal length together, on the squared error of colours: what NeRF-- and BARF have in common.

Each method says from where its cameras start and by which schedule (`joint_schedule.py`) they are trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from bench.task import Job, Pose, ViewId
from methods.nerf.cameras.pose_variables import Cameras
from methods.nerf.field.base import RadianceField
from methods.nerf.field.bounds import Bounds
from methods.nerf.images.posed_images import Batch
from methods.nerf.images.pyramid import ImagePyramid
from methods.nerf.training.camera_training import CameraTraining, in_scene
from methods.nerf.training.checkpointing import Checkpoints, generator, preview, psnr
from methods.nerf.training.deadline import Deadline
from methods.nerf.training.exposing import expose_before_background, logged_spread
from methods.nerf.training.joint_grid import JointGrid
from methods.nerf.training.joint_mlp import JointMlp
from methods.nerf.training.joint_schedule import Draw, JointGridSchedule, JointMlpSchedule

FORM = 3
"""Of a checkpoint: what an older one says of its field is not enough to go on from."""


class JointField(Protocol):
    """A field, which pixels it is shown, and how it and the cameras learn from them."""

    @property
    def field(self) -> RadianceField: ...

    @property
    def iterations(self) -> int: ...

    def phase(self, index: int) -> str:
        """What iteration `index` belongs to, in a word or two."""
        ...

    def ahead(self, index: int) -> int:
        """How many iterations from `index` on leave it worse than it is, if they are not all taken."""
        ...

    def once(self, index: int) -> bool:
        """Whether what is due before iteration `index` takes long, and is not due before others."""
        ...

    def draw(self, index: int) -> Draw:
        """The pixels of iteration `index`."""
        ...

    def prepare(self, index: int, cameras: CameraTraining, rng: torch.Generator, deadline: Deadline) -> None:
        """Whatever is due before an iteration, whose generator is `rng`, but what the `deadline` leaves no time for."""
        ...

    def learn(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Leave the gradients of the mean squared error, and of what else is preferred, to the rays too; returns that
        error, a scalar."""
        ...

    def step(self, index: int, cameras: CameraTraining) -> None: ...

    def tell(self, deadline: Deadline) -> None:
        """Note what there was no time for; once, at the end, whether there was a kill since or not."""
        ...

    def finish(self) -> RadianceField:
        """The field, frozen."""
        ...

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]: ...

    def restore(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None: ...


def train_jointly(
    pyramid: ImagePyramid, cameras: Cameras, bounds: Bounds, schedule: JointGridSchedule | JointMlpSchedule, job: Job,
    name: str, deadline: Deadline,
) -> RadianceField:  # fmt: skip
    """Train field and `cameras` (in place) on `pyramid`; returns the field, frozen.

    Logs loss, psnr (dB, of the pixels drawn), seconds, side (px), motion (deg, the mean turn from the start), where it
    is free, focal (px) and, where views differ in exposure, exposures_stops (by how much, a standard deviation); goes
    on from `job.checkpoints`. Repeatable for one seed, device and number of threads, unless its `deadline`
    stops it, or leaves something out, which that then says.
    """
    colour = pyramid.background or ((pyramid.images.mean(dim=(0, 2, 3)) + 1) / 2).tolist()
    background = torch.tensor(colour, dtype=torch.float32, device=pyramid.images.device)
    rng = generator(job.seed, -1)
    joint: JointField
    if isinstance(schedule, JointGridSchedule):
        if schedule.radiance.exposures:
            expose_before_background(pyramid)
        joint = JointGrid(bounds, background, schedule, job.effort, pyramid, rng)
    else:
        joint = JointMlp(bounds, background, schedule, job.effort, pyramid.side, rng)
    moving = CameraTraining(cameras)
    asked = {
        "schedule": schedule.model_dump(mode="json"), "bounds": repr(bounds), "seed": job.seed, "effort": job.effort,
        "views": list(pyramid.ids), "start": cameras.start.sum().item(), "form": FORM,
    }  # fmt: skip
    checkpoints = Checkpoints(job, name, asked)
    first = 0
    if (found := checkpoints.resume()) is not None:
        state, tensors = found
        joint.restore(state, tensors)
        moving.restore(tensors)
        first = state["step"]
    for index in range(first, joint.iterations):
        if deadline.reached(index, joint.iterations, joint.phase(index), joint.ahead(index)):
            break
        rng, is_once = generator(job.seed, index), joint.once(index)
        joint.prepare(index, moving, rng, deadline)
        if is_once:
            deadline.no_step()
        draw = joint.draw(index)
        error = joint_step(joint, moving, index, draw, pyramid, rng)
        if checkpoints.log_due(force=index + 1 == joint.iterations):
            loss = float(error)
            curves = {"loss": loss, "psnr": psnr(loss), "side": float(draw.side), **_moved(cameras)}
            checkpoints.log(index + 1, curves | logged_spread(pyramid.gains))
        if checkpoints.preview_due():
            seen_by = cameras.poses()[:1], cameras.intrinsics.estimate()
            checkpoints.show(index + 1, partial(preview, joint.field, *seen_by))
        if checkpoints.save_due():
            state, tensors = joint.state()
            checkpoints.save(index + 1, state, tensors | moving.state())
    joint.tell(deadline)
    field = joint.finish()
    in_scene(field, cameras)
    if not deadline.stopped:
        job.log(joint.iterations, {}, preview(field, cameras.poses()[:1], cameras.intrinsics.estimate()))
    return field


def joint_step(
    joint: JointField, moving: CameraTraining, index: int, draw: Draw, pyramid: ImagePyramid, rng: torch.Generator
) -> Tensor:
    """One step of field and cameras on the pixels of `draw`; returns their mean squared error, a scalar."""
    among = None if draw.among is None else torch.tensor(draw.among, device=pyramid.images.device)
    views, points, colours = pyramid.draw(draw.side, draw.rays, rng, views=draw.views, among=among)
    origins, directions = moving.cameras.rays(views, points)
    error = joint.learn(Batch(origins=origins, directions=directions, colours=colours.flatten(0, 1)), rng)
    joint.step(index, moving)
    return error


def estimated_poses(pyramid: ImagePyramid, cameras: Cameras) -> dict[ViewId, Pose]:
    """The poses that the cameras have come to, float64, their rotations exact."""
    poses = cameras.poses().detach().double().cpu().numpy()
    u, _, vt = np.linalg.svd(poses[:, :3, :3])
    poses[:, :3, :3] = u @ vt
    return dict(zip(pyramid.ids, poses, strict=True))


def _moved(cameras: Cameras) -> dict[str, float]:
    """How far the cameras have come."""
    values = {"motion": float(cameras.twists.detach()[:, :3].norm(dim=1).mean().rad2deg())}
    return values | ({"focal": cameras.intrinsics.estimate().fx} if cameras.intrinsics.free else {})
