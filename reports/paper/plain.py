"""A table as Markdown, and as CSV with a column apart for what a number's neighbours say of it."""

from __future__ import annotations

from reports.analysis.table import Head, Number, Row, Table
from reports.text import comma_separated, escape


def markdown(made: Table) -> str:
    """Best in bold, second in italics; published numbers are in columns that say so."""
    titles = [*map(escape, made.titles), *map(_title, made.heads)]
    rows = [titles, ["---"] * len(titles)]
    for row in made.rows:
        label, given = escape(row.label) + _raised("†" if row.tuned_on else ""), escape(row.given)
        rows.append([label, *([given] if made.detailed else []), *map(_cell, row.numbers)])
    lines = [f"**{escape(made.caption)}**", "", *(f"| {' | '.join(row)} |" for row in rows)]
    lines += ["", *(f"- {sign}: {escape(text)}" for sign, text in made.below)]
    lines += [f"- {escape(remark)}" for remark in made.remarks]
    return "\n".join(lines).rstrip() + "\n"


def _title(head: Head) -> str:
    words = head.text.replace("\n", " ")
    text = f"{head.group}: {words}" if head.group else words
    return escape(text + (", published" if head.source == "published" else "")) + _raised("", head.notes)


def _cell(cell: Number) -> str:
    shown = cell.shown
    text = {"best": f"**{shown.text}**", "second": f"*{shown.text}*", "": shown.text}[shown.mark]
    return " ".join(filter(None, [text + _raised(cell.signs, cell.notes), escape(shown.spread)]))


def _raised(signs: str, notes: tuple[str, ...] = ()) -> str:
    mark = signs + ",".join(dict.fromkeys(notes))
    return f"<sup>{mark}</sup>" if mark else ""


def table(made: Table) -> str:
    """CSV, one line a number: row, what the row was given, quantity, column, number, spread, mark, source and notes."""
    heads = (made.stub, "given", "quantity", "column", "number", "spread", "mark", "source", "failed", "notes")
    pairs = ((row, *each) for row in made.rows for each in zip(made.heads, row.numbers, strict=True))
    return comma_separated(heads, (_values(row, head, cell, dict(made.notes)) for row, head, cell in pairs))


def _values(row: Row, head: Head, cell: Number, said: dict[str, str]) -> list[str]:
    words = head.text.replace("\n", " ")
    numbers = [text.replace("−", "-").replace("∞", "inf") for text in (cell.shown.text, cell.shown.spread)]
    failed, notes = "yes" if cell.failed else "", [said[letter] for letter in (*head.notes, *cell.notes)]
    return [row.label, row.given, head.group, words, *numbers, cell.shown.mark, head.source, failed, "; ".join(notes)]
