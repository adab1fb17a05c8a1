"""`status`, `why`, `report` and `compare`: reading results."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import click

from bench.cli.options import SuiteOptions, data_option, json_option, lpips_option, suite_options


@click.command()
@suite_options
def status(suite: SuiteOptions) -> None:
    """Show the result of each cell of a suite."""
    from rich.console import Console

    from bench.record import OUTCOMES, cells_of
    from bench.results_table import lacking
    from bench.runner.progress import MARK, closing, headline

    console = Console(highlight=False)
    cells = cells_of(suite.folder, views=False)
    results = [result for _, result in cells]
    for result in results:
        mark, style = MARK[result.outcome]
        said = f"{mark} {result.cell.id}  {OUTCOMES[result.outcome]}"
        if console.is_terminal:
            console.print(said, style=style, end="  ", markup=False)
            console.print(headline(result), soft_wrap=True, markup=False)
        else:
            click.echo(f"{said}  {headline(result)}")
    for line in ("", *closing(results)):
        click.echo(line)
    if stale := lacking(suite.folder, [folder for folder, _ in cells]):
        click.echo(
            f"{stale}: `unposed collect --no-track --out {shlex.quote(str(suite.folder))}` writes it anew", err=True
        )


@click.command()
@click.argument("cell")
@data_option
@suite_options
@lpips_option
@click.option("-m", "--method", metavar="PATH", help="The method's file, where it lies elsewhere now.")
def why(cell: str, data: tuple[Path, ...], suite: SuiteOptions, lpips: Path | None, method: str | None) -> None:
    """Say whether CELL would run again, and what changed.

    CELL is scene/degradation/method/seedK, as `unposed status` writes it.
    """
    from bench.judge.lpips import backbone_below
    from bench.record import find_cell
    from bench.runner.devices import Devices
    from bench.runner.outlook import explain
    from bench.runner.settings import Settings

    _, result = find_cell(suite.folder, cell)
    kind = str(result.provenance.get("device", "cpu")).partition(":")[0]  # it would run on what it ran on
    settings = Settings(suite=suite.folder, devices=Devices((kind,), kind), lpips=lpips or backbone_below(data))
    changes, verdict = explain(result, settings, roots=data, method=method)
    for change in changes:
        click.echo(change)
    click.echo(f"{cell} {verdict}")


@click.command()
@suite_options
@click.option("--print", "shown", is_flag=True, help="Print its tables, in Markdown, instead of its path.")
@click.option("--paper", is_flag=True, help="Also tables and figures for a paper, published numbers beside ours.")
def report(suite: SuiteOptions, shown: bool, paper: bool) -> None:
    """Write the report of a suite, and print its path."""
    from bench.record import cells_of
    from reports.build import build

    if not suite.folder.is_dir():
        cells_of(suite.folder)  # which says how to make one
    page = build(suite.folder).resolve()
    click.echo(page.with_name("report.md").read_text(encoding="utf-8") if shown else page)
    if paper:
        from reports.paper.build import build as build_paper

        click.echo(build_paper(suite.folder).resolve())


@click.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option("--fail-on-regression", is_flag=True, help="Exit code 1 where B is worse.")
@json_option
def compare(a: str, b: str, fail_on_regression: bool, as_json: bool) -> None:
    """Compare two suites, or two methods, cell by cell.

    A and B are suites (runs/before runs/after) or methods of suites (runs/x:nerf runs/x:gnerf). B may be the word
    `reference`: does A reproduce what this suite has measured? Then the exit code is 1 where it does not.
    """
    if b == "reference":
        sys.exit(_against_the_reference(Path(a), as_json))
    from reports import comparison_text
    from reports.compare import compare as pair
    from reports.compare import side

    compared = pair(side(a), side(b))
    lines = comparison_text.lines(compared)
    click.echo(json.dumps(comparison_text.as_json(compared), indent=1) if as_json else "\n".join(lines))
    if fail_on_regression and compared.regressions:
        sys.exit(1)


def _against_the_reference(suite: Path, as_json: bool) -> int:
    from dataclasses import asdict

    from bench.record import cells_of
    from bench.reference import lines, read, reproduce

    held, said = reproduce([result for _, result in cells_of(suite, views=False)], read())
    rows = [{**asdict(each), "reproduced": each.reproduced} for each in held]
    click.echo(json.dumps({"columns": rows, "notes": said}, indent=1) if as_json else "\n".join(lines(held, said)))
    return 0 if held and all(each.reproduced for each in held) else 1
