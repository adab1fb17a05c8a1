"""A table apart from how it is written: numbers, marks, notes. Pages, Markdown, CSV and LaTeX print the same ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

from reports.analysis.columns import SHORT, Column
from reports.analysis.scorebook import Population
from reports.analysis.stats import Interval

Mark = Literal["best", "second", ""]
Source = Literal["ours", "published", "gap"]
"""Where the numbers of a column are from; a gap is ours minus published."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One printed statistic, with its spread. `sort` is its value, None where there is none that is finite."""

    text: str
    spread: str = ""
    sort: float | None = None
    mark: Mark = ""


@dataclass(frozen=True, kw_only=True)
class Number:
    """One cell of a table: statistics of `n` scores by name, the first being what is shown unless asked otherwise."""

    figures: Mapping[str, Figure] = field(default_factory=dict)
    n: int = 0
    why: str = ""  # there are none
    flagged: int = 0  # scores that carry a flag
    failed: bool = False  # cells without an answer are behind it
    tuned: bool = False  # the method's defaults were chosen on this scene, the truth in view
    notes: tuple[str, ...] = ()  # letters of footnotes

    @staticmethod
    def plain(
        text: str, spread: str = "", *, sort: float | None = None, failed: bool = False, notes: tuple[str, ...] = ()
    ) -> Number:
        return Number(figures={"": Figure(text=text, spread=spread, sort=sort)}, failed=failed, notes=notes)

    @property
    def signs(self) -> str:
        """See Table.below."""
        return ("†" if self.tuned else "") + ("×" if self.failed else "")

    @property
    def shown(self) -> Figure:
        return next(iter(self.figures.values()), Figure(text="—"))


@dataclass(frozen=True, kw_only=True)
class Head:
    """A column. Those with one `group` in a row share a heading; lines of `text` are below each other."""

    text: str
    group: str = ""
    column: Column | None = None  # of the protocol
    population: Population = ""
    notes: tuple[str, ...] = ()
    source: Source = "ours"

    @staticmethod
    def of(column: Column, population: Population = "") -> Head:
        lines = (column.label, population, f"{column.unit} {column.arrow}".strip())
        group = SHORT.get(column.group, column.group)
        return Head(text="\n".join(filter(None, lines)), group=group, column=column, population=population)

    @property
    def key(self) -> str:
        """Tells columns of a table apart."""
        return f"{self.column.name if self.column else self.text} {self.population}".rstrip()


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line: of a method, of one cell, or of a scene."""

    label: str
    numbers: tuple[Number, ...] = ()  # none where no cell was tried: `reasons` stand in their place
    given: str = ""
    given_poses: bool = False  # in any form: shown, and never ranked
    tuned_on: tuple[str, ...] = ()  # scenes of this table on which its defaults were chosen, the truth in view
    rank: int | None = None
    page: str = ""  # of its first cell, from the site's root
    seeds: str = ""
    tally: tuple[tuple[str, str], ...] = ()  # (outcome, "3 solved")
    reasons: tuple[str, ...] = ()  # "seed 1 timeout: ..."
    n: int = 0  # cells tried
    solved: int = 0
    failed: int = 0
    skipped: int = 0
    success: Interval | None = None  # Wilson's, of the success rate
    apart: bool = False  # a line above it

    @property
    def rate(self) -> float | None:
        return self.solved / self.n if self.n else None


@dataclass(frozen=True, kw_only=True)
class Table:
    name: str  # of its files
    heads: tuple[Head, ...]
    rows: tuple[Row, ...]
    caption: str = ""
    stub: str = "method"  # heads the first column
    notes: tuple[tuple[str, str], ...] = ()  # letter, text
    remarks: tuple[str, ...] = ()  # of the whole table
    detailed: bool = False  # what each row was given is printed, in a second column

    @property
    def titles(self) -> tuple[str, ...]:
        """Of the columns before the numbers."""
        return (self.stub, "given") if self.detailed else (self.stub,)

    @property
    def below(self) -> list[tuple[str, str]]:
        """What signs and letters in this table mean."""
        numbers = [number for row in self.rows for number in row.numbers]
        tuned = any(number.tuned for number in numbers) or any(row.tuned_on for row in self.rows)
        found = [("†", "tuned on this scene, or one of these, with the truth in view")] if tuned else []
        found += [("×", "failed, with the note")] if any(number.failed for number in numbers) else []
        return [*found, *self.notes]

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Headings over the columns: (text, columns)."""
        return spans(head.group for head in self.heads)


def spans(names: Iterator[str] | Sequence[str]) -> list[tuple[str, int]]:
    """Runs of equal names, and their lengths."""
    return [(name, len(list(run))) for name, run in groupby(names)]


class Footnotes(dict[str, str]):
    """Reasons and flags of one table -> their letters: a ... z, aa, ab, ..., in the order they are met."""

    def letter(self, text: str) -> str:
        return self.setdefault(text, _letter(len(self)))

    @property
    def lines(self) -> tuple[tuple[str, str], ...]:
        """(letter, text)."""
        return tuple((letter, text) for text, letter in self.items())


def _letter(k: int) -> str:
    return (_letter(k // 26 - 1) if k >= 26 else "") + "abcdefghijklmnopqrstuvwxyz"[k % 26]
