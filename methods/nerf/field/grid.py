"""A dense voxel grid with spherical harmonics (Plenoxels, Fridovich-Keil 2022; activated as in DVGO, Sun 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.nerf.config import FieldConfig
from methods.nerf.field.base import RadianceField, Shade
from methods.nerf.field.bounds import Bounds
from methods.nerf.rendering.encoding import contract, harmonics
from methods.nerf.rendering.sampling import marching_edges
from methods.nerf.rendering.volume_rendering import weights_of

if TYPE_CHECKING:
    from methods.nerf.backends.numba_cpu.sparse_adam import SparseAdam


class GridField(RadianceField):
    """Raw density and colour on voxels, trilinearly interpolated and *then* activated, so that edges can be sharp.

    Density is gain * softplus(raw); colour is sigmoid(sum over k of raw_k * harmonic_k(direction)).
    The grid covers `low` to `low + voxel * (shape - 1)` in normalised (contracted) coordinates.
    """

    clearance: Tensor
    optimiser: SparseAdam | None = None  # takes the gradients of the grids, while there is one

    def __init__(
        self,
        bounds: Bounds,
        background: Tensor,
        config: FieldConfig,
        shape: tuple[int, int, int],
        low: tuple[float, float, float],
        voxel: float,
    ) -> None:
        super().__init__(bounds, background, config)
        if min(shape) < 2:
            raise ValueError(f"grid: needs at least 2 voxels along each axis, got {shape}")
        self.low, self.voxel = low, voxel
        terms = (config.sh_degree + 1) ** 2
        self.density = nn.Parameter(torch.full(shape, config.density_start))
        # colour channel c, harmonic k: entry c * terms + k
        self.colour = nn.Parameter(torch.zeros(*shape, self.channels * terms))
        # (cells,) uint8: 0 where something may be, else how many cells away (in the maximum norm) something may be
        self.register_buffer("clearance", torch.zeros([-(-(n - 1) // CELL) for n in shape], dtype=torch.uint8))

    @staticmethod
    def empty(bounds: Bounds, background: Tensor, config: FieldConfig, side: int) -> GridField:
        """A nearly transparent grey grid, `side` voxels along each edge of the bounds (or of contracted space)."""
        reach = 2.0 if bounds.contract else 1.0
        voxel = 2 * reach / (side - 1)
        x, y, z = bounds.frustum.widths if bounds.frustum else (reach, reach, reach)
        shape = (round(2 * x / voxel) + 1, round(2 * y / voxel) + 1, round(2 * z / voxel) + 1)
        return GridField(bounds, background, config, shape, (-x, -y, -z), voxel)

    @property
    def shape(self) -> tuple[int, int, int]:
        x, y, z = self.density.shape
        return (x, y, z)

    def edges(self) -> Tensor:
        """The cuts (S + 1,) of every ray, in normalised units."""
        size = self.bounds.half_size
        near, far = self.bounds.near / size, self.bounds.far / size
        contract = self.bounds.away / size if self.bounds.contract else None
        return torch.from_numpy(marching_edges(near, far, self.config.sample_step * self.voxel, contract=contract)).to(
            self.device
        )

    def shade(self, origins: Tensor, directions: Tensor, generator: torch.Generator | None = None) -> Shade:
        jitter = (
            torch.rand(len(origins), generator=generator).to(self.device)
            if generator
            else torch.full((len(origins),), 0.5, device=self.device)
        )
        starts, along = self.local(origins, directions)
        if self.fused:
            from methods.nerf.backends.numba_cpu.fused import (
                Shading,  # numba is imported by those who compute on the CPU alone
            )

            basis = harmonics(along, self.config.sh_degree)
            colour, opacity, travelled = Shading.apply(self.density, self.colour, starts, along, basis, jitter, self)
        else:
            colour, opacity, travelled = self.march(starts, along, jitter)
        with torch.no_grad():
            depth = self.distance(travelled, origins, directions)
        return Shade(colour=colour, opacity=opacity, depth=depth)

    @property
    def fused(self) -> bool:
        """Whether the kernels of `march.py` do the work."""
        return self.device.type == "cpu" and self.config.backend != "torch"

    def march(self, origins: Tensor, directions: Tensor, jitter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The reference in plain torch: every sample of every local ray at once, jitter (R,).

        Returns colour (R, C), opacity (R,) and, without gradient, the mean distance travelled (R,).
        """
        edges = self.edges()
        length = edges.diff()  # (S,)
        distance = edges[:-1] + jitter[:, None] * length  # (R, S)
        points = origins[:, None] + distance[..., None] * directions[:, None]  # (R, S, 3)
        if self.bounds.contract:
            points = contract(points)
        at = (points - torch.tensor(self.low, device=self.device)) / self.voxel
        limit = torch.tensor(self.shape, device=self.device) - 1
        visited = ((at >= 0) & (at < limit)).all(dim=-1)
        cell = (at.detach().long() // CELL).clamp(min=0).minimum((limit - 1) // CELL)
        visited &= self.clearance[cell[..., 0], cell[..., 1], cell[..., 2]] == 0
        at = at[visited]  # (V, 3)
        density = self.config.density_gain * functional.softplus(trilinear(self.density[..., None], at)[:, 0])
        depth = torch.zeros_like(distance).masked_scatter(visited, density * length.expand_as(distance)[visited])
        weights = weights_of(depth, self.config.min_alpha, self.config.min_transmittance)
        basis = harmonics(directions, self.config.sh_degree)  # (R, K)
        ray = visited.nonzero()[:, 0]
        raw = trilinear(self.colour, at).reshape(len(at), self.channels, -1)
        emitted = torch.sigmoid((raw * basis[ray][:, None]).sum(dim=-1))  # (V, C)
        colour = torch.zeros(len(origins), self.channels, device=self.device)
        colour = colour.index_add(0, ray, weights[visited][:, None] * emitted)
        opacity = weights.sum(dim=1)
        with torch.no_grad():
            mean = (weights * distance).sum(dim=1) / opacity.clamp(min=1e-6)
        return colour, opacity, mean


CELL = 2
"""Voxels along the edge of a cell of the occupancy map."""


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
