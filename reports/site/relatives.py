"""From a cell to its neighbours: those that differ from it in one thing only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from reports.analysis import entries as analysed
from reports.analysis.entries import Entry


class Relatives:
    """Cells that differ from a given one in one thing only: what a reader goes to next."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.cells = {entry.cell: entry for entry in entries}
        self.names = {
            "method": list(analysed.by_method(entries)),
            "degradation": list(analysed.by_degradation(entries)),
            "scene": list(analysed.by_scene(entries)),
            "seed": sorted({entry.cell.seed for entry in entries}),
        }
        self.before = {after.page: before for before, after in pairwise(entries)}
        self.after = {before.page: after for before, after in pairwise(entries)}

    def of(self, entry: Entry) -> dict[str, Any]:
        rows = []
        for what, names in self.names.items():
            found = [(str(name), self.cells.get(replace(entry.cell, **{what: name}))) for name in names]
            held = [(name, other) for name, other in found if other is not None]
            rows += [(what, held)] if len(held) > 1 else []
        return {"rows": rows, "before": self.before.get(entry.page), "after": self.after.get(entry.page)}
