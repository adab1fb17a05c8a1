"""The fused kernels as torch sees them: one differentiable function, and one optimiser of the voxels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from methods.nerf.backends.numba_cpu import march, scatter
from methods.nerf.backends.numba_cpu.threads import spread

if TYPE_CHECKING:
    from methods.nerf.field.grid import GridField

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Records:
    """Gradients of one backward march, sample by sample; see `march.py`."""

    values: Floats  # (groups * capacity * width,)
    owners: NDArray[np.int32]  # (groups * capacity,) the ray of each
    counts: NDArray[np.int64]  # (groups,) how many each group of rays left
    capacity: int
    basis: Floats  # (R, K)

    @staticmethod
    def room(rays: int, samples: int, channels: int, basis: Floats) -> Records:
        """Space for all there can be; what is not written to takes no memory."""
        parts, capacity = groups(rays), samples * march.RAYS
        return Records(
            values=np.empty(parts * capacity * (march.RECORD + channels), np.float32),
            owners=np.empty(parts * capacity, np.int32),
            counts=np.zeros(parts, np.int64),
            capacity=capacity,
            basis=basis,
        )


def groups(rays: int) -> int:
    """Into how many groups so many rays are cut."""
    return -(-rays // march.RAYS)


class Grid:
    """A field's tensors and constants as the kernels take them. It shares memory with the field and is soon stale."""

    def __init__(self, field: GridField) -> None:
        self.size = field.shape
        self.hues = (0,) * field.channels
        self.row = (0,) * field.colour.shape[-1]
        self.contract = np.float32(field.bounds.away / field.bounds.half_size) if field.bounds.contract else None
        config = field.config
        self.edges = field.edges().numpy()
        gain, voxel = np.float32(config.density_gain), np.float32(field.voxel)
        self.place = (*(np.float32(v) for v in field.low), voxel, gain, np.float32(config.min_transmittance))
        with np.errstate(divide="ignore"):
            empty = np.log(np.expm1(-np.log1p(-config.min_alpha) / (gain * np.diff(self.edges))))
        self.quiet = np.maximum(empty, -1e30).astype(np.float32)
        self.density, self.colour = array(field.density).reshape(-1), array(field.colour).reshape(-1)
        self.clearance = array(field.clearance).reshape(-1)
        # how many samples of one ray can lie in the grid
        crossing = int(np.sqrt(3) * (max(self.size) - 1) / config.sample_step) + 3
        self.samples = len(self.quiet) if field.bounds.contract else min(len(self.quiet), crossing)

    def march(self, rays: tuple[Floats, ...]) -> tuple[Any, ...]:
        """The arguments that all kernels begin with, for rays (origins, directions, jitter, basis)."""
        return (
            self.density, self.colour, self.clearance, self.size, self.place, self.edges, self.quiet, *rays, self.hues,
            self.row, self.contract,
        )  # fmt: skip

    def scatter(self, records: Records) -> tuple[Any, ...]:
        """The arguments that the kernels of `scatter.py` begin with: the records, sorted by layer."""
        width = march.RECORD + len(self.hues)
        order, starts = scatter.by_layer(records.values, records.counts, records.capacity, width, self.size[0] - 1)
        return (records.values, records.owners, records.basis, order, starts, self.size, self.hues, self.row)


def array(tensor: Tensor) -> Any:
    """A tensor's memory, contiguous."""
    return tensor.detach().contiguous().numpy()


class Shading(torch.autograd.Function):
    """(density, colour, origins, directions, basis) -> colour (R, C), opacity (R,), depth (R,); rays normalised."""

    @staticmethod
    def forward(  # type: ignore[override] - torch types it by *args
        ctx: Any, density: Tensor, colour: Tensor, origins: Tensor, directions: Tensor, basis: Tensor, jitter: Tensor,
        field: GridField,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        rays = tuple(array(value) for value in (origins, directions, jitter, basis))
        grid, count = Grid(field), len(origins)
        rgb = torch.empty(count, field.channels)
        opacity, depth = torch.empty(count), torch.empty(count)
        spread(march.forward, groups(count), 4, *grid.march(rays), rgb.numpy(), opacity.numpy(), depth.numpy())
        ctx.grid, ctx.rays, ctx.field = grid, rays, field
        ctx.mark_non_differentiable(depth)
        return rgb, opacity, depth

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(  # type: ignore[override] - torch types it by *args
        ctx: Any, by_rgb: Tensor, by_opacity: Tensor, _: Tensor
    ) -> tuple[Tensor | None, ...]:
        grid, rays = ctx.grid, ctx.rays
        values, shades, *by_rays = ctx.needs_input_grad[:5]
        records = Records.room(len(by_rgb), grid.samples, len(grid.hues), rays[3])
        slopes = [np.zeros_like(rays[i]) for i in (0, 1, 3)]
        spread(
            march.backward, groups(len(by_rgb)), 4, *grid.march(rays), array(by_rgb), array(by_opacity),
            records.values, records.owners, records.counts, records.capacity, 0 if any(by_rays) else None, *slopes,
        )  # fmt: skip
        dense: list[Tensor | None] = [None, None]
        if values or shades:
            if ctx.field.optimiser is not None:
                ctx.field.optimiser.collect(records)
            else:
                sums = np.zeros_like(grid.density), np.zeros_like(grid.colour)
                spread(scatter.gradients, grid.size[0], 4, *grid.scatter(records), *sums)
                dense = [
                    torch.from_numpy(total).view_as(part) if wanted else None
                    for total, part, wanted in zip(
                        sums, (ctx.field.density, ctx.field.colour), (values, shades), strict=True
                    )
                ]
        return (*dense, *(torch.from_numpy(slope) for slope in slopes), None, None)
