"""When exposures of views are looked at, and what a background or a field says of them (`images/exposures.py`)."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from bench.task import Camera
from methods.nerf.cameras.rays import pixel_rays
from methods.nerf.field.base import RadianceField
from methods.nerf.images.exposures import (
    centred,
    completed,
    differ,
    gains_by_background,
    gains_by_field,
    spread_in_stops,
)
from methods.nerf.images.posed_images import PosedImages
from methods.nerf.images.pyramid import ImagePyramid

EVERY = 100
"""Iterations of joint training between two looks."""

ALONG = 24
"""Pixels along a side of a view, about, that are compared with the field: at 100 views these are a twentieth of the
rays that are learned from between two looks, and they are not differentiated."""


def even_before_background(views: PosedImages) -> PosedImages:
    """The same, of one exposure, as their known background tells."""
    taken = views.taken
    found = gains_by_background(lambda k: taken[k].movedim(-1, 0).float() / 255, len(taken), views.background)
    if found is None:
        return views
    return replace(views, gains=found.gains, gains_known=found.known, clipped_background=found.clipped)


def expose_before_background(pyramid: ImagePyramid) -> None:
    """From now on the images of `pyramid` are as of one exposure, if a known background tells that they were not."""
    if pyramid.background is None or pyramid.is_cut_out:  # of masks, the background was never photographed
        return
    colour = pyramid.taken.new_tensor(pyramid.background)
    found = gains_by_background(lambda k: (pyramid.taken[k] + 1) / 2, len(pyramid.ids), colour)
    if found is not None:
        pyramid.first_gains, pyramid.gains_known, pyramid.clipped_background = found
        pyramid.retake(found.gains)


def even_by_field(views: PosedImages, field: RadianceField) -> PosedImages:
    """The same, of one exposure, as `field` has it."""
    if _is_settled(views):
        return views
    pixels = _lattice(views.camera).to(views.pixels.device)
    shown = views.taken[:, pixels[:, 1], pixels[:, 0]].float() / 255
    return replace(views, gains=_looked_at(views, field, views.camera, views.poses, pixels, shown))


def expose_by_field(pyramid: ImagePyramid, field: RadianceField, camera: Camera, poses: Tensor) -> None:
    """From now on the images of `pyramid`, taken from `poses` (N, 4, 4), are as of one exposure, as `field` has it."""
    if _is_settled(pyramid):
        return
    pixels = _lattice(camera).to(poses.device)
    shown = (pyramid.taken[:, :, pixels[:, 1], pixels[:, 0]].transpose(1, 2) + 1) / 2
    pyramid.expose(_looked_at(pyramid, field, camera, poses, pixels, shown))


def logged_spread(gains: Tensor | None) -> dict[str, float]:
    """For a log: `exposures_stops`, how far exposures are apart, where they are."""
    return {} if gains is None else {"exposures_stops": spread_in_stops(gains)}


def _is_settled(views: PosedImages | ImagePyramid) -> bool:
    """Whether no field has to be asked; a silhouette, of one channel, has no light."""
    known = views.gains_known
    return views.channels == 1 or (known is not None and bool(known.all()))


@torch.no_grad()
def _looked_at(
    views: PosedImages | ImagePyramid,
    field: RadianceField,
    camera: Camera,
    poses: Tensor,
    pixels: Tensor,
    shown: Tensor,
) -> Tensor | None:
    """Gains (N, C) of `views` with `poses` (N, 4, 4), by what they have `shown` (N, P, C), sRGB in [0, 1], at `pixels`
    (P, 2), columns and rows; None where they are alike."""
    points = pixels.to(poses) + 0.5
    rays = (pixel_rays(points, camera, pose.expand(len(points), 4, 4)) for pose in poses)
    seen = [field.shade(origins.contiguous(), directions).over(field.background) for origins, directions in rays]
    found = gains_by_field(shown.cpu(), torch.stack(seen).cpu())  # there, sums are the same every time
    if views.gains is not None and views.gains_known is not None:
        made = completed(views.gains.cpu(), views.gains_known.cpu(), found)
    elif differ(found, already=views.gains is not None):
        made = centred(found)
    else:
        return None
    return made.to(poses.device)


def _lattice(camera: Camera) -> Tensor:
    """Columns and rows (P, 2) of pixels all over an image."""
    stride = max(1, round(math.sqrt(camera.height * camera.width) / ALONG))
    stride = min(stride, camera.height, camera.width)
    rows, columns = (torch.arange(stride // 2, size, stride) for size in (camera.height, camera.width))
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=1)
