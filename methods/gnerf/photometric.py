"""Phase B, and the other half of AB: field, poses and focal length together, on the images themselves (sec. 3.4)."""

from __future__ import annotations

import torch
from torch import Tensor

from methods.gnerf import patches
from methods.gnerf.config import GridPreset
from methods.gnerf.discriminator import SIDE
from methods.gnerf.model import Model
from methods.gnerf.schedule import Moment
from methods.nerf.cameras.rays import view_rays
from methods.nerf.images.posed_images import Batch
from methods.nerf.training.checkpointing import decayed


def photometric_step(model: Model, moment: Moment, rng: torch.Generator) -> dict[str, float]:
    """One step of everything on the squared error of colours (GNeRF eq. 7)."""
    views, points, targets = _drawn(model, moment, rng)
    for optimiser in (model.move_poses, model.move_focal):
        optimiser.zero_grad(set_to_none=True)
    origins, directions = view_rays(model.intrinsics, model.poses()[views], points)
    error = model.generator.learn(
        Batch(origins=origins, directions=directions, colours=targets.reshape(len(origins), -1)), rng
    )  # fmt: skip
    model.move_poses.param_groups[0]["lr"] = _pose_rate(model, moment)
    model.move_poses.step()
    if model.intrinsics.free:
        model.move_focal.param_groups[0]["lr"] = _fading(model.preset.focal_lr, model, moment)
        model.move_focal.step()
    model.generator.step(moment)
    return {"loss/photometric": error}


def _drawn(model: Model, moment: Moment, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """V different views, K image points (V, K, 2) in [-1, 1]^2 of each, and their colours (V, K, C) in [0, 1]."""
    preset, sight = model.preset, model.sight
    if preset.rays_ab is None:  # patches, as published
        count = min(model.budget.batch, len(sight.ids))
        views = torch.randperm(len(sight.ids), generator=rng)[:count].to(model.device)
        chosen = patches.draw(count, SIDE, moment.smallest_scale, rng).to(model.device)
        side = moment.side if moment.phase == "AB" else sight.side
        real = patches.cut(sight.at(side)[views], chosen)
        return views, chosen.points.flatten(1, 2), (real.flatten(2).transpose(1, 2) + 1) / 2
    rays = model.budget.rays if moment.phase == "B" else preset.rays_ab
    return sight.draw(side_of(model, moment), rays, rng)


def side_of(model: Model, moment: Moment) -> int:
    """Longest side of the images of this moment, px: in B it grows to their own, and on a grid faster than the grid."""
    if moment.phase != "B":
        return moment.side
    sharp = model.preset.sharp_at if isinstance(model.preset, GridPreset) else 0.0
    if moment.share >= sharp:
        return model.sight.side
    start = min(model.preset.side_ab, model.sight.side)
    return int(start + (model.sight.side - start) * moment.share / sharp) // 8 * 8


def _pose_rate(model: Model, moment: Moment) -> float:
    preset = model.preset
    if isinstance(preset, GridPreset) and moment.phase == "B":
        return decayed(preset.pose_lr_b, preset.pose_decay, moment.share)
    return moment.halved(preset.pose_lr, preset.pose_halving)


def _fading(rate: float, model: Model, moment: Moment) -> float:
    fades = isinstance(model.preset, GridPreset) and moment.phase == "B"
    return decayed(rate, model.preset.pose_decay, moment.share) if fades else rate  # type: ignore[union-attr]
