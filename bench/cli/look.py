"""`render` and `view`: a cell to look at."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import SuiteOptions, device_option, one_device, suite_options

if TYPE_CHECKING:
    from bench.view.camera_path import Kind


@click.command()
@click.argument("cell")
@suite_options
@click.option("--path", "kind", type=click.Choice(["orbit", "spiral"]), default="orbit", show_default=True)
@click.option("--frames", type=click.IntRange(2), default=60, show_default=True)
@click.option("--fps", type=click.IntRange(1, 60), default=20, show_default=True)
@click.option("--side", type=click.IntRange(16), default=200, show_default=True, help="Longest side of a frame, px.")
@click.option("--film", type=click.Path(path_type=Path, dir_okay=False), help="A .gif or .mp4.")
@device_option
def render(
    cell: str, suite: SuiteOptions, kind: Kind, frames: int, fps: int, side: int, film: Path | None, device: str | None
) -> None:
    """Render a film along a camera path around CELL's field.

    Depth is beside the colours; prints the file's path.
    """
    from rich.console import Console
    from rich.progress import Progress

    from bench.runner.executors.gpu import OnDevice, as_seen
    from bench.runner.executors.local import LocalExecutor
    from bench.runner.provenance import cpu_count
    from bench.view import camera_path
    from bench.view.fitted_field import find_fitted_cell

    chosen = one_device(device, suite.folder)
    folder = find_fitted_cell(suite.folder, cell)
    file = film or folder / f"{kind}{camera_path.default_suffix()}"
    camera_path.check_film(file)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"{cell} {kind}", total=frames)
        seen = camera_path.render(
            folder, kind, frames=frames, side=side, device=as_seen(chosen),
            executor=OnDevice(LocalExecutor(threads=cpu_count()), chosen),
            progress=lambda count: bar.update(task, completed=count),
        )  # fmt: skip
        camera_path.write_film(seen, file, fps)
    click.echo(file.resolve())


@click.command()
@click.argument("cell")
@suite_options
@click.option("--port", default=8080, show_default=True)
@device_option
def view(cell: str, suite: SuiteOptions, port: int, device: str | None) -> None:
    """Show CELL's cameras and field, live, in a browser.

    Cameras of truth and estimate, and the field rendered from where you stand, on 127.0.0.1 (needs viser).
    """
    from bench.record import find_cell
    from bench.view.viewer import Viewer

    chosen = one_device(device, suite.folder)
    shown = Viewer(find_cell(suite.folder, cell)[0], cell, port=port, device=chosen)
    click.echo(f"{cell} is at {shown.address}; Ctrl-C ends it")
    with suppress(KeyboardInterrupt):
        threading.Event().wait()
