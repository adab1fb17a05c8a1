"""Work beside its caller, who never waits longer for one piece of it than it may take."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable


class Lane:
    """Actions done one after another by a thread of their own, each of which should take `patience` seconds at most.

    A thread cannot be killed: one that a server holds is left behind, and ends with the process.
    """

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self._waiting: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._left = 0
        self._began: float | None = None  # of the action that is being done
        self._changed = threading.Condition()
        threading.Thread(target=self._work, daemon=True, name="tracking").start()

    def put(self, action: Callable[[], object]) -> None:
        """Have an action done after those before it; it must raise nothing."""
        with self._changed:
            self._left += 1
        self._waiting.put(action)

    def beat(self) -> None:
        """The present action gets on: what it does next may take `patience` seconds again."""
        self._began = time.monotonic()

    @property
    def waiting(self) -> int:
        """Actions that are not done, the present one among them."""
        return self._left

    @property
    def is_stuck(self) -> bool:
        """Whether the present action takes too long."""
        began = self._began
        return began is not None and time.monotonic() - began > self.patience

    def join(self, most: float = math.inf) -> bool:
        """Wait until all is done; False as soon as one action takes too long, or all of them more than `most` seconds
        from now."""
        end = time.monotonic() + most
        with self._changed:
            while self._left and not self.is_stuck and time.monotonic() < end:
                self._changed.wait(0.2)
            return self._left == 0

    def _work(self) -> None:
        while True:
            action = self._waiting.get()
            self._began = time.monotonic()
            try:
                action()
            finally:
                with self._changed:
                    self._began = None
                    self._left -= 1
                    self._changed.notify_all()
