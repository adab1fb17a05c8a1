"""Scenes as they are read: shared by the cells that run side by side, and not all kept."""

from __future__ import annotations

import threading
from collections import OrderedDict

from bench.scene import Scene, SceneSource


class LoadedScenes:
    """The last two scenes read, shared by the cells that run side by side."""

    def __init__(self, keep: int = 2) -> None:
        self._lock, self._keep = threading.Lock(), keep
        self._loaded: OrderedDict[tuple[str, int], Scene] = OrderedDict()
        self._sound: set[tuple[str, int]] = set()

    def check(self, source: SceneSource, side: int) -> None:
        """Read it unless it was read before. Raises SceneError."""
        if (source.name, side) not in self._sound:
            self.get(source, side)
            self._sound.add((source.name, side))

    def get(self, source: SceneSource, side: int) -> Scene:
        with self._lock:
            key = (source.name, side)
            if key not in self._loaded:
                self._loaded[key] = source.load(side)
                while len(self._loaded) > self._keep:
                    self._loaded.popitem(last=False)
            self._loaded.move_to_end(key)
            return self._loaded[key]
