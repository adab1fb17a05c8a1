"""Whether the fused kernels of a GPU come to what plain torch comes to there: asked before they are trusted with a fit.

Cards, drivers and compilers differ. A kernel that cannot be compiled or launched is found out here, and so is one whose
numbers are wrong; the verdict is kept beside what was compiled.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import torch
from torch import Tensor

from methods.nerf.backends import torch_reference
from methods.nerf.backends.base import CELL, GridBackend, GridView, Priors, Rates, RayBatch
from methods.nerf.rendering.sampling import marching_edges

SIDE, RAYS = 18, 96
HARMONICS = 4
STEP = 0.5
"""Length of a sample's interval, in voxels."""

AGREES = 2e-3
"""How far a value may be from plain torch's, as a share of the largest: sums of hundreds of terms, in any order."""

SURE = 1e-3
"""A gradient that is at least this share of the largest has a sure sign, which is all of a first step of Adam."""

AGREED = "agreed.txt"


@functools.cache
def fault(device: torch.device) -> str:
    """Why the kernels are not to be used on a GPU; empty where they are."""
    try:
        from triton.runtime.cache import get_cache_manager

        from methods.nerf.backends.triton_cuda import backend
    except ImportError as error:
        return f"triton cannot be imported ({error})"
    kept = get_cache_manager(_key(device))
    if kept.get_file(AGREED):
        return ""
    found = fault_of(backend, device)
    if not found:
        kept.put("yes", AGREED, binary=False)
    return found


def fault_of(backend: GridBackend, device: torch.device) -> str:
    """The same of any back end, tried in bounded and in contracted space; one sentence."""
    for unbounded in (False, True):
        try:
            found, expected = _life(backend, device, unbounded), _life(torch_reference, device, unbounded)
        except Exception as error:  # noqa: BLE001 - compilers and drivers raise what they like
            said = " ".join(str(error).split()) or "no reason given"
            return f"a trial step failed ({type(error).__name__}: {said[:300]})"
        for name, value in expected.items():
            if not _agree(found[name], value):
                return f"in a trial step {name} is not what plain torch comes to"
    return ""


def _life(backend: GridBackend, device: torch.device, unbounded: bool) -> dict[str, Tensor]:
    """What rays see, all gradients of its error, those that are accumulated, and how a step moves the sure voxels."""
    targets, background = _draw(2, RAYS, 3).sigmoid().to(device), torch.full((3,), 0.3, device=device)
    grid, rays = _grid(device, unbounded), _rays(device)
    seen = backend.render(grid, rays, None)
    (seen.colour + (1 - seen.opacity)[:, None] * background - targets).square().mean().backward()
    found = {"colour": seen.colour, "opacity": seen.opacity, "distance": seen.distance}
    found |= {f"the gradient of {name}": _slope(value) for name, value in {**_voxels(grid), **_inputs(rays)}.items()}
    for distortion, also in ((0.1, ", distortion too,"), (0.0, "")):
        grid, rays = _grid(device, unbounded), _rays(device)
        sink = backend.new_sink(grid, 0.9)
        found[f"the error{also}"] = backend.accumulate(grid, rays, targets, background, sink, distortion)
        found |= {f"the accumulated gradient of {name}{also}": _slope(value) for name, value in _inputs(rays).items()}
    before = {name: value.detach().clone() for name, value in _voxels(grid).items()}
    backend.step(grid, sink, Rates(density=0.1, colour=0.1), Priors(1e-12, 1e-12, 1e-12))
    for name, value in _voxels(grid).items():
        slope = found[f"the gradient of {name}"].abs()
        found[f"the step of {name}"] = torch.where(slope > SURE * slope.max(), value.detach() - before[name], 0.0)
    return {name: value.detach() for name, value in found.items()}


def _grid(device: torch.device, unbounded: bool) -> GridView:
    density, colour = 2 * _draw(0, SIDE, SIDE, SIDE) - 1, _draw(1, SIDE, SIDE, SIDE, 3 * HARMONICS)
    cells = -(-(SIDE - 1) // CELL)
    shell, voxel = 0.6, 2.0 / (SIDE - 1)
    voxel = voxel * (1 + shell) if unbounded else voxel
    low = -(1 + shell) if unbounded else -1.0
    edges = marching_edges(0.5, 20.0 if unbounded else 5.0, STEP * voxel, camera_distance=3.0 if unbounded else None)
    return GridView(
        density=density.to(device).requires_grad_(), colour=colour.to(device).requires_grad_(),
        clearance=torch.zeros(cells, cells, cells, dtype=torch.uint8, device=device), low=(low, low, low), voxel=voxel,
        edges=torch.from_numpy(edges).float().to(device), sample_step=STEP, density_gain=5.0, min_alpha=1e-4,
        min_transmittance=1e-3, channels=3, camera_distance=3.0 if unbounded else None, shell=shell,
    )  # fmt: skip


def _rays(device: torch.device) -> RayBatch:
    directions = torch.nn.functional.normalize(_draw(3, RAYS, 3), dim=-1)
    parts = (0.4 * _draw(4, RAYS, 3) - 3 * directions, directions, _draw(5, RAYS).sigmoid(), _draw(6, RAYS, HARMONICS))
    origins, directions, jitter, basis = (part.to(device) for part in parts)
    return RayBatch(origins.requires_grad_(), directions.requires_grad_(), jitter, basis.requires_grad_())


def _voxels(grid: GridView) -> dict[str, Tensor]:
    return {"density": grid.density, "colour": grid.colour}


def _inputs(rays: RayBatch) -> dict[str, Tensor]:
    return {"origins": rays.origins, "directions": rays.directions, "harmonics": rays.basis}


def _slope(value: Tensor) -> Tensor:
    if value.grad is None:
        raise RuntimeError("there is no gradient")
    return value.grad


def _draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _agree(found: Tensor, expected: Tensor) -> bool:
    apart = (found - expected).abs()
    scale = expected.abs().max()
    # a sample at the edge of a threshold is there by one rounding and not by another: few values may be far off
    return bool(scale > 0) and bool((apart <= AGREES * scale).float().mean() >= 0.99)


def _key(device: torch.device) -> str:
    """Of a verdict: the card, the libraries, and the code."""
    import triton

    place = Path(__file__).parent
    sources = [Path(__file__), *sorted((place / "triton_cuda").glob("*.py")), place / "torch_reference.py"]
    parts = [torch.cuda.get_device_name(device), str(torch.version.cuda), torch.__version__, triton.__version__]
    words = "\n".join(parts).encode() + b"".join(path.read_bytes() for path in sources)
    return hashlib.sha256(words).hexdigest()
