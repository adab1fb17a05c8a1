"""Every choice of the shared field, with its default: this file is the only place where they live."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from bench.task import Accelerator, Effort

Backend = Literal["auto", "numba", "torch", "triton"]
"""Who marches rays through a grid: `auto` is numba on the CPU and torch on any other device; `triton`, on CUDA."""


def _of_rays(field: Any) -> Any:
    if field == "gaussians":
        why = "it needs poses that stay as they are, as nerf, colmap_nerf, poses+nerf and feedforward have them"
        raise PydanticCustomError("field", why)
    return field


RayField = Annotated[Literal["grid", "mlp"], BeforeValidator(_of_rays)]
"""The shared field of methods that look for poses: a ray is all that they ask of it."""


class Budget(BaseModel):
    """What an effort pays for. Counted in steps, not seconds, so that a fit can be repeated to the last bit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(gt=0)
    rays: int = Field(gt=0)  # pixels a step
    side: int = Field(default=2, gt=1)  # field=grid: the final grid has side^3 voxels
    tv_density: float = Field(default=0.0, ge=0)  # field=grid, before a known background: what its own option is for


class FieldConfig(BaseModel):
    """`field=grid`: dense voxels and spherical harmonics, in the manner of Plenoxels and DVGO (both 2022).
    `field=mlp`: the network of Mildenhall et al. 2020 (sec. 4-5, appendix A), as published."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    field: RayField = "grid"
    steps: int | None = Field(default=None, gt=0)  # instead of the effort's own number

    # field=grid
    backend: Backend = "auto"
    grid_smoke: Budget = Budget(steps=150, rays=2048, side=48)
    grid_quick: Budget = Budget(steps=2000, rays=8192, side=160)
    # so many voxels fit the views and not the scene, where nothing holds neighbours together
    grid_full: Budget = Budget(steps=9000, rays=8192, side=256, tv_density=1e-9)
    sh_degree: Literal[0, 1, 2] = 1
    # the grid starts at these shares of `side`, ...
    growth: tuple[float, ...] = Field(default=(0.4, 0.75), min_length=1)
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
    tv_density: float | None = Field(
        default=None, ge=0
    )  # instead of the effort's own: half the squared differences between neighbouring voxels, ...
    tv_open: float = Field(default=3e-8, ge=0)  # ... and before a real background, where few views see each place
    rays_open: float = Field(default=0.5, gt=0)  # share of the rays there: each meets many times the voxels
    # there, with poses known: how thick the shell of all that is outside the cube is, in its half sizes (None:
    # thicker, the more the lens shows beyond the cube), ...
    shell_open: float | None = Field(default=None, ge=0.5, le=1)
    # ... where all look at one thing, by what share of the views something must be seen that is nearer to some camera
    # than 0.7 of its distance (0: by none), ...
    seen_by_open: float = Field(default=0.2, ge=0, le=1)
    # ... and, unless all cameras face one way, the weight beside the mean squared error of how far what a ray sees is
    # spread along it (Barron et al. 2022, eq. 15; lengths in half sizes of the cube)
    distortion_open: float = Field(default=0.01, ge=0)
    tv_colour: float = Field(default=0.0, ge=0)
    # where views differ in exposure and white balance by more than surfaces do, each has gains of its own
    exposures: bool = True
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
        """Scenes whose held-out views were in view when defaults of the grid were chosen: those of a real
        background and, on chair, `tv_density` of `full`.

        The two DTU names are the same photographs.
        """
        seen = ("nerf_synthetic/chair", "transforms/dtu_scan24_384", "dtu/scan24_monosdf", "transforms/fox_480")
        return seen if self.field == "grid" else ()

    def budget(self, effort: Effort) -> Budget:
        """Steps, rays a step, grid side and smoothness of this field at an effort."""
        budget: Budget = getattr(self, f"{self.field}_{effort}")
        own = {"steps": self.steps, "tv_density": self.tv_density}
        return budget.model_copy(update={option: value for option, value in own.items() if value is not None})

    def sized(self, effort: Effort) -> FieldConfig:
        """The same, but at `smoke` with a network small enough to prove the whole path in seconds on a CPU."""
        if self.field == "grid" or effort != "smoke":
            return self
        return self.model_copy(update={"width": 64, "samples": 16, "fine_samples": 16})


class GaussianBudget(BaseModel):
    """What an effort pays for, of Gaussians: an image a step."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(gt=0)
    start: int = Field(gt=3)  # Gaussians that are drawn in the bounds, where no points are known
    most: int = Field(gt=3)  # Gaussians that there may be in the end
    pace: float = Field(default=1.0, gt=0)  # times the published learning rates, where steps are few

    @model_validator(mode="after")
    def _most_is_enough(self) -> GaussianBudget:
        if self.most < self.start:
            raise ValueError(f"most={self.most} Gaussians are fewer than start={self.start}, with which they begin")
        return self


class GaussianConfig(BaseModel):
    """`field=gaussians`: 3D Gaussian splatting (Kerbl et al. 2023), their number kept up by Markov chain Monte Carlo
    (Kheradmand et al. 2024). Rates and weights are those of the two papers' code; shares are of its 30,000 steps."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: Literal["gsplat", "torch"] = "gsplat"  # on CUDA, where we have not run it; torch: anywhere, slowly
    smoke: GaussianBudget = GaussianBudget(steps=150, start=800, most=1_200, pace=10.0)
    quick: GaussianBudget = GaussianBudget(steps=7_000, start=100_000, most=300_000)
    full: GaussianBudget = GaussianBudget(steps=30_000, start=100_000, most=1_000_000)
    sh_degree: Literal[0, 1, 2, 3] = 3  # of the colours in the end
    sh_every: float = Field(default=1 / 30, gt=0)  # share of the steps after which they have one degree more
    start_opacity: float = Field(default=0.5, gt=0, lt=1)
    start_scale: float = Field(default=0.1, gt=0)  # standard deviation, in mean distances of the 3 nearest neighbours
    # Adam; of the means in radii of the cameras, of the harmonics but the first a twentieth of colour_lr
    mean_lr: float = Field(default=1.6e-4, gt=0)
    mean_lr_decay: float = Field(default=0.01, gt=0, le=1)  # what is left of it in the end
    scale_lr: float = Field(default=5e-3, gt=0)
    rotation_lr: float = Field(default=1e-3, gt=0)
    opacity_lr: float = Field(default=5e-2, gt=0)
    colour_lr: float = Field(default=2.5e-3, gt=0)
    ssim: float = Field(default=0.2, ge=0, le=1)  # weight of 1 - SSIM; the rest is that of the absolute error
    opacity_weight: float = Field(default=0.01, ge=0)  # of the mean opacity, and ...
    scale_weight: float = Field(default=0.01, ge=0)  # ... of the mean scale, in quarters of the cameras' distance
    noise: float = Field(default=5e5, ge=0)  # of the means, times their learning rate and their covariance
    dead: float = Field(default=0.005, gt=0, lt=1)  # a Gaussian of less opacity is moved to where one is seen, ...
    move_every: int = Field(default=100, gt=0)  # ... all so many steps, ...
    move_from: float = Field(default=1 / 60, ge=0, le=1)  # ... from this share of the steps ...
    move_until: float = Field(default=5 / 6, ge=0, le=1)  # ... to that one
    growth: float = Field(default=1.05, ge=1)  # times as many Gaussians after each of these


class PosedFieldConfig(FieldConfig):
    """The shared field where poses are known or believed, and stay as they are: Gaussians, too."""

    field: Literal["grid", "mlp", "gaussians"] = Field(  # type: ignore[assignment]
        default="grid", description="gaussians: on CUDA, by gsplat, or slowly with gaussians.backend=torch"
    )
    gaussians: GaussianConfig = GaussianConfig()

    @property
    def rays(self) -> FieldConfig:
        """The choices of a field of rays, without those of Gaussians."""
        return FieldConfig.model_validate(self.model_dump(include=set(FieldConfig.model_fields)))

    @property
    def radiance(self) -> PosedFieldConfig:
        """The shared field's part of a method's own config."""
        return PosedFieldConfig.model_validate(self.model_dump(include=set(PosedFieldConfig.model_fields)))

    def gaussian_budget(self, effort: Effort) -> GaussianBudget:
        """Steps and numbers of Gaussians at an effort."""
        budget: GaussianBudget = getattr(self.gaussians, effort)
        return budget if self.steps is None else budget.model_copy(update={"steps": self.steps})

    @property
    def accelerator(self) -> Accelerator | None:
        """What this field cannot be trained without."""
        if self.field != "gaussians" or self.gaussians.backend == "torch":
            return None
        why = "Gaussians are rasterised on CUDA; gaussians.backend=torch runs slowly anywhere"
        return Accelerator(why=why, packages=("gsplat",), extra="gsplat")

    def seconds(self, grid: Mapping[Effort, float], mlp: Mapping[Effort, float]) -> Mapping[Effort, float]:
        """A usual fit of this field, of what a method says of the two others. Of Gaussians beyond smoke it is what
        others report of one GPU: nobody has waited for it here."""
        gaussians: dict[Effort, float] = {"smoke": 60.0, "quick": 180.0, "full": 1800.0}
        return {"grid": grid, "mlp": mlp, "gaussians": gaussians}[self.field]
