"""How long Triton has compiled for, which is done once on a machine."""

from __future__ import annotations

from typing import Any

from triton import knobs


class Compiling:
    """Listens to Triton's compiler, and lets whoever listened before hear it too."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._others = knobs.compilation.listener
        knobs.compilation.listener = self

    def __call__(self, *, times: Any, cache_hit: bool, **more: Any) -> None:
        self.seconds += 0.0 if cache_hit else times.total / 1e6
        if self._others is not None:
            self._others(times=times, cache_hit=cache_hit, **more)


COMPILING = Compiling()
