"""`list` and `info`: what there is to run, and what each thing is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from bench.cli.options import data_option, json_option


@click.group(name="list")
def list_() -> None:
    """What there is: scenes, methods, degradations."""


@list_.command(name="scenes")
@data_option
@json_option
def list_scenes(data: tuple[Path, ...], as_json: bool) -> None:
    """Known scenes, and how to get those that are not here."""
    from bench.matrix.catalogue import absent_lines, scene_rows

    rows = scene_rows(data)
    _print(rows if as_json else [row for row in rows if not row["missing"]], as_json)
    if not as_json and (absent := list(absent_lines(rows))):
        click.echo("\n".join(["\nnot here:", *absent]))


@list_.command(name="methods")
@json_option
def list_methods(as_json: bool) -> None:
    """Installed methods, and what each needs.

    `unposed info METHOD` has its options.
    """
    from bench.matrix.catalogue import method_rows

    _print(method_rows(), as_json)


@list_.command(name="degradations")
@json_option
def list_degradations(as_json: bool) -> None:
    """Kinds of degradation.

    Each is used as kind@severity, severity 1 to 5.
    """
    from bench.matrix.catalogue import degradation_rows

    _print(degradation_rows(), as_json)


@click.command()
@click.argument("name", metavar="METHOD|SCENE|DEGRADATION")
@data_option
@json_option
def info(name: str, data: tuple[Path, ...], as_json: bool) -> None:
    """Describe a method, a scene or a degradation.

    What it is and what it is given; of a method its options with types and defaults (as set, for
    `unposed info 'gnerf[field=mlp]'`), its paper and the figures it reached; of a degradation its levels.
    """
    from bench.matrix.catalogue import find, page

    found = find(name, data)
    click.echo(json.dumps(found, indent=1, default=dict) if as_json else "\n".join(page(found)))


def _print(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(rows, indent=1, default=dict))
        return
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        click.echo(f"{row['name']:<{width}}  {row['summary']}" + (f"  [{row['note']}]" if row["note"] else ""))
