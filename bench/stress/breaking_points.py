"""Breaking points as rows and files: what `stress.py` finds and reports tell."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.degrade import KINDS
from bench.files import replacing
from bench.record import RERUNNABLE, ROTATION, Result, read_json, write_json

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "scene", "family", "kind", "method", "effort", "seeds", "tolerance", "verdict", "holds", "breaks", "reason",
    "cells", "saved", "trials",
)  # fmt: skip
"""Of `stress.csv`."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One severity, over all seeds."""

    severity: float
    successes: int
    cells: int
    rotation_deg: float  # median over seeds of pose/rotation_deg_median; 180 for a cell without an answer
    undone: int = 0  # of the cells: failed, timed out or out of memory, which another run may mend

    @staticmethod
    def of(severity: float, results: Sequence[Result]) -> Trial:
        found = [result.metrics.get(ROTATION, math.nan) for result in results]
        rotation = statistics.median(180.0 if math.isnan(each) else each for each in found)
        successes = sum(result.solved for result in results)
        undone = sum(result.status in RERUNNABLE for result in results)
        return Trial(severity=severity, successes=successes, cells=len(results), rotation_deg=rotation, undone=undone)

    @property
    def holds(self) -> bool:
        """Broken is a success rate below one half (the protocol, 7)."""
        return 2 * self.successes >= self.cells


@dataclass(frozen=True, kw_only=True)
class BreakingPoint:
    """One breaking point, and what it cost to find."""

    scene: str
    kind: str
    method: str
    effort: str
    seeds: tuple[int, ...]
    tolerance: float
    verdict: str  # see Search.verdict
    holds: float | None
    breaks: float | None
    reason: str | None  # why there is none: the method cannot run, or is not given what is spoilt
    cells: int  # that were looked at
    saved: int  # against all severities of the same grid
    trials: tuple[Trial, ...]  # by severity

    @property
    def question(self) -> tuple[str, str, str, str, tuple[int, ...], float]:
        """What makes it another row than another."""
        return self.scene, self.kind, self.method, self.effort, self.seeds, self.tolerance


def table_lines(rows: Sequence[BreakingPoint]) -> list[str]:
    """The table that `unposed stress` prints."""
    names = [f"{row.scene}/{row.kind}/{row.method}" for row in rows]
    width = max(map(len, names))
    lines = [f"{'':<{width}}  {'breaks at':<16}  cells  saved  severity: successes"]
    for name, row in zip(names, rows, strict=True):
        text = row.reason or "  ".join(map(_trial_text, row.trials))
        lines.append(f"{name:<{width}}  {row.verdict:<16}  {row.cells:>5}  {row.saved:>5}  {text}")
    return lines


def undone(rows: Sequence[BreakingPoint]) -> bool:
    """Whether a cell failed or timed out, which another run may mend."""
    return any(trial.undone for row in rows for trial in row.trials)


def _trial_text(trial: Trial) -> str:
    failed = f" ({trial.undone} failed or timed out)" if trial.undone else ""
    return f"{trial.severity:g}: {trial.successes}/{trial.cells}{failed}"


def keep(suite: Path, rows: Iterable[BreakingPoint]) -> None:
    """Write `stress.json` and `stress.csv` of a suite, each whole. Earlier answers to other questions stay."""
    known = {row.question: row for row in (*read(suite), *rows)}
    ordered = [known[question] for question in sorted(known)]
    write_json(suite / "stress.json", [asdict(row) for row in ordered])
    with replacing(suite / "stress.csv") as draft:
        _table(ordered).to_csv(draft, index=False)


def read(suite: Path) -> list[BreakingPoint]:
    """The rows that a suite's `stress.json` holds; none where there is no such file."""
    path = suite / "stress.json"
    return [
        BreakingPoint(
            **raw | {"seeds": tuple(raw["seeds"]), "trials": tuple(Trial(**trial) for trial in raw["trials"])}
        )
        for raw in (read_json(path) if path.exists() else [])
    ]


def _table(rows: Iterable[BreakingPoint]) -> pd.DataFrame:
    """One line a row; its trials as `severity:successes/cells`."""
    import pandas as pd

    lines = [
        asdict(row)
        | {
            "family": KINDS[row.kind].family if row.kind in KINDS else "",
            "seeds": " ".join(map(str, row.seeds)),
            "trials": " ".join(f"{each.severity:g}:{each.successes}/{each.cells}" for each in row.trials),
        }
        for row in rows
    ]
    return pd.DataFrame(lines, columns=list(COLUMNS))
