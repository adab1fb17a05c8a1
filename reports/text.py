"""The report as text: one Markdown file to paste from, one CSV to compute from."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from bench import results_table
from reports.analysis import entries as cells
from reports.analysis import robustness
from reports.analysis.entries import Entry


def markdown(facts: Mapping[str, Any]) -> str:
    environment = Environment(
        loader=PackageLoader("reports"), autoescape=False, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["md"] = escape
    environment.globals["show_area"] = robustness.show_area
    return environment.get_template("report.md.j2").render(facts)


def escape(text: object) -> str:
    """Text that Markdown shows as it is, in a line or in a cell of a table."""
    escaped = re.sub(r"([\\`*_{}\[\]|~#$])", r"\\\1", re.sub(r"\s+", " ", str(text)))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def table(entries: Sequence[Entry]) -> str:
    """CSV, one row a cell. An empty number is explained by `absent` or the status; NaN and inf are written out."""
    frame = results_table.table(entry.result for entry in entries)
    frame.insert(frame.columns.tolist().index("flags") + 1, "absent", [_absent(entry) for entry in entries])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(frame.columns)
    for entry, row in zip(entries, frame.itertuples(index=False), strict=True):
        writer.writerow([_value(entry, name, value) for name, value in zip(frame.columns, row, strict=True)])
    return text.getvalue()


def _value(entry: Entry, name: str, value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return "" if cells.value(entry.result, name) is None else "nan"
    return "" if value is None else value


def _absent(entry: Entry) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in sorted(entry.result.absent.items()))
