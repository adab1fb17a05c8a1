"""A suite's results -> its report: a site, one Markdown file, two CSV. The same results give the same bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import record
from bench.stress import breaking_points
from reports import pictures, text
from reports.analysis import aggregates, families, heat, paired, robustness, scores, severities, tables, tradeoff
from reports.analysis.columns import COLUMNS, column
from reports.analysis.scores import Entry
from reports.analysis.verdict import verdict
from reports.naming import replace, sweep
from reports.site import details, pages

OURS = ("cells", "scenes", "pictures", "assets")
"""Folders of a report in which what an earlier one left is removed."""


def build(suite: Path, out: Path | None = None) -> Path:
    """Write the report into `out` (default `<suite>/report`), every file replaced whole.

    Returns the path of `index.html`. Raises ValueError where there is no result, or one that cannot be read.
    """
    entries = scores.read(suite)
    out = out or suite / "report"
    facts = gather(suite.resolve().name, entries, breaking_points.read(suite))
    album = pictures.make(entries, out)
    written = {picture.path for picture in album.all() if picture.path}
    for path, content in (
        ("report.md", text.markdown(facts)),
        ("results.csv", text.table(entries)),
        ("robustness.csv", robustness.table(_frame(entries)).to_csv(index=False)),
        *pages.site(facts, album),
    ):
        replace(out / path, content)
        written.add(path)
    sweep(out, OURS, written)
    return out / "index.html"


def gather(
    name: str, entries: Sequence[Entry], searches: Sequence[breaking_points.BreakingPoint] = ()
) -> dict[str, Any]:
    """All that is said of a suite as a whole."""
    methods = scores.by_method(entries)
    return {
        "suite": name,
        "entries": entries,
        "settings": list(scores.by_setting(entries)),
        "protocols": sorted({entry.result.protocol for entry in entries}),
        "efforts": sorted({entry.result.cell.effort for entry in entries}),
        "scenes": list(scores.by_scene(entries)),
        "degradations": list(scores.by_degradation(entries)),
        "methods": list(methods),
        "seeds": sorted({entry.result.cell.seed for entry in entries}),
        "tally": Counter(entry.result.status for entry in entries),
        "given": scores.given_by_method(entries),
        "told": {method for method, each in methods.items() if scores.is_told(each)},
        "verdict": verdict(entries),
        "boards": [(question, tables.leaderboard(question, each)) for question, each in questions(entries)],
        "across": aggregates.across(entries),
        "robustness": families.families(_frame(entries)),
        "searches": searches,
        "heats": heat.heats(entries),
        "curves": severities.curves(entries),
        "bargains": tradeoff.bargains(entries),
        "comparisons": paired.comparisons(entries),
        "shared": details.shared_provenance(entries),
        "commands": sorted({str(entry.result.provenance.get("command", "")) for entry in entries} - {""}),
        "repeat": details.command(entry.result.cell for entry in entries),
        "definitions": _definitions(entries),
        "constants": _constants(entries),
        "statuses": scores.STATUSES,
    }


def questions(entries: Sequence[Entry]) -> list[tuple[scores.Question, list[Entry]]]:
    return list(scores.by_question(entries).items())


def _definitions(entries: Sequence[Entry]) -> list[Any]:
    """Columns that occur in this suite, in the order of the definitions."""
    held: set[str] = set()
    for entry in entries:
        held |= {*entry.result.metrics, *entry.result.absent, *(f"cost/{key}" for key in entry.result.cost)}
        for row in entry.result.per_view.values():
            held |= row.keys()
    return [COLUMNS[name] for name in COLUMNS if name in held] + [
        column(name) for name in sorted(held - COLUMNS.keys()) if not _is_stage(name)
    ]


def _is_stage(name: str) -> bool:
    """`nvs/refined`, absent as a whole, is no column."""
    return any(each.startswith(name + "/") for each in COLUMNS)


def _frame(entries: Sequence[Entry]) -> Any:
    return record.table(entry.result for entry in entries)


def _constants(entries: Sequence[Entry]) -> list[tuple[str, str]]:
    """What the protocol fixes, as the judgements recorded it."""
    found = (entry.result.ingredients.get("judgement") for entry in entries if entry.done)
    return list(details.flat(next((each for each in found if each), {})))
