"""Scenes as they are read: shared by the cells that run side by side, and not all kept."""

from __future__ import annotations

import threading
from collections import OrderedDict

from bench.regime import pixels_of
from bench.scene import Scene, SceneSource


class LoadedScenes:
    """The last two scenes read, shared by the cells that run side by side; a scene may be read in several regimes,
    which are told apart by their labels."""

    def __init__(self, keep: int = 2) -> None:
        self._lock, self._keep = threading.Lock(), keep
        self._loaded: OrderedDict[tuple[str, str], Scene] = OrderedDict()
        self._sound: set[tuple[str, str]] = set()

    def check(self, source: SceneSource, regime: str) -> None:
        """Read it unless it was read before. Raises SceneError."""
        if (source.name, regime) not in self._sound:
            self.get(source, regime)
            self._sound.add((source.name, regime))

    def get(self, source: SceneSource, regime: str) -> Scene:
        with self._lock:
            key = (source.name, regime)
            if key not in self._loaded:
                self._loaded[key] = source.load(pixels_of(regime))
                while len(self._loaded) > self._keep:
                    self._loaded.popitem(last=False)
            self._loaded.move_to_end(key)
            return self._loaded[key]
