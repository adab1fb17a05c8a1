"""What a person sees while cells run: a live table on a terminal; elsewhere plain lines, at work twice a minute."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from bench.cell import Cell
from bench.matrix.plan import Planned
from bench.record import OUTCOMES, Result
from bench.runner.progress import MARK, counted, headline
from bench.runner.run import Stage
from bench.runner.watch import AtWork, Watch

DOING = {"load": "reading the scene", "fit": "fitting", "judge": "judging"}
LOOK = 1.0
"""Seconds between two looks at what the fits say of themselves."""

EVERY = 30.0
"""Seconds between two lines of a cell at work, where there is no terminal."""


def display(console: Console, watch: Watch, *, opening: str = "", later: str = "") -> PlainLines:
    """`opening`: a line that is printed once a cell is begun; `later`: what comes after these cells."""
    kind = LiveTable if console.is_terminal else PlainLines
    return kind(console, watch, opening=opening, later=later)


class PlainLines:
    """A line a settled cell, and every half minute one for each that is at work."""

    every: float | None = EVERY

    def __init__(self, console: Console, watch: Watch, *, opening: str = "", later: str = "") -> None:
        self.console, self.watch, self.opening, self.later = console, watch, opening, later
        self._over = threading.Event()
        self._looking = threading.Thread(target=self._look, daemon=True, name="display")
        self._shown: set[Cell] = set()  # whose previews were named

    def __enter__(self) -> Self:
        self._looking.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._looking.join()

    def __call__(self, planned: Planned, stage: Stage, result: Result | None) -> None:
        self.watch.heard(planned, stage, result)
        opening, self.opening = self.opening, ""
        if opening:
            self.console.print(opening, soft_wrap=True, markup=False)
        if result is not None:
            self.console.print(self._settled(stage, result), soft_wrap=True)

    def say(self) -> None:
        """A line for each cell at work."""
        of_all = all_left(self.watch)
        for work in self.watch.working():
            parts = [doing(self.watch, work), *details(self.watch, work), of_all]
            if work.progress.previews and work.planned.cell not in self._shown:
                self._shown.add(work.planned.cell)
                parts.append(f"previews in {work.progress.previews}")
            head = f"[{self.watch.ended}/{self.watch.total}] … {work.planned.cell.id}  "
            self.console.print(Text(head + "; ".join(filter(None, parts))), soft_wrap=True)

    def _look(self) -> None:
        said = time.monotonic()
        while not self._over.wait(LOOK):
            self.watch.look()
            if self.every is not None and time.monotonic() - said >= self.every:
                said = time.monotonic()
                self.say()

    def _settled(self, stage: Stage, result: Result) -> Text:
        mark, style = MARK[result.outcome]
        line = Text()
        line.append(f"[{self.watch.ended:>{len(str(self.watch.total))}}/{self.watch.total}] ", style="dim")
        line.append(f"{mark} {result.cell.id}", style=style)
        line.append(f"  {OUTCOMES[result.outcome]}" + (" (cached)" if stage == "cached" else ""), style=style)
        line.append(f"  {headline(result)}", style="default")
        return line


class LiveTable(PlainLines):
    """Settled cells scroll by; those at work stay below, with how far they are and how long they take."""

    every = None

    def __init__(self, console: Console, watch: Watch, *, opening: str = "", later: str = "") -> None:
        super().__init__(console, watch, opening=opening, later=later)
        self.live = Live(get_renderable=self.table, console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        self.live.start()
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self.live.stop()

    def table(self) -> Group:
        """The cells at work, each on a few lines that wrap where the terminal is narrow, and what is left of all."""
        lines = []
        working = self.watch.working()
        for work in working:
            lines.append(Text(f"… {work.planned.cell.id}  {doing(self.watch, work)}"))
            if said := details(self.watch, work):
                lines.append(Text("  " + ", ".join(said), style="dim"))
            if work.progress.previews and 3 * len(working) < self.console.height:
                lines.append(Text(f"  previews in {work.progress.previews}", style="dim", overflow="fold"))
        done = f"{self.watch.ended} of {counted(self.watch.total, 'cell')}"
        lines.append(Text(", ".join(filter(None, [done, all_left(self.watch), self.later])), style="dim"))
        return Group(*lines)


def doing(watch: Watch, work: AtWork) -> str:
    """`fitting for 40 s, about 1 min left`."""
    left = watch.left(work)
    said = f"{DOING.get(work.stage, work.stage)} for {span(watch.seconds(work))}"
    return said if left is None else f"{said}, about {span(left)} left"


def details(watch: Watch, work: AtWork) -> list[str]:
    """`phase AB`, `step 900 of 1700`, `loss 0.0123`, `PSNR 21.3 dB`, `on 2 threads`."""
    if work.stage != "fit":
        return []
    seen, settings = work.progress, watch.settings
    step = f"step {seen.step} of {seen.steps}" if seen.steps else f"step {seen.step}" if seen.step else ""
    losses = [f"{' '.join(reversed(name.split('/')))} {value:.3g}" for name, value in seen.losses.items()]
    quality = "" if seen.psnr is None else f"PSNR {seen.psnr:.1f} dB"
    devices = settings.devices
    means = "" if devices.kind == "cpu" else f"{devices.first if len(devices.names) == 1 else devices.kind} and "
    means = f"on {means}{counted(settings.share(work.planned.cell).threads, 'thread')}"
    return [part for part in (seen.phase, step, *losses, quality, means) if part]


def all_left(watch: Watch) -> str:
    """`about 6 min left for all`, as far as anybody knows."""
    seconds, unknown = watch.all_left()
    if not seconds:
        return ""
    return f"{'more than' if unknown else 'about'} {span(seconds)} left for all"


def span(seconds: float) -> str:
    """`40 s`, `6 min`, `1 h 20 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 and minutes < 600 else "")
