"""The fused GPU kernels as a `GridBackend`: two launches a batch, and no array of (rays, samples) in between."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from methods.nerf.backends.base import GridView, Priors, Rates, RayBatch, Rendered
from methods.nerf.backends.triton_cuda import compiling, kernels  # noqa: F401 - compiling is timed from here on
from methods.nerf.backends.triton_cuda.touched_adam import TouchedAdam, VoxelGradients

RAYS = 16
"""Rays of a program: with four warps the best of three tried on an H100."""

VOXELS = 64
"""Voxels of a program of the optimizer."""


def new_sink(grid: GridView, beta1: float) -> TouchedAdam:
    return TouchedAdam(grid, beta1)


def render(grid: GridView, rays: RayBatch, sink: TouchedAdam | None) -> Rendered:
    return Rendered(
        *_Render.apply(grid.density, grid.colour, rays.origins, rays.directions, rays.basis, rays.jitter, grid, sink)
    )


def accumulate(
    grid: GridView, rays: RayBatch, targets: Tensor, background: Tensor, sink: TouchedAdam, distortion: float = 0.0
) -> Tensor:
    if len(rays.origins) == 0:
        return targets.new_zeros(())
    inputs = (rays.origins, rays.directions, rays.basis)
    wanted = [value.requires_grad for value in inputs]
    with torch.no_grad():
        spread = _Spread.of(rays, distortion)
        seen = _forward(grid, rays, spread)
        miss = seen.colour + (1 - seen.opacity)[:, None] * background - targets
        by_rgb = miss * (2 / miss.numel())
        by_opacity = -(by_rgb @ background)
        sink.waiting = True
        gradients = _backward(
            grid, rays, seen.colour, seen.opacity, by_rgb, by_opacity, sink.gradients, spread, rays_too=any(wanted)
        )  # fmt: skip
    if any(wanted):
        pairs = [pair for pair, free in zip(zip(inputs, gradients, strict=True), wanted, strict=True) if free]
        torch.autograd.backward([value for value, _ in pairs], [gradient for _, gradient in pairs])
    return miss.square().mean()


def step(grid: GridView, sink: TouchedAdam, rates: Rates, priors: Priors) -> None:
    if not sink.waiting:
        return
    sink.begin_step(rates, priors)
    density, colour = grid.density.detach(), grid.colour.detach()
    voxels, width = density.numel(), colour.shape[-1]
    programs = (-(-voxels // VOXELS),)
    if any(priors):
        kernels.add_priors[programs](
            density, colour, *sink.gradients, sink.weights, *density.shape,
            N=width, NP=_power_of_two(width), V=VOXELS,
        )  # fmt: skip
    kernels.adam[programs](
        density, sink.gradients.density, *sink.density, sink.gradients.touched, sink.sizes, voxels,
        RATE=0, N=1, NP=1, V=VOXELS,
    )  # fmt: skip
    kernels.adam[programs](
        colour, sink.gradients.colour, *sink.colour, sink.gradients.touched, sink.sizes, voxels,
        RATE=1, N=width, NP=_power_of_two(width), V=VOXELS,
    )  # fmt: skip
    sink.end_step()


class _Spread(NamedTuple):
    """What the distortion loss of R rays needs of the way there."""

    places: Tensor  # (R,) sum of weights times places
    losses: Tensor  # (R,)
    weight: float  # of one ray's loss

    @staticmethod
    def of(rays: RayBatch, distortion: float) -> _Spread | None:
        if not distortion > 0:
            return None
        places, losses = (torch.empty_like(rays.jitter) for _ in range(2))
        return _Spread(places, losses, distortion / len(rays.jitter))


def _forward(grid: GridView, rays: RayBatch, spread: _Spread | None = None) -> Rendered:
    count, device = len(rays.origins), grid.density.device
    seen = Rendered(
        torch.empty(count, grid.channels, device=device), torch.empty(count, device=device),
        torch.empty(count, device=device),
    )  # fmt: skip
    if count:
        unused = (grid.edges,) * 2
        kernels.forward[_programs(count)](
            *_tensors(grid, rays), *seen, *(spread[:2] if spread else unused), *_constants(grid, count),
            **_shape(grid), DISTORTS=spread is not None,
        )  # fmt: skip
    return seen


def _backward(
    grid: GridView, rays: RayBatch, rgb: Tensor, opacity: Tensor, by_rgb: Tensor, by_opacity: Tensor,
    voxels: VoxelGradients | None, spread: _Spread | None = None, *, rays_too: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Adds to the gradients of the voxels, unless these are None; returns those by origins, directions and basis."""
    gradients = torch.zeros_like(rays.origins), torch.zeros_like(rays.directions), torch.zeros_like(rays.basis)
    count = len(rays.origins)
    if count:
        unused, unspread = (grid.clearance,) * 3, (grid.edges,) * 2
        kernels.backward[_programs(count)](
            *_tensors(grid, rays), rgb, opacity, *(spread[:2] if spread else unspread), by_rgb.contiguous(),
            by_opacity.contiguous(), *(voxels or unused), *gradients, spread.weight if spread else 0.0,
            *_constants(grid, count), **_shape(grid), DISTORTS=spread is not None, WANTS_VOXELS=voxels is not None,
            WANTS_RAYS=rays_too,
        )  # fmt: skip
    return gradients


def _programs(rays: int) -> tuple[int]:
    return (-(-rays // RAYS),)


def _tensors(grid: GridView, rays: RayBatch) -> tuple[Tensor, ...]:
    values = (grid.density, grid.colour, grid.clearance, grid.edges, *rays)
    return tuple(value.detach().contiguous() for value in values)


def _constants(grid: GridView, rays: int) -> tuple[Any, ...]:
    return (
        rays, len(grid.edges) - 1, *grid.density.shape, *grid.low, grid.voxel, grid.density_gain, grid.min_alpha,
        grid.min_transmittance, grid.camera_distance or 0.0, grid.shell,
    )  # fmt: skip


def _shape(grid: GridView) -> dict[str, Any]:
    """What the kernels are compiled for."""
    harmonics = grid.colour.shape[-1] // grid.channels
    return {
        "C": grid.channels, "K": harmonics, "CP": _power_of_two(grid.channels), "KP": _power_of_two(harmonics),
        "UNBOUNDED": grid.camera_distance is not None, "B": RAYS,
    }  # fmt: skip


def _power_of_two(count: int) -> int:
    return 1 << (count - 1).bit_length()


class _Render(torch.autograd.Function):
    """(density, colour, origins, directions, basis) -> colour (R, C), opacity (R,), distance (R,)."""

    @staticmethod
    def forward(  # type: ignore[override] - torch types it by *args
        ctx: Any, density: Tensor, colour: Tensor, origins: Tensor, directions: Tensor, basis: Tensor, jitter: Tensor,
        grid: GridView, sink: TouchedAdam | None,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        ctx.grid, ctx.sink = grid, sink
        seen = _forward(grid, RayBatch(origins, directions, jitter, basis))
        ctx.save_for_backward(origins, directions, jitter, basis, seen.colour, seen.opacity)
        ctx.mark_non_differentiable(seen.distance)
        return seen.colour, seen.opacity, seen.distance

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(  # type: ignore[override] - torch types it by *args
        ctx: Any, by_rgb: Tensor, by_opacity: Tensor, _: Tensor
    ) -> tuple[Tensor | None, ...]:
        wants_density, wants_colour, *wants_rays = ctx.needs_input_grad[:5]
        *rays, rgb, opacity = ctx.saved_tensors
        voxels: VoxelGradients | None = None
        if wants_density or wants_colour:
            voxels = VoxelGradients.of(ctx.grid) if ctx.sink is None else ctx.sink.gradients
        by_rays = _backward(
            ctx.grid, RayBatch(*rays), rgb, opacity, by_rgb, by_opacity, voxels, rays_too=any(wants_rays)
        )  # fmt: skip
        dense: tuple[Tensor | None, Tensor | None] = (None, None)
        if ctx.sink is not None:
            ctx.sink.waiting |= voxels is not None
        elif voxels is not None:
            dense = (voxels.density if wants_density else None, voxels.colour if wants_colour else None)
        return (*dense, *by_rays, None, None, None)
