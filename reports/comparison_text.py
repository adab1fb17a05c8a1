"""What `unposed compare` prints, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reports.analysis.leaderboard import show_interval
from reports.compare import KINDS, Change, Compared, title

LISTED = 10  # cells named of each kind


def lines(compared: Compared) -> list[str]:
    """What `unposed compare` prints."""
    sides = (("A", compared.a), ("B", compared.b))
    said = [
        f"{name}  {each.label}  {len(each.entries)} cells, {each.protocols}, git {each.revisions}"
        for name, each in sides
    ]
    pairs = compared.pairs
    said.append(
        f"{len(pairs)} pairs ({sum(p.a.solved for p in pairs)} solved in A, {sum(p.b.solved for p in pairs)} in B); "
        f"{len(compared.cells['lacking'])} cells only in A, {compared.only_b} only in B"
    )
    said += ["", *_table(compared.changes)]
    for kind, cells in compared.cells.items():
        said += _listed(KINDS[kind][0], cells)
    for change in compared.changes:
        for what, cells in (("worst", change.worst), ("best", change.best)):
            if cells and change.counts:
                shown = change.column
                told = [f"{name}  {shown.show(a)} -> {shown.show(b)} {shown.unit}".rstrip() for name, a, b in cells]
                said += ["", f"{title(shown)}, {what} changes:", *(f"  {line}" for line in told)]
    verdict = "worse: " + "; ".join(compared.regressions) if compared.regressions else "nothing got worse"
    if not compared.is_one_protocol:
        verdict = f"judged by two protocols, {compared.a.protocols} and {compared.b.protocols}: no difference is a loss"
    return [*said, "", verdict]


def _listed(what: str, cells: Sequence[tuple[str, str]]) -> list[str]:
    if not cells:
        return []
    more = [f"  and {len(cells) - LISTED} more"] if len(cells) > LISTED else []
    return ["", f"{what} ({len(cells)}):", *(f"  {name}  {why}" for name, why in cells[:LISTED]), *more]


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
