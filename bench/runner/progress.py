"""What a person sees while cells run: a live table on a terminal, one plain line a cell elsewhere."""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bench.cell import Cell
from bench.matrix.plan import Planned
from bench.record import OUTCOMES, ROTATION, Outcome, Result
from bench.runner.run import Stage

MARK: dict[Outcome, tuple[str, str]] = {
    "solved": ("●", "green"), "answered": ("◐", "yellow"), "short": ("◌", "cyan"), "done": ("●", "cyan"),
    "collapsed": ("◔", "yellow"), "skipped": ("○", "dim"),
    "timeout": ("✗", "red"), "out_of_memory": ("✗", "red"), "failed": ("✗", "red"),
}  # fmt: skip
DOING = {"load": "reading the scene", "fit": "fitting", "judge": "judging"}


def headline(result: Result) -> str:
    """The numbers of a row that fit on a line, or why there are none."""
    if result.status != "done":
        return result.reason or ""
    parts = []
    for column, form in (
        (ROTATION, "{:.2f} deg"),
        ("pose/registered", "{:.0%} registered"),
        ("nvs/aligned/psnr", "{:.2f} dB"),
        ("nvs/aligned/iou", "IoU {:.3f}"),
    ):
        if column in result.metrics:
            parts.append(form.format(result.metrics[column]))
    if cost := fit_cost([result]):
        parts.append(cost)
    parts.append("given " + ("+".join(result.given) or "images only"))
    if result.tuned_here:
        parts.append("† tuned on this scene")
    return "  ".join([*parts, *(f"! {flag}" for flag in result.flags)])


def tally(results: Sequence[Result]) -> str:
    """`3 cells: 1 solved · 1 answered, not solved · 1 failed`."""
    return f"{len(results)} cell{'s' if len(results) != 1 else ''}: {_counts(results)}"


def closing(results: Sequence[Result]) -> list[str]:
    """The table at the end of a run: a line a method, where there are several, then the tally of all."""
    methods: dict[str, list[Result]] = {}
    for result in results:
        methods.setdefault(result.cell.method, []).append(result)
    width = max(map(len, methods), default=0)
    rows = []
    for method, each in methods.items():
        cost, tuned = fit_cost(each), sorted({result.cell.scene for result in each if result.tuned_here})
        parts = [f"{method:<{width}}", _counts(each), f"{cost} a fit" if cost else ""]
        rows.append("  ".join(filter(None, [*parts, f"† tuned on {', '.join(tuned)}" if tuned else ""])))
    return [*(rows if len(rows) > 1 else []), tally(results)]


def fit_cost(results: Sequence[Result]) -> str | None:
    """`12 s on 2 threads`, the median of these fits. Seconds of other numbers of threads are other figures, each with
    its own median; None where no fit was timed."""
    by_threads: dict[int | None, list[float]] = {}
    for result in results:
        if "fit_seconds" in result.cost:
            by_threads.setdefault(result.threads, []).append(result.cost["fit_seconds"])
    parts = [
        f"{statistics.median(seconds):.0f} s" + (f" on {counted(threads, 'thread')}" if threads else "")
        for threads, seconds in sorted(by_threads.items(), key=lambda item: item[0] or 0)
    ]
    return ", ".join(parts) or None


def counted(count: int, what: str) -> str:
    """`1 thread`, `2 threads`."""
    return f"{count} {what}" + ("s" if count != 1 else "")


def _counts(results: Sequence[Result]) -> str:
    counts = Counter(result.outcome for result in results)
    return " · ".join(f"{counts[outcome]} {OUTCOMES[outcome]}" for outcome in MARK if counts[outcome])


class Display(Protocol):
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def __call__(self, planned: Planned, stage: Stage, result: Result | None) -> None: ...


def display(console: Console, total: int) -> Display:
    return LiveTable(console, total) if console.is_terminal else PlainLines(console, total)


class PlainLines:
    def __init__(self, console: Console, total: int) -> None:
        self.console, self.total, self.ended = console, total, 0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def __call__(self, planned: Planned, stage: Stage, result: Result | None) -> None:
        with self._lock:
            if result is not None:
                self.ended += 1
                self.console.print(_line(self.ended, self.total, stage, result), soft_wrap=True)


class LiveTable(PlainLines):
    """Settled cells scroll by; the cells at work stay below with what they do and for how long."""

    def __init__(self, console: Console, total: int) -> None:
        super().__init__(console, total)
        self.working: dict[Cell, tuple[Stage, float]] = {}
        self.live = Live(get_renderable=self._table, console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.stop()

    def __call__(self, planned: Planned, stage: Stage, result: Result | None) -> None:
        with self._lock:
            if result is None:
                self.working[planned.cell] = (stage, time.monotonic())
            else:
                self.working.pop(planned.cell, None)
        super().__call__(planned, stage, result)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for cell, (stage, since) in list(self.working.items()):
            table.add_row("…", cell.id, DOING.get(stage, stage), f"{time.monotonic() - since:.0f} s")
        table.add_row("", Text(f"{self.ended} of {self.total} cells", style="dim"), "", "")
        return table


def _line(number: int, total: int, stage: Stage, result: Result) -> Text:
    mark, style = MARK[result.outcome]
    line = Text()
    line.append(f"[{number:>{len(str(total))}}/{total}] ", style="dim")
    line.append(f"{mark} {result.cell.id}", style=style)
    line.append(f"  {OUTCOMES[result.outcome]}" + (" (cached)" if stage == "cached" else ""), style=style)
    line.append(f"  {headline(result)}", style="default")
    return line
