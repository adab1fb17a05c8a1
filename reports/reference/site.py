"""The reference as public pages: those of a report, of a suite that is made of its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from bench.cell import Cell, split_label
from bench.record import Result, Status, write_result
from bench.reference import ALSO, BETWEEN_FLAGS, FACTS, FLOORS, KEY
from reports.build import build
from reports.reference.coverage import METHODS
from reports.reference.lines import Row

DONE = frozenset({"solved", "answered", "short", "done"})
NAME = "record"
"""Of the suite, as its pages are headed."""

FIRST = "quick"
"""The effort whose pages are in the folder itself."""

NEEDED = frozenset({
    *KEY, *FACTS, *FLOORS, *ALSO, "protocol", "outcome", "reason", "truth", "given", "tuned_on", "pretrained_on",
    "flags", "fit_seconds", "peak_rss_mb", "fit", "torch",
})  # fmt: skip


def write_site(rows: Sequence[Row], out: Path) -> Path:
    """Pages of these rows into a folder: leaderboard, robustness, costs; no pictures, for the reference keeps none, and
    no variants of methods but those of a whole record: an ablation is no competitor of the whole.

    A suite has one effort: what was measured with another than `quick` (or, without it, than most rows) has pages of
    its own, in a folder of that name. Returns the path of `index.html`. Raises OSError, ValueError for rows that lack
    what a result has, and for none.
    """
    if lacking := sorted(NEEDED.difference(*rows[:1])):
        raise ValueError(f"the reference has no column {', '.join(lacking)}, which its pages show")
    rows = [row for row in rows if row["method"] in METHODS or not split_label(row["method"])[1]]
    if not rows:
        raise ValueError("the reference has no row of a whole method, so there are no pages to write")
    counts = Counter(row["effort"] for row in rows)
    first = FIRST if FIRST in counts else counts.most_common(1)[0][0]
    index = _write(rows, first, NAME, out)
    for effort in sorted(counts.keys() - {first}):
        _write(rows, effort, f"{NAME}, {effort}", out / effort)
    return index


def _write(rows: Sequence[Row], effort: str, name: str, out: Path) -> Path:
    with TemporaryDirectory() as place:
        suite = Path(place) / name
        for result in results([row for row in rows if row["effort"] == effort]):
            (suite / result.cell.folder).mkdir(parents=True)
            write_result(suite / result.cell.folder, result)
        return build(suite, out)


def results(rows: Sequence[Row]) -> Iterator[Result]:
    """What a row keeps of a result, as one: the inverse of `bench.reference.rows_of`, as far as that goes."""
    for row in rows:
        cell = Cell(seed=int(row["seed"]), **{name: row[name] for name in ("scene", "degradation", "method", "effort")})
        yield Result(
            cell=cell, config={}, protocol=row["protocol"], reason=row["reason"] or None,
            status=cast(Status, "done" if row["outcome"] in DONE else row["outcome"]),
            reference=row["truth"], given=_split(row["given"]), tuned_on=_split(row["tuned_on"]),
            pretrained_on=_split(row["pretrained_on"]),
            flags=_split(row["flags"], BETWEEN_FLAGS),
            metrics={name: float(row[name]) for name in (*FLOORS, *ALSO) if row[name]},
            cost={name: float(row[name]) for name in ("fit_seconds", "peak_rss_mb") if row[name]},
            fingerprints={"fit": row["fit"]},
            provenance={
                "git": row["git"], "device": row["device"], "threads": int(row["threads"]),
                "processor": row["processor"], "versions": {"torch": row["torch"]},
            },
        )  # fmt: skip


def _split(text: str, between: str = "; ") -> tuple[str, ...]:
    return tuple(text.split(between)) if text else ()
