"""Adam on the voxels that rays touched: the CPU's counterpart of torch.optim.Adam on a whole grid."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from methods.nerf.backends.base import GridView, Rates
from methods.nerf.backends.numba_cpu.structs import (
    POSITION,
    Floats,
    Grid,
    Moments,
    Records,
    Scratch,
    StepSizes,
    room_for_records,
)  # fmt: skip
from methods.nerf.backends.numba_cpu.threads import get_threads


class SparseAdam:
    """A `GradientSink`: the records of all backward marches since the last step, and the moments of Adam.

    Dense gradients of a large grid cost more than rendering, so what is kept is a short record of each sample.
    Voxels that no sample touched keep their values and moments (as DVGO's masked Adam, Sun et al. 2022).
    """

    def __init__(self, grid: GridView, beta1: float, beta2: float = 0.99, epsilon: float = 1e-8) -> None:
        self.betas, self.epsilon, self.steps = (beta1, beta2), epsilon, 0
        self._width = POSITION + grid.channels  # floats of a record
        parts = (grid.density, grid.density, grid.colour, grid.colour)
        self.moments = Moments(*(np.zeros(part.numel(), np.float32) for part in parts))
        self._pending: list[Records] = []
        self._room: Records | None = None
        self._scratch: Scratch | None = None

    def room(self, rays: int, samples: int, channels: int, basis: Floats) -> Records:
        """Space for the records of one batch: that of the last batch of this size, once it has been spent."""
        room = self._room
        if room is None or len(room.basis) != rays or any(part.values is room.values for part in self._pending):
            room = self._room = room_for_records(rays, samples, channels, basis)
        return room._replace(basis=basis)

    def collect(self, records: Records) -> None:
        """Keep the gradients of one backward march until the next step."""
        self._pending.append(records)

    def take(self) -> Records | None:
        """All that was collected, as one; None where nothing was. A step has begun: it counts."""
        pending, self._pending = self._pending, []
        if not pending:
            return None
        self.steps += 1
        return merged(pending, self._width)

    def step_sizes(self, rates: Rates) -> StepSizes:
        """Of the step that has begun, bias corrected (Kingma and Ba 2015, sec. 2)."""
        beta1, beta2 = self.betas
        correction = (1 - beta2**self.steps) ** 0.5
        corrected = correction / (1 - beta1**self.steps)
        sizes = (rates.density * corrected, rates.colour * corrected, beta1, beta2, self.epsilon * correction)
        return StepSizes(*(np.float32(size) for size in sizes))

    def scratch(self, grid: Grid) -> Scratch:
        """A layer of the grid for each thread."""
        threads, area = get_threads(), grid.size[1] * grid.size[2]
        if self._scratch is None or len(self._scratch.seen) < threads:
            self._scratch = Scratch(
                density=np.zeros((threads, area), np.float32),
                colour=np.zeros((threads, area * len(grid.row)), np.float32),
                seen=np.zeros((threads, area), np.uint8),
                touched=np.empty((threads, area), np.int64),
            )
        return self._scratch

    def state(self) -> dict[str, Tensor]:
        """The moments of the voxels touched so far, as all others are zero."""
        voxels = len(self.moments.density_square)
        touched = np.flatnonzero(self.moments.density_square)
        rows = (value.reshape(voxels, -1)[touched] for value in self.moments)
        return {"touched": torch.from_numpy(touched), **{f"moment{n}": torch.from_numpy(r) for n, r in enumerate(rows)}}

    def restore(self, tensors: Mapping[str, Tensor], steps: int) -> None:
        touched = tensors["touched"].numpy()
        for index, value in enumerate(self.moments):
            value.reshape(len(self.moments.density_square), -1)[touched] = tensors[f"moment{index}"].numpy()
        self.steps = steps


def merged(pending: list[Records], width: int) -> Records:
    """Several backward marches as one, of `width` floats a record."""
    if len(pending) == 1:
        return pending[0]
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
