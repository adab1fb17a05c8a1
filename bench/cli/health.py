"""`check` and `doctor`: is a method sound, is this machine ready?"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bench.cli.options import data_option, lpips_option, out_option, suite_folder


@click.command()
@click.argument("method")
@click.option("--python", metavar="PYTHON", help="Another environment's interpreter, where METHOD is a path.")
def check(method: str, python: str | None) -> None:
    """Contract test of METHOD on a tiny scene.

    Through the real worker; says what its author must mend.
    """
    from bench.runner.contract import examine

    broken = 0
    for name, fault in examine(method, python=python):
        broken += fault is not None
        click.echo(f"{'ok  ' if fault is None else 'FAIL'} {name}" + (f": {fault}" if fault else ""))
    sys.exit(1 if broken else 0)


@click.command()
@data_option
@out_option
@lpips_option
def doctor(data: tuple[Path, ...], out: Path | None, lpips: Path | None) -> None:
    """Check python, torch, devices, LPIPS, scenes and disk."""
    from bench.judge.lpips import backbone_below
    from bench.runner.doctor import examine

    problems = 0
    for finding in examine(roots=data, out=suite_folder(out, "quick"), lpips=lpips or backbone_below(data)):
        problems += finding.level == "problem"
        click.echo(f"{finding.level:<8} {finding.subject:<14} {finding.text}")
    sys.exit(1 if problems else 0)
