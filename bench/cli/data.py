"""`data`: scenes on disk."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bench.cli.app import LazyGroup
from bench.cli.catalogue import list_scenes
from bench.cli.options import data_option, degradation_option, effort_option


@click.group(
    cls=LazyGroup,
    verbs={"add": "bench.cli.capture:add", "prior": "bench.cli.capture:prior", "fetch": "bench.cli.capture:fetch"},
)
def data() -> None:
    """Scenes on disk: add your own, list, verify, export, preview."""


data.add_command(list_scenes, name="list")


@data.command()
@click.argument("names", nargs=-1, metavar="[SCENE]...")
@click.option("--preview", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Draw cameras and matched points of each scene as SCENE.png there.")  # fmt: skip
@data_option
def verify(names: tuple[str, ...], preview: Path | None, data: tuple[Path, ...]) -> None:
    """Decode every image and check every pose of scenes.

    SCENE is a name, a glob or a folder; none: all that are here. Poses are held against matches between the images.
    """
    from bench.matrix.selection import select_scenes
    from datasets.verify import verify as examine

    present, _ = select_scenes(",".join(names) or "all", data)
    bad = 0
    for source in present:
        found = examine(source)
        bad += bool(found.faults)
        click.echo(f"{source.name}: " + "; ".join(found.faults or ["fine"]))
        for remark in found.remarks:
            click.echo(f"  {remark}")
        if preview and found.scene is not None and found.scene.truth.poses:
            from datasets.preview import draw

            click.echo(f"  {draw(preview / file_name(source.name), found.scene, found.geometry)}")
    sys.exit(1 if bad else 0)


def file_name(scene: str, *what: str) -> str:
    """`nerf_llff_data/fern` -> `nerf_llff_data-fern.png`."""
    return ".".join([scene.replace("/", "-").strip("-"), *what, "png"])


@data.command()
@click.argument("scene")
@click.option("--to", required=True, type=click.Path(path_type=Path), metavar="DIR", help="A new folder.")
@degradation_option
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Whose draw of the degradation.")
@effort_option
@data_option
def export(scene: str, to: Path, degradation: str, seed: int, effort: str, data: tuple[Path, ...]) -> None:
    """Write SCENE as methods are shown it, without its truth.

    For a pose estimator outside of the suite: `unposed submit` takes its answer.
    """
    from bench.poses_io.capture_export import hand_out

    capture = hand_out(scene, to, degradation=degradation, seed=seed, effort=effort, roots=data)
    click.echo(f"{len(capture.images)} images; how to come back is in {to / 'README.txt'}")


@data.command()
@click.argument("scene")
@click.option("-d", "--degradation", required=True, metavar="KIND", help="As low_texture; no severity: all are shown.")
@click.option("--views", type=click.IntRange(1), default=4, show_default=True, help="Rows of the sheet.")
@effort_option
@data_option
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="[default: SCENE.KIND.png, here]")
def preview(scene: str, degradation: str, views: int, effort: str, data: tuple[Path, ...], out: Path | None) -> None:
    """Draw what a kind of degradation does to SCENE.

    At severities 0 to 5, with the keypoints that it leaves.
    """
    from bench.degrade.sheet import write_sheet
    from bench.matrix.restated import read_as
    from bench.matrix.selection import select_scenes
    from bench.regime import parse_regime

    (source, *others), _ = select_scenes(scene, data)
    if others:
        raise ValueError(f"{scene!r} names several scenes: a sheet shows one")
    path = out or Path(file_name(source.name, degradation))
    regime = parse_regime(effort)
    write_sheet(path, lambda: read_as(source, regime).load(regime.pixels), degradation, views)
    click.echo(path.resolve())
