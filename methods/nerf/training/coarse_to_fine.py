"""A grid that grows while something else is still unknown: fog at first, voxels later.

With poses known, `train_grid` starts sharp. With poses to be found, colours have to pull cameras from afar: the grid
begins coarse and soft and skips nothing, and becomes a fine one in stages, as BARF (Lin et al. 2021, sec. 3.3) lets in
the frequencies of its encoding one after another.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from methods.nerf.config import FieldConfig
from methods.nerf.field.bounds import Bounds
from methods.nerf.field.grid import GridField
from methods.nerf.field.occupancy import refresh, resampled
from methods.nerf.field.storage import build, describe
from methods.nerf.images.posed_images import Batch
from methods.nerf.training.checkpointing import decayed
from methods.nerf.training.grid_training import Priors, Rate, learner_of
from methods.nerf.training.joint_schedule import CoarseToFine
from methods.nerf.training.optimizer_state import with_prefix


class CoarseToFineGrid:
    """The field, which is another one after each `grow`, and its learner. RMSprop while coarse, Adam once fine."""

    def __init__(
        self, bounds: Bounds, background: Tensor, growth: CoarseToFine, side: int, generator: torch.Generator
    ) -> None:
        """`side`: of the final grid, of about side^3 voxels."""
        self.growth, self.side = growth, side
        coarse = growth.radiance.model_copy(
            update={
                "sh_degree": 0, "density_gain": growth.coarse_gain, "density_start": growth.coarse_start,
                "min_alpha": 0.0,
            }
        )  # fmt: skip
        self.field = GridField.empty(bounds, background, coarse, growth.coarse_side)
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
        """Leave the gradients of the mean squared error, to the rays too; returns that error."""
        jitter = torch.rand(len(batch.origins), generator=rng).to(self.field.device)
        return self.learner.learn(batch, jitter)

    def step(self, fine: float | None) -> None:
        """Spend the gradients; `fine` is how much of the fine iterations is over, None while coarse."""
        growth = self.growth
        if fine is None:
            self.learner.step(Rate(density=growth.density_lr, colour=growth.colour_lr))
            return
        fade = decayed(1.0, growth.fine_decay, fine)
        fog = growth.radiance.sparsity if fine < growth.grow_at[min(1, len(growth.grow_at) - 1)] else 0.0
        self.learner.step(
            Rate(density=growth.fine_density_lr * fade, colour=growth.fine_colour_lr * fade), Priors(sparsity=fog)
        )

    def grow(self, index: int, length: int) -> bool:
        """Whatever is due before fine iteration `index` of `length`; True where the field has become another one."""
        starts = [round(length * share) for share in self.growth.grow_at]
        if index not in starts:
            if index % (self.growth.radiance.occupancy_every // 2) == 0:
                refresh(self.field)
            return False
        stage = starts.index(index)
        field = recast(self.field, self.growth.radiance) if stage == 0 else self.field
        side = max(8, round(self.side * self.growth.growth[stage]))
        self.field = resampled(field, side, shrink=stage == 0 and field.bounds.closed)
        self.learner = learner_of(self.field)
        return True

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        tensors = {f"field/{name}": value for name, value in self.field.state_dict().items()}
        tensors |= {f"learner/{name}": value for name, value in self.learner.state().items()}
        fine = self.field.config == self.growth.radiance
        return {"field": describe(self.field), "steps": self.learner.steps, "fine": fine}, tensors

    def restore(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        device = self.field.device
        field = build(dict(state["field"]))
        assert isinstance(field, GridField)
        field.load_state_dict(with_prefix("field/", tensors))
        self.field = field.to(device)
        self.learner = learner_of(self.field, beta1=0.9 if state["fine"] else 0.0)
        if state["steps"]:
            self.learner.restore(with_prefix("learner/", tensors), state["steps"])


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
