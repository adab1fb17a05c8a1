"""`python -m reports.reference`: bring every table that pages quote of the reference up to date (`make tables`);
`--check` says which are not, with exit code 1; `--site FOLDER` writes the public pages (`make docs`)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.reference import read
from reports.naming import replace
from reports.reference.pages import pages, updated
from reports.reference.site import write_site

ROOT = Path(__file__).parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m reports.reference", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 where a page differs")
    parser.add_argument("--site", type=Path, metavar="FOLDER", help="write the public pages there, and nothing else")
    asked = parser.parse_args()
    try:
        if asked.site:
            sys.stdout.write(f"{write_site(read(), asked.site)}\n")
            return
        fresh = {page: updated(page, read()) for page in pages(ROOT)}
    except (OSError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    old = [page for page, text in fresh.items() if text != page.read_text(encoding="utf-8")]
    for page in old:
        if asked.check:
            sys.stderr.write(f"{page}: a table is not that of the reference: `make tables`\n")
        else:
            replace(page, fresh[page])
            sys.stdout.write(f"{page}\n")
    sys.exit(1 if asked.check and old else 0)


if __name__ == "__main__":
    main()
