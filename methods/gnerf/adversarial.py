"""Phase A, and one half of AB: a field that looks right from random poses, and a network that inverts it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from methods.gnerf.discriminator import augment, discriminator_loss, generator_loss
from methods.gnerf.generator import whole
from methods.gnerf.model import Model
from methods.gnerf.patches import RealPatches, draw, draw_real
from methods.gnerf.schedule import SIDE, Iteration
from methods.nerf.images.pyramid import shrunk


def adversarial_step(model: Model, iteration: Iteration, rng: torch.Generator) -> tuple[dict[str, Tensor], RealPatches]:
    """One step of the generator and one of the discriminator (GNeRF sec. 3.2, eq. 4 and 5); and the real patches."""
    preset, count = model.preset, model.budget.batch
    smallest = iteration.smallest_scale(model.sight.side)

    def augmented(images: Tensor) -> Tensor:
        return augment(images, rng) if float(torch.rand(1, generator=rng)) < preset.augmented else images

    asked = draw(count, SIDE, smallest, rng).to(model.device)
    model.discriminator.requires_grad_(False)
    with model.generator.noisy(iteration.noise, rng):
        fake = model.generator.patches(model.intrinsics, model.sample(count, rng), asked.points, rng)
        scale = asked.scale.repeat(len(fake) // count, 1)
        fooled = generator_loss(model.discriminator, augmented(fake), scale)
        fooled.backward()
    model.generator.step(iteration)
    model.discriminator.requires_grad_(True)

    real = draw_real(model.sight.at(iteration.side(model.sight.side)), count, SIDE, smallest, rng)
    told_apart = discriminator_loss(
        model.discriminator, real.pictures, real.patches.scale, fake, scale, preset.r1, augmented
    )  # fmt: skip
    model.teach_discriminator.param_groups[0]["lr"] = iteration.halved(preset.discriminator_lr, preset.field_halving)
    model.teach_discriminator.zero_grad(set_to_none=True)
    told_apart.backward()
    model.teach_discriminator.step()
    return {"loss/generator": fooled.detach(), "loss/discriminator": told_apart.detach()}, real


def inversion_step(model: Model, iteration: Iteration, rng: torch.Generator) -> dict[str, Tensor]:
    """One step of the inversion network on renders whose poses are known (GNeRF sec. 3.3, eq. 6)."""
    preset = model.preset
    poses = model.sample(model.budget.batch, rng)
    with torch.no_grad(), model.generator.noisy(iteration.noise, rng):
        side = preset.inversion_size(model.budget.inversion_render, iteration.side(model.sight.side))
        seen = whole(model.generator, model.intrinsics, poses, side, rng)
    known = model.answer_family.encode(poses).repeat(len(seen) // len(poses), 1)
    loss = functional.mse_loss(model.inversion(enlarged(seen, preset.inversion_side)), known)
    model.teach_inversion.param_groups[0]["lr"] = iteration.halved(preset.inversion_lr, preset.pose_halving)
    model.teach_inversion.zero_grad(set_to_none=True)
    loss.backward()
    model.teach_inversion.step()
    return {"loss/inversion": loss.detach()}


def pull_step(model: Model, iteration: Iteration, rng: torch.Generator, views: Tensor | None) -> dict[str, Tensor]:
    """Pose embeddings follow the inversion network's answers to their images (GNeRF sec. 3.4, eq. 8).

    `views` are those of the discriminator's step; without it, as many at random. The network sees them at the size that
    images have at this iteration.
    """
    if views is None:
        views = torch.randperm(len(model.sight.ids), generator=rng)[: model.budget.batch].to(model.device)
    side = model.preset.inversion_side
    images = shrunk(model.sight.at(iteration.side(model.sight.side))[views], (side, side))
    loss = model.preset.pull * pull_loss(model, views, images)
    model.move_poses.param_groups[0]["lr"] = iteration.halved(model.preset.pose_lr, model.preset.pose_halving)
    model.move_poses.zero_grad(set_to_none=True)
    loss.backward()
    model.move_poses.step()
    return {"loss/pull": loss.detach()}


def pull_loss(model: Model, views: Tensor, images: Tensor) -> Tensor:
    """Mean squared difference of the embeddings of `views` (B,) from what the frozen network answers to their `images`
    (B, C, S, S), at the size that it takes."""
    with torch.no_grad():
        answers = model.inversion(images)
    embedded = model.family.recoded(model.variables[views], model.answer_family)
    return functional.mse_loss(model.answer_family.settled(embedded), answers)


def enlarged(images: Tensor, side: int) -> Tensor:
    """Square images (B, C, s, s) at `side` px."""
    if images.shape[-1] == side:
        return images
    return functional.interpolate(images, size=(side, side), mode="bilinear", align_corners=False)
