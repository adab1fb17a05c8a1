"""Has the fit died? Adversarial training does, at random; the losses look healthy all the while."""

from __future__ import annotations

import numpy as np
import torch

from methods.gnerf.model import Model
from methods.nerf.cameras.rays import view_rays
from methods.nerf.field.render import lattice
from methods.nerf.field.render_and_compare import render_views

VIEWS, SIDE = 16, 24
FLAT = 0.02  # standard deviation over all pixels of the renders, colours in [-1, 1]
NARROW = 0.15  # spread of the inversion network's answers, as a share of the prior's
USELESS = 1.0  # dB over the mean-colour image


def symptom(model: Model, rng: torch.Generator, *, iterations: int, fitted: bool) -> str | None:
    """What is wrong after so many iterations of its phase, or None.

    Once there has been time to learn: with `fitted` (in AB and B) the photometric error is looked at, before that the
    inversion network, where it had a field to learn from.
    """
    poses = model.sample(VIEWS, rng)
    seen = render_views(model.generator.field, model.intrinsics, poses, SIDE)
    if not (torch.isfinite(seen).all() and torch.isfinite(model.poses()).all()):
        return "values that are not finite"
    if float(seen.std()) < FLAT and (fitted or iterations >= model.preset.fog_until):
        return "the field renders one colour from everywhere"
    if iterations < model.preset.patience:
        return None
    if fitted:
        if not model.config.photometric:
            return None
        gain = decibels_over_mean(model)
        return f"training views are {gain:.1f} dB better than their mean colour" if gain < USELESS else None
    if model.config.inversion and model.config.adversarial and inversion_spread(model) < NARROW:
        return (
            f"the inversion network sends all images to one place (spread {inversion_spread(model):.2f} of the prior's)"
        )
    return None


@torch.no_grad()
def inversion_spread(model: Model) -> float:
    """Of the inversion network's answers to the images: mean distance from their mean, as a share of the prior's."""
    answers = model.inverted()[:, :3]
    drawn = torch.from_numpy(model.prior.sample(np.random.default_rng(0), 256)).float().to(answers.device)
    prior = model.answer_family.encode(model.answer_family.stretched(drawn))[:, :3]
    return float(_scatter(answers) / _scatter(prior).clamp(min=1e-6))


def _scatter(points: torch.Tensor) -> torch.Tensor:
    return (points - points.mean(dim=0)).norm(dim=1).mean()


@torch.no_grad()
def opacity(model: Model) -> float:
    """Mean opacity of the first few views: 0 when the field has vanished, 1 when it is all fog."""
    poses = model.poses()[:4]
    points = lattice(SIDE // 2).to(model.device).reshape(1, -1, 2).expand(len(poses), -1, -1)
    seen = model.generator.field.shade(*view_rays(model.intrinsics, poses, points))
    return float(seen.opacity.mean())


@torch.no_grad()
def decibels_over_mean(model: Model) -> float:
    """PSNR of the training views at their poses, small, over that of the images' mean colour."""
    targets = model.sight.square(SIDE)
    seen = render_views(model.generator.field, model.intrinsics, model.poses(), SIDE)
    flat = (targets - targets.mean(dim=(0, 2, 3), keepdim=True)).square().mean()
    return float(10 * torch.log10(flat / (seen - targets).square().mean().clamp(min=1e-9)))
