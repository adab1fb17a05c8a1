"""Results in words: a row on a line, the tally of many, what a fit cost."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence

from bench.record import OUTCOMES, ROTATION, Outcome, Result, given_in_words

MARK: dict[Outcome, tuple[str, str]] = {
    "solved": ("●", "green"), "answered": ("◐", "yellow"), "short": ("◌", "cyan"), "done": ("●", "cyan"),
    "collapsed": ("◔", "yellow"), "skipped": ("○", "dim"),
    "timeout": ("✗", "red"), "out_of_memory": ("✗", "red"), "failed": ("✗", "red"),
}  # fmt: skip


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
    parts.append(f"given {given_in_words(result.given)}")
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
