"""Which back end takes a grid on a device, and how many threads it may use."""

from __future__ import annotations

import torch

from methods.nerf.backends import torch_reference
from methods.nerf.backends.base import GridBackend
from methods.nerf.config import Backend


def select_backend(device: torch.device, asked: Backend = "auto") -> GridBackend:
    """numba on the CPU, unless plain torch is asked for; torch on any other device, whatever is asked for."""
    if device.type != "cpu" or asked == "torch":
        return torch_reference
    from methods.nerf.backends.numba_cpu import backend  # numba is imported by those who compute on the CPU alone

    return backend


def set_threads(threads: int) -> None:
    """How many CPU threads this process may use, in torch and in the kernels."""
    from methods.nerf.backends.numba_cpu.threads import set_kernel_threads

    torch.set_num_threads(threads)
    set_kernel_threads(threads)
