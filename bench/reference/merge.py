"""Rows of a run into a reference: a cell that is there already is replaced, and what may not stand there is refused."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from bench.judge import protocol
from bench.reference import FACTS, KEY

Row = Mapping[str, object]


def merged(reference: Sequence[Row], rows: Sequence[Row]) -> tuple[list[Row], int]:
    """Both, sorted, and how many cells of the reference were replaced. Cells that were skipped are left out, and so are
    rows of the reference that are of another protocol: numbers of two do not stand in one table.

    Raises ValueError for a row that was judged by another protocol than this version's, or that does not say what made
    it, and where two of the rows are one cell.
    """
    held: dict[tuple[str, ...], Row] = {}
    for row in rows:
        name = "/".join(str(row[part]) for part in KEY)
        if row["protocol"] != protocol.ID:
            raise ValueError(
                f"{name} was judged by {row['protocol']}, and the reference is of {protocol.ID}: `unposed judge` first"
            )
        if lacking := [fact for fact in FACTS if not row[fact] and row["outcome"] != "skipped"]:
            raise ValueError(f"{name} does not say its {', '.join(lacking)}: run it again, from a clone of the source")
        if _key(row) in held:
            raise ValueError(f"{name} is in two of the suites: name the one that is to count")
        if row["outcome"] != "skipped":
            held[_key(row)] = row
    before = {_key(row): row for row in reference if row["protocol"] == protocol.ID}
    return [row for _, row in sorted((before | held).items())], len(before.keys() & held.keys())


def written(rows: Sequence[Row]) -> str:
    """The table as text. A column that only newer rows have is empty in older ones."""
    names = list(dict.fromkeys(name for row in reversed(rows) for name in row))
    longest = max((list(row) for row in rows), key=len, default=[])
    file = io.StringIO()
    writer = csv.DictWriter(file, fieldnames=[*longest, *(name for name in names if name not in longest)],
                            lineterminator="\n")  # fmt: skip
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _key(row: Row) -> tuple[str, ...]:
    return tuple(str(row[part]) for part in KEY)
