"""The back end for CUDA: gsplat (Ye et al. 2024), whose kernels are compiled at first use.

Colours are handed to it as each view sees them, one set a view, and the background is laid under afterwards: so that
images of any number of channels are drawn, and no convention of harmonics is shared.
"""

from __future__ import annotations

import importlib
import subprocess
from typing import Any

import torch
from torch import Tensor

from bench.task import Camera
from methods.nerf.gaussians.splats import LOW_PASS, NEAREST, Drawing, Splats, inverse

WARM_UP = "TORCH_EXTENSIONS_DIR=... python -c 'from gsplat.cuda._backend import _C; assert _C'"
"""Compiles the kernels into a folder that workers share, once: two that compile at once remove each other's."""

WIDEST = 200
"""Characters that are kept of what a compiler said, so that what to do about it fits into a row, too."""


def rasterise(splats: Splats, colours: Tensor, poses: Tensor, camera: Camera, pixels: Tensor | None) -> Drawing:
    """As `methods.nerf.gaussians.rasterise`. Raises ImportError or RuntimeError with what to do where gsplat or
    its kernels are not there."""
    inner = torch.tensor(camera.matrix, dtype=torch.float32, device=poses.device).expand(len(poses), 3, 3)
    seen, opacity, _ = _gsplat().rasterization(
        splats.means, splats.rotations, splats.scales, splats.opacities, colours, inverse(poses), inner.contiguous(),
        camera.width, camera.height, near_plane=NEAREST, eps2d=LOW_PASS, sh_degree=None, packed=False,
        render_mode="RGB+ED",
    )  # fmt: skip
    flat, opaque = seen.flatten(1, 2), opacity.flatten(1, 2).squeeze(-1)  # (V, H * W, C + 1), (V, H * W)
    if pixels is not None:
        flat = torch.gather(flat, 1, pixels[..., None].expand(-1, -1, flat.shape[-1]))
        opaque = torch.gather(opaque, 1, pixels)
    return Drawing(flat[..., :-1], flat[..., -1], opaque)


def _gsplat() -> Any:
    """The package, by name: that Gaussians alone depend on it is what `Accelerator.packages` says. Its kernels are
    asked for here, for without them it fails later, in its own words. Raises ImportError or RuntimeError."""
    try:
        package = importlib.import_module("gsplat")
    except ImportError as error:
        raise ImportError(f"Gaussians on CUDA need gsplat: pip install 'unposed[gsplat]' ({error})") from error
    try:
        kernels = importlib.import_module("gsplat.cuda._backend")._C
    except (ImportError, RuntimeError, OSError, subprocess.CalledProcessError) as error:
        raise RuntimeError(_told(str(error).strip().partition("\n")[0][:WIDEST])) from error
    if kernels is None:
        raise RuntimeError(_told("it found no CUDA toolkit"))
    return package


def _told(why: str) -> str:
    return f"gsplat's kernels could not be compiled or loaded ({why}); try alone, before the run: {WARM_UP}"
