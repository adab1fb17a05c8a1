"""A suite's results as one table: `results.parquet` and `results.csv`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cell import split_degradation
from bench.files import replacing
from bench.record import Result, drawn, encoded

if TYPE_CHECKING:
    import pandas as pd

TABLES = ("results.parquet", "results.csv")


def table(results: Iterable[Result]) -> pd.DataFrame:
    """One row a cell: what it was, how it ended, then every column of the protocol and of the cost."""
    import pandas as pd

    rows = []
    for result in results:
        kind, severity, draw = split_degradation(result.cell.degradation)
        rows.append(
            {
                "scene": result.cell.scene,
                "degradation": result.cell.degradation,
                "kind": kind,
                "severity": severity or 0.0,
                "draw": drawn(result) if draw is None else draw,
                "method": result.cell.method,
                "config": json.dumps(encoded(result.config), sort_keys=True),
                "seed": result.cell.seed,
                "effort": result.cell.effort,
                "given": "+".join(result.given) or "images only",
                "given_in_full": "; ".join(f"{name}: {text}" for name, text in result.given_in_full.items()),
                "tuned_on": ", ".join(result.tuned_on),
                "pretrained_on": ", ".join(result.pretrained_on),
                "reference": result.reference,
                "status": result.status,
                "outcome": result.outcome,
                "stage": result.stage,
                "reason": result.reason,
                "protocol": result.protocol,
                "flags": "; ".join(result.flags),
                **{key: float(value) for key, value in result.metrics.items()},
                **{f"cost/{key}": float(value) for key, value in result.cost.items()},
            }
        )
    return pd.DataFrame(rows)


def write_tables(suite: Path, results: Iterable[Result]) -> None:
    """`results.parquet` and `results.csv` of a suite, each replaced whole."""
    frame = table(results)
    writers = (lambda path: frame.to_parquet(path, index=False), lambda path: frame.to_csv(path, index=False))
    for name, write in zip(TABLES, writers, strict=True):
        with replacing(suite / name) as draft:
            write(draft)


def lacking(suite: Path, cells: Iterable[Path]) -> str | None:
    """What the tables of a suite lack of these cells, by when they were written, in words; or None."""
    table = suite / TABLES[-1]
    if not table.exists():
        return f"there is no {table.name} yet"
    written = table.stat().st_mtime
    newer = sum((cell / "result.json").stat().st_mtime > written for cell in cells)
    return f"{table.name} is older than {newer} of these results" if newer else None
