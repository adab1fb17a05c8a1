"""Adam on the voxels that rays touched: the fused counterpart of torch.optim.Adam on a whole grid."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from methods.nerf.backends.numba_cpu import march, scatter
from methods.nerf.backends.numba_cpu.fused import Grid, Records, array, groups
from methods.nerf.backends.numba_cpu.threads import get_threads, spread
from methods.nerf.field.grid import GridField
from methods.nerf.images.posed_images import Batch
from methods.nerf.rendering.encoding import harmonics
from methods.nerf.training.grid_training import NO_PRIORS, Priors, Rate


class SparseAdam:
    """Takes over the gradients of a field's grids, on the CPU.

    Dense gradients of a large grid cost more than rendering: so while this optimiser exists, `backward` through the
    field leaves its samples here instead (`field.density.grad` stays None; rays and poses get theirs as ever), and
    `step` spends them. `learn` is the short way: forward, mean squared error and backward in one pass.
    Voxels that no sample touched keep their values and moments (as DVGO's masked Adam, Sun et al. 2022).
    """

    def __init__(self, field: GridField, beta1: float = 0.9, beta2: float = 0.99, epsilon: float = 1e-8) -> None:
        self.field, self.betas, self.epsilon = field, (beta1, beta2), epsilon
        self.steps = 0
        # (mean, square) of the density, then of the colours: memory that is never written is never taken
        self.moments = tuple(
            np.zeros(part.numel(), np.float32) for part in (field.density, field.density, field.colour, field.colour)
        )
        self._make_scratch()
        self._room: Records | None = None
        self._pending: list[Records] = []
        field.optimiser = self

    def _make_scratch(self) -> None:
        """A layer of the grid for each thread."""
        threads, area = get_threads(), self.field.shape[1] * self.field.shape[2]
        row = self.field.colour.shape[-1]
        self._scratch = (np.zeros((threads, area), np.float32), np.zeros((threads, area * row), np.float32))
        self._seen, self._lists = np.zeros((threads, area), np.uint8), np.empty((threads, area), np.int64)

    def collect(self, records: Records) -> None:
        """Keep the gradients of one backward pass until the next `step`."""
        self._pending.append(records)

    def learn(self, batch: Batch, jitter: Tensor) -> float:
        """Forward and backward of the mean squared error over a batch of rays; returns that error."""
        field, grid = self.field, Grid(self.field)
        starts, along = field.local(batch.origins, batch.directions)
        inputs = (starts, along, harmonics(along, field.config.sh_degree))
        origins, directions, basis = (array(value) for value in inputs)
        count = len(origins)
        if self._room is None or len(self._room.basis) != count:
            self._room = Records.room(count, grid.samples, field.channels, basis)
        room = self._room
        free = [value.requires_grad for value in inputs]
        slopes = [np.zeros_like(value) if any(free) else value for value in (origins, directions, basis)]
        errors = np.empty(count, np.float32)
        spread(
            march.learn, groups(count), 4, *grid.march((origins, directions, array(jitter), basis)),
            array(batch.colours), array(field.background), room.values, room.owners, room.counts, room.capacity, errors,
            0 if any(free) else None, *slopes,
        )  # fmt: skip
        self.collect(
            Records(values=room.values, owners=room.owners, counts=room.counts, capacity=room.capacity, basis=basis)
        )
        if any(free):
            wanted = [(value, torch.from_numpy(slope)) for value, slope in zip(inputs, slopes, strict=True)]
            torch.autograd.backward(
                [value for value, _ in wanted if value.requires_grad],
                [slope for value, slope in wanted if value.requires_grad],
            )
        return float(errors.sum(dtype=np.float64) / (count * field.channels))

    def step(self, rate: Rate, priors: Priors = NO_PRIORS) -> None:
        """Spend all gradients collected since the last step."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        if len(self._seen) < get_threads():
            self._make_scratch()
        self.steps += 1
        beta1, beta2 = self.betas
        correction = (1 - beta2**self.steps) ** 0.5
        corrected = correction / (1 - beta1**self.steps)
        rates = (rate.density * corrected, rate.colour * corrected, beta1, beta2, self.epsilon * correction)
        grid = Grid(self.field)
        scatter.step(
            grid.size, *grid.scatter(merged(pending, grid)), grid.density, grid.colour, self.moments, self._scratch,
            self._seen, self._lists, _floats(rates), _floats((priors.sparsity, priors.tv_density, priors.tv_colour)),
        )  # fmt: skip

    def state(self) -> dict[str, Tensor]:
        """The moments, for a checkpoint: those of the voxels touched so far, as all others are zero."""
        touched = np.flatnonzero(self.moments[1])
        rows = (value.reshape(len(self.moments[1]), -1)[touched] for value in self.moments)
        return {"touched": torch.from_numpy(touched), **{f"moment{n}": torch.from_numpy(r) for n, r in enumerate(rows)}}

    def restore(self, tensors: Mapping[str, Tensor], steps: int) -> None:
        touched = tensors["touched"].numpy()
        for index, value in enumerate(self.moments):
            value.reshape(len(self.moments[1]), -1)[touched] = tensors[f"moment{index}"].numpy()
        self.steps = steps


def _floats(values: tuple[float, ...]) -> tuple[np.float32, ...]:
    return tuple(np.float32(value) for value in values)


def merged(pending: list[Records], grid: Grid) -> Records:
    """Several backward passes as one."""
    if len(pending) == 1:
        return pending[0]
    width = march.RECORD + len(grid.hues)
    values, owners, before = [], [], 0
    for records in pending:
        for group, count in enumerate(records.counts):
            first = group * records.capacity
            values.append(records.values[first * width : (first + count) * width])
            owners.append(records.owners[first : first + count] + np.int32(before))
        before += len(records.basis)
    total = sum(len(part) for part in owners)
    return Records(
        values=np.concatenate(values), owners=np.concatenate(owners), counts=np.array([total], np.int64),
        capacity=total, basis=np.concatenate([records.basis for records in pending]),
    )  # fmt: skip
