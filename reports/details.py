"""Everything about one cell, for the reader who asks why: numbers, reasons, flags, logs, provenance."""

from __future__ import annotations

import json
import math
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from bench.cell import Cell, split_label
from bench.record import read_log
from reports import scores
from reports.columns import COLUMNS, Column, column
from reports.scores import IOU, PSNR, ROTATION, STATUSES, Entry

WORST = 5
LOG_ROWS = 5
STDERR_LINES = 25
STDERR_BYTES = 16_384
SUBMITTED: Mapping[str, Sequence[str]] = {"poses": (), "poses+nerf": ("--train",)}
"""Rows of `unposed submit`, with the options that make them."""


@dataclass(frozen=True, kw_only=True)
class Detail:
    entry: Entry
    given: str
    ended: str  # "timeout in fit: killed after 900 s"; empty when done
    numbers: tuple[tuple[str, tuple[tuple[Column, str, str], ...]], ...]  # group -> (column, value, remark)
    worst: tuple[tuple[str, str, str], ...]  # view, column, value
    notes: tuple[tuple[str, str], ...]
    config: tuple[tuple[str, str], ...]
    provenance: tuple[tuple[str, str], ...]  # what is not shared by the whole suite
    log: tuple[str, ...]
    stderr: str
    command: str


def detail(entry: Entry, shared: Mapping[str, str]) -> Detail:
    result = entry.result
    return Detail(
        entry=entry,
        given=scores.describe_given([entry]),
        ended="" if entry.done else _ended(entry),
        numbers=_numbers(entry),
        worst=_worst(entry),
        notes=_flat(result.notes),
        config=_flat(result.config),
        provenance=tuple((key, text) for key, text in provenance(entry) if shared.get(key) != text),
        log=tuple(_compact(row) for row in read_log(entry.folder)[-LOG_ROWS:]),
        stderr=_tail(entry.folder / "stderr.txt"),
        command=command([result.cell]),
    )


def provenance(entry: Entry) -> tuple[tuple[str, str], ...]:
    result = entry.result
    prints = {f"fingerprint/{key}": value for key, value in result.fingerprints.items()}
    return _flat({"protocol": result.protocol, "reference": result.reference, **prints, **result.provenance})


def shared_provenance(entries: Sequence[Entry]) -> dict[str, str]:
    """What is equal in all cells, so that it is said once."""
    held = [dict(provenance(entry)) for entry in entries]
    return {key: text for key, text in held[0].items() if all(each.get(key) == text for each in held)}


def command(cells: Iterable[Cell]) -> str:
    """The `unposed run` that asks these cells again. Efforts take a line each, and so do submissions."""
    lines = []
    cells = list(cells)
    run = sorted((cell for cell in cells if submission(cell) is None), key=lambda cell: (cell.effort, cell))
    for effort, group in groupby(run, key=lambda cell: cell.effort):
        held = list(group)
        lines.append(
            shlex.join(
                [
                    "unposed", "run",
                    "-s", ",".join(sorted({cell.scene for cell in held})),
                    "-d", ",".join(sorted({cell.degradation for cell in held})),
                    "-m", ",".join(sorted({cell.method for cell in held})),
                    "--seeds", ",".join(map(str, sorted({cell.seed for cell in held}))),
                    "--effort", effort,
                ]
            )
        )  # fmt: skip
    return "\n".join(lines + [line for cell in sorted(cells) if (line := submission(cell))])


def submission(cell: Cell) -> str | None:
    """The `unposed submit` that brings a row's poses again; None for a row whose method ran here."""
    method, options = split_label(cell.method)
    if method not in SUBMITTED:
        return None
    words = ["unposed", "submit", "-s", cell.scene, "-d", cell.degradation, "--effort", cell.effort]
    words += ["--name", options.get("name", ""), "--seeds", str(cell.seed), *SUBMITTED[method]]
    return shlex.join(words) + " FILE_OR_FOLDER"


def _ended(entry: Entry) -> str:
    stage = f" in {entry.result.stage}" if entry.result.stage else ""
    return f"{STATUSES[entry.result.status]}{stage}: {entry.result.reason or 'no reason was recorded'}"


def _numbers(entry: Entry) -> tuple[tuple[str, tuple[tuple[Column, str, str], ...]], ...]:
    """Every column that the result has, or says it lacks, in the order of the definitions."""
    result = entry.result
    names = {*result.metrics, *(f"cost/{key}" for key in result.cost), *result.absent}
    ordered = [name for name in COLUMNS if name in names] + sorted(names - COLUMNS.keys())
    rows = []
    for name in ordered:
        number = scores.value(result, name)
        remark = "; ".join(scores.flags_of(result, name)) if number is not None else scores.absence(result, name)
        rows.append((column(name), "—" if number is None else column(name).show(number), remark))
    return tuple((group, tuple(each)) for group, each in groupby(rows, key=lambda row: row[0].group))


def _worst(entry: Entry) -> tuple[tuple[str, str, str], ...]:
    """The views that did worst: by quality among the held-out, by rotation among the training views."""
    found = []
    for name in (IOU, PSNR, ROTATION.removesuffix("_median"), ROTATION):
        shown = column(name)
        held = [(float(row[name]), view) for view, row in entry.result.per_view.items() if name in row]
        sign = 1 if name in (IOU, PSNR) else -1
        ranked = sorted(held, key=lambda item: (not math.isnan(item[0]), sign * item[0], item[1]))
        found += [(view, shown.name, f"{shown.show(number)} {shown.unit}".strip()) for number, view in ranked[:WORST]]
    return tuple(found)


def _flat(values: Mapping[str, Any], prefix: str = "") -> tuple[tuple[str, str], ...]:
    """Nested mappings as `outer/inner`, sorted, every value as text."""
    rows: list[tuple[str, str]] = []
    for key in sorted(values):
        value = values[key]
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{key}/")
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
