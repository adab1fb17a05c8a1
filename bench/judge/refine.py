"""Photometric refinement of held-out poses: how good is the field, once its frame is forgiven?

Runs in the worker, beside the field; it is told the held-out cameras in the field's own frame E and their images,
never the truth's frame. Optimistic by design, for it sees the image: its numbers have columns of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.geometry_torch import exp_se3, homogeneous
from bench.task import Camera, DifferentiableField, Pose, RasterisedField

SETTLING = 0.2
"""Share of the steps, at the end, over which the rate falls to 0."""

CHUNK = 4096
"""Rays in one call of a field: bounds memory, decides nothing."""


def refine(
    field: DifferentiableField | RasterisedField,
    poses: Pose,
    camera: Camera,
    targets: NDArray[np.uint8],
    *,
    columns: Literal["all", "left"],
    steps: int,
    rate: float,
    rays: int,
    seed: int,
    unit: float,
    device: str | torch.device = "cpu",
) -> Pose:
    """Poses (N, 4, 4) in E that show `targets` (N, H, W, C) best, the field frozen.

    Each pose is moved in its own axes, `pose @ exp(twist)`, by a twist (omega, v) in se(3) that starts at 0 and takes
    `steps` of Adam at `rate` (which falls to 0 over the last fifth) on the mean squared colour error of `rays` random
    pixels; all views go side by side and do not touch each other. omega is in radians, v in `unit`s, a length in E: a
    step means the same whatever the scale of E, and moves the image about as much by v as by omega when `unit` is about
    the distance to the scene (the protocol gives the RMS radius of the true cameras). Pixels are drawn on the CPU from
    `seed`: from the whole image, or from its left half (columns below W // 2) alone.

    A field of rays is asked for the rays of these pixels; one that is rasterised (`RasterisedField`), for the pixels.

    A view whose loss or pose stops being finite keeps the pose it came with.
    Cost: steps * N * rays rays forward and back, against N * H * W forward for the renders themselves.
    """
    poses = np.asarray(poses, dtype=np.float64)
    if targets.shape[:3] != (len(poses), camera.height, camera.width):
        raise ValueError(
            f"refine: {len(poses)} poses and a camera of {camera.width}x{camera.height} px "
            f"do not fit targets of shape {targets.shape}"
        )
    width = camera.width if columns == "all" else camera.width // 2
    directions = torch.from_numpy(camera.directions()[:, :width].reshape(-1, 3)).to(device)  # (P, 3), float64
    colours = torch.from_numpy(targets[:, :, :width].reshape(len(poses), -1, targets.shape[-1]).copy()).to(device)
    start = torch.from_numpy(poses).to(device)
    twists = torch.zeros(len(poses), 6, dtype=torch.float64, device=device, requires_grad=True)
    adam = torch.optim.Adam([twists], lr=rate)
    generator = torch.Generator().manual_seed(seed)
    with torch.enable_grad():
        for step in range(steps):
            # At a constant rate the random pixels keep every pose trembling: an exact one would lose 1 dB at 35 dB.
            adam.param_groups[0]["lr"] = rate * min(1.0, (1 - step / steps) / SETTLING)
            pixels = torch.randint(len(directions), (len(poses), rays), generator=generator).to(device)
            gradient = torch.zeros_like(twists)
            for views in _groups(len(poses), max(1, CHUNK // rays)):
                world = start[views] @ homogeneous(exp_se3(twists[views], unit))
                if isinstance(field, DifferentiableField):
                    shown = _render(field, world, directions[pixels[views]])  # (n, rays, C)
                else:
                    inside = pixels[views] // width * camera.width + pixels[views] % width  # of the whole image
                    shown = field.render_pixels(world.float(), camera, inside)
                wanted = torch.gather(colours[views], 1, pixels[views, :, None].expand(-1, -1, colours.shape[-1]))
                loss = (shown - wanted.to(shown.dtype) / 255).square().mean(dim=(1, 2)).sum()
                gradient += torch.autograd.grad(loss, twists)[0]  # to the twists alone: the field stays frozen
            twists.grad = gradient
            adam.step()
    refined = (start @ homogeneous(exp_se3(twists.detach(), unit))).cpu().numpy()
    return np.where(np.isfinite(refined).all(axis=(1, 2), keepdims=True), refined, poses)


def _render(field: DifferentiableField, world: Tensor, directions: Tensor) -> Tensor:
    """Colours (n, R, C) seen from `world` (n, 4, 4) along `directions` (n, R, 3) in camera axes."""
    unit = torch.nn.functional.normalize(directions @ world[:, :3, :3].transpose(1, 2), dim=-1)
    origins = world[:, None, :3, 3].expand_as(unit)
    colours = field.render_rays(origins.reshape(-1, 3).float(), unit.reshape(-1, 3).float())
    return colours.reshape(*unit.shape[:2], -1)


def _groups(count: int, size: int) -> Iterator[slice]:
    return (slice(first, first + size) for first in range(0, count, size))
