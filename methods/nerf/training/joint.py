"""Field, poses and focal length together, on the squared error of colours: what NeRF-- and BARF have in common.

Each method says from where its cameras start and by which schedule (`joint_schedule.py`) they are trained.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from bench.task import Effort, Image, Job, Pose, ViewId
from methods.nerf.cameras.pose_variables import Cameras
from methods.nerf.config import Budget
from methods.nerf.field.base import RadianceField
from methods.nerf.field.bounds import Bounds
from methods.nerf.field.mlp import MlpField
from methods.nerf.images.posed_images import Batch
from methods.nerf.images.pyramid import ImagePyramid
from methods.nerf.training.checkpointing import Checkpoints, decayed, generator, psnr
from methods.nerf.training.coarse_to_fine import CoarseToFineGrid
from methods.nerf.training.joint_schedule import JointGridBudget, JointGridSchedule, JointMlpSchedule
from methods.nerf.training.optimizer_state import optimizer_tensors, restore_optimizer, with_prefix


class Radiance(Protocol):
    """A field, what its pixels are, and how it and the cameras learn from them."""

    @property
    def field(self) -> RadianceField: ...

    @property
    def iterations(self) -> int: ...

    def look(self, index: int) -> tuple[int, int, int | None]:
        """Of iteration `index`: the longest side of its images in px, how many pixels, from how many of the views."""
        ...

    def prepare(self, index: int, cameras: Cameras) -> None:
        """Whatever is due before an iteration."""
        ...

    def learn(self, batch: Batch, rng: torch.Generator) -> float: ...

    def step(self, index: int, cameras: Cameras) -> None: ...

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]: ...

    def restore(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None: ...


class GridRadiance:
    """A grid, coarse and then fine, on images that grow with it."""

    def __init__(
        self,
        bounds: Bounds,
        background: Tensor,
        schedule: JointGridSchedule,
        effort: Effort,
        side: int,
        rng: torch.Generator,
    ) -> None:
        """`side`: of the images themselves, px."""
        self.schedule, self.side = schedule, side
        self.budget: JointGridBudget = getattr(schedule, effort)
        self.grid = CoarseToFineGrid(bounds, background, schedule, self.budget.side, rng)

    @property
    def field(self) -> RadianceField:
        return self.grid.field

    @property
    def iterations(self) -> int:
        return self.budget.coarse + self.budget.fine

    def _fine(self, index: int) -> float | None:
        """Share of the fine iterations that is over; None before them."""
        return (index - self.budget.coarse) / self.budget.fine if index >= self.budget.coarse else None

    def look(self, index: int) -> tuple[int, int, int | None]:
        schedule, fine = self.schedule, self._fine(index)
        end = min(schedule.side_coarse, self.side)
        if fine is None:
            start = min(schedule.side_start, self.side)
            return _between(start, end, index / self.budget.coarse, 4), self.budget.rays_coarse, None
        if fine >= schedule.sharp_at:
            return self.side, self.budget.rays, None
        return _between(end, self.side, fine / schedule.sharp_at, 8), self.budget.rays, None

    def prepare(self, index: int, cameras: Cameras) -> None:
        index -= self.budget.coarse
        if index >= 0 and self.grid.grow(index, self.budget.fine):
            cameras.forget_momentum()

    def learn(self, batch: Batch, rng: torch.Generator) -> float:
        return self.grid.learn(batch, rng)

    def step(self, index: int, cameras: Cameras) -> None:
        schedule, fine = self.schedule, self._fine(index)
        fade = (
            decayed(1.0, schedule.pose_decay_coarse, index / self.budget.coarse)
            if fine is None
            else decayed(1.0, schedule.pose_decay, fine)
        )
        rate = schedule.pose_lr if fine is None else schedule.pose_lr_fine
        relief = (
            schedule.relief_lr if self.field.bounds.frustum is not None else 0.0
        )  # nowhere else has a space of its own
        cameras.step(fade * rate, fade * schedule.focal_lr, fade * relief)
        self.grid.step(fine)

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        return self.grid.state()

    def restore(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self.grid.restore(state, tensors)


class MlpRadiance:
    """A network, on the images as they are, its frequencies let in by the schedule."""

    def __init__(
        self,
        bounds: Bounds,
        background: Tensor,
        schedule: JointMlpSchedule,
        effort: Effort,
        side: int,
        rng: torch.Generator,
    ) -> None:
        self.schedule, self.side = schedule, side
        self.budget: Budget = getattr(schedule, effort)
        self.field = MlpField(bounds, background, schedule.radiance.sized(effort), rng).to(background.device)
        self.adam = torch.optim.Adam(self.field.parameters(), lr=schedule.radiance.mlp_lr)

    @property
    def iterations(self) -> int:
        return self.budget.steps

    def look(self, index: int) -> tuple[int, int, int | None]:
        return self.side, self.budget.rays, self.schedule.views

    def prepare(self, index: int, cameras: Cameras) -> None:
        schedule = self.schedule
        if schedule.heard_by > schedule.heard_from:
            share = (index / self.budget.steps - schedule.heard_from) / (schedule.heard_by - schedule.heard_from)
            self.field.hear(min(max(share, 0.0), 1.0))

    def learn(self, batch: Batch, rng: torch.Generator) -> float:
        shades = self.field.both(batch.origins, batch.directions, rng)
        errors = [(shade.over(self.field.background) - batch.colours).square().mean() for shade in shades]
        torch.stack(errors).sum().backward()
        return errors[-1].item()

    def step(self, index: int, cameras: Cameras) -> None:
        schedule, share = self.schedule, index / self.budget.steps
        fade = decayed(1.0, schedule.pose_decay, share)
        cameras.step(fade * schedule.pose_lr, fade * schedule.focal_lr)
        self.adam.param_groups[0]["lr"] = decayed(schedule.radiance.mlp_lr, schedule.radiance.mlp_lr_decay, share)
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        return {}, {f"field/{name}": value for name, value in self.field.state_dict().items()} | optimizer_tensors(
            self.adam, "adam/"
        )

    def restore(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self.field.load_state_dict(with_prefix("field/", tensors))
        restore_optimizer(self.adam, "adam/", tensors)


def train_jointly(
    pyramid: ImagePyramid,
    cameras: Cameras,
    bounds: Bounds,
    schedule: JointGridSchedule | JointMlpSchedule,
    job: Job,
    name: str,
) -> RadianceField:
    """Train field and `cameras` (in place) on `pyramid`; returns the field, frozen.

    Logs loss, psnr (dB, of the pixels drawn), seconds, side (px), motion (deg, the mean turn from the start) and, where
    it is free, focal (px); goes on from `job.checkpoints`. Repeatable for one seed, device and number of threads.
    """
    kind = GridRadiance if isinstance(schedule, JointGridSchedule) else MlpRadiance
    colour = pyramid.background or ((pyramid.images.mean(dim=(0, 2, 3)) + 1) / 2).tolist()
    background = torch.tensor(colour, dtype=torch.float32, device=pyramid.images.device)
    radiance: Radiance = kind(bounds, background, schedule, job.effort, pyramid.side, generator(job.seed, -1))  # type: ignore[arg-type]
    asked = {
        "schedule": schedule.model_dump(mode="json"), "bounds": repr(bounds), "seed": job.seed, "effort": job.effort,
        "views": list(pyramid.ids), "start": cameras.start.sum().item(),
    }  # fmt: skip
    checkpoints = Checkpoints(job, name, asked)
    first = 0
    if (found := checkpoints.resume()) is not None:
        state, tensors = found
        radiance.restore(state, tensors)
        cameras.restore(tensors)
        first = state["step"]
    for index in range(first, radiance.iterations):
        rng = generator(job.seed, index)
        radiance.prepare(index, cameras)
        side, rays, count = radiance.look(index)
        views, points, colours = pyramid.draw(side, rays, rng, views=count)
        origins, directions = cameras.rays(views, points)
        error = radiance.learn(Batch(origins=origins, directions=directions, colours=colours.flatten(0, 1)), rng)
        radiance.step(index, cameras)
        last = index + 1 == radiance.iterations
        if checkpoints.log_due(force=last):
            checkpoints.log(
                index + 1, {"loss": error, "psnr": psnr(error), "side": float(side), **_moved(cameras)}, force=True
            )
        if checkpoints.save_due():
            state, tensors = radiance.state()
            checkpoints.save(index + 1, state, tensors | cameras.state())
    field = radiance.field.requires_grad_(False)
    if field.bounds.frustum is not None:  # from now on it is asked by rays of the scene
        mu, nu, lam = cameras.relief.tolist()
        field.bounds = replace(field.bounds, frustum=replace(field.bounds.frustum, relief=(mu, nu, math.exp(lam))))
    job.log(radiance.iterations, {}, _preview(field, pyramid, cameras))
    checkpoints.clear()
    return field


def estimated_poses(pyramid: ImagePyramid, cameras: Cameras) -> dict[ViewId, Pose]:
    """The poses that the cameras have come to, float64, their rotations exact."""
    poses = cameras.poses().detach().double().cpu().numpy()
    u, _, vt = np.linalg.svd(poses[:, :3, :3])
    poses[:, :3, :3] = u @ vt
    return dict(zip(pyramid.ids, poses, strict=True))


def _between(start: int, end: int, share: float, step: int) -> int:
    """A size on the way from `start` to `end` px, in multiples of `step`."""
    return max(start, int(start + (end - start) * share) // step * step)


def _moved(cameras: Cameras) -> dict[str, float]:
    """How far the cameras have come."""
    values = {"motion": float(cameras.twists.detach()[:, :3].norm(dim=1).mean().rad2deg())}
    return values | ({"focal": cameras.intrinsics.estimate().fx} if cameras.intrinsics.free else {})


def _preview(field: RadianceField, pyramid: ImagePyramid, cameras: Cameras, side: int = 100) -> dict[str, Image]:
    """What the field looks like from the first view, for the log."""
    camera = cameras.intrinsics.estimate()
    scale = side / max(camera.width, camera.height)
    small = camera.resized(max(1, round(camera.width * scale)), max(1, round(camera.height * scale)))
    rgb = field.render(cameras.poses()[:1].detach().double().cpu().numpy(), small).rgb[0]
    return {"preview": (rgb * 255 + 0.5).astype(np.uint8)}
