"""Whether the fused kernels of a GPU come to what plain torch comes to there: asked before they are trusted with a fit.

Cards, drivers and compilers differ. A kernel that cannot be compiled or launched is found out here, and so is one whose
numbers are wrong; the verdict is kept beside what was compiled.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from methods.nerf.backends import torch_reference
from methods.nerf.backends.base import CELL, GridBackend, GridView, Priors, Rates, RayBatch, Rendered
from methods.nerf.rendering import sampling


class Kind(NamedTuple):
    """Of a grid and its optimizer; the kernels are compiled for each."""

    unbounded: bool
    channels: int
    harmonics: int
    beta1: float


KINDS = (Kind(False, 3, 4, 0.9), Kind(True, 3, 4, 0.9), Kind(False, 3, 1, 0.0), Kind(False, 1, 1, 0.9))
"""An object, a real background, the coarse field of joint training, and silhouettes."""

SIDE, RAYS = 18, 96
STEP = 0.5
"""Length of a sample's interval, in voxels."""

AGREES = 2e-3
"""How far a value may be from plain torch's, as a share of the largest: sums of hundreds of terms, in any order."""

SURE = 1e-3
"""A gradient that is at least this share of the largest has a sure sign, which is all of a first step of Adam."""

DISTORTION = 0.1

AGREED = "agreed.txt"


@functools.cache
def fault(device: torch.device) -> str:
    """Why the kernels are not to be used on a GPU, which a warning says, too; empty where they are."""
    try:
        from methods.nerf.backends.triton_cuda import backend
    except ImportError as error:
        return _warned(device, f"triton cannot be imported ({error})")
    kept = _verdict(device)
    with contextlib.suppress(OSError):
        if kept is not None and kept.get_file(AGREED):
            return ""
    if found := fault_of(backend, device):
        return _warned(device, found)
    with contextlib.suppress(OSError):
        if kept is not None:
            kept.put("yes", AGREED, binary=False)
    return ""


def fault_of(backend: GridBackend, device: torch.device) -> str:
    """The same of any back end, tried on each of KINDS; one sentence."""
    for kind in KINDS:
        try:
            with torch.inference_mode(False), torch.enable_grad():  # whoever asks may be about to render
                found, expected = _life(backend, device, kind), _life(torch_reference, device, kind)
        except Exception as error:  # noqa: BLE001 - compilers and drivers raise what they like
            said = " ".join(str(error).split()) or "no reason given"
            return f"a trial step failed ({type(error).__name__}: {said[:300]})"
        for name, value in expected.items():
            if not _agree(found[name], value):
                return f"in a trial step {name} is not what plain torch comes to"
    return ""


def _warned(device: torch.device, why: str) -> str:
    warnings.warn(f"backend=auto is plain torch on {device}, which is slow: {why}", stacklevel=2)
    return why


def _life(backend: GridBackend, device: torch.device, kind: Kind) -> dict[str, Tensor]:
    """What rays see, all gradients of its error, those that are accumulated, and how steps move the sure voxels."""
    channels = kind.channels
    targets, background = _draw(2, RAYS, channels).sigmoid().to(device), torch.full((channels,), 0.3, device=device)

    def error_of(seen: Rendered) -> Tensor:
        return (seen.colour + (1 - seen.opacity)[:, None] * background - targets).square().mean()

    grid, rays = _grid(device, kind), _rays(device, kind)
    seen = backend.render(grid, rays, None)
    error_of(seen).backward()
    found = {"colour": seen.colour, "opacity": seen.opacity, "distance": seen.distance}
    found |= {f"the gradient of {name}": _slope(value) for name, value in {**_voxels(grid), **_inputs(rays)}.items()}
    slopes = {name: _slope(value).abs() for name, value in _voxels(grid).items()}
    sure = {name: slope > SURE * slope.max() for name, slope in slopes.items()}

    def moved(what: str, grid: GridView, sink: Any, learn: Callable[[], Any], priors: Priors, steps: int = 1) -> None:
        before = {name: value.detach().clone() for name, value in _voxels(grid).items()}
        for _ in range(steps):
            learn()
            backend.step(grid, sink, Rates(density=0.05, colour=0.05), priors)
        for name, value in _voxels(grid).items():
            found[f"the step of {name}{what}"] = torch.where(sure[name], value.detach() - before[name], 0.0)

    frozen, rays = _grid(device, kind, learns=False), _rays(device, kind)  # as where poses alone are looked for
    error_of(backend.render(frozen, rays, None)).backward()
    found |= {f"the gradient of {name} before a frozen grid": _slope(value) for name, value in _inputs(rays).items()}
    grid, rays = _grid(device, kind), _rays(device, kind)  # as where poses and field are
    sink = backend.new_sink(grid, kind.beta1)
    found["the error"] = backend.accumulate(grid, rays, targets, background, sink, DISTORTION)
    found |= {f"the accumulated gradient of {name}": _slope(value) for name, value in _inputs(rays).items()}
    moved(" by distortion", grid, sink, lambda: None, Priors())
    grid, rays = _grid(device, kind), _rays(device, kind, moves=False)  # as where poses are known
    sink = backend.new_sink(grid, kind.beta1)
    moved("", grid, sink, lambda: backend.accumulate(grid, rays, targets, background, sink), Priors(), steps=2)
    grid, rays = _grid(device, kind), _rays(device, kind)
    sink = backend.new_sink(grid, kind.beta1)
    moved(
        " by priors", grid, sink, lambda: (0.0 * backend.render(grid, rays, sink).opacity.sum()).backward(),
        Priors(sparsity=1e-3, tv_density=1e-3, tv_colour=1e-3),
    )  # fmt: skip
    return {name: value.detach() for name, value in found.items()}


def _grid(device: torch.device, kind: Kind, *, learns: bool = True) -> GridView:
    unbounded, width = kind.unbounded, kind.channels * kind.harmonics
    density, colour = 2 * _draw(0, SIDE, SIDE, SIDE) - 1, _draw(1, SIDE, SIDE, SIDE, width)
    cells = -(-(SIDE - 1) // CELL)
    clearance = torch.zeros(cells, cells, cells, dtype=torch.uint8)
    clearance[: cells // 3] = 1  # said to be empty
    shell, voxel = 0.6, 2.0 / (SIDE - 1)
    voxel = voxel * (1 + shell) if unbounded else voxel
    low = -(1 + shell) if unbounded else -1.0
    edges = sampling.marching_edges(
        0.5, 20.0 if unbounded else 5.0, STEP * voxel, camera_distance=3.0 if unbounded else None
    )
    return GridView(
        density=density.to(device).requires_grad_(learns), colour=colour.to(device).requires_grad_(learns),
        clearance=clearance.to(device), low=(low, low, low), voxel=voxel,
        edges=torch.from_numpy(edges).float().to(device), sample_step=STEP, density_gain=5.0, min_alpha=1e-4,
        min_transmittance=1e-3, channels=kind.channels, camera_distance=3.0 if unbounded else None, shell=shell,
    )  # fmt: skip


def _rays(device: torch.device, kind: Kind, *, moves: bool = True) -> RayBatch:
    directions = torch.nn.functional.normalize(_draw(3, RAYS, 3), dim=-1)
    parts = (
        0.4 * _draw(4, RAYS, 3) - 3 * directions,
        directions,
        _draw(5, RAYS).sigmoid(),
        _draw(6, RAYS, kind.harmonics),
    )
    origins, directions, jitter, basis = (part.to(device) for part in parts)
    return RayBatch(
        origins.requires_grad_(moves), directions.requires_grad_(moves), jitter, basis.requires_grad_(moves)
    )


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


def _verdict(device: torch.device) -> Any:
    """Where the verdict is kept, beside what Triton has compiled: by card, libraries and code; None where nothing can
    be kept."""
    import triton
    from triton.runtime.cache import get_cache_manager

    place = Path(__file__).parent
    shared = (Path(__file__), place / "base.py", place / "torch_reference.py", Path(sampling.__file__))
    sources = [*shared, *sorted((place / "triton_cuda").glob("*.py"))]
    versions = (torch.version.cuda, torch.version.hip, torch.__version__, triton.__version__)
    words = [torch.cuda.get_device_name(device), *map(str, versions)]
    key = hashlib.sha256("\n".join(words).encode() + b"".join(path.read_bytes() for path in sources)).hexdigest()
    try:
        return get_cache_manager(key)
    except OSError:  # a home that cannot be written to
        return None
