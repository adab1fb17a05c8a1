"""How long kernels have been compiled in this process: once on a machine, and never again (`jit.py`)."""

from __future__ import annotations

from numba.core import event

_TIMER = event.TimingListener()
event.register("numba:compile", _TIMER)


def compiling_seconds() -> float:
    return _TIMER.duration if _TIMER.done else 0.0
