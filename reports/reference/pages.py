"""Pages that quote the reference: between two markers stands what a table of `tables.KINDS` says, and nothing else.

<!-- reference: sweep; scenes = blocks nerf_synthetic/chair; methods = gnerf colmap_nerf; kinds = low_texture -->
<!-- end -->
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from reports.reference.lines import Row
from reports.reference.tables import KINDS, chosen

MARKED = re.compile(
    r"^(<!-- reference: (?P<asked>[^>]*?) -->\n)(?P<held>.*?)^(<!-- end -->)$", re.MULTILINE | re.DOTALL
)
BEGIN, END = re.compile(r"(?<!`)<!--\s*reference\b"), re.compile(r"(?<!`)<!--\s*end\s*-->")
"""Markers as a formatter may leave them: indented, or without their spaces. Those in code are none."""

OPTIONS = ("scenes", "methods", "kinds", "effort")


def pages(root: Path) -> Iterator[Path]:
    """Every page of the clone that may quote it."""
    yield root / "README.md"
    yield from sorted((root / "docs").rglob("*.md"))
    yield from sorted((root / "methods").glob("*/README.md"))


def updated(page: Path, rows: Sequence[Row]) -> str:
    """The page's text as it should be. Raises ValueError where a marker asks for what there is not."""

    def fresh(match: re.Match[str]) -> str:
        try:
            return f"{match[1]}\n{written(match['asked'], rows)}\n\n{match[4]}"
        except ValueError as error:
            raise ValueError(f"{page}: <!-- reference: {match['asked']} -->: {error}") from error

    text = page.read_text(encoding="utf-8")
    begun, ended, whole = (len(pattern.findall(text)) for pattern in (BEGIN, END, MARKED))
    if not begun == ended == whole:
        raise ValueError(
            f"{page}: {begun} markers begin, {ended} end, and {whole} tables stand between two; write `<!-- reference: "
            "... -->` and `<!-- end -->` in pairs, each at the begin of a line of its own"
        )
    return MARKED.sub(fresh, text)


def written(asked: str, rows: Sequence[Row]) -> str:
    """The table that a marker asks for, as Markdown."""
    kind, *options = (part.strip() for part in asked.split(";"))
    if kind not in KINDS:
        raise ValueError(f"there is no table {kind!r}; there are {', '.join(KINDS)}")
    wanted = {}
    for option in options:
        name, equals, values = (part.strip() for part in option.partition("="))
        if name not in OPTIONS or not (equals and values):
            raise ValueError(f"{option!r} is not one of {', '.join(OPTIONS)} = values")
        wanted[name] = values.split()
    return "\n".join(KINDS[kind](chosen(rows, wanted)))
