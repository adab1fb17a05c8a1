"""`python -m bench.reference SUITE...`: the cells of these suites as a reference, on standard output."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from bench.record import cells_of
from bench.reference import rows_of


def main() -> None:
    rows = [row for suite in sys.argv[1:] for row in rows_of(result for _, result in cells_of(Path(suite)))]
    rows.sort(key=lambda row: tuple(str(row[key]) for key in ("scene", "degradation", "method", "effort", "seed")))
    writer = csv.DictWriter(sys.stdout, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


if __name__ == "__main__":
    main()
