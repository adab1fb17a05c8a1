"""A suite's results -> its report: a site, one Markdown file, two CSV. The same results give the same bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from bench import per_view
from bench.record import OUTCOMES
from bench.stress import breaking_points
from reports import pictures, text
from reports.analysis import agreement, heat, leaderboard, paired, reliability, robustness, tradeoff
from reports.analysis import entries as cells
from reports.analysis.columns import COLUMNS, column
from reports.analysis.entries import Entry, read
from reports.analysis.scorebook import Scorebook
from reports.analysis.verdict import verdict
from reports.naming import replace, sweep
from reports.site import details, pages

OURS = ("cells", "scenes", "pictures", "assets")
"""Folders of a report in which what an earlier one left is removed."""


def build(suite: Path, out: Path | None = None) -> Path:
    """Write the report into `out` (default `<suite>/report`), every file replaced whole.

    Returns the path of `index.html`. Raises ValueError where there is no result.
    """
    entries = read(suite)
    out = out or suite / "report"
    facts = gather(suite.resolve().name, entries, breaking_points.read(suite))
    album = pictures.make(entries, out)
    written = {picture.path for picture in album.all() if picture.path}
    texts = (
        ("report.md", text.markdown(facts)),
        ("results.csv", text.table(entries)),
        ("robustness.csv", text.curves(facts["curves"])),
    )
    for path, content in chain(texts, pages.site(facts, album)):
        replace(out / path, content)
        written.add(path)
    sweep(out, OURS, written)
    return out / "index.html"


def gather(
    name: str, entries: Sequence[Entry], searches: Sequence[breaking_points.BreakingPoint] = ()
) -> dict[str, Any]:
    """All that is said of a suite as a whole."""
    book = Scorebook(entries)
    methods = cells.by_method(entries)
    curves = robustness.curves(entries, book)
    return {
        "suite": name,
        "entries": entries,
        "book": book,
        "settings": list(cells.by_setting(entries)),
        "protocols": sorted({entry.result.protocol for entry in entries}),
        "efforts": sorted({entry.cell.effort for entry in entries}),
        "scenes": list(cells.by_scene(entries)),
        "degradations": list(cells.by_degradation(entries)),
        "methods": list(methods),
        "seeds": sorted({entry.cell.seed for entry in entries}),
        "tally": Counter(entry.outcome for entry in entries),
        "given": {method: cells.describe_given(each) for method, each in methods.items()},
        "given_in_full": {method: details.given_in_full(each) for method, each in methods.items()},
        "given_poses": {method for method, each in methods.items() if each[0].given_poses},
        "verdict": verdict(entries, book, curves),
        "boards": leaderboard.of_questions(entries, book),
        "agreements": {q: agreement.of_question(each) for q, each in cells.by_question(entries).items()},
        "across": leaderboard.across_scenes(entries, book),
        "families": robustness.by_family(curves),
        "searches": searches,
        "heats": heat.heats(entries, book),
        "curves": curves,
        "costs": tradeoff.costs(entries, book),
        "reliabilities": reliability.reliabilities(entries),
        "comparisons": paired.comparisons(entries, book),
        "shared": details.shared_provenance(entries),
        "commands": sorted({str(entry.result.provenance.get("command", "")) for entry in entries} - {""}),
        "repeat": details.command(entry.cell for entry in entries),
        "definitions": _definitions(entries),
        # what the protocol fixes, as the judgements recorded it
        "constants": details.flat(
            next(filter(None, (e.result.ingredients.get("judgement") for e in entries if e.done)), {})
        ),
        "outcomes": OUTCOMES,
    }


def _definitions(entries: Sequence[Entry]) -> list[Any]:
    """Columns that occur in this suite, in the order of the definitions."""
    held: set[str] = set()
    for entry in entries:
        held |= {*entry.result.metrics, *entry.result.absent, *(f"cost/{key}" for key in entry.result.cost)}
        held |= per_view.columns(entry.result.per_view)
    stages = {name for name in held if any(each.startswith(name + "/") for each in COLUMNS)}  # absent as a whole
    return [COLUMNS[name] for name in COLUMNS if name in held] + [
        column(name) for name in sorted(held - COLUMNS.keys() - stages)
    ]
