"""Which back end takes a grid on a device, and how many threads it may use."""

from __future__ import annotations

import sys

import torch

from methods.nerf.backends import torch_reference
from methods.nerf.backends.base import GridBackend
from methods.nerf.backends.trial import fault
from methods.nerf.config import Backend


def select_backend(device: torch.device, asked: Backend = "auto") -> GridBackend:
    """The one asked for, where it can run; else numba on the CPU, the fused kernels on CUDA where they come to what
    plain torch comes to (`trial.py`), and plain torch on any other device.

    A field keeps what was asked for in its file, and may be loaded on another device.
    """
    if device.type == "cuda" and (asked == "triton" or (asked == "auto" and not fault(device))):
        from methods.nerf.backends.triton_cuda import backend as triton_cuda  # triton comes with torch's CUDA builds

        return triton_cuda
    if asked == "torch" or device.type != "cpu":
        return torch_reference
    from methods.nerf.backends.numba_cpu import backend as numba_cpu  # for those alone who compute on the CPU

    return numba_cpu


def set_threads(threads: int) -> None:
    """How many CPU threads this process may use, in torch and in the kernels."""
    from methods.nerf.backends.numba_cpu.threads import set_kernel_threads

    torch.set_num_threads(threads)
    set_kernel_threads(threads)


def compiling_seconds() -> float:
    """How long this process has spent on compiling kernels, which is done once on a machine; 0 where it has none."""
    jit = sys.modules.get("methods.nerf.backends.numba_cpu.jit")  # numba is imported by those alone who use it,
    triton = sys.modules.get("methods.nerf.backends.triton_cuda.compiling")  # and so is triton
    return (0.0 if jit is None else jit.compiling_seconds()) + (0.0 if triton is None else triton.COMPILING.seconds)
