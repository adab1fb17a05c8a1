"""`collect`, `track` and `ui`: a suite's tables, and the suite in MLflow."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path

import click

from bench.cli.options import (
    SuiteOptions,
    TrackOptions,
    out_option,
    suite_folder,
    suite_options,
    track_option,
    track_options,
)


@click.command()
@suite_options
@track_options
def collect(suite: SuiteOptions, tracked: TrackOptions) -> None:
    """Write the tables of a suite that several runs filled.

    Those of `run --shard`, while they are at work or afterwards. Sends the suite to MLflow, too.
    """
    from bench.record import cells_of
    from bench.results_table import write_tables
    from bench.runner.progress import closing
    from bench.runner.shards import unfinished
    from bench.tracking.beside import replay as send

    results = [result for _, result in cells_of(suite.folder, views=False)]
    write_tables(suite.folder, results)
    for line in (*closing(results), f"{suite.folder}/results.csv"):
        click.echo(line)
    if begun := unfinished(suite.folder):
        click.echo(f"begun and not finished: {', '.join(begun)}; run the same command again where nobody is at it")
    if not tracked.no_track:
        sent, store = send(suite.folder, tracked.track)
        click.echo(f"{sent} cells sent to {store}")


@click.command()
@suite_options
@click.option("--replay", is_flag=True, required=True, help="Bring the store up to date with the files.")
@track_option
def track(suite: SuiteOptions, replay: bool, track: str | None) -> None:
    """Send a suite's results to MLflow; nothing is sent twice."""
    from bench.record import cells_of
    from bench.tracking.beside import replay as send

    cells_of(suite.folder, views=False)
    sent, store = send(suite.folder, track)
    click.echo(f"{sent} cells sent to {store}")


@click.command()
@out_option
@click.option("--port", default=5000, show_default=True)
def ui(out: Path | None, port: int) -> None:
    """Open MLflow's own pages over a suite, on 127.0.0.1.

    Says when they can be opened; they end with this command.
    """
    from bench.tracking.pages import check_store, pages

    suite = suite_folder(out, "quick")
    check_store(suite)
    click.echo("MLflow is starting, which takes some seconds", err=True)
    began = time.monotonic()
    with suppress(KeyboardInterrupt), pages(suite, port) as (address, process):
        click.echo(f"{address} is up, after {time.monotonic() - began:.0f} s; Ctrl-C ends it")
        sys.exit(process.wait())
