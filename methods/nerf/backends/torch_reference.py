"""The grid in plain torch, on any device: what every other back end is held to."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from methods.nerf.backends.base import CELL, GridView, Priors, Rates, RayBatch, Rendered
from methods.nerf.rendering.contraction import contract
from methods.nerf.rendering.volume_rendering import weights_of


class DenseAdam:
    """A `GradientSink`: gradients gather in the tensors' own `grad`, and Adam moves all voxels."""

    def __init__(self, grid: GridView, beta1: float) -> None:
        self.steps = 0
        self.adam = torch.optim.Adam([{"params": [grid.density]}, {"params": [grid.colour]}], betas=(beta1, 0.99))

    def state(self) -> dict[str, Tensor]:
        entries = self.adam.state_dict()["state"]
        return {f"moment{index}/{name}": value for index, entry in entries.items() for name, value in entry.items()}

    def restore(self, tensors: Mapping[str, Tensor], steps: int) -> None:
        names = ("step", "exp_avg", "exp_avg_sq")
        state = {index: {name: tensors[f"moment{index}/{name}"] for name in names} for index in range(2)}
        self.adam.load_state_dict({"state": state, "param_groups": self.adam.state_dict()["param_groups"]})
        self.steps = steps


def new_sink(grid: GridView, beta1: float) -> DenseAdam:
    return DenseAdam(grid, beta1)


def render(grid: GridView, rays: RayBatch, sink: DenseAdam | None) -> Rendered:
    """Every sample of every ray at once."""
    return marched(grid, rays)[0]


def marched(grid: GridView, rays: RayBatch) -> tuple[Rendered, Tensor, Tensor]:
    """What rays see, and the distances and weights (R, S) of their samples."""
    length = grid.edges.diff()  # (S,)
    distance = grid.edges[:-1] + rays.jitter[:, None] * length  # (R, S)
    points = rays.origins[:, None] + distance[..., None] * rays.directions[:, None]  # (R, S, 3)
    if grid.camera_distance is not None:
        points = contract(points, grid.shell)
    at = (points - points.new_tensor(grid.low)) / grid.voxel
    limit = torch.tensor(grid.density.shape, device=at.device) - 1
    visited = ((at >= 0) & (at < limit)).all(dim=-1)
    cell = (at.detach().long() // CELL).clamp(min=0).minimum((limit - 1) // CELL)
    visited &= grid.clearance[cell[..., 0], cell[..., 1], cell[..., 2]] == 0
    at = at[visited]  # (V, 3)
    density = grid.density_gain * functional.softplus(trilinear(grid.density[..., None], at)[:, 0])
    depth = torch.zeros_like(distance).masked_scatter(visited, density * length.expand_as(distance)[visited])
    weights = weights_of(depth, grid.min_alpha, grid.min_transmittance)
    ray = visited.nonzero()[:, 0]
    raw = trilinear(grid.colour, at).unflatten(-1, (grid.channels, -1))  # (V, C, K)
    emitted = torch.sigmoid((raw * rays.basis[ray][:, None]).sum(dim=-1))  # (V, C)
    colour = torch.zeros(len(rays.origins), grid.channels, device=at.device)
    colour = colour.index_add(0, ray, weights[visited][:, None] * emitted)
    opacity = weights.sum(dim=1)
    with torch.no_grad():
        mean = (weights * distance).sum(dim=1) / opacity.clamp(min=1e-6)
    return Rendered(colour, opacity, mean), distance, weights


def accumulate(
    grid: GridView, rays: RayBatch, targets: Tensor, background: Tensor, sink: DenseAdam, distortion: float = 0.0
) -> Tensor:
    if len(rays.origins) == 0:
        return targets.new_zeros(())
    seen, distance, weights = marched(grid, rays)
    error = functional.mse_loss(seen.colour + (1 - seen.opacity)[:, None] * background, targets)
    spread = spread_of(grid, distance, weights).mean() if distortion > 0 else 0.0
    (error + distortion * spread).backward()
    return error.detach()


def step(grid: GridView, sink: DenseAdam, rates: Rates, priors: Priors) -> None:
    density, colour = grid.density, grid.colour
    if density.grad is None:
        return
    if any(priors):
        smooth = priors.tv_density * _roughness(density) + priors.tv_colour * _roughness(colour)
        (priors.sparsity * density.sum() + smooth).backward()
    for group, rate in zip(sink.adam.param_groups, rates, strict=True):
        group["lr"] = rate
    sink.adam.step()
    sink.adam.zero_grad(set_to_none=True)
    sink.steps += 1


def spread_of(grid: GridView, distance: Tensor, weights: Tensor) -> Tensor:
    """How far what a ray sees is spread along it: (R,), of the distances and weights (R, S) of its samples.

    Barron et al. 2022 (mip-NeRF 360), eq. 15: the distances between all pairs of samples, and within each, times the
    weights of both. Distances are counted as if all intervals were as long as the first.
    """
    place = distance
    if grid.camera_distance is not None:
        out = distance - grid.camera_distance
        place = grid.camera_distance + torch.where(out > 1, 1 + out.clamp(min=1).log(), out)
    before, weighed = weights.cumsum(dim=1) - weights, weights * place
    apart = place * before - (weighed.cumsum(dim=1) - weighed)
    length = grid.edges[1] - grid.edges[0]
    return (2 * weights * apart + length / 3 * weights.square()).sum(dim=1)


def trilinear(grid: Tensor, at: Tensor) -> Tensor:
    """Values (V, C) of a grid (X, Y, Z, C) between its voxels, at indices `at` (V, 3) in [0, n - 1)."""
    corner = at.detach().floor()
    share = at - corner
    x, y, z = corner.long().unbind(-1)
    result = torch.zeros(len(at), grid.shape[-1], dtype=grid.dtype, device=grid.device)
    for dx, dy, dz in ((0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1), (1, 0, 0), (1, 0, 1), (1, 1, 0), (1, 1, 1)):
        weight = (
            (share[:, 0] if dx else 1 - share[:, 0])
            * (share[:, 1] if dy else 1 - share[:, 1])
            * (share[:, 2] if dz else 1 - share[:, 2])
        )
        result = result + weight[:, None] * grid[x + dx, y + dy, z + dz]
    return result


def _roughness(values: Tensor) -> Tensor:
    """Half the squared differences between neighbouring voxels, summed."""
    return torch.stack([values.diff(dim=axis).square().sum() for axis in range(3)]).sum() / 2
