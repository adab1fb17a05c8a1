"""Everything about one cell, for the reader who asks why: numbers, reasons, flags, logs, provenance."""

from __future__ import annotations

import json
import math
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from bench import per_view
from bench.cell import Cell, split_label
from bench.record import ROTATION
from reports.analysis import entries as analysed
from reports.analysis.columns import COLUMNS, STAGES, Column, column
from reports.analysis.entries import IOU, PSNR, Entry
from reports.analysis.questions import degradation_order
from reports.analysis.table import Footnotes
from reports.site import chart
from reports.site.chart import Chart
from reports.site.curves import Log

WORST = 5
LOG_ROWS = 5
STDERR_LINES = 25
STDERR_BYTES = 16_384
SUBMITTED: Mapping[str, Sequence[str]] = {"poses": (), "poses+nerf": ("--train",)}
"""Rows of `unposed submit`, with the options that make them."""
PER_VIEW = (ROTATION.removesuffix("_median"), "pose/translation", "confidence/margin_db", IOU, PSNR)
"""What is drawn view by view."""

Pairs = tuple[tuple[str, str], ...]


def detail(entry: Entry, log: Log) -> dict[str, Any]:
    """What the page of a cell says of it; `log` holds the rows of its log.jsonl."""
    result = entry.result
    return {
        "given": analysed.describe_given([entry]),
        "in_full": given_in_full([entry]),
        "ended": "" if entry.done else analysed.ended(entry),
        "numbers": _numbers(entry),
        "stages": _stages(entry),
        "per_view": [found for name in PER_VIEW if (found := _per_view(entry, name))],
        "notes": flat(result.notes),
        "config": flat(result.config),
        "provenance": provenance(entry),
        "log": [_compact(row) for row in log[-LOG_ROWS:]],
        "stderr": _tail(entry.folder / "stderr.txt"),
        "command": command([result.cell]),
    }


def given_in_full(entries: Iterable[Entry]) -> Pairs:
    """What a method was given, in words: prior, intrinsics, masks, start; then what its makers had seen."""
    told: list[tuple[str, str]] = []
    for result in (entry.result for entry in entries):
        seen = {"tuned on": ", ".join(result.tuned_on), "pretrained on": ", ".join(result.pretrained_on)}
        told += [(what, words) for what, words in {**result.given_in_full, **seen}.items() if words]
    found = analysed.grouped(told, lambda pair: pair[0])
    return tuple((what, "; or ".join(sorted({words for _, words in each}))) for what, each in found.items())


def provenance(entry: Entry) -> Pairs:
    result = entry.result
    prints = {f"fingerprint/{key}": value for key, value in result.fingerprints.items()}
    return flat({"protocol": result.protocol, "reference": result.reference, **prints, **result.provenance})


def shared_provenance(entries: Sequence[Entry]) -> dict[str, str]:
    """What is equal in all cells, so that it is said once."""
    held = [dict(provenance(entry)) for entry in entries]
    return {key: text for key, text in held[0].items() if all(each.get(key) == text for each in held)}


def command(cells: Iterable[Cell]) -> str:
    """The `unposed run` that asks these cells again. Efforts take a line each, and so do submissions."""
    lines, cells = [], list(cells)
    run = sorted((cell for cell in cells if submission(cell) is None), key=lambda cell: (cell.effort, cell))
    for effort, held in analysed.grouped(run, lambda cell: cell.effort).items():
        scenes, methods = sorted({cell.scene for cell in held}), sorted({cell.method for cell in held})
        degradations = sorted({cell.degradation for cell in held}, key=degradation_order)
        words = ["-s", ",".join(scenes), "-d", ",".join(degradations), "-m", ",".join(methods)]
        seeds = ",".join(map(str, sorted({cell.seed for cell in held})))
        lines.append(shlex.join(["unposed", "run", *words, "--seeds", seeds, "--effort", effort]))
    return "\n".join(lines + [line for cell in sorted(cells) if (line := submission(cell))])


def submission(cell: Cell) -> str | None:
    """The `unposed submit` that brings a row's poses again; None for a row whose method ran here."""
    method, options = split_label(cell.method)
    if method not in SUBMITTED:
        return None
    words = ["unposed", "submit", "-s", cell.scene, "-d", cell.degradation, "--effort", cell.effort]
    words += ["--name", options.get("name", ""), "--seeds", str(cell.seed), *SUBMITTED[method]]
    return shlex.join(words) + " FILE_OR_FOLDER"


def _numbers(entry: Entry) -> list[tuple[str, list[tuple[Column, str, str, str]]]]:
    """Every column, but those of the stages, that the result has or says it lacks, in the order of the definitions.

    By group: the column, its value, what flags say of it, and why it is missing.
    """
    result = entry.result
    names = {*result.metrics, *(f"cost/{key}" for key in result.cost), *result.absent}
    rows = []
    for name in [*(name for name in COLUMNS if name in names), *sorted(names - COLUMNS.keys())]:
        if _stage(name):
            continue
        number = analysed.value(result, name)
        if number is None:
            rows.append((column(name), "—", "", analysed.absence(result, name)))
        else:
            rows.append((column(name), column(name).show(number), "; ".join(analysed.flags_of(result, name)), ""))
    return [(group, list(each)) for group, each in groupby(rows, key=lambda row: row[0].group)]


def _stages(entry: Entry) -> dict[str, Any] | None:
    """What was measured of the held-out views at each stage that has a number; of the others, why they have none.

    One column a stage, one row a quantity; a number is (text, flagged, letter of a footnote).
    """
    result = entry.result
    names = [stage for stage in STAGES if any(name.startswith(f"nvs/{stage}/") for name in result.metrics)]
    if not names:
        return None
    footnotes = Footnotes()

    def number(name: str) -> tuple[str, bool, str]:
        found = analysed.value(result, name)
        if found is not None:
            return column(name).show(found), bool(analysed.flags_of(result, name)), ""
        why = f"{column(name).label}: {analysed.absence(result, name)}"
        return ("—", False, footnotes.letter(why)) if name in COLUMNS else ("", False, "")

    rows = []
    for quantity in dict.fromkeys(name.rpartition("/")[2] for name in COLUMNS if _stage(name)):
        held = [f"nvs/{stage}/{quantity}" for stage in names]
        known = [name for name in held if name in result.metrics or name in result.absent]
        if known:
            rows.append((COLUMNS[known[0]], list(map(number, held))))
    for stage in STAGES:
        if stage not in names and f"nvs/{stage}" in result.absent:
            footnotes.letter(f"not {stage}: {result.absent[f'nvs/{stage}']}")
    return {"names": names, "rows": rows, "footnotes": footnotes.lines}


def _stage(name: str) -> str:
    """`refined` of `nvs/refined/psnr`, and of `nvs/refined`; empty where there is none."""
    parts = name.split("/")
    return parts[1] if parts[0] == "nvs" and len(parts) > 1 and parts[1] in STAGES else ""


def _per_view(entry: Entry, name: str) -> tuple[Chart, str] | None:
    """One number of every view as bars, the worst first; and the worst in words, `h003 11.20, h001 12.00`."""
    shown = column(name)
    sign = 1 if shown.better == "high" else -1
    held = [(float(number), view) for view, number in per_view.column(entry.result.per_view, name).items()]
    if not held:
        return None
    ranked = sorted(held, key=lambda item: (not math.isnan(item[0]), sign * item[0], item[1]))
    worst = ", ".join(f"{view} {shown.show(number)}" for number, view in ranked[:WORST])
    return chart.bars(shown.heading, entry.cell.method, [number for number, _ in ranked], worst), worst


def flat(values: Mapping[str, Any], prefix: str = "") -> Pairs:
    """Nested mappings as `outer/inner`, sorted, every value as text."""
    rows: list[tuple[str, str]] = []
    for key, value in sorted(values.items(), key=lambda item: item[0]):
        if isinstance(value, Mapping):
            rows += flat(value, f"{prefix}{key}/")
        else:
            rows.append((f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value, default=str)))
    return tuple(rows)


def _compact(row: Mapping[str, Any]) -> str:
    return "  ".join(
        f"{key}={value:.5g}" if isinstance(value, float) else f"{key}={value}" for key, value in row.items()
    )


def _tail(path: Path) -> str:
    """The last lines of a text file, control characters (progress bars, colours) made visible."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - STDERR_BYTES))
        lines = file.read().decode(errors="replace").splitlines()[-STDERR_LINES:]
    return "".join(char if char.isprintable() or char == "\n" else "�" for char in "\n".join(lines))
