"""`submit` and `export`: poses in from other programs, and out to them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import (
    SuiteOptions,
    TrackOptions,
    data_option,
    degradation_option,
    device_option,
    lpips_option,
    one_device,
    seeds_option,
    suite_options,
    track_options,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@click.command()
@click.argument("answer", type=click.Path(path_type=Path), metavar="FILE_OR_FOLDER", required=False)
@click.option("-s", "--scene", required=True, help="The scene that it answers.")
@click.option("--name", help="What its row is called: poses[name=NAME].")
@click.option("--recipe", metavar="NAME", help="Print how vggt, da3, mapanything, pi3, mast3r, hloc or glomap answers.")
@degradation_option
@click.option("--renders", type=click.Path(path_type=Path), metavar="DIR",
              help="h000.png, ...: renders at the cameras of heldout.transforms.json.")  # fmt: skip
@click.option("--train", is_flag=True, help="Train the shared field on the poses: a full row, poses+nerf[name=NAME].")
@click.option("--options", default="", metavar="NAME=VALUE,...", help="With --train: of the field, as field=gaussians.")
@seeds_option
@data_option
@suite_options
@device_option
@lpips_option
@track_options
def submit(
    answer: Path | None, scene: str, name: str | None, recipe: str | None, degradation: str, renders: Path | None,
    train: bool, options: str, seeds: str, data: tuple[Path, ...], suite: SuiteOptions, device: str | None,
    lpips: Path | None, tracked: TrackOptions,
) -> None:  # fmt: skip
    """Judge poses that were found elsewhere.

    FILE_OR_FOLDER is a transforms.json, a COLMAP model, or TUM text; images are named as `unposed data export` wrote
    them (with the same --effort). Frame and scale are free; views may be missing. It becomes a row of the suite.
    """
    if recipe:
        from bench.poses_io.recipes import recipe as written

        click.echo(written(recipe, scene=scene, degradation=degradation, effort=suite.effort))
        return
    if answer is None or name is None:
        raise click.UsageError("FILE_OR_FOLDER and --name NAME are needed, or --recipe")
    from bench.cli.run import finish, settle
    from bench.judge.lpips import backbone_below
    from bench.poses_io.submit import plan_submission, remarks
    from bench.runner.devices import AUTO, Devices
    from bench.runner.devices import one_device as found
    from bench.runner.settings import Settings

    made = plan_submission(
        answer, scene=scene, name=name, degradation=degradation, seeds=seeds, effort=suite.effort, renders=renders,
        train=train, options=options, roots=data, suite=suite.folder,
    )  # fmt: skip
    backbone = lpips or backbone_below(data)
    devices = found(device, suite.folder)
    if train and device in (None, AUTO):
        devices = Devices.of(device, suite.folder)
    settings = Settings(suite=suite.folder, devices=devices, lpips=backbone, retry_failed=True).tried()
    results = settle(made, settings, tracked)
    for line in remarks(made, suite.folder, results):
        click.echo(line)
    finish(results)


@click.command()
@click.argument("cell", required=False)
@click.option("--to", required=True, type=click.Path(path_type=Path), metavar="DIR", help="A new folder.")
@click.option("--format", "form", type=click.Choice(["transforms", "colmap", "tum", "all"]), default="all",
              show_default=True, help="transforms.json (nerfstudio), sparse/0 (COLMAP), poses.tum (evo).")  # fmt: skip
@click.option("--aligned", is_flag=True, help="In the truth's frame, by the protocol's similarity.")
@click.option("--truth", is_flag=True, help="The true poses too, below truth/.")
@click.option("--full-size", is_flag=True, help="With the photographs themselves, by their own names, not as shown.")
@click.option("--mesh", is_flag=True, help="mesh.ply too: the field's surface, by marching cubes.")
@click.option("--points", is_flag=True, help="points.ply too: a coloured cloud of that surface.")
@data_option
@suite_options
@device_option
def export(
    cell: str | None, to: Path, form: str, aligned: bool, truth: bool, full_size: bool, mesh: bool, points: bool,
    data: Sequence[Path], suite: SuiteOptions, device: str | None,
) -> None:  # fmt: skip
    """Write CELL's poses for other programs.

    Without CELL, those of every cell. They are in the method's own frame, and so is the geometry. Images lie beside,
    v012.png as it was shown, with its own name in originals.csv.
    """
    from bench.poses_io import FORMS
    from bench.poses_io.export import export as write
    from bench.record import cells_of, find_cell

    chosen = one_device(device, suite.folder) if mesh or points else ""
    cells = cells_of(suite.folder) if cell is None else [find_cell(suite.folder, cell)]
    forms = list(FORMS) if form == "all" else [form]
    for line in write(cells, to, forms=forms, aligned=aligned, truth=truth, roots=data, full_size=full_size):
        click.echo(line)
    if mesh or points:
        for folder, result in cells:
            place = to if len(cells) == 1 else to / result.cell.folder
            if place.is_dir():
                for line in _surface(folder, place, result.cell.id, mesh, points, aligned, chosen):
                    click.echo(line)
    click.echo(to)


def _surface(
    folder: Path, place: Path, name: str, mesh: bool, points: bool, aligned: bool, device: str
) -> Iterator[str]:  # fmt: skip
    """A line for each file, or why there is none."""
    from rich.console import Console
    from rich.progress import Progress

    from bench.runner.executors.gpu import OnDevice, as_seen
    from bench.runner.executors.local import LocalExecutor
    from bench.runner.provenance import cpu_count
    from bench.view.surface import MOST_VIEWS, extract

    try:
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(name, total=MOST_VIEWS)
            yield from map(str, extract(
                folder, place, points=points, surface=mesh, aligned=aligned, device=as_seen(device),
                executor=OnDevice(LocalExecutor(threads=cpu_count()), device),
                progress=lambda count: bar.update(task, completed=count),
            ))  # fmt: skip
    except ValueError as error:
        yield f"{name}: without geometry: {error}"
