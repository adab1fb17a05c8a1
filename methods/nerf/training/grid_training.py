"""One step of a grid's training, whichever back end takes it."""

from __future__ import annotations

from torch import Tensor

from methods.nerf.backends.base import GradientSink, Priors, Rates
from methods.nerf.field.grid import GridField
from methods.nerf.images.posed_images import Batch

NO_PRIORS = Priors()


class GridTraining:
    """A grid field and the sink that it is handed: `learn` finds the gradients of a batch, `step` spends them.

    Gradients reach the batch's origins and directions too, where those require it. Those of a `backward` through the
    field add to those of `learn`, and are spent with them.
    """

    def __init__(self, field: GridField, beta1: float = 0.9) -> None:
        """Adam, or without momentum (`beta1` = 0) RMSprop, bias corrected."""
        self.field, self._backend = field, field.backend
        self.sink: GradientSink = self._backend.new_sink(field.view(), beta1)
        field.sink = self.sink

    def learn(self, batch: Batch, jitter: Tensor, distortion: float = 0.0) -> Tensor:
        """Leave the gradients of the mean squared error over a batch, jitter (R,), and of the distortion loss by its
        weight; returns that error, a scalar."""
        field = self.field
        rays = field.ray_batch(batch.origins, batch.directions, jitter)
        return self._backend.accumulate(field.view(), rays, batch.colours, field.background, self.sink, distortion)

    def step(self, rates: Rates, priors: Priors = NO_PRIORS) -> None:
        self._backend.step(self.field.view(), self.sink, rates, priors)

    def finish(self) -> GridField:
        """The field, on its own again and frozen."""
        self.field.sink = None
        return self.field.requires_grad_(False)
