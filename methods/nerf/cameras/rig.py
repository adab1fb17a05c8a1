"""What the poses of a capture have in common."""

from __future__ import annotations

import math

import torch
from torch import Tensor

CONE = 30.0
"""Degrees, as in the protocol: cameras that look within this of their mean direction face one way."""


def faces_one_way(poses: Tensor) -> bool:
    """Whether all cameras with `poses` (N, 4, 4) look within CONE of one direction, as those of a hand-held rig do."""
    forwards = poses[:, :3, 2].double()
    mean = torch.nn.functional.normalize(forwards.sum(dim=0), dim=0)
    return bool((forwards @ mean >= math.cos(math.radians(CONE))).all())
