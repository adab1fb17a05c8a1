"""Options that several verbs share, each declared once, and the typed objects that commands are handed."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from bench.matrix.selection import Selection
    from bench.runner.settings import Settings

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

ASKED_BY_FILE = "unposed.asked_by_file"
"""In a command's `meta`, where a suite file was named."""


class RegimeLabel(click.ParamType):
    """A label of `bench.regime`, as it is written there."""

    name = "effort"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from bench.regime import parse_regime

        try:
            return parse_regime(value).label
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Amount(click.FloatRange):
    """A number within bounds that is one: `nan` is on neither side of a bound, and `inf` bounds nothing."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        amount = super().convert(value, param, ctx)
        if not math.isfinite(amount):
            self.fail(f"{value} is no finite number; leave the option out for its default", param, ctx)
        return amount


effort_option = click.option(
    "--effort", type=RegimeLabel(), default="quick", show_default=True, metavar="EFFORT[@SIDE]",
    help="smoke, quick, full: what a fit may cost, at 64, 200, 400 px. Another longest side: full@800, full@native.",
)  # fmt: skip
data_option = click.option(
    "--data", multiple=True, envvar="UNPOSED_DATA", type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder of real scenes; may be repeated.  [env: UNPOSED_DATA]",
)  # fmt: skip
out_option = click.option(
    "-o", "--out", type=click.Path(path_type=Path, file_okay=False), help="The suite's folder.  [default: runs/EFFORT]"
)
lpips_option = click.option(
    "--lpips", envvar="UNPOSED_LPIPS_BACKBONE", type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="AlexNet state dict for LPIPS; else DATA/lpips/alexnet*.pth or torchvision's cache.",
)  # fmt: skip
device_option = click.option(
    "--device", show_default="auto", help="cpu, cuda, cuda:1; auto: a GPU where the suite's fits are of one."
)
devices_option = click.option(
    "--device", show_default="auto", metavar="NAMES",
    help="auto: as the suite's results so far, else the first GPU where one computes right, else the CPU; cpu; cuda, "
    "cuda:1; all, or a list as cuda:0,cuda:1: cells are dealt to these GPUs.",
)  # fmt: skip
workers_option = click.option(
    "--workers", type=click.IntRange(1), default=1, show_default=True, help="Cells side by side, on each device."
)
json_option = click.option("--json", "as_json", is_flag=True, help="For programs.")
degradation_option = click.option("-d", "--degradation", default="clean", show_default=True, help="As jpeg@3.")
degradations_option = click.option(
    "-d", "--degradations", default="clean", show_default=True, metavar="NAMES",
    help="As clean,jpeg@3,noise@1-5: a kind, a family, a glob, `all`; noise@3#7 by one draw for all seeds.",
)  # fmt: skip
background_option = click.option(
    "--background", metavar="COLOUR|real",
    help="Behind the object: white, black, green, R,G,B from 0 to 1, or real.  [default: as the images' borders say]",
)  # fmt: skip
kinds_option = click.option(
    "-d", "--degradations", required=True, metavar="KINDS", help="As low_texture,noise: kinds or families alone."
)
seeds_option = click.option("--seeds", default="0", show_default=True, metavar="LIST", help="As 0-2,7.")


def one_device(asked: str | None, suite: Path) -> str:
    """The device on which fits of a suite are shown, by torch's name; what `auto` is, is said. Raises ValueError."""
    from bench.runner.devices import AUTO
    from bench.runner.devices import one_device as found

    devices = found(asked, suite)
    if devices.asked == AUTO and devices.opening():
        click.echo(devices.opening(), err=True)
    return devices.first


def suite_file_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """The argument SUITE.toml, whose keys are the options that the command line does not name."""

    def read(ctx: click.Context, _: click.Parameter, path: Path | None) -> None:
        if path is not None:
            from bench.matrix.suite_file import read_suite_file

            ctx.default_map = {**(ctx.default_map or {}), **read_suite_file(path)}
            ctx.meta[ASKED_BY_FILE] = True

    return click.argument(
        "suite_file", metavar="[SUITE.toml]", required=False, type=click.Path(path_type=Path, dir_okay=False),
        is_eager=True, expose_value=False, callback=read,
    )(command)  # fmt: skip


def gathered(name: str, into: type, options: Sequence[Decorator]) -> Decorator:
    """The decorator that adds `options` to a command and hands it their values as one `into`, the argument `name`."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def called(**values: Any) -> Any:
            fields = {field.name: values.pop(field.name) for field in dataclasses.fields(into)}
            return command(**values, **{name: into(**fields)})

        return functools.reduce(lambda inner, option: option(inner), reversed(options), called)

    return decorate


def suite_folder(out: Path | None, effort: str) -> Path:
    """Where a suite's results lie: `--out`, or `runs/EFFORT`."""
    return out or Path("runs") / effort


@dataclass(frozen=True, kw_only=True)
class SuiteOptions:
    """Which suite: `--out`, or that of an effort."""

    out: Path | None
    effort: str

    @property
    def folder(self) -> Path:
        return suite_folder(self.out, self.effort)


@dataclass(frozen=True, kw_only=True)
class MatrixOptions:
    """Which cells, and on what they run: what `plan`, `run` and `stress` share."""

    scenes: str
    methods: str
    python: str | None
    degradations: str
    seeds: str
    effort: str
    views: int | None
    heldout: str | None
    background: str | None
    prior: str | None
    data: tuple[Path, ...]
    out: Path | None
    device: str | None
    workers: int
    threads: int | None
    grants: tuple[str, ...]
    lpips: Path | None

    @property
    def regime(self) -> str:
        """The label of all that is asked of scenes and fits alike."""
        from bench.regime import parse_regime

        return (
            parse_regime(self.effort)
            .stating(views=self.views, heldout=self.heldout, background=self.background, prior=self.prior)
            .label
        )

    def selection(self, degradations: str | None = None) -> Selection:
        """The matrix in words; `degradations` instead of those that were given."""
        from bench.matrix.selection import Selection

        return Selection(
            scenes=self.scenes, methods=self.methods, degradations=degradations or self.degradations,
            seeds=self.seeds, effort=self.regime, roots=self.data, suite=suite_folder(self.out, self.regime),
            python=self.python,
        )  # fmt: skip

    def settings(self, running: RunOptions | None = None) -> Settings:
        """The conditions of a run; without `running` its defaults, which is all that a plan needs."""
        from bench.judge.lpips import backbone_below
        from bench.matrix.grants import read_grant
        from bench.runner.devices import Devices
        from bench.runner.settings import Settings

        suite = suite_folder(self.out, self.regime)
        base = Settings(
            suite=suite, workers=self.workers, devices=Devices.of(self.device, suite),
            threads_asked=self.threads, grants=tuple(map(read_grant, self.grants)),
            lpips=self.lpips or backbone_below(self.data), data=self.data,
        )  # fmt: skip
        context = click.get_current_context()
        if running is None:  # of which a file may say more than `plan` has options for
            said = context.default_map or {}
            return dataclasses.replace(
                base, limit=said.get("limit"), memory=said.get("memory") and 1024 * said["memory"]
            )
        by_file = context.meta.get(ASKED_BY_FILE, False)
        return dataclasses.replace(
            base, limit=running.limit, retries=running.retries, retry_failed=running.retry_failed,
            executor=running.executor, address=running.address, gpus=running.gpus,
            memory=running.memory and 1024 * running.memory, disk=running.disk and 1024 * running.disk,
            asked={**vars(self), **vars(running), "retry_failed": False} if by_file else None,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How cells are run: what `run` and `stress` share."""

    limit: float | None
    memory: float | None
    disk: float | None
    retries: int
    retry_failed: bool
    executor: Literal["local", "ray"]
    address: str | None
    gpus: float


@dataclass(frozen=True, kw_only=True)
class TrackOptions:
    """Where results are sent beside their files."""

    track: str | None
    no_track: bool


suite_options = gathered("suite", SuiteOptions, [out_option, effort_option])
run_options = gathered("running", RunOptions, [
    click.option("--limit", type=Amount(0.1), help="Seconds a fit.  [default: 120, 900, 7200 by effort]"),
    click.option("--memory", type=Amount(0.1), metavar="GB", help="That a fit may have.  [default: all]"),
    click.option("--disk", type=Amount(0.001), metavar="GB", help="That a fit may write.  [default: all]"),
    click.option("--retries", type=click.IntRange(0), default=1, show_default=True, help="Of a worker that crashed."),
    click.option("--retry-failed", is_flag=True, help="Run failed, timed-out and out-of-memory cells again."),
    click.option("--executor", type=click.Choice(["local", "ray"]), default="local", show_default=True,
                 help="Processes of this machine, or of a Ray cluster's nodes."),
    click.option("--address", metavar="RAY", help="The cluster's: auto, HEAD:6379.  [default: one made here]"),
    click.option("--gpus", type=Amount(0.01), default=1.0, show_default=True,
                 help="Share of a node's GPU a fit, with --executor ray and --device cuda."),
])  # fmt: skip
track_option = click.option("--track", metavar="URI", help="MLflow store.  [default: sqlite beside the suite]")
track_options = gathered("tracked", TrackOptions, [
    track_option, click.option("--no-track", is_flag=True, help="Files only."),
])  # fmt: skip


def matrix_options(degradations: Decorator = degradations_option) -> Decorator:
    """The options that name a matrix, as the argument `matrix`."""
    return gathered("matrix", MatrixOptions, [
        click.option("-s", "--scenes", default="blocks", show_default=True, metavar="NAMES",
                     help="Names, globs or folders, comma-separated; `all`: all that are here."),
        click.option("-m", "--methods", default="all", show_default=True, metavar="NAMES",
                     help="As nerf,colmap_nerf[mapper=global] or path/to/method.py."),
        click.option("--python", metavar="PYTHON", help="Another environment, for methods that are given by path."),
        degradations, seeds_option, effort_option,
        click.option("--views", type=click.IntRange(4), help="Training views: so many, evenly chosen.  [default: all]"),
        click.option("--heldout", metavar="every:N", help="Hold out the first of every N.  [default: the files' own]"),
        background_option,
        click.option("--prior", metavar="FAMILY",
                     help="orbit, dome, ring or forward: a prior of nothing but this takes the place of the scene's."),
        data_option, out_option, devices_option,
        workers_option,
        click.option("--threads", type=click.IntRange(1), help="CPU threads of each.  [default: a fair share]"),
        click.option("--grant", "grants", multiple=True, metavar="WHAT",
                     help="Of some methods, as 'gnerf*@full: threads=8, gpus=0.5, memory=32, disk=20, limit=7200'."),
        lpips_option,
    ])  # fmt: skip
