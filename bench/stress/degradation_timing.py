"""How long each kind takes over a whole capture: `python -m bench.stress.degradation_timing [KIND ...]`, run by hand.

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
from bench.matrix.registry import find_scene
from bench.regime import SIDE
from bench.task import Capture

BUDGET = 2.0
"""Seconds of the processor for a whole capture."""


def measure(capture: Capture, kind: str) -> list[float]:
    """Seconds of the processor at severities 1 to 5."""
    seconds = []
    for severity in range(1, 6):
        start = time.process_time()
        degrade(capture, Degradation(kind=kind, severity=severity), "timing")
        seconds.append(time.process_time() - start)
    return seconds


def main(kinds: Sequence[str]) -> int:
    """Print the table; the number of kinds over the budget."""
    scene = find_scene("blocks", ()).load(SIDE["quick"])
    capture = replace(scene.capture, start=scene.truth.poses, exact=frozenset(scene.truth.poses))
    full = replace(capture, background=None, masks=None)  # nothing tells the object: all pixels are worked on
    table = Table("kind", "median", "worst", "real background", "worst", "", title="seconds, severities 1 to 5")
    over = 0
    for kind in kinds:
        shown, slow = [], False
        for each in (capture, full):
            lacking = KINDS[kind].needs - each.inputs
            seconds = [] if lacking else measure(each, kind)
            shown += [f"{statistics.median(seconds):.2f}", f"{max(seconds):.2f}"] if seconds else ["-", "-"]
            slow |= max(seconds, default=0) > BUDGET
        over += slow
        table.add_row(kind, *shown, "OVER" if slow else "passes")
    Console().print(table)
    return over


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:] or list(KINDS)) else 0)
