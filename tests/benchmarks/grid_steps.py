"""What the parts of one training step of a grid take, by back end, and their share of the memory's bandwidth.

The scene is a ball with coloured voxels, seen from all around. Bytes are those that the work needs at least, whatever a
back end really moves: eight voxels a sample, the density up to where a ray ends and the colour where it is not empty,
for a step once more, with their gradients read and written; and of the optimizer each touched voxel with its gradient
and two moments. Caches serve much of that, so that a share may pass 100 % on a small grid.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch.nn import functional

from methods.nerf.backends.base import Rates
from methods.nerf.backends.select import set_threads
from methods.nerf.backends.torch_reference import trilinear
from methods.nerf.config import Backend, FieldConfig
from methods.nerf.field.bounds import Bounds
from methods.nerf.field.grid import GridField
from methods.nerf.field.occupancy import refresh
from methods.nerf.images.posed_images import Batch
from methods.nerf.rendering.volume_rendering import weights_of
from methods.nerf.training.grid_training import GridTraining

RAYS, WARM = 8192, 2
TIMES, LEAST, SECONDS = 15, 3, 5.0  # so often, but after the least number no longer than so many seconds
CAMERA, RADIUS = 3.0, 0.7  # of the cameras and of the ball, in half sizes of the bounds
EMPTY = -15.0  # raw density: nothing at any size of voxels, so that there is something to skip
COPY = 2**28  # bytes
BACKENDS: dict[str, tuple[Backend, ...]] = {"cpu": ("numba", "torch"), "cuda": ("torch", "triton")}

Timed = tuple[str, str, tuple[float, ...]]


def bandwidth(device: str, threads: int) -> tuple[float, ...]:
    """Bytes a second, read and written, of a large copy; from here on with so many CPU `threads`."""
    set_threads(threads)
    source = torch.ones(COPY // 4, device=device)
    target = torch.empty_like(source)
    return tuple(2 * COPY / seconds for seconds in timed(lambda: target.copy_(source), device))


def steps(device: str, side: int, speed: float) -> list[Timed]:
    """(name, unit, values) of each part: milliseconds, and its share (%) of `speed`, the bytes a second of a copy."""
    found: list[Timed] = []
    for backend in BACKENDS[torch.device(device).type]:
        try:
            found += _of(backend, device, side, speed)
        except Exception as error:  # noqa: BLE001 - kernels that do not run there leave the others to be timed
            sys.stdout.write(f"# {backend}: {type(error).__name__}: {' '.join(str(error).split())[:200]}\n")
    return found


def _of(backend: Backend, device: str, side: int, speed: float) -> list[Timed]:
    field = _ball(FieldConfig(backend=backend), side).to(device)
    batch, jitter = _batch(device)
    visited, shaded, touched = _counted(field, batch, jitter)
    training = GridTraining(field)
    rates = Rates(density=0.0, colour=0.0)  # the scene stays as it is

    free = replace(
        batch, origins=batch.origins.clone().requires_grad_(), directions=batch.directions.clone().requires_grad_()
    )

    def render() -> None:
        with torch.no_grad():
            field.shade(batch.origins, batch.directions)

    width = field.colour.shape[-1]
    read = 4 * 8 * (visited + width * shaded)
    gradients = 2 * 4 * 8 * (1 + width) * shaded
    moved = 2 * 4 * 4 * (1 + width) * touched

    def both() -> None:
        training.learn(batch, jitter)
        training.step(rates)

    parts: dict[str, tuple[Callable[[], object], Callable[[], object] | None, int | None]] = {
        "render": (render, None, read),
        "learn": (lambda: training.learn(batch, jitter), lambda: training.step(rates), None),
        "learn_sharp": (lambda: training.learn(batch, jitter, 0.01), lambda: training.step(rates), None),
        "learn_rays": (lambda: training.learn(free, jitter), lambda: training.step(rates), None),
        "step": (lambda: training.step(rates), lambda: training.learn(batch, jitter), None),
        "learn_and_step": (both, None, 2 * read + gradients + moved),
    }
    found: list[Timed] = []
    for name, (part, between, needed) in parts.items():
        if between is not None:
            between()
        seconds = timed(part, device, between)
        found.append((f"{backend}/{name}", "ms", tuple(1e3 * value for value in seconds)))
        if needed is not None:
            found.append((f"{backend}/{name}/bandwidth", "%", tuple(100 * needed / value / speed for value in seconds)))
    return found


def timed(part: Callable[[], object], device: str, between: Callable[[], object] | None = None) -> tuple[float, ...]:
    """Seconds of `part`, several times; what is done `between` two of them is not counted."""
    found: list[float] = []
    for number in range(WARM + TIMES):
        if len(found) >= LEAST and sum(found) > SECONDS:
            break
        _wait(device)
        start = time.perf_counter()
        part()
        _wait(device)
        if number >= WARM:
            found.append(time.perf_counter() - start)
        if between is not None:
            between()
    return tuple(found)


def _wait(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def _ball(config: FieldConfig, side: int) -> GridField:
    bounds = Bounds(centre=(0.0, 0.0, 0.0), half_size=1.0, near=1.0, far=5.0, contract=False, camera_distance=CAMERA)
    field = GridField.empty(bounds, torch.ones(3), config, side)
    rng = torch.Generator().manual_seed(0)
    axis = torch.linspace(-1, 1, side)
    inside = torch.cartesian_prod(axis, axis, axis).norm(dim=-1).reshape(side, side, side) < RADIUS
    with torch.no_grad():
        field.density.fill_(EMPTY).masked_fill_(inside, 0.0)
        field.colour.copy_(torch.randn(field.colour.shape, generator=rng))
        refresh(field)
    return field


def _batch(device: str) -> tuple[Batch, torch.Tensor]:
    """Rays from all around to points of the cube that the ball is in."""
    rng = torch.Generator().manual_seed(1)
    origins = CAMERA * functional.normalize(torch.randn(RAYS, 3, generator=rng), dim=-1)
    aims = RADIUS * (2 * torch.rand(RAYS, 3, generator=rng) - 1)
    directions = functional.normalize(aims - origins, dim=-1)
    colours, jitter = torch.rand(RAYS, 3, generator=rng), torch.rand(RAYS, generator=rng)
    batch = Batch(origins=origins.to(device), directions=directions.to(device), colours=colours.to(device))
    return batch, jitter.to(device)


@torch.no_grad()
def _counted(field: GridField, batch: Batch, jitter: torch.Tensor) -> tuple[int, int, int]:
    """Samples whose density is looked at, those with a colour, and the voxels that these touch."""
    grid, rays = field.view(), field.ray_batch(batch.origins, batch.directions, jitter)
    length = grid.edges.diff()
    points = rays.origins[:, None] + (grid.edges[:-1] + jitter[:, None] * length)[..., None] * rays.directions[:, None]
    at = (points - points.new_tensor(grid.low)) / grid.voxel
    limit = torch.tensor(grid.density.shape, device=at.device) - 1
    inside = ((at >= 0) & (at < limit)).all(dim=-1)
    cell = (at.long() // 2).clamp(min=0).minimum((limit - 1) // 2)
    inside &= grid.clearance[cell[..., 0], cell[..., 1], cell[..., 2]] == 0
    density = grid.density_gain * functional.softplus(trilinear(grid.density[..., None], at[inside])[:, 0])
    depth = torch.zeros(inside.shape, device=at.device).masked_scatter(
        inside, density * length.expand_as(inside)[inside]
    )
    seen = weights_of(depth, grid.min_alpha, grid.min_transmittance) > 0
    ended = (depth.cumsum(dim=1) - depth) > -torch.log(torch.tensor(grid.min_transmittance))
    touched = torch.zeros(grid.density.shape, dtype=torch.bool, device=at.device)
    corner = at[seen].long()
    for dx, dy, dz in torch.cartesian_prod(*[torch.arange(2)] * 3).tolist():
        touched[corner[:, 0] + dx, corner[:, 1] + dy, corner[:, 2] + dz] = True
    return int((inside & ~ended).sum()), int(seen.sum()), int(touched.sum())
