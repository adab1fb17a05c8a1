"""What single methods are granted beside the others of a run: `gnerf*@full: threads=8, gpus=0.5, memory=32`.

A matrix has methods that want a whole GPU and others that want one core: on a cluster each is placed by what it is
granted, and on one machine it has those threads and limits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bench.cell import Cell, join_label, split_label
from bench.matrix.names import nearest
from bench.regime import effort_of

LEAST = {"threads": 1.0, "gpus": 0.01, "memory": 0.1, "disk": 0.001, "limit": 0.1}
"""What can be granted, and no less than what: as the options of `unposed run` of these names."""

MOST = 1e9
"""And no more: what is beyond that is a slip, and no machine or scheduler could count it."""

_GRANT = re.compile(r"(?P<method>[^\[\]@:]+(\[[^\[\]]*\])?)(@(?P<effort>[^:\[\]]+))?:(?P<amounts>[^:]*)")


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What the fits of some methods are granted, be it at one effort alone."""

    words: str  # as it was typed
    method: str  # a name (with all its options), a label, or a pattern of either with * and ?
    effort: str | None  # "full", or a whole label as "full@800"
    amounts: dict[str, float] = field(hash=False)  # by the keys of LEAST: GB of memory and disk, s of limit

    def is_for(self, cell: Cell) -> bool:
        """Whether it is of this cell's method, and of its effort."""
        named = any(_like(self.method, text) for text in (cell.method, split_label(cell.method)[0]))
        return named and self.effort in (None, cell.effort, effort_of(cell.effort))


def read_grant(words: str) -> Grant:
    """`METHOD[@EFFORT]: threads=8, gpus=0.5, memory=32, disk=20, limit=7200`. Raises ValueError."""
    match = _GRANT.fullmatch(words.strip())
    if match is None:
        raise ValueError(f"grant {words!r}: write it as 'METHOD@EFFORT: threads=8, memory=32', @EFFORT or not")
    amounts: dict[str, float] = {}
    for item in filter(None, (part.strip() for part in match["amounts"].split(","))):
        name, _, text = (part.strip() for part in item.partition("="))
        if name not in LEAST:
            raise ValueError(
                f"grant {words!r}: {name!r} cannot be granted{nearest(name, LEAST)}; what can: {', '.join(LEAST)}"
            )
        if name in amounts:
            raise ValueError(f"grant {words!r}: {name} is given twice")
        amounts[name] = _amount(words, name, text)
    if not amounts:
        raise ValueError(f"grant {words!r} grants nothing: say of what, as in threads=8")
    effort = match["effort"].strip() if match["effort"] else None
    return Grant(words=words, method=_canonical(match["method"].strip()), effort=effort, amounts=amounts)


def granted(grants: Iterable[Grant], cell: Cell) -> dict[str, float]:
    """What these say of a cell, by the keys of LEAST; where several speak of one thing, the last is heard."""
    found: dict[str, float] = {}
    for grant in grants:
        if grant.is_for(cell):
            found |= grant.amounts
    return found


def check_gpus(amount: float, place: str = "") -> None:
    """Raises ValueError where no scheduler could place it: a worker has a part of one GPU, or some whole ones."""
    if amount > 1 and not amount.is_integer():
        raise ValueError(f"{place}gpus {amount:g}: write a part of one GPU, as 0.5, or a whole number of them")


def idle(grants: Iterable[Grant], cells: Iterable[Cell]) -> list[str]:
    """A line for each that is for no cell: its name was mistyped, or is one of another matrix."""
    cells = list(cells)
    unheard = [grant.words for grant in grants if not any(map(grant.is_for, cells))]
    return [f"grant {words!r} is for no cell of this matrix" for words in unheard]


def in_words(table: dict[str, Any]) -> list[str]:
    """A table of a suite file, as the command line has it. Raises ValueError."""
    made = []
    for who, amounts in table.items():
        if not isinstance(amounts, dict):
            raise ValueError(f"grants: {who!r} needs a table, as in {{threads = 8}}")
        if any(isinstance(amount, int) and amount > MOST for amount in amounts.values()):
            raise ValueError(f"grants: {who!r} has more than {MOST:g} of something")  # perhaps more digits than print
        made.append(f"{who}: {', '.join(f'{name}={amount}' for name, amount in amounts.items())}")
    return made


def _amount(words: str, name: str, text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = -1.0
    kind = "whole number" if name == "threads" else "number"
    if not LEAST[name] <= amount <= MOST or (name == "threads" and not amount.is_integer()):
        raise ValueError(
            f"grant {words!r}: {name}={text}: it must be a {kind} of at least {LEAST[name]:g}, and at most {MOST:g}"
        )
    if name == "gpus":
        check_gpus(amount, f"grant {words!r}: ")
    return amount


def _canonical(method: str) -> str:
    """A label as cells have it: options sorted by name. Patterns and what is no label stay as they are."""
    try:
        return join_label(*split_label(method))
    except ValueError:
        return method


def _like(pattern: str, text: str) -> bool:
    """Patterns know * and ? alone: brackets are those of options."""
    return re.fullmatch("".join({"*": ".*", "?": "."}.get(each, re.escape(each)) for each in pattern), text) is not None
