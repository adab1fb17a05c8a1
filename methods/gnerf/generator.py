"""The generator (GNeRF sec. 3.2): a radiance field, and how each phase teaches it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from bench.task import Effort, PosePrior
from methods.gnerf.config import Budget, GridPreset, Preset
from methods.gnerf.schedule import Moment
from methods.gnerf.sight import Intrinsics, Sight
from methods.nerf.bounds import Bounds
from methods.nerf.config import FieldConfig
from methods.nerf.field import RadianceField
from methods.nerf.grid import GridField
from methods.nerf.learner import Priors, Rate, learner_of
from methods.nerf.mlp import MlpField
from methods.nerf.moments import moments, restore_moments
from methods.nerf.occupancy import refresh, resampled
from methods.nerf.progress import decayed
from methods.nerf.store import build, describe
from methods.nerf.views import Batch

CLEAR = 0.06
"""A pixel this close to the known background, in all channels of [0, 1], shows nothing else."""

MARGIN = 1.1
"""Room around the object that the images let us see."""


class Generator(Protocol):
    """A field and its optimiser. `backward` through the field leaves gradients, `step` spends them."""

    @property
    def field(self) -> RadianceField: ...

    def noisy(self, std: float, generator: torch.Generator) -> contextlib.AbstractContextManager[None]:
        """Within it, the raw density that `generator`-jittered rays see is noisy."""
        ...

    def learn(self, batch: Batch, rng: torch.Generator) -> float:
        """Leave the gradients of the mean squared error (GNeRF eq. 7), to the rays too; returns that error."""
        ...

    def step(self, moment: Moment) -> None: ...

    def advance(self, moment: Moment) -> bool:
        """Whatever is due before this iteration; True where the field has become another one."""
        ...

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]: ...

    def restore(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None: ...


class GridGenerator:
    """Voxels. Coarse, soft and without skipping of empty space while they grow out of fog; fine and sharp in B."""

    def __init__(
        self, bounds: Bounds, background: Tensor, preset: GridPreset, budget: Budget, generator: torch.Generator
    ) -> None:
        self.preset, self.budget = preset, budget
        coarse = preset.radiance.model_copy(
            update={
                "sh_degree": 0, "density_gain": preset.coarse_gain, "density_start": preset.coarse_start,
                "min_alpha": 0.0,
            }
        )  # fmt: skip
        self.field = GridField.empty(bounds, background, coarse, preset.coarse_side)
        with torch.no_grad():
            self.field.density.add_(0.1 * torch.randn(self.field.density.shape, generator=generator))
            self.field.colour.add_(0.01 * torch.randn(self.field.colour.shape, generator=generator))
        self.field = self.field.to(background.device)
        self.learner = learner_of(self.field, beta1=0.0)

    @contextlib.contextmanager
    def noisy(self, std: float, generator: torch.Generator) -> Iterator[None]:
        """Noise on the voxels, not on the samples: the same smoothing of the raw density, at no cost to a ray."""
        if std == 0:
            yield
            return
        noise = std * torch.randn(self.field.density.shape, generator=generator).to(self.field.device)
        clean = self.field.density.detach().clone()
        self.field.density.data += noise
        try:
            yield
        finally:
            self.field.density.data.copy_(clean)

    def learn(self, batch: Batch, rng: torch.Generator) -> float:
        jitter = torch.rand(len(batch.origins), generator=rng).to(self.field.device)
        return self.learner.learn(batch, jitter)

    def step(self, moment: Moment) -> None:
        preset = self.preset
        if moment.phase != "B":
            self.learner.step(Rate(density=preset.density_lr, colour=preset.colour_lr))
            return
        fade = decayed(1.0, preset.fine_decay, moment.share)
        fog = preset.radiance.sparsity if moment.share < preset.grow_at[min(1, len(preset.grow_at) - 1)] else 0.0
        self.learner.step(
            Rate(density=preset.fine_density_lr * fade, colour=preset.fine_colour_lr * fade), Priors(sparsity=fog)
        )

    def advance(self, moment: Moment) -> bool:
        if moment.phase != "B":
            return False
        starts = [round(moment.length * share) for share in self.preset.grow_at]
        if moment.index not in starts:
            if moment.index % (self.preset.radiance.occupancy_every // 2) == 0:
                refresh(self.field)
            return False
        stage = starts.index(moment.index)
        field = recast(self.field, self.preset.radiance) if stage == 0 else self.field
        side = max(8, round(self.budget.side * self.preset.growth[stage]))
        self.field = resampled(field, side, shrink=stage == 0 and not field.bounds.contract)
        self.learner = learner_of(self.field)
        return True

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        tensors = {f"field/{name}": value for name, value in self.field.state_dict().items()}
        tensors |= {f"learner/{name}": value for name, value in self.learner.state().items()}
        fine = self.field.config == self.preset.radiance
        return {"field": describe(self.field), "steps": self.learner.steps, "fine": fine}, tensors

    def restore(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        device = self.field.device
        field = build(dict(state["field"]))
        assert isinstance(field, GridField)
        field.load_state_dict(_under("field/", tensors))
        self.field = field.to(device)
        self.learner = learner_of(self.field, beta1=0.9 if state["fine"] else 0.0)
        if state["steps"]:
            self.learner.restore(_under("learner/", tensors), state["steps"])


class NetworkGenerator:
    """The published network (GNeRF sec. 4): one for coarse and fine samples, taught by RMSprop."""

    def __init__(
        self, bounds: Bounds, background: Tensor, preset: Preset, effort: Effort, generator: torch.Generator
    ) -> None:
        self.preset = preset
        self.field = MlpField(bounds, background, preset.radiance.sized(effort), generator).to(background.device)
        self.optimiser = torch.optim.RMSprop(self.field.parameters(), lr=preset.field_lr)

    @contextlib.contextmanager
    def noisy(self, std: float, generator: torch.Generator) -> Iterator[None]:
        self.field.noise = std
        try:
            yield
        finally:
            self.field.noise = 0.0

    def learn(self, batch: Batch, rng: torch.Generator) -> float:
        seen = self.field.shade(batch.origins, batch.directions, rng).over(self.field.background)
        error = functional.mse_loss(seen, batch.colours)
        (4 * self.preset.photometric * error).backward()  # 4: the published weight is for colours in [-1, 1]
        return error.item()

    def step(self, moment: Moment) -> None:
        self.optimiser.param_groups[0]["lr"] = moment.halved(self.preset.field_lr, self.preset.field_halving)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def advance(self, moment: Moment) -> bool:
        return False

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        tensors = {f"field/{name}": value for name, value in self.field.state_dict().items()}
        return {}, tensors | moments(self.optimiser, "learner/")

    def restore(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self.field.load_state_dict(_under("field/", tensors))
        restore_moments(self.optimiser, "learner/", tensors)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}


@torch.no_grad()
def recast(field: GridField, config: FieldConfig) -> GridField:
    """The same densities and colours, stored under the choices of `config`."""
    cast = GridField(field.bounds, field.background, config, field.shape, field.low, field.voxel).to(field.device)
    density = functional.softplus(field.density) * (field.config.density_gain / config.density_gain)
    raw = torch.where(density > 20, density, density.clamp(1e-6, 20).expm1().log())
    cast.density.copy_(raw.clamp(min=config.density_start))
    terms = [part.unflatten(-1, (field.channels, -1)) for part in (cast.colour, field.colour)]
    kept = min(part.shape[-1] for part in terms)
    terms[0][..., :kept] = terms[1][..., :kept]
    refresh(cast)
    return cast


def bounds_of(prior: PosePrior, sight: Sight, intrinsics: Intrinsics) -> Bounds:
    """The prior's cube; where the background is known, no larger than what the images show in front of it.

    All cameras of a prior look at one point: a pixel at an angle a from there has seen something of radius r sin(a) at
    least, and from all sides together the object cannot be much larger than the largest of these.
    """
    bounds = Bounds.from_prior(prior, contract=sight.background is None)
    if sight.background is None or intrinsics.free or prior.look_at_std > 0:
        return bounds
    colour = sight.images.new_tensor(sight.background)[:, None, None] * 2 - 1
    filled = ((sight.at(64) - colour).abs() > 2 * CLEAR).any(dim=1)  # (N, h, w); noise is averaged away
    height, width = filled.shape[1:]
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    off = intrinsics.directions(torch.stack([x * 2 / width - 1, y * 2 / height - 1], dim=-1).to(filled.device))
    sine = off[..., :2].norm(dim=-1) / off.norm(dim=-1)
    seen = float((filled * sine).max()) * prior.radius[1] * MARGIN
    if not 0 < seen < bounds.half_size:
        return bounds
    reach = math.sqrt(3) * seen
    return Bounds(
        centre=bounds.centre, half_size=seen, near=max(bounds.near, prior.radius[0] - reach),
        far=min(bounds.far, prior.radius[1] + reach),
    )  # fmt: skip
