"""Learning rates over the course of a training: numbers alone, importing nothing heavy."""

from __future__ import annotations


def decayed(rate: float, decay: float, share: float) -> float:
    """The learning rate after `share` of the training: exponential, `rate * decay` at the end."""
    return rate * decay ** min(max(share, 0.0), 1.0)


def ramped(step: int, length: int) -> float:
    """The share, in [0, 1], of its rate that step 0, 1, ... has, on a straight way up over `length` steps; 0 before."""
    return min(1.0, max(0, step + 1) / max(1, length))
