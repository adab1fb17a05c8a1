"""What `unposed compare` prints, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reports.analysis.leaderboard import show_interval
from reports.compare import KINDS, Change, Compared, title
from reports.text import environment

LISTED = 10  # cells named of each kind


def lines(compared: Compared) -> list[str]:
    """What `unposed compare` prints."""
    template = environment("reports", autoescape=False).get_template("comparison.txt.j2")
    table = _table(compared.changes)
    return template.render(compared=compared, table=table, kinds=KINDS, listed=LISTED, title=title).splitlines()


def _table(changes: Sequence[Change]) -> list[str]:
    heads = ("", "n", "A", "B", "B - A, mean", "95 % interval", "better", "same", "worse")
    rows: list[tuple[str, ...]] = [heads]
    for each in changes:
        shown = each.column
        interval = show_interval(each.interval, shown) or ("one cell" if each.n == 1 else "one scene")
        unit = f" ({shown.unit})" if shown.unit else ""
        same = each.n - each.better - each.worse
        rows.append((f"{title(shown)}{unit} {shown.arrow}", str(each.n), shown.show(each.a), shown.show(each.b),
                     shown.signed(each.mean), interval, str(each.better), str(same), str(each.worse)))  # fmt: skip
    widths = [max(len(row[k]) for row in rows) for k in range(len(heads))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(text.rjust(w) for text, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]


def as_json(compared: Compared) -> dict[str, Any]:
    """For programs; numbers in the units of the columns."""
    return {
        "a": compared.a.label, "b": compared.b.label, "protocols": [compared.a.protocols, compared.b.protocols],
        "pairs": len(compared.pairs),
        "only_a": len(compared.cells["lacking"]), "only_b": compared.only_b, "regressions": compared.regressions,
        **compared.cells,
        "changes": {
            each.column.name: {
                "n": each.n, "a": each.a, "b": each.b, "mean": each.mean,
                "interval": list(each.interval[:2]) if each.interval else None,
                "interval_over": each.interval.over if each.interval else None,
                "better": each.better, "worse": each.worse, "lost": each.lost,
            }
            for each in compared.changes
        },
    }  # fmt: skip
