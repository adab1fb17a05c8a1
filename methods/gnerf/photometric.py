"""Phase B, and the other half of AB: field, poses and focal length together, on the images themselves (sec. 3.4)."""

from __future__ import annotations

import torch
from torch import Tensor

from methods.gnerf.model import Model
from methods.gnerf.patches import RealPatches, draw_real
from methods.gnerf.schedule import SIDE, Iteration
from methods.nerf.cameras.rays import view_rays
from methods.nerf.images.posed_images import Batch


def photometric_step(
    model: Model, iteration: Iteration, rng: torch.Generator, shown: RealPatches | None = None,
    among: Tensor | None = None, trust: float = 1.0,
) -> dict[str, Tensor]:  # fmt: skip
    """One step of everything on the squared error of colours (GNeRF eq. 7).

    A preset that looks at patches takes those `shown` to the discriminator in this iteration, where there are some; one
    that looks at pixels, those of the views `among` (K,). Poses and focal length move at
    `trust` of their rate.
    """
    views, points, targets = _drawn(model, iteration, rng, shown, among)
    for optimiser in (model.move_poses, model.move_focal):
        optimiser.zero_grad(set_to_none=True)
    origins, directions = view_rays(model.intrinsics, model.poses()[views], points)
    if model.family.log_stretch is not None:
        origins = across(origins, directions)
    batch = Batch(origins=origins, directions=directions, colours=targets.reshape(len(origins), -1))
    release = model.releases(iteration)
    error = model.generator.learn(batch, rng, iteration.noise)
    closed = model.generator.field.bounds.closed
    pace = model.budget.pose_pace if closed and iteration.fine is not None else 1.0
    model.move_poses.param_groups[0]["lr"] = trust * pace * model.preset.pose_rate(iteration.number, iteration.fine)
    model.step_poses(release=release)
    if model.intrinsics.free and release:
        rate = model.preset.focal_rate(iteration.coarse_share, iteration.fine)
        model.move_focal.param_groups[0]["lr"] = trust * rate
        model.move_focal.step()
    model.generator.step(iteration)
    return {"loss/photometric": error}


def across(origins: Tensor, directions: Tensor) -> Tensor:
    """The same origins (R, 3), whose gradient along their unit `directions` (R, 3) is left out.

    What a ray shows stays the same when its origin slides along it: only where the samples fall changes, and what that
    does to a colour is chance. A longer focal length moves every camera back by many voxels, mostly along its rays, and
    that noise drowned what perspective says (`Model` has the dolly zoom; the README its size).
    """
    along = directions.detach()
    slid = ((origins - origins.detach()) * along).sum(dim=-1, keepdim=True)  # 0, but not its gradient
    return origins - slid * along


def _drawn(
    model: Model, iteration: Iteration, rng: torch.Generator, shown: RealPatches | None, among: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """V different views, K image points (V, K, 2) in [-1, 1]^2 of each, and their colours (V, K, C) in [0, 1]."""
    sight = model.sight
    side = iteration.side(sight.side)
    pixels = model.preset.pixels(iteration.fine, model.budget)  # type: ignore[arg-type] - the preset's own budget
    if pixels is not None:
        return sight.draw(side, pixels, rng, among=among)
    real = shown or draw_real(sight.at(side), model.budget.batch, SIDE, iteration.smallest_scale(sight.side), rng)
    return real.views, real.patches.points.flatten(1, 2), (real.pictures.flatten(2).transpose(1, 2) + 1) / 2
