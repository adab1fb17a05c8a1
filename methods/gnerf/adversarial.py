"""Phase A, and one half of AB: a field that looks right from random poses, and a network that inverts it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from methods.gnerf import patches
from methods.gnerf.discriminator import augment, discriminator_loss, generator_loss
from methods.gnerf.model import Model
from methods.gnerf.schedule import SIDE, Iteration
from methods.nerf.field.render import render_patches, render_whole


def adversarial_step(model: Model, iteration: Iteration, rng: torch.Generator) -> dict[str, float]:
    """One step of the generator and one of the discriminator (GNeRF sec. 3.2, eq. 4 and 5)."""
    preset, count = model.preset, model.budget.batch
    smallest = iteration.smallest_scale(model.sight.side)

    def augmented(images: Tensor) -> Tensor:
        return augment(images, rng) if float(torch.rand(1, generator=rng)) < preset.augmented else images

    asked = patches.draw(count, SIDE, smallest, rng).to(model.device)
    model.discriminator.requires_grad_(False)
    with model.generator.noisy(iteration.noise, rng):
        fake = render_patches(
            model.generator.field, model.intrinsics, model.sample(count, rng), asked.points, rng
        )  # fmt: skip
        fooled = generator_loss(model.discriminator, augmented(fake), asked.scale)
        fooled.backward()
    model.generator.step(iteration)
    model.discriminator.requires_grad_(True)

    views = torch.randperm(len(model.sight.ids), generator=rng)[:count].to(model.device)
    shown = patches.draw(len(views), SIDE, smallest, rng).to(model.device)
    real = patches.cut(model.sight.at(iteration.side(model.sight.side))[views], shown)
    told_apart = discriminator_loss(
        model.discriminator, real, shown.scale, fake, asked.scale, preset.r1, augmented
    )  # fmt: skip
    model.teach_discriminator.param_groups[0]["lr"] = iteration.halved(preset.discriminator_lr, preset.field_halving)
    model.teach_discriminator.zero_grad(set_to_none=True)
    told_apart.backward()
    model.teach_discriminator.step()
    return {"loss/generator": fooled.item(), "loss/discriminator": told_apart.item()}


def inversion_step(model: Model, iteration: Iteration, rng: torch.Generator) -> dict[str, float]:
    """One step of the inversion network on renders whose poses are known (GNeRF sec. 3.3, eq. 6)."""
    preset = model.preset
    poses = model.sample(model.budget.batch, rng)
    with torch.no_grad(), model.generator.noisy(iteration.noise, rng):
        side = min(model.budget.inversion_render, preset.inversion_side, iteration.side(model.sight.side))
        seen = render_whole(model.generator.field, model.intrinsics, poses, side, rng)
    loss = functional.mse_loss(model.inversion(enlarged(seen, preset.inversion_side)), model.family.encode(poses))
    model.teach_inversion.param_groups[0]["lr"] = iteration.halved(preset.inversion_lr, preset.pose_halving)
    model.teach_inversion.zero_grad(set_to_none=True)
    loss.backward()
    model.teach_inversion.step()
    return {"loss/inversion": loss.item()}


def pull_step(model: Model, iteration: Iteration, rng: torch.Generator) -> dict[str, float]:
    """Pose embeddings follow the inversion network's answers to their images (GNeRF sec. 3.4, eq. 8)."""
    views = torch.randint(len(model.sight.ids), (model.budget.batch,), generator=rng).to(model.device)
    with torch.no_grad():
        answers = model.inversion(model.sight.square(model.preset.inversion_side)[views])
    loss = model.preset.pull * functional.mse_loss(model.variables[views], answers)
    model.move_poses.param_groups[0]["lr"] = iteration.halved(model.preset.pose_lr, model.preset.pose_halving)
    model.move_poses.zero_grad(set_to_none=True)
    loss.backward()
    model.move_poses.step()
    return {"loss/pull": loss.item()}


def enlarged(images: Tensor, side: int) -> Tensor:
    """Square images (B, C, s, s) at `side` px."""
    if images.shape[-1] == side:
        return images
    return functional.interpolate(images, size=(side, side), mode="bilinear", align_corners=False)
