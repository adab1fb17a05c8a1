"""Adam on the voxels that rays touched, on a GPU: dense gradients, of which only marked rows are ever read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from methods.nerf.backends.base import GridView, Priors, Rates


class VoxelGradients(NamedTuple):
    """Gradients of a whole grid, and which voxels they are of."""

    density: Tensor  # (X, Y, Z)
    colour: Tensor  # (X, Y, Z, C K)
    touched: Tensor  # (X, Y, Z) uint8

    @staticmethod
    def of(grid: GridView) -> VoxelGradients:
        """None so far."""
        density, colour = grid.density.detach(), grid.colour.detach()
        touched = torch.zeros(density.shape, dtype=torch.uint8, device=density.device)
        return VoxelGradients(torch.zeros_like(density), torch.zeros_like(colour), touched)


class TouchedAdam:
    """A `GradientSink`: the gradients since the last step, and the moments of Adam.

    Voxels that no sample touched keep their values and moments (as DVGO's masked Adam, Sun et al. 2022).
    """

    def __init__(self, grid: GridView, beta1: float, beta2: float = 0.99, epsilon: float = 1e-8) -> None:
        self.betas, self.epsilon, self.steps = (beta1, beta2), epsilon, 0
        self.gradients = VoxelGradients.of(grid)
        self.density = tuple(torch.zeros_like(grid.density.detach()) for _ in range(2))  # mean, square
        self.colour = tuple(torch.zeros_like(grid.colour.detach()) for _ in range(2))
        self.sizes = torch.zeros(5, device=grid.density.device)
        self.weights = torch.zeros(3, device=grid.density.device)
        self.waiting = False  # whether something was accumulated since the last step

    def begin_step(self, rates: Rates, priors: Priors) -> None:
        """The sizes of the next step, bias corrected (Kingma and Ba 2015, sec. 2), and the weights of the priors."""
        self.steps += 1
        beta1, beta2 = self.betas
        correction = (1 - beta2**self.steps) ** 0.5
        corrected = correction / (1 - beta1**self.steps)
        sizes = (rates.density * corrected, rates.colour * corrected, beta1, beta2, self.epsilon * correction)
        self.sizes.copy_(torch.tensor(sizes))
        self.weights.copy_(torch.tensor(priors))

    def end_step(self) -> None:
        self.gradients.touched.zero_()
        self.waiting = False

    def state(self) -> dict[str, Tensor]:
        """The moments of the voxels touched so far, as all others are zero."""
        touched = self.density[1].flatten().nonzero()[:, 0]
        moments = {f"moment{n}": self._rows(value)[touched] for n, value in enumerate((*self.density, *self.colour))}
        return {"touched": touched, **moments}

    def restore(self, tensors: Mapping[str, Tensor], steps: int) -> None:
        touched = tensors["touched"].to(self.sizes.device)
        for n, value in enumerate((*self.density, *self.colour)):
            self._rows(value)[touched] = tensors[f"moment{n}"].to(value.device)
        self.steps = steps

    def _rows(self, value: Tensor) -> Tensor:
        return value.view(self.gradients.touched.numel(), -1)
