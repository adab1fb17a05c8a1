"""A dense voxel grid with spherical harmonics (Plenoxels, Fridovich-Keil 2022; activated as in DVGO, Sun 2022)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from methods.nerf.backends.base import CELL, GradientSink, GridBackend, GridView, RayBatch
from methods.nerf.backends.select import select_backend
from methods.nerf.config import FieldConfig
from methods.nerf.field.base import RadianceField, Shade
from methods.nerf.field.bounds import Bounds
from methods.nerf.rendering.encoding import harmonics
from methods.nerf.rendering.sampling import marching_edges


class GridField(RadianceField):
    """Raw density and colour on voxels, trilinearly interpolated and *then* activated, so that edges can be sharp.

    Density is gain * softplus(raw), per half size of the bounds; colour is sigmoid(sum over k of raw_k *
    harmonic_k(direction)). The grid covers `low` to `low + voxel * (shape - 1)` in normalised (contracted) coordinates.
    While it is handed a `sink`, a backward pass leaves the gradients of the voxels there, and their `grad` is None.
    """

    clearance: Tensor
    edges: Tensor
    sink: GradientSink | None = None
    barred: Tensor | None = None  # (cells,) what counts as empty whatever its density, while the field is trained

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
        # (S + 1,) the cuts of every ray, normalised
        near, far = bounds.near / bounds.half_size, bounds.far / bounds.half_size
        edges = marching_edges(near, far, config.sample_step * voxel, camera_distance=self._camera_distance)
        self.register_buffer("edges", torch.from_numpy(edges), persistent=False)
        # (cells,) uint8: 0 where something may be, else how many cells away (in the maximum norm) something may be
        self.register_buffer("clearance", torch.zeros([-(-(n - 1) // CELL) for n in shape], dtype=torch.uint8))

    @staticmethod
    def empty(bounds: Bounds, background: Tensor, config: FieldConfig, side: int) -> GridField:
        """A nearly transparent grid, grey as yet, `side` voxels along each edge of the bounds (or contracted space)."""
        voxel = 2 * bounds.reach / (side - 1)
        x, y, z = bounds.frustum.widths if bounds.frustum else (bounds.reach,) * 3
        shape = (round(2 * x / voxel) + 1, round(2 * y / voxel) + 1, round(2 * z / voxel) + 1)
        return GridField(bounds, background, config, shape, (-x, -y, -z), voxel)

    @property
    def shape(self) -> tuple[int, int, int]:
        x, y, z = self.density.shape
        return (x, y, z)

    @property
    def backend(self) -> GridBackend:
        return select_backend(self.device, self.config.backend)

    def view(self) -> GridView:
        """What a back end is told of this grid."""
        return GridView(
            density=self.density,
            colour=self.colour,
            clearance=self.clearance,
            low=self.low,
            voxel=self.voxel,
            edges=self.edges,
            sample_step=self.config.sample_step,
            density_gain=self.config.density_gain,
            min_alpha=self.config.min_alpha,
            min_transmittance=self.config.min_transmittance,
            channels=self.channels,
            camera_distance=self._camera_distance,
            shell=self.bounds.shell,
        )

    def ray_batch(self, origins: Tensor, directions: Tensor, jitter: Tensor) -> RayBatch:
        """Rays of the scene, (R, 3) and unit (R, 3), as a back end takes them."""
        starts, along = self.local(origins, directions)
        return RayBatch(starts, along, jitter, harmonics(along, self.config.sh_degree))

    def shade(self, origins: Tensor, directions: Tensor, generator: torch.Generator | None = None) -> Shade:
        jitter = (
            torch.rand(len(origins), generator=generator).to(self.device)
            if generator
            else torch.full((len(origins),), 0.5, device=self.device)
        )
        seen = self.backend.render(self.view(), self.ray_batch(origins, directions, jitter), self.sink)
        with torch.no_grad():
            depth = self.distance(seen.distance, origins, directions)
        return Shade(colour=seen.colour, opacity=seen.opacity, depth=depth)

    @property
    def _camera_distance(self) -> float | None:
        return self.bounds.camera_distance / self.bounds.half_size if self.bounds.contract else None
