"""A table for a paper, apart from how it is written: cells, marks, notes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reports.analysis.marks import Mark

Source = Literal["ours", "published", "gap"]
"""Where the numbers of a column are from; a gap is ours minus published."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One printed number. `notes` are letters of the table's footnotes; `failed` puts a dagger before them."""

    text: str
    spread: str = ""
    mark: Mark = ""
    notes: tuple[str, ...] = ()
    failed: bool = False


@dataclass(frozen=True, kw_only=True)
class Row:
    label: str
    cells: tuple[Cell, ...]
    detail: str = ""  # what a method was given
    apart: bool = False  # a line above it


@dataclass(frozen=True, kw_only=True)
class Head:
    """`text` heads a column; heads with one `group` in a row share a heading."""

    group: str
    text: str
    notes: tuple[str, ...] = ()
    source: Source = "ours"


@dataclass(frozen=True, kw_only=True)
class Table:
    name: str  # of its files
    caption: str
    stub: str  # heads the first column
    heads: tuple[Head, ...]
    rows: tuple[Row, ...]
    notes: tuple[tuple[str, str], ...]  # letter, text
    remarks: tuple[str, ...] = ()  # of the whole table
    detailed: bool = False  # whether rows have details, in a second column

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Headings over the columns: (text, columns)."""
        found: list[tuple[str, int]] = []
        for head in self.heads:
            if found and found[-1][0] == head.group:
                found[-1] = (head.group, found[-1][1] + 1)
            else:
                found.append((head.group, 1))
        return found
