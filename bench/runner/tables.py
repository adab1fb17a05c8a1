"""A suite's tables while a run is at work, so that `kill -9` at any moment leaves some that are nearly as new as the
results."""

from __future__ import annotations

import time
from pathlib import Path

from bench.record import read_suite
from bench.results_table import write_tables

EVERY = 60.0
"""Seconds after which tables are old."""

SHARE = 0.02
"""Of a run's time, at most, goes into tables: those of 10,000 cells take seconds, and are written the more seldom."""


def rewrite(suite: Path) -> None:
    """Of all results that the suite holds, whoever settled them."""
    write_tables(suite, [result for _, result in read_suite(suite, views=False)])


class Tables:
    """Rewritten once there are twice as many settled cells as at the last time, or they are old; never so often that it
    takes more than its share of the time."""

    def __init__(self, suite: Path, cells: int) -> None:
        self.suite = suite
        self._cells, self._written, self._took = cells, time.monotonic(), 0.0

    def settled(self, cells: int) -> None:
        """So many cells are settled by now."""
        age = time.monotonic() - self._written
        if age >= self._took / SHARE and (cells >= 2 * self._cells or age >= EVERY):
            began = time.monotonic()
            rewrite(self.suite)
            self._cells, self._written = cells, time.monotonic()
            self._took = self._written - began
