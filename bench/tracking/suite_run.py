"""What MLflow is sent of a suite as a whole, its parent run: what was asked, and how it went."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from bench.record import OUTCOMES, ROTATION, Result
from bench.runner.progress import closing
from bench.tracking.cell_run import LONGEST, allowed

PSNR = "nvs/aligned/psnr"


def params_of(results: Sequence[Result]) -> dict[str, str]:
    """The suite's matrix: names, comma-separated."""
    axes: dict[str, Callable[[Result], object]] = {
        "scenes": lambda result: result.cell.scene,
        "degradations": lambda result: result.cell.degradation,
        "methods": lambda result: result.cell.method,
        "seeds": lambda result: result.cell.seed,
        "effort": lambda result: result.cell.effort,
        "protocol": lambda result: result.protocol,
    }
    return {name: _listed(map(axis, results))[:LONGEST] for name, axis in axes.items()}


def metrics_of(results: Sequence[Result]) -> dict[str, float]:
    """How many cells ended how; of each method the share that it solved, and medians over its answers."""
    outcomes = Counter(result.outcome for result in results)
    found = {"cells": float(len(results)), **{f"cells/{name}": float(outcomes[name]) for name in OUTCOMES}}
    for method in sorted({result.cell.method for result in results}):
        own = [result for result in results if result.cell.method == method and result.status != "skipped"]
        if own:
            found[f"{method}/solved_share"] = sum(result.solved for result in own) / len(own)
        for column, name in ((ROTATION, "rotation_deg_median"), (PSNR, "psnr_aligned_median")):
            values = [result.metrics[column] for result in own if result.status == "done" and column in result.metrics]
            if values:
                found[f"{method}/{name}"] = statistics.median(values)
    return {allowed(name): value for name, value in found.items()}


def note_of(suite: Path, results: Sequence[Result]) -> str:
    """The description of the parent run, Markdown."""
    lines = "\n".join(f"    {line}" for line in closing(results))
    return f"Suite `{suite}`, its cells below; `unposed report --out {suite}` writes its report.\n\n{lines}\n"


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(str, sorted(set(values), key=lambda value: (str(type(value)), value))))  # type: ignore[type-var]
