"""A training step of a small grid field on a device, timed: whether that device computes, and by which back end."""

from __future__ import annotations

import time
from typing import Any

import torch

from methods.nerf.backends.base import Rates
from methods.nerf.backends.trial import fault
from methods.nerf.config import FieldConfig
from methods.nerf.field.bounds import Bounds
from methods.nerf.field.grid import GridField
from methods.nerf.images.posed_images import Batch
from methods.nerf.training.grid_training import GridTraining

SIDE, RAYS = 32, 512
DISTORTION = 0.01
"""Weight of the distortion loss, so that what it needs is tried as well."""

AGREES = 0.01
"""How far, relatively, the first step's error may be from that of the same step in plain torch on the CPU."""


def one_step(device: str) -> dict[str, Any]:
    """Two equal steps by the back end that `auto` takes there: its name, the seconds of the first, which loads or
    compiles, and of the second; on a GPU that has plain torch, `instead` is why it has not the fused kernels. Raises
    RuntimeError where the error of the first is not that of plain torch."""
    loss, first, second, backend = _steps(torch.device(device), FieldConfig())
    expected, *_ = _steps(torch.device("cpu"), FieldConfig(backend="torch"))
    if not abs(loss - expected) <= AGREES * expected:
        raise RuntimeError(
            f"the step of {backend} came to an error of {loss:.4g}, that of torch on the CPU to {expected:.4g}"
        )
    why = fault(torch.device(device)) if torch.device(device).type == "cuda" else ""
    return {"backend": backend, "first_seconds": first, "seconds": second, **({"instead": why} if why else {})}


def _steps(device: torch.device, config: FieldConfig) -> tuple[float, float, float, str]:
    """The mean squared error before the first step, the seconds of both, and the back end's name."""
    generator = torch.Generator().manual_seed(0)
    bounds = Bounds(centre=(0.0, 0.0, 0.0), half_size=1.0, near=1.0, far=5.0, contract=False, camera_distance=3.0)
    field = GridField.empty(bounds, torch.ones(3), config, SIDE).to(device)
    directions = torch.nn.functional.normalize(torch.randn(RAYS, 3, generator=generator), dim=-1)
    colours, jitter = torch.rand(RAYS, 3, generator=generator), torch.rand(RAYS, generator=generator)
    batch = Batch(origins=(-3 * directions).to(device), directions=directions.to(device), colours=colours.to(device))
    training = GridTraining(field)
    seen, times = [], [time.perf_counter()]
    for _ in range(2):
        seen.append(float(training.learn(batch, jitter.to(device), DISTORTION)))
        training.step(Rates(density=0.1, colour=0.1))
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter())
    name = field.backend.__name__.split(".")  # type: ignore[attr-defined]  # back ends are modules
    return seen[0], times[1] - times[0], times[2] - times[1], name[-2] if name[-1] == "backend" else name[-1]
