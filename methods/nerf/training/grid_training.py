"""One step of a grid's training, whichever back end takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from methods.nerf.field.grid import GridField
from methods.nerf.images.posed_images import Batch


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Learning rates of one step."""

    density: float
    colour: float


@dataclass(frozen=True, kw_only=True)
class Priors:
    """What is preferred where the images do not say: weights, in units of the mean squared error."""

    sparsity: float = 0.0  # of the raw density: empty space
    tv_density: float = 0.0  # of half the squared differences between neighbours
    tv_colour: float = 0.0


NO_PRIORS = Priors()


class Learner(Protocol):
    """`learn` finds the gradients of a batch and returns its mean squared error; `step` spends them.

    They reach the batch's origins and directions too, where those require it. Gradients of a `backward` through the
    field add to those of `learn`, and are spent with them.
    """

    steps: int

    def learn(self, batch: Batch, jitter: Tensor) -> float: ...

    def step(self, rate: Rate, priors: Priors = NO_PRIORS) -> None: ...

    def state(self) -> dict[str, Tensor]: ...

    def restore(self, tensors: Mapping[str, Tensor], steps: int) -> None: ...


def learner_of(field: GridField, beta1: float = 0.9) -> Learner:
    """The learner that suits the field's back end: Adam, or without momentum (`beta1` = 0) RMSprop, bias corrected."""
    if not field.fused:
        return DenseAdam(field, beta1)
    from methods.nerf.backends.numba_cpu.sparse_adam import (
        SparseAdam,  # numba is imported by those who compute on the CPU alone
    )

    return SparseAdam(field, beta1)


class DenseAdam:
    """In plain torch, on any device: Adam on all voxels, priors over the whole grid."""

    def __init__(self, field: GridField, beta1: float = 0.9) -> None:
        self.field, self.steps = field, 0
        self.adam = torch.optim.Adam([{"params": [field.density]}, {"params": [field.colour]}], betas=(beta1, 0.99))

    def learn(self, batch: Batch, jitter: Tensor) -> float:
        colour, opacity, _ = self.field.march(*self.field.local(batch.origins, batch.directions), jitter)
        seen = colour + (1 - opacity)[:, None] * self.field.background
        loss = functional.mse_loss(seen, batch.colours)
        loss.backward()
        return loss.item()

    def step(self, rate: Rate, priors: Priors = NO_PRIORS) -> None:
        density, colour = self.field.density, self.field.colour
        smooth = priors.tv_density * _roughness(density) + priors.tv_colour * _roughness(colour)
        (priors.sparsity * density.sum() + smooth).backward()
        for group, value in zip(self.adam.param_groups, (rate.density, rate.colour), strict=True):
            group["lr"] = value
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)
        self.steps += 1

    def state(self) -> dict[str, Tensor]:
        entries = self.adam.state_dict()["state"]
        return {f"moment{index}/{name}": value for index, entry in entries.items() for name, value in entry.items()}

    def restore(self, tensors: Mapping[str, Tensor], steps: int) -> None:
        names = ("step", "exp_avg", "exp_avg_sq")
        state = {index: {name: tensors[f"moment{index}/{name}"] for name in names} for index in range(2)}
        self.adam.load_state_dict({"state": state, "param_groups": self.adam.state_dict()["param_groups"]})
        self.steps = steps


def _roughness(values: Tensor) -> Tensor:
    return torch.stack([values.diff(dim=axis).square().sum() for axis in range(3)]).sum() / 2
