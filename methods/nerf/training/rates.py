"""Learning rates over the course of a training: numbers alone, importing nothing heavy."""

from __future__ import annotations


def decayed(rate: float, decay: float, share: float) -> float:
    """The learning rate after `share` of the training: exponential, `rate * decay` at the end."""
    return rate * decay ** min(max(share, 0.0), 1.0)
