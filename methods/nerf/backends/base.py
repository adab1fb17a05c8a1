"""What a grid field and a back end say to each other: structures of tensors, and the calls that take them.

All lengths are normalised: in units of the half size of the field's bounds, from their centre. A back end is a module
(or any object) with the functions of `GridBackend`; it knows tensors and constants, and no field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from torch import Tensor

CELL = 2
"""Voxels along the edge of a cell of the clearance map."""


class GridView(NamedTuple):
    """A grid of X Y Z voxels with C colour channels and K harmonics: its tensors, not copied, and its constants."""

    density: Tensor  # (X, Y, Z) raw; the density is density_gain * softplus(raw)
    colour: Tensor  # (X, Y, Z, C K) raw; channel c, harmonic k: entry c K + k
    # (ceil((X - 1) / CELL), ...) uint8: 0 where something may be, else how many cells away in the maximum norm it is
    clearance: Tensor
    low: tuple[float, float, float]  # where the first voxel is
    voxel: float  # distance between voxels
    edges: Tensor  # (S + 1,) the cuts of every ray into S intervals with one sample each
    sample_step: float  # the shortest of these intervals, in voxels
    density_gain: float  # per unit of length
    min_alpha: float  # a sample fainter than this is empty
    min_transmittance: float  # a ray darker than this has ended
    channels: int  # C
    camera_distance: float | None  # unbounded, contracted space: how far the cameras are from its centre
    shell: float = 1.0  # there: how thick the shell around the cube is in which all else lies


class RayBatch(NamedTuple):
    """R rays through the grid."""

    origins: Tensor  # (R, 3)
    directions: Tensor  # (R, 3) unit
    jitter: Tensor  # (R,) in [0, 1): where in each of its intervals a ray has its sample
    basis: Tensor  # (R, K) the spherical harmonics of the directions


class Rendered(NamedTuple):
    """What R rays see, before any background."""

    colour: Tensor  # (R, C)
    opacity: Tensor  # (R,)
    distance: Tensor  # (R,) mean along the ray, without gradient; 0 where nothing is hit


class Rates(NamedTuple):
    """Learning rates of one step: how far Adam moves a raw value at most."""

    density: float
    colour: float


class Priors(NamedTuple):
    """What is preferred where the images do not say: weights, in units of the mean squared error."""

    sparsity: float = 0.0  # of the raw density: empty space
    tv_density: float = 0.0  # of half the squared differences between neighbouring voxels
    tv_colour: float = 0.0


class GradientSink(Protocol):
    """Where the gradients of one grid's voxels gather until the next step, and the state of their optimizer."""

    steps: int  # taken so far

    def state(self) -> dict[str, Tensor]:
        """The optimizer's tensors, for a checkpoint."""
        ...

    def restore(self, tensors: Mapping[str, Tensor], steps: int) -> None: ...


class GridBackend(Protocol):
    """Three calls: render rays, accumulate gradients in a sink, step. A batch may be empty, or miss the grid."""

    def new_sink(self, grid: GridView, beta1: float) -> Any:
        """A `GradientSink` for this grid. Adam; without momentum (`beta1` = 0) RMSprop, bias corrected."""
        ...

    def render(self, grid: GridView, rays: RayBatch, sink: Any) -> Rendered:
        """Differentiable in the rays and the voxels, whose gradients go to `sink`; without one, through autograd."""
        ...

    def accumulate(
        self, grid: GridView, rays: RayBatch, targets: Tensor, background: Tensor, sink: Any, distortion: float = 0.0
    ) -> Tensor:
        """Add to `sink` the gradients of the mean squared error of colours against `targets` (R, C) on a `background`
        (C,), and backward through the rays where these require it. Returns that error, a scalar; 0 without rays.

        `distortion` weighs, beside that error, how far what a ray sees is spread along it: the mean over rays of the
        distances between all pairs of samples, times the weights of both (Barron et al. 2022, mip-NeRF 360, eq. 15),
        which add up to the opacity and are not divided by it. Lengths are as all here and, where intervals grow with
        the distance, counted as if each were as long as the first.
        """
        ...

    def step(self, grid: GridView, sink: Any, rates: Rates, priors: Priors) -> None:
        """Change the voxels by one step of the optimizer on what the sink holds, and empty it; nothing if it holds
        nothing."""
        ...
