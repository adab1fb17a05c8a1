"""A suite's results -> one page, one Markdown file, one CSV. The same results give the same bytes."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import math
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from bench import record
from reports import aggregates, cameras, curves, details, families, renders, robustness, scores, tables
from reports.columns import COLUMNS, column
from reports.glance import glance
from reports.scores import Entry
from reports.verdict import verdict

PALETTE = 7  # colours of methods before dashes tell them apart


def build(suite: Path, out: Path | None = None) -> Path:
    """Write `index.html`, `report.md`, `results.csv` and `robustness.csv` into `out` (default `<suite>/report`), each
    replaced whole.

    Returns the path of `index.html`. Raises ValueError where there is no result, or one that cannot be read.
    """
    if not suite.is_dir():
        raise ValueError(f"report: {suite} is not a folder; name the folder that `unposed run` wrote")
    entries = read(suite)
    if not entries:
        raise ValueError(f"report: {suite} holds no results; `unposed run --out {suite}` makes some")
    out = out or suite / "report"
    out.mkdir(parents=True, exist_ok=True)
    facts = _facts(suite.resolve().name, entries)
    _replace(out / "report.md", _environment(html=False).get_template("report.md.j2").render(facts))
    _replace(out / "results.csv", _csv(entries))
    _replace(out / "robustness.csv", robustness.table(_frame(entries)).to_csv(index=False))
    _replace(out / "index.html", _environment(html=True).get_template("page.html.j2").render(facts))
    return out / "index.html"


def read(suite: Path) -> list[Entry]:
    """All cells of a suite in a fixed order, each with its id on the page."""
    found = record.read_suite(suite)
    oracles = {result.cell.method for _, result in found if "start" in result.given}
    return [
        Entry(folder=folder, result=result, anchor=f"cell-{k}", oracle=result.cell.method in oracles)
        for k, (folder, result) in enumerate(found)
    ]


def _facts(name: str, entries: Sequence[Entry]) -> dict[str, Any]:
    """All that the templates print."""
    shared = details.shared_provenance(entries)
    methods = sorted({entry.method for entry in entries})
    sections = [_section(question, each) for question, each in scores.by_question(entries).items()]
    return {
        "suite": name,
        "entries": entries,
        "protocols": sorted({entry.result.protocol for entry in entries}),
        "efforts": sorted({entry.result.cell.effort for entry in entries}),
        "scenes": sorted({entry.result.cell.scene for entry in entries}),
        "methods": methods,
        "seeds": sorted({entry.result.cell.seed for entry in entries}),
        "tally": Counter(entry.result.status for entry in entries),
        "colour": {method: k for k, method in enumerate(methods)},
        "palette": PALETTE,
        "given": {method: scores.describe_given(each) for method, each in scores.by_method(entries).items()},
        "verdict": verdict(entries),
        "sections": sections,
        "across": aggregates.across(entries),
        "robustness": families.families(_frame(entries)),
        "glance": glance(entries),
        "details": [details.detail(entry, shared) for entry in entries],
        "shared": shared,
        "commands": sorted({str(entry.result.provenance.get("command", "")) for entry in entries} - {""}),
        "repeat": details.command(entry.result.cell for entry in entries),
        "definitions": _definitions(entries),
        "statuses": scores.STATUSES,
        "error_gradient": renders.error_gradient(),
        "error_full": renders.ERROR_FULL,
        "curve_box": curves.CURVE_BOX,
        "camera_side": cameras.SIDE,
    }  # fmt: skip


def _section(question: scores.Question, entries: Sequence[Entry]) -> dict[str, Any]:
    return {
        "question": question,
        "board": tables.leaderboard(question, entries),
        "cells": tables.cells(question, entries),
        "gallery": renders.gallery(entries),
        "cameras": [cameras.cameras(_for_cameras(each)) for each in scores.by_method(entries).values()],
        "curves": curves.curves(entries),
    }


def _for_cameras(entries: Sequence[Entry]) -> Entry:
    """The seed whose cameras stand for a method: the middle one by rotation error, of those done."""
    done = [entry for entry in entries if entry.done]

    def error(entry: Entry) -> float:
        found = scores.value(entry.result, scores.ROTATION)
        return math.inf if found is None or math.isnan(found) else found

    ordered = sorted(done or entries, key=lambda entry: (error(entry), entry.result.cell.seed))
    return ordered[(len(ordered) - 1) // 2]


def _definitions(entries: Sequence[Entry]) -> list[Any]:
    """Columns that occur in this suite, in the order of the definitions."""
    held: set[str] = set()
    for entry in entries:
        held |= {*entry.result.metrics, *entry.result.absent, *(f"cost/{key}" for key in entry.result.cost)}
    return [COLUMNS[name] for name in COLUMNS if name in held] + [
        column(name) for name in sorted(held - COLUMNS.keys())
    ]


def _frame(entries: Sequence[Entry]) -> Any:
    return record.table(entry.result for entry in entries)


def _csv(entries: Sequence[Entry]) -> str:
    """One row a cell. An empty number is one that `absent` (or the status) explains; NaN and inf are written out."""
    frame = _frame(entries)
    frame.insert(frame.columns.tolist().index("flags") + 1, "absent", [_absent(entry) for entry in entries])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(frame.columns)
    for entry, (_, row) in zip(entries, frame.iterrows(), strict=True):
        writer.writerow([_csv_value(entry, name, row[name]) for name in frame.columns])
    return text.getvalue()


def _csv_value(entry: Entry, name: str, value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return "" if scores.value(entry.result, name) is None else "nan"
    return "" if value is None else value


def _absent(entry: Entry) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in sorted(entry.result.absent.items()))


def _environment(*, html: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("reports"), autoescape=html, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    loader = environment.loader
    if html and loader is not None:
        style, script = (loader.get_source(environment, name)[0] for name in ("style.css", "page.js"))
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        environment.globals |= {"style": Markup(style), "script": Markup(script), "script_digest": digest}
    environment.filters |= {"md": _markdown, "soft": _breakable}
    return environment


def _markdown(text: object) -> str:
    """Text that Markdown shows as it is, in a line or in a cell of a table."""
    escaped = re.sub(r"([\\`*_{}\[\]|~#$])", r"\\\1", re.sub(r"\s+", " ", str(text)))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _breakable(name: str) -> Markup:
    """A long name, escaped, with places where a line may end."""
    return Markup("<wbr>").join(escape(piece) for piece in re.split(r"(?<=[\[,=/])", name))


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    draft.write_text(text, encoding="utf-8", newline="\n")
    draft.replace(path)
