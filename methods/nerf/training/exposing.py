"""When exposures of views are looked at, and what a field says of them (`images/exposures.py`)."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from bench.task import Camera
from methods.nerf.cameras.rays import pixel_rays
from methods.nerf.field.base import RadianceField
from methods.nerf.images.exposures import background_gains, centred, differ, gains, stops
from methods.nerf.images.posed_images import PosedImages
from methods.nerf.images.pyramid import ImagePyramid

EVERY = 100
"""Iterations of joint training between two looks."""

ALONG = 32  # pixels along a side of a view, about, that are compared with the field


def before_background(views: PosedImages) -> PosedImages:
    """The same, of one exposure, as their known background tells."""
    images = views.taken.movedim(-1, 1).float() / 255
    found = background_gains(images, views.background)
    return views if found is None else replace(
        views, gains=found.gains, told=found.surely, behind=found.behind
    )  # fmt: skip


def expose_before_background(pyramid: ImagePyramid) -> None:
    """From now on the images of `pyramid` are as of one exposure, if a known background tells that they were not."""
    if pyramid.background is None:
        return
    found = background_gains((pyramid.taken + 1) / 2, pyramid.taken.new_tensor(pyramid.background))
    if found is not None:
        pyramid.told, pyramid.behind = found.surely, found.behind
        pyramid.expose(found.gains)


def exposed(views: PosedImages, field: RadianceField) -> PosedImages:
    """The same, of one exposure, as `field` has it."""
    pixels = _lattice(views.camera).to(views.pixels.device)
    shown = views.taken[:, pixels[:, 1], pixels[:, 0]].float() / 255
    found = _gains(field, views.camera, views.poses, pixels, shown, before=views.gains, told=views.told)
    return replace(views, gains=found)


def expose(pyramid: ImagePyramid, field: RadianceField, camera: Camera, poses: Tensor) -> None:
    """From now on the images of `pyramid`, taken from `poses` (N, 4, 4), are as of one exposure, as `field` has it."""
    pixels = _lattice(camera).to(poses.device)
    shown = (pyramid.taken[:, :, pixels[:, 1], pixels[:, 0]].transpose(1, 2) + 1) / 2
    pyramid.expose(_gains(field, camera, poses, pixels, shown, before=pyramid.gains, told=pyramid.told))


def spread(gains: Tensor | None) -> dict[str, float]:
    """For a log: how far exposures are apart, in stops, where they are."""
    return {} if gains is None else {"exposures_stops": stops(gains)}


@torch.no_grad()
def _gains(
    field: RadianceField, camera: Camera, poses: Tensor, pixels: Tensor, shown: Tensor, *, before: Tensor | None,
    told: Tensor | None,
) -> Tensor | None:  # fmt: skip
    """Gains (N, C) of views with `poses` (N, 4, 4), by what they have `shown` (N, P, C) at `pixels` (P, 2); None where
    they are alike. Those `before` stay, where something else has `told` them."""
    if (told is not None and bool(told.all())) or shown.shape[2] == 1:  # a silhouette has no light
        return before
    points = pixels.to(poses) + 0.5
    rays = (pixel_rays(points, camera, pose.expand(len(points), 4, 4)) for pose in poses)
    seen = [field.shade(origins.contiguous(), directions).over(field.background) for origins, directions in rays]
    found = gains(shown, torch.stack(seen))
    if told is not None and before is not None:
        return torch.where(told, before, found.gains)
    return centred(found.gains) if differ(found) else None


def _lattice(camera: Camera) -> Tensor:
    """Columns and rows (P, 2) of pixels all over an image."""
    stride = max(1, round(math.sqrt(camera.height * camera.width) / ALONG))
    rows, columns = (torch.arange(stride // 2, size, stride) for size in (camera.height, camera.width))
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=1)
