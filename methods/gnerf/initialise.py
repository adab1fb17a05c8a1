"""Weights from a generator that was passed: torch's own initialisation draws from a global one."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import normalize

SETTLING = 15
"""Power iterations after which the largest singular value of a fresh weight is known well enough."""


@torch.no_grad()
def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Draw all weights of convolutions and linear layers anew, as torch does: uniform in +-1 / sqrt(inputs).

    The power iterations of spectrally normalised layers (`torch.nn.utils.spectral_norm`) start anew as well.
    """
    for layer in network.modules():
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        parts = dict(layer.named_parameters(recurse=False)) | dict(layer.named_buffers(recurse=False))
        weight = parts.get("weight_orig", parts.get("weight"))
        assert weight is not None
        bound = weight[0].numel() ** -0.5
        nn.init.uniform_(weight, -bound, bound, generator=generator)
        if "bias" in parts:
            nn.init.uniform_(parts["bias"], -bound, bound, generator=generator)
        if "weight_u" in parts:
            matrix, u, v = weight.flatten(1), parts["weight_u"], parts["weight_v"]
            u.copy_(normalize(torch.randn(u.shape, generator=generator), dim=0))
            for _ in range(SETTLING):
                v.copy_(normalize(matrix.T @ u, dim=0))
                u.copy_(normalize(matrix @ v, dim=0))
