"""How long each kind takes over a whole capture: `python -m bench.degrade.timing [KIND ...]`, run by hand.

A hundred views of 200 x 200 pixels shall pass in two seconds of one core, at every severity. Exits with 1 where a kind
does not.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from bench.degrade import KINDS, Degradation, degrade
from bench.registry import find_scene
from bench.scene import SIDE
from bench.task import Capture

BUDGET = 2.0
"""Seconds of the processor for a whole capture."""

REPEATS = 3


def measure(capture: Capture, kind: str, severity: int) -> float:
    """Median seconds of the processor."""
    seconds = []
    for _ in range(REPEATS):
        start = time.process_time()
        degrade(capture, Degradation(kind=kind, severity=severity), "timing")
        seconds.append(time.process_time() - start)
    return statistics.median(seconds)


def main(kinds: Sequence[str]) -> int:
    """Print the table; the number of kinds over the budget."""
    scene = find_scene("blocks", ()).load(SIDE["quick"])
    plain = scene.capture
    full = replace(plain, background=None)  # nothing tells the object: all pixels are worked on
    table = Table("kind", "plain background", "real background", "", title="seconds, median; worst of severities 1-5")
    over = 0
    for kind in kinds:
        worst = [max(measure(capture, kind, severity) for severity in range(1, 6)) for capture in (plain, full)]
        over += max(worst) > BUDGET
        table.add_row(kind, *(f"{each:.2f}" for each in worst), "passes" if max(worst) <= BUDGET else "OVER")
    Console().print(table)
    return over


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:] or list(KINDS)) else 0)
