"""`plan`, `run` and `stress`: the verbs that settle cells."""

from __future__ import annotations

import json
import shlex
import sys
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import (
    MatrixOptions,
    RunOptions,
    TrackOptions,
    kinds_option,
    matrix_options,
    run_options,
    suite_file_argument,
    track_options,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from bench.matrix.plan import Plan
    from bench.record import Result
    from bench.runner.run import Listener
    from bench.runner.settings import Settings


@click.command()
@suite_file_argument
@matrix_options()
@click.option("--json", "as_json", is_flag=True, help="One object a cell.")
@click.option("--slurm", type=click.IntRange(1), metavar="N", help="Print the sbatch line that runs it in N jobs.")
def plan(matrix: MatrixOptions, as_json: bool, slurm: int | None) -> None:
    """Show what a run would do, and how long it would take.

    A line for each cell (a scene, a degradation, a method and a seed): whether it runs, is skipped and why, or has a
    result that still holds.
    """
    from bench.matrix.grants import idle
    from bench.matrix.plan import plan as read
    from bench.runner.devices import AUTO
    from bench.runner.outlook import job_lengths, outlook, summary, wanted_at_once
    from bench.runner.shards import longest_job, sbatch, without

    if slurm and as_json:
        raise ValueError("--json lists cells and --slurm prints a command: ask for one of them")
    made, settings = read(matrix.selection()), matrix.settings()
    rows = outlook(made, settings)
    for line in idle(settings.grants, [planned.cell for planned in made.cells]):
        click.echo(line, err=True)
    if slurm:
        lengths, remark = job_lengths(rows)
        threads, memory = wanted_at_once(rows, settings)
        # on whatever nodes they land: jobs that share a suite are of one kind
        kind = ["--device", settings.devices.first] if settings.devices.asked == AUTO else []
        click.echo(sbatch(
            [*without(sys.argv[2:], "--slurm"), *kind], slurm, threads=threads, memory=memory,
            seconds=longest_job(lengths, slurm * settings.slots),
            gpus=len(settings.devices.names) if settings.devices.kind == "cuda" else 0,
        ))  # fmt: skip
        if remark:
            click.echo(remark, err=True)
        return
    if as_json:
        click.echo(json.dumps([row._asdict() for row in rows], indent=1))
        return
    if settings.opening:
        click.echo(settings.opening)
    click.echo(f"{summary(rows, settings)}; suite {settings.suite}\n")
    for row in rows:
        click.echo(f"{row.cell:<60} {row.state}" + (f"  ~{row.seconds:.0f} s" if row.seconds else ""))
    for line in made.absent:
        click.echo(f"left out: {line}")
    for line in made.assumed:
        click.echo(line)


@click.command()
@suite_file_argument
@matrix_options()
@run_options
@track_options
@click.option("--shard", metavar="I/N", help="One of N runs at once over a shared folder; then `unposed collect`.")
def run(matrix: MatrixOptions, running: RunOptions, tracked: TrackOptions, shard: str | None) -> None:
    """Fit, judge and record every cell that has no result yet.

    A cell is a scene, a degradation, a method and a seed. A run that was stopped goes on where it was.

    SUITE.toml has these options as keys (scenes = ["blocks"]); those of the command line are heard before it.
    """
    from bench.matrix.plan import plan as read
    from bench.runner.shards import Shard

    settings = replace(matrix.settings(running), shard=Shard.parse(shard) if shard else None)
    made = read(matrix.selection())
    finish(settle(made, settings.tried(), tracked))


@click.command()
@suite_file_argument
@matrix_options(kinds_option)
@run_options
@track_options
@click.option("--tolerance", type=float, default=0.25, show_default=True, help="Step of the severity.")
def stress(matrix: MatrixOptions, running: RunOptions, tracked: TrackOptions, tolerance: float) -> None:
    """Find where each method breaks, by bisection.

    That is the severity from which fewer than half of its seeds succeed. Bisects between 0 and 5 instead of running the
    grid, and so assumes that what breaks at a severity is broken at all higher ones. Writes stress.csv and stress.json
    into the suite.
    """
    from bench.matrix.plan import plan as read
    from bench.runner.progress import counted
    from bench.runner.run import run as settle_all
    from bench.stress.breaking_points import keep, table_lines, undone
    from bench.stress.search import parse_kinds
    from bench.stress.search import stress as search

    kinds = parse_kinds(matrix.degradations)
    clean, settings = read(matrix.selection(degradations="clean")), matrix.settings(running).tried()
    console = console_of_run(clean, settings)
    most: list[int] = []  # cells of later rounds, by the round
    with tracking(settings.suite, tracked, console) as store:

        def settle_round(made: Plan) -> list[Result]:
            later = f"then at most {counted(most[-1], 'cell')} more" if most[-1] else ""
            said = ", ".join(filter(None, [counted(len(made.cells), "cell"), later]))
            return shown(
                made, settings, store, console, lambda listen: settle_all(made, settings, listen),
                opening=f"round {len(most)}: {said}", later=later,
            )  # fmt: skip

        rows = search(clean, kinds, tolerance, settle_round, most.append)
    keep(settings.suite, rows)
    click.echo("\n" + "\n".join(table_lines(rows)))
    click.echo(f"assumed: what breaks at a severity is broken at all higher ones; {settings.suite}/stress.csv")
    if undone(rows):
        click.echo("some cells failed or timed out, which counts as broken; --retry-failed runs them again", err=True)
        sys.exit(1)


def settle(made: Plan, settings: Settings, tracked: TrackOptions) -> Sequence[Result]:
    """Settle a plan while a person watches, and say how it went."""
    from bench.runner.run import run as settle_all

    return watched(made, settings, tracked, lambda listen: settle_all(made, settings, listen))


def watched(
    made: Plan, settings: Settings, tracked: TrackOptions, work: Callable[[Listener], list[Result]]
) -> list[Result]:
    """The results of `work` on a plan, which a person watches and MLflow is sent; and how it went."""
    from bench.runner.progress import closing

    console = console_of_run(made, settings)
    with tracking(settings.suite, tracked, console, shard=settings.shard is not None) as store:
        results = shown(made, settings, store, console, work)
    *methods, total = closing(results)
    then = (
        f"unposed collect -o {shlex.quote(str(settings.suite))}" if settings.shard else f"{settings.suite}/results.csv"
    )
    for line in ("", *methods, f"{total}; {then}"):
        console.print(line, soft_wrap=True, markup=False)
    return results


def finish(results: Sequence[Result]) -> None:
    """Exit with 1 where a cell failed."""
    from bench.record import RERUNNABLE

    if any(result.status in RERUNNABLE for result in results):
        click.echo("next: unposed run ... --retry-failed, or see stderr.txt in the cell's folder")
        sys.exit(1)


def console_of_run(made: Plan, settings: Settings) -> Console:
    """The console of a run, which says on what it runs, and what was asked for and cannot be had."""
    from rich.console import Console

    from bench.matrix.grants import idle

    console = Console(highlight=False)
    if settings.opening:
        console.print(settings.opening, soft_wrap=True, markup=False)
    for line in made.absent:
        console.print(f"left out: {line}", style="dim", soft_wrap=True, markup=False)
    for line in made.assumed:
        console.print(line, soft_wrap=True, markup=False)
    for line in idle(settings.grants, [planned.cell for planned in made.cells]):
        console.print(line, style="yellow", soft_wrap=True, markup=False)
    return console


def tracking(suite: Path, tracked: TrackOptions, console: Console, *, shard: bool = False) -> Any:
    """The open MLflow store, or None within: a shard leaves it to `collect`."""
    from bench.tracking.beside import Tracking

    warn = partial(console.print, style="yellow", soft_wrap=True)
    return nullcontext() if tracked.no_track or shard else Tracking(suite, tracked.track, warn)


def shown(
    made: Plan, settings: Settings, store: Any, console: Console, work: Callable[[Listener], list[Result]],
    **lines: str,
) -> list[Result]:  # fmt: skip
    """Results of a plan, shown and tracked as they come; `lines`: see `display`."""
    from bench.runner.display import display
    from bench.runner.watch import Watch

    with display(console, Watch(made.cells, settings), **lines) as show:

        def listen(planned: Any, stage: Any, result: Any) -> None:
            show(planned, stage, result)
            if store:
                store.heard(settings.suite / planned.cell.folder, planned.cell, stage, result)

        return work(listen)
