"""The fused CPU kernels as a `GridBackend`: torch in, torch out, and no dense gradient of a grid in between."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from methods.nerf.backends.base import GridView, Priors, Rates, RayBatch, Rendered
from methods.nerf.backends.numba_cpu import march, scatter
from methods.nerf.backends.numba_cpu.sparse_adam import SparseAdam
from methods.nerf.backends.numba_cpu.structs import (
    RayGradients,
    array,
    camera_distance,
    grid_arrays,
    groups,
    most_samples,
    ray_arrays,
    room_for_records,
)  # fmt: skip
from methods.nerf.backends.numba_cpu.threads import parallel_for

CHUNK = 4
"""Groups of rays, or layers of a grid, that a thread takes at a time."""


def new_sink(grid: GridView, beta1: float) -> SparseAdam:
    return SparseAdam(grid, beta1)


def render(grid: GridView, rays: RayBatch, sink: SparseAdam | None) -> Rendered:
    return Rendered(
        *_Render.apply(grid.density, grid.colour, rays.origins, rays.directions, rays.basis, rays.jitter, grid, sink)
    )


def accumulate(
    grid: GridView, rays: RayBatch, targets: Tensor, background: Tensor, sink: SparseAdam, distortion: float = 0.0
) -> Tensor:
    count, arrays, kernel_rays = len(rays.origins), grid_arrays(grid), ray_arrays(rays)
    if count == 0:
        return torch.zeros(())
    inputs = (rays.origins, rays.directions, rays.basis)
    gradients = None
    if any(value.requires_grad for value in inputs):
        gradients = RayGradients(*(np.zeros(value.shape, np.float32) for value in inputs))
    records = sink.room(count, most_samples(grid), grid.channels, kernel_rays.basis)
    errors = np.empty(count, np.float32)
    parallel_for(
        march.learn, groups(count), CHUNK, arrays, camera_distance(grid), kernel_rays, array(targets),
        array(background), np.float32(distortion), errors, records, gradients,
    )  # fmt: skip
    sink.collect(records)
    if gradients is not None:
        wanted = [
            (value, torch.from_numpy(gradient))
            for value, gradient in zip(inputs, gradients, strict=True)
            if value.requires_grad
        ]
        torch.autograd.backward([value for value, _ in wanted], [gradient for _, gradient in wanted])
    return torch.tensor(errors.sum(dtype=np.float64) / (count * grid.channels))


def step(grid: GridView, sink: SparseAdam, rates: Rates, priors: Priors) -> None:
    records = sink.take()
    if records is None:
        return
    arrays = grid_arrays(grid)
    scatter.adam_step(
        scatter.by_layer(records, arrays), arrays, sink.moments, sink.scratch(arrays), sink.step_sizes(rates),
        Priors(*(np.float32(weight) for weight in priors)),  # type: ignore[arg-type] - numba's are float32
    )  # fmt: skip


class _Render(torch.autograd.Function):
    """(density, colour, origins, directions, basis) -> colour (R, C), opacity (R,), distance (R,)."""

    @staticmethod
    def forward(  # type: ignore[override] - torch types it by *args
        ctx: Any, density: Tensor, colour: Tensor, origins: Tensor, directions: Tensor, basis: Tensor, jitter: Tensor,
        grid: GridView, sink: SparseAdam | None,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        rays, arrays, count = ray_arrays(RayBatch(origins, directions, jitter, basis)), grid_arrays(grid), len(origins)
        rgb, opacity, distance = torch.empty(count, grid.channels), torch.empty(count), torch.empty(count)
        parallel_for(
            march.forward, groups(count), CHUNK, arrays, camera_distance(grid), rays, rgb.numpy(), opacity.numpy(),
            distance.numpy(),
        )  # fmt: skip
        ctx.grid, ctx.arrays, ctx.rays, ctx.sink = grid, arrays, rays, sink
        ctx.mark_non_differentiable(distance)
        return rgb, opacity, distance

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(  # type: ignore[override] - torch types it by *args
        ctx: Any, by_rgb: Tensor, by_opacity: Tensor, _: Tensor
    ) -> tuple[Tensor | None, ...]:
        view, arrays, rays = ctx.grid, ctx.arrays, ctx.rays
        count = len(by_rgb)
        wants_density, wants_colour, *wants_rays = ctx.needs_input_grad[:5]
        gradients = RayGradients(*(np.zeros_like(part) for part in (rays.origins, rays.directions, rays.basis)))
        records = room_for_records(count, most_samples(view), view.channels, rays.basis)
        parallel_for(
            march.backward, groups(count), CHUNK, arrays, camera_distance(view), rays, array(by_rgb), array(by_opacity),
            records, gradients if any(wants_rays) else None,
        )  # fmt: skip
        by_rays = tuple(torch.from_numpy(part) for part in gradients)
        dense: tuple[Tensor | None, Tensor | None] = (None, None)
        if ctx.sink is not None:
            if wants_density or wants_colour:
                ctx.sink.collect(records)
        elif wants_density or wants_colour:
            sums = np.zeros_like(arrays.density), np.zeros_like(arrays.colour)
            parallel_for(
                scatter.gradients, arrays.size[0], CHUNK, scatter.by_layer(records, arrays), arrays, *sums
            )  # fmt: skip
            dense = (
                torch.from_numpy(sums[0]).view_as(view.density) if wants_density else None,
                torch.from_numpy(sums[1]).view_as(view.colour) if wants_colour else None,
            )
        return (*dense, *by_rays, None, None, None)
