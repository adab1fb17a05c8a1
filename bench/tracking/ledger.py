"""What a suite has sent to its MLflow store: a line a cell, added as it goes."""

from __future__ import annotations

import json
from pathlib import Path

from bench.credentials import without_credentials
from bench.files import replacing

NAME = ".tracked.jsonl"


class Ledger:
    """Cell id -> status and fingerprint as they were sent to one store, in a file of the suite's folder."""

    def __init__(self, suite: Path, uri: str) -> None:
        self.path, self.uri = suite / NAME, without_credentials(uri)
        self.cells: dict[str, str] = {}
        self._torn = False  # its last line has no end
        lines = self._lines()
        if lines[:1] == [{"uri": self.uri}]:
            self.cells = {line["cell"]: line["sent"] for line in lines[1:] if {"cell", "sent"} <= line.keys()}
        else:
            self.replace({})

    def add(self, cell: str, sent: str) -> None:
        self.cells[cell] = sent
        with self.path.open("a", encoding="utf-8") as file:
            file.write("\n" * self._torn + json.dumps({"cell": cell, "sent": sent}) + "\n")
        self._torn = False

    def replace(self, cells: dict[str, str]) -> None:
        """What the store itself says that it holds."""
        self.cells, self._torn = cells, False
        rows = [{"uri": self.uri}, *({"cell": cell, "sent": sent} for cell, sent in cells.items())]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.path) as draft:
            draft.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def _lines(self) -> list[dict[str, str]]:
        """A torn line, which a kill leaves, is of a cell that is sent again."""
        if not self.path.exists():
            return []
        found, text = [], self.path.read_text(encoding="utf-8", errors="replace")
        self._torn = not text.endswith("\n")
        for line in text.splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return [line for line in found if isinstance(line, dict)]
