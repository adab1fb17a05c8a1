"""Phase B, and the other half of AB: field, poses and focal length together, on the images themselves (sec. 3.4)."""

from __future__ import annotations

import torch
from torch import Tensor

from methods.gnerf import patches
from methods.gnerf.model import Model
from methods.gnerf.schedule import SIDE, Iteration
from methods.nerf.cameras.rays import view_rays
from methods.nerf.images.posed_images import Batch


def photometric_step(model: Model, iteration: Iteration, rng: torch.Generator) -> dict[str, float]:
    """One step of everything on the squared error of colours (GNeRF eq. 7)."""
    views, points, targets = _drawn(model, iteration, rng)
    for optimiser in (model.move_poses, model.move_focal):
        optimiser.zero_grad(set_to_none=True)
    origins, directions = view_rays(model.intrinsics, model.poses()[views], points)
    error = model.generator.learn(
        Batch(origins=origins, directions=directions, colours=targets.reshape(len(origins), -1)), rng
    )  # fmt: skip
    model.move_poses.param_groups[0]["lr"] = model.preset.pose_rate(iteration.number, iteration.fine)
    model.move_poses.step()
    if model.intrinsics.free:
        model.move_focal.param_groups[0]["lr"] = model.preset.focal_rate(iteration.fine)
        model.move_focal.step()
    model.generator.step(iteration)
    return {"loss/photometric": error}


def _drawn(model: Model, iteration: Iteration, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """V different views, K image points (V, K, 2) in [-1, 1]^2 of each, and their colours (V, K, C) in [0, 1]."""
    sight = model.sight
    pixels = model.preset.pixels(iteration.fine, model.budget)  # type: ignore[arg-type] - the preset's own budget
    side = iteration.side(sight.side)
    if pixels is not None:
        return sight.draw(side, pixels, rng)
    count = min(model.budget.batch, len(sight.ids))
    views = torch.randperm(len(sight.ids), generator=rng)[:count].to(model.device)
    chosen = patches.draw(count, SIDE, iteration.smallest_scale(sight.side), rng).to(model.device)
    real = patches.cut(sight.at(side)[views], chosen)
    return views, chosen.points.flatten(1, 2), (real.flatten(2).transpose(1, 2) + 1) / 2
