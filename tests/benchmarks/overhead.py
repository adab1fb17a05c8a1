"""What the harness costs beside the fits: `python tests/benchmarks/overhead.py [CELLS]`, on a machine that is idle.

Cells at `smoke` of a method that takes no time: what is left is the worker that is started, the judgement, with the
workers that render, the result that is written and the run in MLflow. Then the start-up of verbs. Seconds are medians.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from bench.matrix.plan import plan
from bench.matrix.selection import Selection
from bench.runner.run import run
from bench.runner.settings import Settings
from bench.tracking.tracker import Tracker

METHOD = Path(__file__).with_name("stepping.py")
PLAN = ["plan", "-s", "blocks", "-m", "nerf"]
VERBS = (["--help"], ["list", "scenes"], ["info", "nerf"], PLAN, ["status"], ["report"])


def used() -> tuple[float, float]:
    """Wall and CPU seconds so far, those of children that have ended included."""
    now = os.times()
    return time.monotonic(), now.user + now.system + now.children_user + now.children_system


class Stages:
    """Wall and CPU seconds of the stages of each cell, told by the run as it goes."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self._stage, self._began = "", used()

    def __call__(self, planned, stage, result) -> None:
        now = used()
        if self._stage:
            wall, cpu = (after - before for after, before in zip(now, self._began, strict=True))
            self.seconds[self._stage].append((wall, cpu))
        self._stage, self._began = "" if stage in ("ended", "cached") else stage, now


def line(name: str, pairs: list[tuple[float, float]]) -> str:
    wall, cpu = (statistics.median(values) for values in zip(*pairs, strict=True))
    return f"{name:42} {wall:6.2f} s of wall  {cpu:6.2f} s of CPU  (n = {len(pairs)})\n"


def cells(suite: Path, count: int) -> None:
    selection = Selection(
        scenes="blocks", methods=f"{METHOD}[steps=0]", degradations="clean", seeds=f"0-{count}", effort="smoke"
    )
    stages = Stages()
    results = run(plan(selection), Settings(suite=suite, threads_asked=1), stages)
    names = {"load": "load and show", "fit": "fit: worker, capture, field", "judge": "judge, render, record"}
    for stage, name in names.items():
        sys.stdout.write(line(name, stages.seconds[stage][1:]))  # the first reads the scene, and imports
    each = zip(*(stages.seconds[stage][1:] for stage in names), strict=True)
    sys.stdout.write(line("a cell", [tuple(map(sum, zip(*parts, strict=True))) for parts in each]))
    tracker, sent = Tracker(suite), []
    for result in results:
        began = used()
        tracker.send(suite / result.cell.folder, result)
        sent.append(tuple(after - before for after, before in zip(used(), began, strict=True)))
    sys.stdout.write(line("track (beside the run)", sent[1:]))


def verbs(suite: Path) -> None:
    for words in VERBS:
        where = ["-o", str(suite)] if words[0] in ("plan", "status", "report") else []
        spent = []
        for _ in range(3):
            began = used()
            command = [sys.executable, "-m", "bench.cli", *words, *where]
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            spent.append(tuple(after - before for after, before in zip(used(), began, strict=True)))
        sys.stdout.write(line(f"unposed {' '.join(words)}", spent))


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cells(Path(folder) / "s", count)
        verbs(Path(folder) / "s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
