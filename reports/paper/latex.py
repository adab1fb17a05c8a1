"""A table as LaTeX: booktabs, best in bold, second underlined, published in italics, failed or tuned by signs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reports.analysis.table import Head, Number, Table
from reports.text import environment

PREAMBLE = r"""\providecommand{\unposedspread}[2]{\shortstack[r]{#1\\[-1pt]{\tiny #2}}}
"""
"""What a table needs beside the packages booktabs and graphicx; it travels with every table."""

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "−": "$-$", "–": "--", "—": "---", "…": r"\ldots{}", "∞": r"$\infty$",
    "±": r"$\pm$", "°": r"$^\circ$", "×": r"$\times$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "·": r"$\cdot$",
    "σ": r"$\sigma$", "⚑": r"$\flat$", "“": "``", "”": "''", "’": "'", "[": "{[}", "]": "{]}",
}  # fmt: skip


def escape(text: str) -> str:
    """Text that LaTeX sets as it is; what the T1 encoding lacks becomes a question mark."""
    kept = re.sub(r"\s+", " ", text)
    return "".join(SPECIAL.get(char) or (char if ord(char) < 127 or 0xA0 < ord(char) < 0x180 else "?") for char in kept)


def table(made: Table) -> str:
    """A `table*` with its caption, label and notes. A wide one is scaled to the width of the text."""
    columns = "l" * len(made.titles) + "r" * len(made.heads)
    lines = [
        PREAMBLE + r"\begin{table*}[htbp]",
        r"\centering\small",
        rf"\caption{{{escape(made.caption)}}}",
        rf"\label{{tab:{re.sub('[^A-Za-z0-9]+', '-', made.name)}}}",
        rf"\resizebox{{\ifdim\width>\linewidth\linewidth\else\width\fi}}{{!}}{{\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        *_heading(made),
        r"\midrule",
    ]
    for row in made.rows:
        lines += [r"\midrule"] if row.apart else []
        label = escape(row.label) + _raised("†" if row.tuned_on else "")
        given = [rf"{{\scriptsize {escape(row.given)}}}"] if made.detailed else []
        lines.append(" & ".join([label, *given, *map(_cell, row.numbers, made.heads)]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}}"]
    notes = [rf"{_raised(sign)} {escape(text)}." for sign, text in made.below]
    if below := [*notes, *map(escape, made.remarks)]:
        lines.append(r"\par\vspace{3pt}\parbox{\linewidth}{\scriptsize " + " ".join(below) + "}")
    return "\n".join([*lines, r"\end{table*}", ""])


def _heading(made: Table) -> list[str]:
    lead = len(made.titles)
    spans, rules, at = [""] * lead, [], lead + 1
    for text, n in made.groups:
        spans.append(rf"\multicolumn{{{n}}}{{c}}{{{escape(text)}}}")
        rules += [rf"\cmidrule(lr){{{at}-{at + n - 1}}}"] if text else []
        at += n
    titles = [*map(escape, made.titles), *map(_head, made.heads)]
    above = [" & ".join(spans) + r" \\", *rules] if any(head.group for head in made.heads) else []
    return [*above, " & ".join(titles) + r" \\"]


def _head(head: Head) -> str:
    lines = [_italic(escape(line), head) for line in head.text.split("\n")]
    text = lines[0] if len(lines) == 1 else r"\shortstack[r]{" + r"\\".join(lines) + "}"
    return text + _raised("", head.notes)


def _cell(cell: Number, head: Head) -> str:
    shown = cell.shown
    text = _italic(escape(shown.text), head)
    text = {"best": rf"\textbf{{{text}}}", "second": rf"\underline{{{text}}}", "": text}[shown.mark]
    text += _raised(cell.signs, cell.notes)
    return rf"\unposedspread{{{text}}}{{{escape(shown.spread)}}}" if shown.spread else text


def _italic(text: str, head: Head) -> str:
    return rf"\textit{{{text}}}" if head.source != "ours" and text else text


def _raised(signs: str, notes: Sequence[str] = ()) -> str:
    mark = signs.replace("†", r"\dagger ").replace("×", r"\times ") + ",".join(dict.fromkeys(notes))
    return f"$^{{{mark}}}$" if mark else ""


def document(title: str, tables: Sequence[str], figures: Sequence[tuple[str, str]]) -> str:
    """A whole document over the files of a folder: `tables` by name, `figures` as (name, caption)."""
    made = environment("reports", autoescape=False)
    made.filters["tex"] = escape
    return made.get_template("main.tex.j2").render(title=title, tables=tables, figures=figures)
