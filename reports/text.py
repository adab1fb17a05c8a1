"""The report as text: one Markdown file to paste from, one CSV to compute from."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from bench import results_table
from reports.analysis import entries as cells
from reports.analysis import robustness
from reports.analysis.entries import IOU, Entry
from reports.analysis.robustness import Curve


def environment(package: str, *, autoescape: bool) -> Environment:
    """The templates of a package; a name that is not given is an error."""
    return Environment(
        loader=PackageLoader(package), autoescape=autoescape, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip


def markdown(facts: Mapping[str, Any]) -> str:
    made = environment("reports", autoescape=False)
    made.filters["md"] = escape
    return made.get_template("report.md.j2").render(facts, show_area=robustness.show_area)


def escape(text: object) -> str:
    """Text that Markdown shows as it is, in a line or in a cell of a table."""
    escaped = re.sub(r"([\\`*_{}\[\]|~#$])", r"\\\1", re.sub(r"\s+", " ", str(text)))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def comma_separated(heads: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """CSV; None is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows(rows)
    return text.getvalue()


def table(entries: Sequence[Entry]) -> str:
    """CSV, one row a cell. An empty number is explained by `absent` or the status; NaN and inf are written out."""
    frame = results_table.table(entry.result for entry in entries)
    absent = ["; ".join(f"{name}: {why}" for name, why in sorted(entry.result.absent.items())) for entry in entries]
    frame.insert(frame.columns.tolist().index("flags") + 1, "absent", absent)
    rows = zip(entries, frame.itertuples(index=False), strict=True)
    return comma_separated(frame.columns, (map(_value, repeat(entry), frame.columns, row) for entry, row in rows))


def _value(entry: Entry, name: str, value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return "" if cells.value(entry.result, name) is None else "nan"
    return value


def curves(found: Iterable[Curve]) -> str:
    """CSV, one row a curve and quantity, its points as `severity:value` and `severity:successes/n`."""
    heads = (
        "family", "kind", "method", "metric", "effort", "protocol", "agreement", "scenes", "seeds", "even", "partial",
        "clean", "area", "area_low", "area_high", "relative", "holds", "breaks", "curve", "successes",
    )  # fmt: skip
    return comma_separated(heads, (
        [
            curve.family, curve.kind, curve.method, name, curve.setting.effort, curve.setting.protocol,
            curve.setting.agreement, " ".join(curve.scenes), " ".join(map(str, curve.seeds)), curve.even,
            " ".join(f"{severity:g}" for severity in curve.partial), curve.clean(name),
            *(curve.area(name) or (None, None, None)), curve.relative(name), *curve.broken,
            " ".join(f"{severity:g}:{point.value:.6g}" for severity, point in curve.points(name)),
            " ".join(f"{level.severity:g}:{level.solved}/{level.n}" for level in curve.levels),
        ]
        for curve in found for name in robustness.QUANTITIES if name != IOU or curve.points(IOU)
    ))  # fmt: skip
