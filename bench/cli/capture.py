"""`data add`, `data prior`, `data fetch`: where scenes come from."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bench.cli.options import Amount, background_option
from bench.stated_prior import SPOKEN, WALKS, Walk, prior_of, table
from datasets.add import Told
from datasets.background import spoken


def _walks(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--orbit`, `--dome`, ...: one of them at most."""
    for walk in reversed(WALKS):
        command = click.option(f"--{walk}", "walk", flag_value=walk, help=f"Taken {SPOKEN[walk]}.")(command)
    return command


def prior_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What people can say of where the cameras were."""
    command = click.option("--distance", metavar="D|A..B", help="From camera to object, in any unit.  [default: 4]")(
        command
    )
    command = click.option("--elevation", metavar="A..B", help="Degrees above its level, as 10..60.")(command)
    return _walks(command)


@click.command()
@click.argument("path", type=click.Path(path_type=Path), metavar="FOLDER|VIDEO")
@prior_options
@click.option(
    "--focal",
    type=Amount(4, 2000, min_open=True, max_open=True),
    metavar="MM",
    help="In terms of 35 mm film; 26 for most phones.  [default: EXIF's]",
)
@click.option("--split", type=click.IntRange(2), help="Hold out the first of every so many.  [default: 8]")
@background_option
@click.option("--frames", type=click.IntRange(5), default=60, show_default=True, help="Of a VIDEO: how many are taken.")
@click.option("--sheet", type=click.Path(path_type=Path, dir_okay=False), help="[default: NAME.contact.jpg, here]")
def add(
    path: Path,
    walk: Walk | None,
    elevation: str | None,
    distance: str | None,
    focal: float | None,
    split: int | None,
    background: str | None,
    frames: int,
    sheet: Path | None,
) -> None:
    """Make a scene of photographs, or of a video.

    Writes one file, unposed.toml, into the folder: what is known of the capture, to be edited; deleting it undoes this.
    Frames of a VIDEO go into a folder of its name beside it.
    """
    from bench.files import replacing
    from datasets.add import add as added
    from datasets.add import contact_sheet

    if walk is None and (elevation or distance):
        raise ValueError("--elevation and --distance go with one of " + ", ".join(f"--{each}" for each in WALKS))
    told = Told(
        prior=prior_of(walk, elevation, distance) if walk else None, focal=focal, split=split,
        background=spoken(background) if background else None,
    )  # fmt: skip
    source = added(path, told, frames=frames)
    picture = sheet or Path(f"{source.folder.resolve().name}.contact.jpg")
    with replacing(picture) as draft:
        contact_sheet(source).save(draft, format="jpeg", quality=85)
    for note in source.notes:
        click.echo(f"{source.name}: {note}")
    click.echo(f"card: {source.folder / 'unposed.toml'} (edit it; delete it to undo)")
    click.echo(f"contact sheet: {picture}")
    click.echo(f"\nnext: unposed run -s {shlex.quote(str(source.folder))} -m {_first(source.inputs)} --effort quick")


def _first(inputs: frozenset[str]) -> str:
    """The methods that need nothing that is not known."""
    return "colmap_nerf,nerfmm" + (",gnerf" if {"camera", "prior"} <= inputs else "")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="SCENE")
@prior_options
@click.option("--print", "only_print", is_flag=True, help="Print the table, and write nothing.")
def prior(folder: Path, walk: Walk | None, elevation: str | None, distance: str | None, only_print: bool) -> None:
    """Say where the cameras of a capture may have been.

    Writes [prior] into the unposed.toml of the folder SCENE, for methods that want to know (gnerf).
    """
    from datasets.add import set_prior

    if walk is None:
        raise ValueError("say how it was taken: " + ", ".join(f"--{each} ({SPOKEN[each]})" for each in WALKS))
    said = prior_of(walk, elevation, distance)
    if only_print:
        click.echo(table(said))
        return
    click.echo(f"{set_prior(folder, said)}\n\n{table(said)}")


@click.command()
@click.argument("name")
@click.option(
    "--data",
    required=True,
    envvar="UNPOSED_DATA",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder of real scenes that it goes to.  [env: UNPOSED_DATA]",
)
@click.option("--yes", is_flag=True, help="The licence is accepted: do not ask.")
def fetch(name: str, data: Path, yes: bool) -> None:
    """Download a published scene, check it and unpack it.

    Its licence is shown first. A download that breaks off goes on where it stopped. Scenes whose addresses nobody could
    check are not fetched: the answer says how to get them by hand.
    """
    from rich.progress import Progress

    from datasets.fetch import obtain
    from datasets.fetchable import fetchable

    card = fetchable(name)
    click.echo(f"{name}: {card.summary}\nfrom {card.source}\nlicence: {card.licence or 'none stated'}")
    if not yes:
        click.confirm("fetch it under this licence?", abort=True)
    data.mkdir(parents=True, exist_ok=True)
    with Progress(transient=True) as shown:
        task = shown.add_task(name, total=None)
        obtain(card.download, data, lambda have, whole: shown.update(task, completed=have, total=whole))
    click.echo(f"it is in {data}; look at it: unposed data verify {name} --data {shlex.quote(str(data))}")
