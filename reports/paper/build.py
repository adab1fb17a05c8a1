"""A suite's results -> a folder that a paper can be written from. The same results give the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.degrade import CLEAN
from reports.analysis import entries as cells
from reports.analysis import heat, leaderboard, paired, robustness, tradeoff
from reports.analysis.entries import Entry, read
from reports.analysis.scorebook import Scorebook
from reports.analysis.table import Table
from reports.naming import replace, slug, sweep
from reports.paper import figures, latex, matplotlib_style, methods, plain, scenes
from reports.paper.published import Library, library
from reports.pictures import ERROR_FULL
from reports.text import comma_separated

if TYPE_CHECKING:
    from matplotlib.figure import Figure


GIVEN = "given poses (true, rough or submitted), or with a pretrained pose estimator"


def build(suite: Path, out: Path | None = None) -> Path:
    """Write tables (LaTeX, Markdown, CSV), figures (PDF, SVG) and `main.tex` over them into `out`.

    Default `<suite>/paper`. Returns the path of `main.tex`. Raises ValueError where there is no result.
    """
    entries = read(suite)
    out = out or suite / "paper"
    held, book = library().of(cells.by_scene(entries).keys()), Scorebook(entries)
    made = list(tables(entries, book, held))
    written: set[str] = set()

    def write(path: str, content: str | bytes) -> None:
        replace(out / path, content)
        written.add(path)

    for table in made:
        write(f"tables/{table.name}.tex", latex.table(table))
        write(f"tables/{table.name}.md", plain.markdown(table))
        write(f"tables/{table.name}.csv", plain.table(table))
    drawn = []
    with matplotlib_style.style():
        for name, caption, figure in pictures(entries, book):
            for kind, content in matplotlib_style.files(figure).items():
                write(f"figures/{name}.{kind}", content)
            drawn.append((name, caption))
    write("published.csv", _published(held))
    write("main.tex", latex.document(suite.resolve().name, [table.name for table in made], drawn))
    sweep(out, ("tables", "figures"), written)
    return out / "main.tex"


def tables(entries: Sequence[Entry], book: Scorebook, held: Library) -> Iterator[Table]:
    """In the order of the paper: novel views by stage, pose errors, summary, ablations, robustness, published noise."""
    boards = leaderboard.across_scenes(entries, book)
    yield from scenes.tables(entries, book, held)
    yield from methods.summary(boards)
    yield from methods.ablations(boards, held)
    yield from methods.bearing(robustness.curves(entries, book), held)
    yield from methods.noise(held)


def pictures(entries: Sequence[Entry], book: Scorebook) -> Iterator[tuple[str, str, Figure]]:
    """(name, caption, figure) of all that the results allow."""
    colours = {method: k for k, method in enumerate(cells.by_method(entries))}
    groups = cells.by_setting(entries)
    for setting, each in groups.items():
        suffix, where = setting.suffix(groups), setting.title
        curves = robustness.curves(each, book)
        for k, page in enumerate(figures.robustness(curves, colours), 1):
            part, more = (f"_{k}", ", continued") if k > 1 else ("", "")
            whiskers = "95 % intervals, of seeds within scenes, or over scenes where a scene has one seed"
            caption = f"Robustness{more}, {where}. Whiskers: {whiskers}; a bar with a cross: where it breaks."
            yield f"robustness{suffix}{part}", caption, page
        for table in heat.heats(each, book):
            what = f"Success rate, method by {table.across}"
            caption = f"{what}, {where}, {table.scope}. Hatched: no answer. *: {GIVEN}."
            yield f"heat_{table.across}{suffix}", caption, figures.heat(table)
        for costs in tradeoff.costs(each, book):
            caption = f"Cost against quality, {costs.degradation}, {where}; {costs.machines}. Hollow: {GIVEN}."
            yield f"cost{suffix}", caption, figures.tradeoff(costs, colours)
        for comparison in paired.comparisons(each, book):
            if ranks := comparison.ranks:
                label, degradation = comparison.column.label, comparison.degradation
                caption = f"Mean ranks by {label}, {degradation}, {where}, n = {ranks.n} scenes."
                yield f"ranks_{slug(degradation)}_{slug(label)}{suffix}", caption, figures.ranks(ranks)
        yield from _renders(each, colours, suffix, where)


def _renders(
    entries: Sequence[Entry], colours: Mapping[str, int], suffix: str, where: str
) -> Iterator[tuple[str, str, Figure]]:
    """Of the clean captures."""
    clean = scenes.main_methods([entry for entry in entries if entry.cell.degradation == CLEAN])
    for scene, each in cells.by_scene(clean).items():
        if figure := figures.renders(each, colours):
            of = f"Held-out views of {scene}, aligned stage, {where}"
            caption = f"{of}: truth, renders, errors (0 to {ERROR_FULL:g})."
            yield f"renders_{slug(scene)}{suffix}", caption, figure


def _published(held: Library) -> str:
    """All published numbers with their sources, one a line."""
    heads = (
        "id", "method", "given", "dataset", "scene", "column", "value", "read", "source", "protocol", "caution",
        "stage", "stage_note",
    )  # fmt: skip
    rows = [
        vars(each) | {"scene": scene, "column": column, "value": value}
        for each in held.published
        for scene, values in each.scenes.items()
        for column, value in values.items()
    ]
    rows += [
        vars(each) | {"id": "noise", "column": f"rotation at sigma {sigma}", "value": value}
        for each in held.noise
        for sigma, value in zip(each.sigma, each.rotation, strict=True)
    ]
    return comma_separated(heads, ([row.get(head, "") for head in heads] for row in rows))
