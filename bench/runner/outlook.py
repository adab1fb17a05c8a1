"""Before a run: which cells are finished, which will run and for how long, and why a finished one would run again."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.matrix.again import plan_again
from bench.matrix.fingerprint_diff import changes, completed
from bench.matrix.plan import Plan
from bench.poses_io.saved_fit import touched
from bench.record import OUTCOMES, Result
from bench.runner.display import span
from bench.runner.progress import counted
from bench.runner.run import Runner
from bench.runner.seal import is_broken
from bench.runner.settings import Settings
from bench.runner.shards import longest_job
from bench.runner.time_left import Durations

COMMAND = 2.0
"""GB that a job is given beside its workers': for the command itself, which scores with torch."""


class Prospect(NamedTuple):
    """What a run would do with one cell."""

    cell: str
    state: str  # "run", "skip: why", "finished: solved"
    seconds: float | None  # expected of its fit; None: unknown, or nothing to do
    threads: int  # of CPUs, that its workers are granted
    limit: float  # s, after which its fit would be killed
    memory: float | None = None  # GB, that a worker may have; None: as the machine allows


def outlook(made: Plan, settings: Settings) -> list[Prospect]:
    """A line a cell, from the suite's files alone; nothing is read of a scene but its digest."""
    runner = Runner(settings, lambda *_: None)
    durations, rows = Durations(settings), []
    for planned in map(runner.resolved, made.cells):
        standing = runner.standing(planned)
        state = f"skip: {planned.skip}" if planned.skip else "run"
        if standing:
            state = f"finished: {OUTCOMES[standing.outcome]}"
        expected = durations.fit(planned) if state == "run" else None
        share, limit = settings.share(planned.cell), settings.fit_limit(planned.cell)
        memory = share.memory_mb and share.memory_mb / 1024
        rows.append(Prospect(planned.cell.id, state, expected, share.threads, limit, memory))
    return rows


def summary(rows: Sequence[Prospect], settings: Settings) -> str:
    """`12 cells, 5 to run, of them 1 of unknown length, the others about 7 min of fitting on 2 threads`."""
    work = [row for row in rows if row.state == "run"]
    total = longest_job([min(row.seconds, row.limit) for row in work if row.seconds], settings.slots)
    unknown = sum(row.seconds is None for row in work)
    parts = [counted(len(rows), "cell"), f"{len(work)} to run"]
    if unknown:
        parts.append(f"of them {unknown} of unknown length")
    if total:
        granted = sorted({row.threads for row in work})
        threads = counted(granted[-1], "thread") if len(granted) == 1 else f"{granted[0]} to {granted[-1]} threads"
        length = f"about {span(total)} of fitting on {threads}"
        parts.append(f"the others {length}" if unknown else length)
    return ", ".join(parts)


def job_lengths(rows: Sequence[Prospect]) -> tuple[list[float], str]:
    """How long each cell that will run has to be given, s, and what is to be said of it: one of unknown length may take
    as long as the limit of its fit, and none takes longer."""
    work = [row for row in rows if row.state == "run"]
    unknown = [row.limit for row in work if row.seconds is None]
    remark = ""
    if unknown:
        least, most = min(unknown), max(unknown)
        each = f"{most:.0f} s" if least == most else f"{least:.0f} to {most:.0f} s"
        remark = f"{counted(len(unknown), 'cell')} of unknown length: {each} each, the limit of a fit"
    return [row.limit if row.seconds is None else min(row.seconds, row.limit) for row in work], remark


def wanted_at_once(rows: Sequence[Prospect], settings: Settings) -> tuple[int, float | None]:
    """CPU threads, and GB of memory where it is bounded, that a job needs whichever of its cells meet: as much as the
    most demanding do, as many as run side by side. The command itself has its share of the memory."""
    work = [row for row in rows if row.state == "run"]
    threads = sum(heapq.nlargest(settings.slots, (row.threads for row in work)))
    memory = sum(heapq.nlargest(settings.slots, (row.memory for row in work if row.memory)))
    return threads or settings.threads * settings.slots, memory + COMMAND if memory else None


def explain(
    result: Result, settings: Settings, *, roots: Sequence[Path], method: str | None = None
) -> tuple[list[str], str]:
    """Which parts of a settled cell's fingerprints have changed, a line each, and what a run would do with it.

    `method` is the method's file, where it came from one and lies elsewhere now. Raises ValueError where scene or
    method are gone.
    """
    runner = Runner(settings, lambda *_: None)
    now = runner.resolved(plan_again(result, roots, method))
    parts = runner.fingerprints.ingredients(now)
    earlier = dict(result.ingredients)
    if "fit" in earlier:
        earlier["fit"] = completed(earlier["fit"], result.provenance, parts["fit"])
    rows = list(changes(earlier, parts))
    lines = [f"{path}: {_short(before)} -> {_short(after)}" for path, before, after in rows]
    spoilt = touched(runner.folder(now) / "fit")
    if now.skip and result.status != "skipped" and not spoilt:
        return lines, f"stays, for it cannot be run here: {now.skip}"
    if spoilt or any(path.startswith("fit") for path, *_ in rows):
        return [*lines, *([spoilt] if spoilt else [])], "will be fitted again"
    if is_broken(result):
        lines.append("result.json was changed after it was judged, or sealed elsewhere")
    return lines, "will be judged again" if lines else "stands: nothing has changed"


def _short(value: Any) -> str:
    """A digest by its first letters, anything else as it is."""
    text = "absent" if value is None else str(value)
    return text[:12] if len(text) == 64 else text
