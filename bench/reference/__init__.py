"""Results that this suite has made and that others can hold themselves to: does another machine, another version,
reproduce them?

`cells.csv` has a row a cell. A run reproduces a question (scene, degradation, method, effort) in a column where the
median of its seeds lies within the reference's range over seeds, widened on both sides by its own width, or by what
this suite calls nothing (`FLOORS`) where that is more. One reference seed has no range: the floor is its width. Not
reproduced is a column that the reference has and no cell of the run, and a question of which a smaller share of the
cells is solved: those that collapse have no numbers that could differ.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.record import OUTCOMES, ROTATION, Result

FILE = Path(__file__).with_name("cells.csv")

FLOORS: Mapping[str, float] = {
    ROTATION: 0.02, "pose/registered": 0.02, "nvs/aligned/psnr": 0.3, "nvs/refined/psnr": 0.3, "nvs/aligned/iou": 0.01,
}  # fmt: skip
"""Columns that are held against the reference, and what difference in each is nothing, in the column's unit."""

SOLVED = "solved"
"""The share of the cells that are, held as a column beside FLOORS: less than the reference's is worse, whatever n."""

ALSO = (
    "pose/rotation_deg_mean", "pose/translation_mean", "camera/focal_relative_error", "confidence/doubtful",
    "nvs/registered/psnr", "nvs/mean_colour/psnr",
)  # fmt: skip
"""Columns that are kept beside: what others have published is in these, what a failure is charged, and what a
method is to find or says besides."""

Cells = list[tuple[str, Mapping[str, float]]]
"""How each ended, and its columns."""

FACTS = ("git", "device", "threads", "processor")
BETWEEN_FLAGS = " | "
"""Flags are sentences, with semicolons of their own."""

KEY = ("scene", "degradation", "method", "effort", "seed")
"""What one row is the only one of."""


@dataclass(frozen=True, kw_only=True, order=True)
class Asked:
    """What rows share that may be compared."""

    scene: str
    degradation: str
    method: str
    effort: str
    protocol: str

    def __str__(self) -> str:
        return f"{self.scene}/{self.degradation}/{self.method} at {self.effort}"


@dataclass(frozen=True, kw_only=True)
class Held:
    """One question and column: the run's median against the reference's range."""

    asked: Asked
    column: str
    found: float | None  # None: the run has no number there
    low: float  # of the range, as measured
    high: float
    n: int  # seeds of the run that have a number ...
    reference_n: int  # ... and of the reference

    @property
    def margin(self) -> float:
        return 0.0 if self.column == SOLVED else max(self.high - self.low, FLOORS[self.column])

    @property
    def reproduced(self) -> bool:
        if self.found is None:
            return False
        if self.column == SOLVED:  # more of them than the reference solves is no fault
            return self.found >= self.low
        return self.low - self.margin <= self.found <= self.high + self.margin

    @property
    def better(self) -> bool:
        """Whether it moved to the better side."""
        if self.found is None:
            return False
        return self.found < self.low if self.column == ROTATION else self.found > self.high

    def __str__(self) -> str:
        said = "as the reference" if self.reproduced else "better" if self.better else "WORSE"
        range_ = f"[{self.low:.3f}, {self.high:.3f}], n = {self.reference_n}"
        if self.found is None:
            return f"{self.asked}  {self.column}: no number, where the reference has {range_}"
        return f"{self.asked}  {self.column} {self.found:.3f} (n = {self.n}): {said}, {range_}"


def reproduce(results: Iterable[Result], rows: Sequence[Mapping[str, str]]) -> tuple[list[Held], list[str]]:
    """Every question of the run that the reference has, column by column, and the share of its cells that is solved;
    and what cannot be compared, a line each."""
    reference = _by_question((_asked(row), row["outcome"], _numbers(row)) for row in rows)
    run = _by_question((_question(result), result.outcome, result.metrics) for result in results)
    held, said = [], []
    for asked in sorted(run):
        mine, theirs = run[asked], reference.get(asked)
        if theirs is None:
            said.append(f"{asked}: not in the reference")
            continue
        held += _columns(asked, mine, theirs)
    return held, said


def _columns(asked: Asked, mine: Cells, theirs: Cells) -> Iterator[Held]:
    """Each that the reference has, and the share that is solved."""
    for column in FLOORS:
        a, b = ([cell[1][column] for cell in cells if column in cell[1]] for cells in (mine, theirs))
        if b:
            found = median(a) if a else None
            yield Held(
                asked=asked, column=column, found=found, low=min(b), high=max(b), n=len(a), reference_n=len(b)
            )  # fmt: skip
    once = _solved(theirs)
    yield Held(
        asked=asked, column=SOLVED, found=_solved(mine), low=once, high=once, n=len(mine), reference_n=len(theirs)
    )  # fmt: skip


def lines(held: Sequence[Held], said: Sequence[str]) -> list[str]:
    """What a person reads: each column of each question, what else is to be said, and the sum."""
    moved = sum(not each.reproduced for each in held)
    total = f"{len(held) - moved} of {len(held)} columns as the reference" + (f", {moved} moved" if moved else "")
    return [*map(str, held), *said, total]


def read(path: Path = FILE) -> list[dict[str, str]]:
    """Rows of a reference. Raises ValueError where there is none, and for what is no table of cells."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(_whole(csv.DictReader(file), path))
    except OSError as error:
        why = error.strerror
    except (UnicodeDecodeError, csv.Error) as error:
        why = str(error)
    raise ValueError(f"{path}: {why}; it must be a table as `python -m bench.reference` writes")


def _whole(rows: csv.DictReader[str], path: Path) -> Iterator[dict[str, str]]:
    """Raises ValueError for a row that has fewer values than the head has names, or more, as an edit leaves it."""
    head = rows.fieldnames or ()
    if lacking := [name for name in (*KEY, "protocol", "outcome") if name not in head]:
        raise ValueError(f"{path} has no column {', '.join(lacking)}; `python -m bench.reference` writes it")
    for row in rows:
        if None in row or None in row.values():
            raise ValueError(f"{path}, line {rows.line_num}: not {len(head)} values, as its head has names")
        if row["outcome"] not in OUTCOMES or not row["seed"].isdecimal():
            raise ValueError(f"{path}, line {rows.line_num}: no cell ends {row['outcome']!r} of seed {row['seed']!r}")
        yield row


def rows_of(results: Iterable[Result]) -> Iterator[dict[str, object]]:
    """What is kept of cells: what was asked, how it ended, the columns, and what made them."""
    for result in results:
        provenance = result.provenance
        versions = provenance.get("versions", {})
        yield {
            **vars(_question(result)), "seed": result.cell.seed, "outcome": result.outcome,
            "reason": result.reason or "",
            **{column: result.metrics.get(column, "") for column in (*FLOORS, *ALSO)},
            "fit_seconds": result.cost.get("fit_seconds", ""), "peak_rss_mb": result.cost.get("peak_rss_mb", ""),
            "given": "; ".join(result.given), "truth": result.reference, "tuned_on": "; ".join(result.tuned_on),
            "pretrained_on": "; ".join(result.pretrained_on), "flags": BETWEEN_FLAGS.join(result.flags),
            **{fact: provenance.get(fact, "") for fact in FACTS},
            "torch": versions.get("torch", ""), "fit": result.fingerprints.get("fit", "")[:16],
        }  # fmt: skip


def _by_question(cells: Iterable[tuple[Asked, str, Mapping[str, float]]]) -> dict[Asked, Cells]:
    found: dict[Asked, Cells] = {}
    for asked, outcome, numbers in cells:
        if outcome != "skipped":
            found.setdefault(asked, []).append((outcome, numbers))
    return found


def _solved(cells: Cells) -> float:
    return sum(outcome == "solved" for outcome, _ in cells) / len(cells)


def _question(result: Result) -> Asked:
    cell = result.cell
    return Asked(
        scene=cell.scene, degradation=cell.degradation, method=cell.method, effort=cell.effort, protocol=result.protocol
    )


def _asked(row: Mapping[str, str]) -> Asked:
    return Asked(**{name: row[name] for name in ("scene", "degradation", "method", "effort", "protocol")})


def _numbers(row: Mapping[str, str]) -> dict[str, float]:
    return {column: float(row[column]) for column in FLOORS if row.get(column)}
