"""What a suite has sent to its MLflow store: a line a cell, added as it goes."""

from __future__ import annotations

import json
from pathlib import Path

from bench.credentials import without_credentials
from bench.files import replacing

NAME = ".tracked.jsonl"
BEGUN = "begun"
"""In place of a digest: the run of a cell whose fit is at work or whose result is being sent, or was when that was
killed, which is to be completed."""


class Ledger:
    """Cell id -> digest of the result that was sent to one store, below one parent run, in a file of the suite's
    folder. It knows nothing of another store, nor of one that was made anew: its parent run is another."""

    def __init__(self, suite: Path, uri: str, parent: str) -> None:
        self.path, self.uri, self.parent = suite / NAME, without_credentials(uri), parent
        self.cells: dict[str, str] = {}
        self._torn = _is_torn(self.path)
        lines = _lines(self.path)
        if lines[:1] == [self._head]:
            self.cells = {line["cell"]: line["sent"] for line in lines[1:] if {"cell", "sent"} <= line.keys()}
        else:
            self.replace({})

    @property
    def _head(self) -> dict[str, str]:
        return {"uri": self.uri, "parent": self.parent}

    def add(self, cell: str, sent: str) -> None:
        self.cells[cell] = sent
        with self.path.open("a", encoding="utf-8") as file:
            file.write("\n" * self._torn + json.dumps({"cell": cell, "sent": sent}) + "\n")
        self._torn = False

    @staticmethod
    def begun(suite: Path) -> set[str]:
        """Cells of a suite whose runs were begun and, as far as its ledger knows, not completed."""
        lines = _lines(suite / NAME)
        last = {line["cell"]: line["sent"] for line in lines if {"cell", "sent"} <= line.keys()}
        return {cell for cell, sent in last.items() if sent == BEGUN}

    def replace(self, cells: dict[str, str]) -> None:
        """What the store itself says that it holds below the present parent."""
        self.cells, self._torn = cells, False
        rows = [self._head, *({"cell": cell, "sent": sent} for cell, sent in cells.items())]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.path) as draft:
            draft.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _lines(path: Path) -> list[dict[str, str]]:
    """A torn line, which a kill leaves, is of a cell that is sent again."""
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return [line for line in found if isinstance(line, dict)]


def _is_torn(path: Path) -> bool:
    """Whether its last line has no end."""
    return path.exists() and not path.read_bytes().endswith(b"\n")
