"""`judge`: fits that are there already, judged anew."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options import Amount, TrackOptions, data_option, devices_option, lpips_option, track_options


@click.command()
@click.argument("suite", type=click.Path(path_type=Path, file_okay=False), default=Path("runs/quick"))
@click.option("-m", "--method", metavar="PATH", help="The method's file, where it lies elsewhere now.")
@click.option("--no-refine", is_flag=True, help="Without refined poses, which take most of the time: no nvs/refined.")
@click.option("--render-limit", type=Amount(1), help="Seconds the renders of a cell.  [default: as a fit]")
@click.option(
    "--workers", type=click.IntRange(1), default=1, show_default=True, help="Cells side by side, on each device."
)
@data_option
@devices_option
@lpips_option
@track_options
def judge(
    suite: Path, method: str | None, no_refine: bool, render_limit: float | None, workers: int,
    data: tuple[Path, ...], device: str | None, lpips: Path | None, tracked: TrackOptions,
) -> None:  # fmt: skip
    """Judge every fit of a suite again, without fitting.

    After a change of the protocol, or with other weights of LPIPS, without refinement, or with more time for renders.
    SUITE is its folder  [default: runs/quick].
    """
    from bench.cli.run import finish, watched
    from bench.judge.lpips import backbone_below
    from bench.matrix.plan import Plan
    from bench.record import cells_of
    from bench.runner.devices import Devices
    from bench.runner.rejudge import judgeable, rejudge
    from bench.runner.settings import Settings

    settings = Settings(
        suite=suite, workers=workers, devices=Devices.of(device, suite), lpips=lpips or backbone_below(data),
        refine=not no_refine, render_limit=render_limit, data=data,
    ).tried()  # fmt: skip
    cells, left_out = judgeable(cells_of(suite), settings, data, method)
    if not cells:
        raise ValueError(f"{suite} holds no fit to judge" + (f": {'; '.join(left_out[:3])}" if left_out else ""))
    made = Plan(cells=tuple(cells), absent=tuple(left_out))
    finish(watched(made, settings, tracked, lambda listen: rejudge(cells, settings, listen)))
