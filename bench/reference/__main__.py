"""`python -m bench.reference SUITE...`: the cells of these suites as a reference, on standard output; with `--merge`,
into the reference that the suite ships, cell by cell (`make reference RUN=...`)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.files import replacing
from bench.judge import protocol
from bench.record import cells_of
from bench.reference import FILE, read, rows_of
from bench.reference.merge import merged, written


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.reference", description=__doc__)
    parser.add_argument("suites", nargs="+", type=Path, metavar="SUITE")
    parser.add_argument("--merge", action="store_true", help=f"into {FILE.name}")
    asked = parser.parse_args()
    try:
        rows = [row for suite in asked.suites for row in rows_of(result for _, result in cells_of(suite, views=False))]
        before = read() if asked.merge else []
        held, replaced = merged(before, rows)
    except ValueError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    if not asked.merge:
        sys.stdout.write(written(held))
        return
    with replacing(FILE) as draft:
        draft.write_text(written(held), encoding="utf-8")
    old = sum(row["protocol"] != protocol.ID for row in before)
    dropped = f", {old} of another protocol dropped" if old else ""
    sys.stdout.write(
        f"{FILE}: {len(held)} cells, {replaced} of them anew{dropped}; `make tables` brings the pages up to date\n"
    )


if __name__ == "__main__":
    main()
