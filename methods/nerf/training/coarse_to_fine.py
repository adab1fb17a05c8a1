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

from methods.nerf.backends.base import Priors, Rates
from methods.nerf.config import FieldConfig
from methods.nerf.field.bounds import Bounds
from methods.nerf.field.grid import GridField
from methods.nerf.field.occupancy import refresh, resampled
from methods.nerf.field.storage import build, describe
from methods.nerf.images.posed_images import Batch
from methods.nerf.training.grid_training import GridTraining
from methods.nerf.training.joint_schedule import CoarseToFine, FinalSides
from methods.nerf.training.optimizer_state import with_prefix
from methods.nerf.training.rates import decayed

CARVED = 1
"""The fine stage by whose beginning fog has been carved away, so that the grid can close around what it holds."""


class CoarseToFineGrid:
    """The field, which is another one after each `refine`, and its training: RMSprop while coarse, Adam once fine."""

    def __init__(
        self, bounds: Bounds, background: Tensor, schedule: CoarseToFine, final: FinalSides, generator: torch.Generator,
        coarse_side: int | None = None,
    ) -> None:  # fmt: skip
        """`final`: of the last grids, of about side^3 voxels; `coarse_side`: the first one's, if not the schedule's."""
        self.schedule, self.final = schedule, final
        coarse = schedule.radiance.model_copy(
            update={
                "sh_degree": 0, "density_gain": schedule.coarse_gain, "density_start": schedule.coarse_start,
                "min_alpha": 0.0,
            }
        )  # fmt: skip
        field = GridField.empty(bounds, background, coarse, coarse_side or schedule.coarse_side)
        with torch.no_grad():
            field.density.add_(0.1 * torch.randn(field.density.shape, generator=generator))
            field.colour.add_(0.01 * torch.randn(field.colour.shape, generator=generator))
        self.training = GridTraining(field.to(background.device), beta1=0.0)

    @property
    def field(self) -> GridField:
        return self.training.field

    def learn(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Leave the gradients of the mean squared error, to the rays too; returns that error, a scalar."""
        return self.training.learn(batch, torch.rand(len(batch.origins), generator=rng).to(self.field.device))

    def step(self, fine: float | None) -> None:
        """Spend the gradients; `fine` is how much of the fine iterations is over, None while coarse."""
        schedule = self.schedule
        if fine is None:
            self.training.step(Rates(density=schedule.density_lr, colour=schedule.colour_lr))
            return
        fade = decayed(1.0, schedule.fine_decay, fine)
        carved_at = schedule.grow_at[CARVED] if len(schedule.grow_at) > CARVED else 0.0
        fog = schedule.radiance.sparsity if fine < carved_at else 0.0
        rates = Rates(density=schedule.fine_density_lr * fade, colour=schedule.fine_colour_lr * fade)
        self.training.step(rates, Priors(sparsity=fog))

    def refine(self, index: int, length: int) -> bool:
        """Whatever is due before fine iteration `index` of `length`; True where the field has become another one."""
        grown = [max(8, round(self.final.side * share)) for share in self.schedule.growth]
        starts = [round(length * share) for share in (*self.schedule.grow_at, *self.final.late)]
        due = [stage for stage, start in enumerate(starts) if start == index]  # several, where iterations are few
        if not due:
            if index % (self.schedule.radiance.occupancy_every // 2) == 0:
                refresh(self.field)
            return False
        field = recast(self.field, self.schedule.radiance) if 0 in due else self.field
        side = [*grown, *self.final.late.values()][due[-1]]
        self.training = GridTraining(resampled(field, side, shrink=CARVED in due and field.bounds.closed))
        return True

    def sharpen(self, side: int) -> None:
        """Go on coarse and soft, on a grid of about side^3 voxels."""
        self.training = GridTraining(resampled(self.field, side, shrink=False), beta1=0.0)

    def finish(self) -> GridField:
        """The field, on its own again and frozen."""
        self.field.barred = None  # its clearance knows
        return self.training.finish()

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        tensors = {f"field/{name}": value for name, value in self.field.state_dict().items()}
        tensors |= {f"sink/{name}": value for name, value in self.training.sink.state().items()}
        if self.field.barred is not None:
            tensors["barred"] = self.field.barred
        fine = self.field.config == self.schedule.radiance
        return {"field": describe(self.field), "steps": self.training.sink.steps, "fine": fine}, tensors

    def restore(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        device = self.field.device
        field = build(dict(state["field"]))
        assert isinstance(field, GridField)
        field.load_state_dict(with_prefix("field/", tensors))
        self.training = GridTraining(field.to(device), beta1=0.9 if state["fine"] else 0.0)
        if "barred" in tensors:
            self.field.barred = tensors["barred"].to(device)
        if state["steps"]:
            self.training.sink.restore(with_prefix("sink/", tensors), state["steps"])


@contextlib.contextmanager
def noisy(field: GridField, std: float, generator: torch.Generator) -> Iterator[None]:
    """Noise on the voxels, not on the samples: the same smoothing of the raw density, at no cost to a ray."""
    if std == 0:
        yield
        return
    noise = std * torch.randn(field.density.shape, generator=generator).to(field.device)
    clean = field.density.detach().clone()
    field.density.data += noise
    try:
        yield
    finally:
        field.density.data.copy_(clean)


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
