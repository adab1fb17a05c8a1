"""All poses at once, by where the surfaces that a field has learnt are seen in the images.

Gradients move a pose by what the field shows it, and the field by where the poses put the images. Where cameras see a
scene from one side both can be wrong together, by a tilt or a bend that explains the images nearly as well, and they
only creep out of it. But to a pixel or two the field knows where what one view shows is seen in the others. There it is
found to a fraction of a pixel (`images/patch_tracking.py`), with neither detector nor descriptor, and bundle adjustment
solves for all poses and points at once, as in structure from motion.

Such a patch is not a point: where its parts are at several depths they move by different amounts, and it is found a
tenth of a pixel beside the line on which anything that is seen there must be. Of one patch that is little. But
thousands of them err to one side (of a wall, upright edges stand before level ones nearly everywhere), and cameras
that all see a scene from one side yield to it. A field that has learnt the scene shows by how much: in its own
pictures, taken from known places, the same patches are found beside the line as far (`calibrated`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bench.task import Camera, Pose
from methods.nerf.cameras.bundle_adjustment import Bundle, Tracks, adjusted
from methods.nerf.field.base import RadianceField
from methods.nerf.images.patch_tracking import blurred, corners, sampled, tracked

NEIGHBOURS = 10
"""Other views, at most, in which the points of one are looked for ..."""

ANGLE = 30.0
"""... whose lines of sight to these are no further apart than this, degrees: further off, patches look different."""

ASIDE = 1.0
"""px beside its line, where the search is calibrated: a patch that is found further off in a field's own picture shows
something else there."""

SHARED = 30  # points at least that both see, by the field

REACH = 3.0  # px between the points by whose depths a patch's slant is measured
STEEP = 0.1
"""Share by which the depth may change between two such points: what changes more is an edge."""

HIDDEN = 0.05
"""Share of the distance by which a point may be behind what a view sees, and still count as seen."""

SOLID = 0.5
"""Opacity of what is a surface: what is fainter has no depth."""

STRETCH = 2.5  # of a patch's area, at most, either way

NEARER = 0.9  # share of the distance at which another point of the same line of sight is

LEAST = 6  # views: of fewer, one that is wrong is not told from the others


class Surface(NamedTuple):
    """Points that one view sees."""

    pixels: Tensor  # (N, 2) px
    points: Tensor  # (N, 3)
    right: Tensor  # (N, 3): how much further the point is that is seen a pixel further right ...
    down: Tensor  # (N, 3): ... or down


@torch.no_grad()
def bundled(
    field: RadianceField, camera: Camera, poses: Pose, images: Tensor, *, free_focal: bool = False,
    calibrated: bool = False,
) -> Bundle | None:  # fmt: skip
    """`poses` (N, 4, 4), adjusted by what `field` says of where the `images` (N, C, H, W), of `camera`, show the same;
    and with `free_focal` its focal length.

    `calibrated`: what is found of each patch is corrected by how far beside its line the same is found in pictures of
    the field. Only from poses that are nearly right, and for a field that explains the images by the scene: one that
    has learnt to show the images from wrong poses, with which it moved for long, takes their error for the search's.

    None where fewer than half of the views, or than LEAST, are supported by what is found.
    """
    if len(poses) < LEAST:
        return None
    half = camera.resized(camera.width // 2, camera.height // 2)
    seen = field.render(poses, half)
    depths = torch.from_numpy(np.where(seen.opacity > SOLID, seen.depth, 0.0)).to(images)
    pictures = torch.from_numpy(field.render(poses, camera).rgb).to(images).permute(0, 3, 1, 2) if calibrated else None
    tracks = _tracks(images, depths, torch.from_numpy(poses).to(images), camera, pictures)
    bundle = adjusted(tracks, poses, camera, free_focal=free_focal)
    return bundle if bundle.supported.sum() >= max(LEAST, len(poses) / 2) else None


def _tracks(images: Tensor, depths: Tensor, poses: Tensor, camera: Camera, pictures: Tensor | None = None) -> Tracks:
    """Points of each view, by `depths` (N, h, w), found in others; calibrated on a field's `pictures` (N, C, H, W)."""
    looks, shown = blurred(images), None if pictures is None else blurred(pictures)
    points, of_point, of_view, pixels, count = [], [], [], [], 0
    for view in range(len(images)):
        surface = _surface(corners(images[view]), depths[view], poses[view], camera)
        others = _neighbours(view, surface.points, depths, poses, camera)
        if not len(others):
            continue
        guesses, is_seen = _seen(surface.points, depths[others], poses[others], camera)
        warps = torch.stack(
            [
                (_projected(surface.points + way, poses[others], camera)[0]
                 - _projected(surface.points - way, poses[others], camera)[0]) / 2
                for way in (surface.right, surface.down)
            ], dim=3,
        )  # fmt: skip
        area = torch.linalg.det(warps)
        is_seen &= (area > 1 / STRETCH) & (area < STRETCH)
        found, is_there = tracked(looks, view, others, surface.pixels, guesses, warps)
        if shown is not None:
            in_pictures, is_shown = tracked(shown, view, others, surface.pixels, guesses, warps)
            aside = _aside(in_pictures - guesses, poses[view, :3, 3], surface.points, poses[others], camera)
            found = found - aside
            is_there &= is_shown & (aside.norm(dim=2) < ASIDE)
        is_there &= is_seen
        kept = (is_there.sum(dim=0) >= 2).nonzero()[:, 0]
        other, number = is_there[:, kept].nonzero(as_tuple=True)
        points.append(surface.points[kept])
        of_point += [torch.arange(len(kept)) + count, number.cpu() + count]
        of_view += [torch.full((len(kept),), view), others[other].cpu()]
        pixels += [surface.pixels[kept], found[other, kept[number]]]
        count += len(kept)
    if not count:
        return Tracks(
            points=np.zeros((0, 3)), point=np.zeros(0, np.int64), view=np.zeros(0, np.int64), pixel=np.zeros((0, 2))
        )
    return Tracks(
        points=torch.cat(points).double().cpu().numpy(),
        point=torch.cat(of_point).numpy(), view=torch.cat(of_view).numpy(),
        pixel=torch.cat(pixels).double().cpu().numpy(),
    )  # fmt: skip


def _aside(moves: Tensor, centre: Tensor, points: Tensor, poses: Tensor, camera: Camera) -> Tensor:
    """The part of `moves` (K, N, 2), px, that lies beside the lines on which views with `poses` (K, 4, 4) see what a
    camera at `centre` (3,) sees where `points` (N, 3) are, at any depth: of these, the part that no depth explains."""
    here = _projected(points, poses, camera)[0]
    nearer = _projected(centre + NEARER * (points - centre), poses, camera)[0]
    along = torch.nn.functional.normalize(nearer - here, dim=2)
    return moves - (moves * along).sum(dim=2, keepdim=True) * along


def _surface(pixels: Tensor, depth: Tensor, pose: Tensor, camera: Camera) -> Surface:
    """What is seen at `pixels` (N, 2), by `depth` (h, w), where it is not at an edge."""

    def at(places: Tensor) -> tuple[Tensor, Tensor]:
        z = _depths_at(depth[None], places[None], camera)[0]
        x, y = (places[:, 0] - camera.cx) / camera.fx, (places[:, 1] - camera.cy) / camera.fy
        return z, (z[:, None] * torch.stack([x, y, torch.ones_like(x)], dim=1)) @ pose[:3, :3].T + pose[:3, 3]

    middle, points = at(pixels)
    kept, ways = middle > 0, []
    for step in REACH * torch.eye(2).to(pixels):
        (z_after, after), (z_before, before) = at(pixels + step), at(pixels - step)
        kept &= (z_after - z_before).abs() < STEEP * middle
        ways.append((after - before) / (2 * REACH))
    return Surface(pixels[kept], points[kept], ways[0][kept], ways[1][kept])


def _neighbours(view: int, points: Tensor, depths: Tensor, poses: Tensor, camera: Camera) -> Tensor:
    """The numbers (K,) of other views that see enough of `points` (P, 3), from not too far a side.

    Where there are many, evenly from near ones to far ones: near ones agree most surely, far ones tell most of depth.
    """
    _, is_seen = _seen(points, depths, poses, camera)
    sight = torch.nn.functional.normalize(points - poses[:, None, :3, 3], dim=2)  # (N, P, 3)
    angles = (sight * sight[view]).sum(dim=2).clamp(-1, 1).acos().rad2deg()
    count = is_seen.sum(dim=1)
    mean = (angles * is_seen).sum(dim=1) / count.clamp(min=1)
    fit = (count >= SHARED) & (mean < ANGLE)
    fit[view] = False
    numbers = fit.nonzero()[:, 0]
    numbers = numbers[mean[numbers].argsort(stable=True)]
    if len(numbers) > NEIGHBOURS:
        numbers = numbers[torch.linspace(0, len(numbers) - 1, NEIGHBOURS).round().long().to(numbers.device)]
    return numbers


def _seen(points: Tensor, depths: Tensor, poses: Tensor, camera: Camera) -> tuple[Tensor, Tensor]:
    """Where points (P, 3) are in views with `depths` (K, h, w) and `poses` (K, 4, 4), (K, P, 2) px, and whether these
    see them (K, P)."""
    pixels, z = _projected(points, poses, camera)
    x, y = pixels.unbind(dim=2)
    inside = (z > 0) & (x > 0) & (x < camera.width) & (y > 0) & (y < camera.height)
    return pixels, inside & ((_depths_at(depths, pixels, camera) - z).abs() < HIDDEN * z)


def _projected(points: Tensor, poses: Tensor, camera: Camera) -> tuple[Tensor, Tensor]:
    """Points (P, 3) in views with `poses` (K, 4, 4): (K, P, 2) px, and their depths (K, P)."""
    x, y, z = ((points - poses[:, None, :3, 3]) @ poses[:, :3, :3]).unbind(dim=2)
    ahead = torch.where(z > 0, z, torch.ones_like(z))
    return torch.stack([camera.fx * x / ahead + camera.cx, camera.fy * y / ahead + camera.cy], dim=2), z


def _depths_at(depths: Tensor, pixels: Tensor, camera: Camera) -> Tensor:
    """Depths (K, P) of smaller images (K, h, w) at pixels (K, P, 2) of the camera's size."""
    scale = torch.tensor([depths.shape[2] / camera.width, depths.shape[1] / camera.height]).to(pixels)
    return sampled(depths[:, None], pixels[:, None] * scale)[:, 0, 0]
