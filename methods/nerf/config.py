"""Every choice of the shared field, with its default: this file is the only place where they live."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bench.task import Effort

Backend = Literal["auto", "numba", "torch", "triton"]
"""Who marches rays through a grid: `auto` is numba on the CPU and torch on any other device; `triton`, on CUDA."""


class Budget(BaseModel):
    """What an effort pays for. Counted in steps, not seconds, so that a fit can be repeated to the last bit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(gt=0)
    rays: int = Field(gt=0)  # pixels a step
    side: int = Field(default=2, gt=1)  # field=grid: the final grid has side^3 voxels


class FieldConfig(BaseModel):
    """`field=grid`: dense voxels and spherical harmonics, in the manner of Plenoxels and DVGO (both 2022).
    `field=mlp`: the network of Mildenhall et al. 2020 (sec. 4-5, appendix A), as published."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    field: Literal["grid", "mlp"] = "grid"
    steps: int | None = Field(default=None, gt=0)  # instead of the effort's own number

    # field=grid
    backend: Backend = "auto"
    grid_smoke: Budget = Budget(steps=150, rays=2048, side=48)
    grid_quick: Budget = Budget(steps=2000, rays=8192, side=160)
    grid_full: Budget = Budget(steps=5000, rays=8192, side=256)
    sh_degree: Literal[0, 1, 2] = 1
    growth: tuple[float, ...] = (0.4, 0.75)  # the grid starts at these shares of `side`, ...
    grow_at: tuple[float, ...] = (0.15, 0.4)  # ... and moves on after these shares of the steps
    density_gain: float = Field(default=100.0, gt=0)  # density where softplus(raw) = 1, per half_size of the bounds
    density_start: float = -6.0  # raw density at the start: nearly empty, so that light gets through
    sample_step: float = Field(default=1.0, gt=0)  # distance between samples, in voxels
    min_alpha: float = Field(default=2e-3, ge=0)  # a sample fainter than this is empty
    min_transmittance: float = Field(default=1e-3, ge=0)  # a ray darker than this has ended
    density_lr: float = Field(default=0.6, gt=0)  # Adam
    colour_lr: float = Field(default=0.05, gt=0)
    grid_lr_decay: float = Field(default=0.1, gt=0, le=1)  # what is left of it in the end
    # weights beside the mean squared error; the gradients of the pixels on one voxel are of the order 1e-6
    sparsity: float = Field(
        default=1e-8, ge=0
    )  # of the raw density, first stage: white fog on white costs nothing else
    tv_density: float = Field(default=0.0, ge=0)  # half the squared differences between neighbouring voxels, ...
    tv_open: float = Field(default=3e-8, ge=0)  # ... and before a real background, where few views see each place
    rays_open: float = Field(default=0.5, gt=0)  # share of the rays there: each meets many times the voxels
    tv_colour: float = Field(default=0.0, ge=0)
    occupancy_every: int = Field(default=50, gt=0)  # steps between two looks at what is empty

    # field=mlp
    mlp_smoke: Budget = Budget(steps=20, rays=64)
    mlp_quick: Budget = Budget(steps=2_000, rays=1024)
    mlp_full: Budget = Budget(steps=200_000, rays=4096)
    width: int = Field(default=256, gt=1)
    depth: int = Field(default=8, gt=1)
    skip: int = Field(default=4, ge=0)  # the input is given again after this layer; 0: never
    position_frequencies: int = Field(default=10, ge=0)
    direction_frequencies: int = Field(default=4, ge=0)
    encoding_pi: bool = True  # angles 2^k pi x, in half sizes of the bounds; false: 2^k x, as GNeRF's code has it
    samples: int = Field(default=64, gt=2)
    # stratified: drawn in even cuts, the last interval without end; even, GNeRF's: coarse samples never move, from near
    # to far, where the last interval ends
    sampling: Literal["stratified", "even"] = "stratified"
    fine_samples: int = Field(default=128, ge=0)  # 0: no fine network
    shared_network: bool = False  # one network does both passes (GRAF, GNeRF)
    mlp_activation: Literal["relu", "softplus"] = "relu"  # of the density
    mlp_lr: float = Field(default=5e-4, gt=0)
    mlp_lr_decay: float = Field(default=0.1, gt=0, le=1)

    @model_validator(mode="after")
    def _stages_match(self) -> FieldConfig:
        if len(self.growth) != len(self.grow_at) or list(self.grow_at) != sorted(self.grow_at):
            raise ValueError("growth and grow_at need one entry for each stage, grow_at in rising order")
        return self

    @property
    def tuned_on(self) -> tuple[str, ...]:
        """Scenes whose held-out views were in view when defaults were chosen: `tv_open` and `rays_open` of the grid.

        The two DTU names are the same photographs.
        """
        seen = ("transforms/dtu_scan24_384", "dtu/scan24_monosdf", "transforms/fox_480")
        return seen if self.field == "grid" else ()

    def budget(self, effort: Effort) -> Budget:
        """Steps, rays a step and grid side of this field at an effort."""
        budget: Budget = getattr(self, f"{self.field}_{effort}")
        return budget if self.steps is None else budget.model_copy(update={"steps": self.steps})

    def sized(self, effort: Effort) -> FieldConfig:
        """The same, but at `smoke` with a network small enough to prove the whole path in seconds on a CPU."""
        if self.field == "grid" or effort != "smoke":
            return self
        return self.model_copy(update={"width": 64, "samples": 16, "fine_samples": 16})
