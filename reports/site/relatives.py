"""From a cell to its neighbours: those that differ from it in one thing only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reports.analysis import entries as analysed
from reports.analysis.entries import Entry


class Relatives:
    """Cells that differ from a given one in one thing only: what a reader goes to next."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.cells = {self._key(entry): entry for entry in entries}
        self.names = {
            "method": list(analysed.by_method(entries)),
            "degradation": list(analysed.by_degradation(entries)),
            "scene": list(analysed.by_scene(entries)),
            "seed": sorted({entry.result.cell.seed for entry in entries}),
        }
        order = list(entries)
        self.before = dict(zip((entry.page for entry in order[1:]), order, strict=False))
        self.after = dict(zip((entry.page for entry in order), order[1:], strict=False))

    @staticmethod
    def _key(entry: Entry) -> tuple[Any, ...]:
        cell = entry.result.cell
        return cell.method, cell.degradation, cell.scene, cell.seed

    def of(self, entry: Entry) -> dict[str, Any]:
        key = self._key(entry)
        rows = []
        for place, (what, names) in enumerate(self.names.items()):
            found = [(name, self.cells.get((*key[:place], name, *key[place + 1 :]))) for name in names]
            if sum(other is not None for _, other in found) > 1:
                rows.append((what, [(str(name), other) for name, other in found if other is not None]))
        return {"rows": rows, "before": self.before.get(entry.page), "after": self.after.get(entry.page)}
