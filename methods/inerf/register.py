"""Where was this image taken? Gradients of a frozen field move its pose until the two agree (Yen-Chen et al. 2021)."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from bench.geometry_torch import exp_se3
from methods.inerf.config import Registration
from methods.inerf.interest import draw_points, interest_region
from methods.nerf.cameras.intrinsics import Intrinsics
from methods.nerf.cameras.pose_variables import Cameras
from methods.nerf.field.base import RadianceField
from methods.nerf.field.render import render_points
from methods.nerf.field.render_and_compare import RenderedCandidates, render_views
from methods.nerf.images.pyramid import shrunk, shrunk_to
from methods.nerf.training.camera_training import CameraTraining
from methods.nerf.training.deadline import Deadline

CHECKED = 1024
"""Pixels of an image that several answers are compared on."""

SIDE = 24
"""px, of the renders by which known views are compared with a new image."""


def register(
    field: RadianceField, intrinsics: Intrinsics, images: NDArray[np.uint8], start: Tensor, settings: Registration,
    rng: torch.Generator, *, unit: float, deadline: Deadline | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Poses (N, 4, 4) of `images` (N, H, W, C) from `start` (N, 4, 4), and their mean squared errors (N,).

    All images go side by side and do not touch each other. `unit` is a quarter of the distance to the scene.
    """
    stack = torch.from_numpy(images).to(field.device).permute(0, 3, 1, 2).float() / 255  # (N, C, H, W)
    if settings.tries:
        start = nearest_looking(field, intrinsics, stack, start, settings, rng)
    regions = [interest_region(image, settings.keypoints, settings.dilation) for image in images]
    everywhere = torch.ones(stack[:, 0].shape, dtype=torch.bool)
    drawn_from = torch.from_numpy(np.stack(regions)) if settings.sampling == "interest" else everywhere
    cameras = Cameras(start, intrinsics, pivot=field.centre, unit=unit)
    moving = CameraTraining(cameras)
    with torch.enable_grad():
        for step in range(settings.steps):
            if deadline is not None and deadline.reached(step, settings.steps, "registration"):
                break
            targets = shrunk_to(stack, _side(settings, step / settings.steps, max(stack.shape[2:])))
            points = draw_points(drawn_from, settings.rays, rng).to(field.device)
            _errors(field, cameras, targets, points).sum().backward()
            moving.step(settings.rate * settings.decay ** (step / 100))
    points = draw_points(everywhere[:1], CHECKED, rng).to(field.device).expand(len(images), -1, -1)
    with torch.no_grad():
        return cameras.poses(), _errors(field, cameras, stack, points)


@torch.no_grad()
def nearest_looking(
    field: RadianceField, intrinsics: Intrinsics, stack: Tensor, start: Tensor, settings: Registration,
    rng: torch.Generator,
) -> Tensor:  # fmt: skip
    """Of each start pose and others around it, the one (N, 4, 4) that looks most like its image of `stack`, from afar.

    Gradients reach no further than the blur of what they compare; many starts do (Lin et al. 2023, Parallel Inversion
    of Neural Radiance Fields).
    """
    turns = torch.randn(len(start), settings.tries, 3, generator=rng)
    reach = torch.rand(len(start), settings.tries, 1, generator=rng) ** (1 / 3)  # even over the ball
    turns = turns / turns.norm(dim=2, keepdim=True) * reach
    turns[:, 0] = 0  # the start itself
    twists = torch.cat([turns * math.radians(settings.reach), torch.zeros_like(turns)], dim=2).flatten(0, 1)
    motion = exp_se3(twists.to(start.device), 1.0)[:, :, :3]  # the cameras turn where they stand
    poses = start.repeat_interleave(settings.tries, dim=0)
    poses[:, :3, :3] = poses[:, :3, :3] @ motion
    renders = render_views(field, intrinsics, poses, SIDE).unflatten(0, (len(start), settings.tries))  # (N, K, C, s, s)
    errors = (renders - (shrunk(stack, (SIDE, SIDE)) * 2 - 1)[:, None]).square().mean(dim=(2, 3, 4))
    return poses.unflatten(0, (len(start), settings.tries))[torch.arange(len(start)), errors.argmin(dim=1)]


def locate(
    field: RadianceField, intrinsics: Intrinsics, images: NDArray[np.uint8], known: Tensor, candidates: int,
    settings: Registration, rng: torch.Generator, *, unit: float,
) -> Tensor:  # fmt: skip
    """Poses (N, 4, 4) of new `images`, no start given: from those of the `known` poses (M, 4, 4) that look likest.

    All of these are followed for a few steps; the one that came nearest, to the end.
    """
    search = RenderedCandidates.of(field, intrinsics, known, SIDE)
    stack = torch.from_numpy(images).to(field.device).permute(0, 3, 1, 2).float() / 127.5 - 1
    chosen = search.likeliest(search.errors(shrunk(stack, (SIDE, SIDE))), candidates)  # (N, K)
    brief = settings.model_copy(update={"steps": max(1, settings.steps // 5)})
    tried, errors = register(
        field, intrinsics, images.repeat(candidates, axis=0), known[chosen].flatten(0, 1), brief, rng, unit=unit
    )
    best = errors.reshape(-1, candidates).argmin(dim=1)
    start = tried.reshape(-1, candidates, 4, 4)[torch.arange(len(images)), best]
    found, _ = register(field, intrinsics, images, start, settings.model_copy(update={"tries": 0}), rng, unit=unit)
    return found


def _side(settings: Registration, share: float, full: int) -> int:
    """Longest side of the images after `share` of the steps, px: small ones draw a pose from further away."""
    if share >= settings.blurred or settings.smallest >= full:
        return full
    return int(settings.smallest * (full / settings.smallest) ** (share / settings.blurred)) // 8 * 8


def _errors(field: RadianceField, cameras: Cameras, targets: Tensor, points: Tensor) -> Tensor:
    """Mean squared errors (N,) against images (N, C, h, w) in [0, 1], at image points (N, R, 2)."""
    seen = render_points(field, cameras.intrinsics, cameras.poses(), points, None)  # (N, R, C)
    wanted = functional.grid_sample(targets, points[:, None], padding_mode="border", align_corners=False)
    return (seen - wanted[:, :, 0].transpose(1, 2)).square().mean(dim=(1, 2))
