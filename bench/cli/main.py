"""The command line: names, options and what a person sees. No logic of its own, no heavy import at the top."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

import click

EFFORTS = click.Choice(["smoke", "quick", "full"])


class Refusals(click.Group):
    """Bad input is one sentence on stderr and exit code 2, never a traceback (unless UNPOSED_TRACEBACK is set)."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ValueError as error:  # what this project raises for bad input, SceneError and the like included
            if os.environ.get("UNPOSED_TRACEBACK"):
                raise
            click.echo(f"unposed: {error}", err=True)
            ctx.exit(2)
        except KeyboardInterrupt:
            click.echo("unposed: stopped; what is settled is kept, and the same command goes on from here", err=True)
            ctx.exit(130)


@click.group(cls=Refusals, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="unposed")
def main() -> None:
    """Benchmark of radiance fields without camera poses.

    \b
    unposed list scenes             what there is to run on
    unposed plan -s blocks          what a run would do, and for how long
    unposed run -s blocks           do it
    unposed stress -d low_texture   find where methods break
    unposed report                  look at it
    """


degradations_option = click.option(
    "-d",
    "--degradations",
    default="clean",
    show_default=True,
    metavar="NAMES",
    help="As clean,jpeg@3,noise@1-5: a kind, a family, a glob, `all`.",
)


def selection(
    command: Callable[..., Any], degradations: Callable[..., Any] = degradations_option
) -> Callable[..., Any]:
    """The options that name a matrix, shared by `plan`, `run` and `stress`."""
    options = [
        click.option("-s", "--scenes", default="blocks", show_default=True, metavar="NAMES",
                     help="Names, globs or folders, comma-separated; `all`: all that are here."),
        click.option("-m", "--methods", default="all", show_default=True, metavar="NAMES",
                     help="As nerf,colmap_nerf[mapper=global] or path/to/method.py."),
        degradations,
        click.option("--seeds", default="0", show_default=True, metavar="LIST", help="As 0-2,7."),
        click.option("--effort", type=EFFORTS, default="quick", show_default=True,
                     help="Longest side shown and judged: 64, 200, 400 px."),
        data_option,
        out_option,
        click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, ..."),
        click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Cells side by side."),
        lpips_option,
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def running(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of whatever runs cells."""
    options = [
        click.option("--limit", type=click.FloatRange(min=0.1),
                     help="Seconds a fit.  [default: 120, 900, 7200 by effort]"),
        click.option("--retries", type=click.IntRange(0), default=1, show_default=True,
                     help="Of a worker that crashed."),
        click.option("--retry-failed", is_flag=True, help="Run failed, timed-out and out-of-memory cells again."),
        click.option("--track", metavar="URI", help="MLflow store.  [default: sqlite beside the suite]"),
        click.option("--no-track", is_flag=True, help="Files only."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


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


def _suite(out: Path | None, effort: str = "quick") -> Path:
    return out or Path("runs") / effort


def _backbone(lpips: Path | None, data: tuple[Path, ...]) -> Path | None:
    return lpips or next((path for root in data for path in sorted(root.glob("lpips/alexnet*.pth"))), None)


def _planned(options: dict[str, Any]) -> tuple[Any, Any]:
    """Plan and settings of a selection."""
    from bench.matrix.plan import plan
    from bench.runner.run import Settings

    made = plan(
        scenes=options["scenes"], methods=options["methods"], degradations=options["degradations"],
        seeds=options["seeds"], effort=options["effort"], roots=options["data"],
    )  # fmt: skip
    settings = Settings(
        suite=_suite(options["out"], options["effort"]),
        workers=options["workers"],
        limit=options.get("limit"),
        retries=options.get("retries", 1),
        retry_failed=options.get("retry_failed", False),
        device=options["device"],
        lpips=_backbone(options["lpips"], options["data"]),
    )
    return made, settings


@main.command()
@selection
@running
def run(track: str | None, no_track: bool, **options: Any) -> None:
    """Run the matrix: fit, judge and record every cell that is not settled yet."""
    made, settings = _planned(options)
    _run(made, settings, track, no_track)


def _run(made: Any, settings: Any, track: str | None, no_track: bool, after: Callable[..., None] | None = None) -> None:
    """Settle a plan while a person watches; `after` is told console and results. Exits with 1 where a cell failed."""
    from rich.console import Console

    from bench.record import RERUNNABLE
    from bench.runner import progress

    console = Console(highlight=False)
    for line in made.absent:
        console.print(f"not here: {line}", style="dim", soft_wrap=True)
    with _tracking(settings.suite, track, no_track, console) as tracking:
        results = _settle(made, settings, tracking, console)
    console.print(f"\n{progress.tally(results)}; {settings.suite}/results.csv", soft_wrap=True)
    if after is not None:
        after(console, results)
    if any(result.status in RERUNNABLE for result in results):
        console.print("next: unposed run ... --retry-failed, or see stderr.txt in the cell's folder", soft_wrap=True)
        sys.exit(1)


def _tracking(suite: Path, uri: str | None, off: bool, console: Any) -> Any:
    from bench.tracking.tracker import Tracking

    return nullcontext() if off else Tracking(suite, uri, partial(console.print, style="yellow", soft_wrap=True))


def _settle(made: Any, settings: Any, tracking: Any, console: Any) -> list[Any]:
    """Results of a plan, shown and tracked as they come."""
    from bench.runner import progress
    from bench.runner.run import run as settle

    with progress.display(console, len(made.cells)) as shown:

        def listen(planned: Any, stage: Any, result: Any) -> None:
            shown(planned, stage, result)
            if tracking and stage == "ended":
                tracking.send(settings.suite / planned.cell.folder, result)

        return settle(made, settings, listen)


@main.command()
@partial(selection, degradations=click.option("-d", "--degradations", required=True, metavar="KINDS",
                                              help="As low_texture,noise: kinds or families alone."))  # fmt: skip
@running
@click.option("--tolerance", type=float, default=0.25, show_default=True, help="Step of the severity.")
def stress(track: str | None, no_track: bool, tolerance: float, **options: Any) -> None:
    """Find where each method breaks: the severity from which fewer than half of its seeds succeed.

    Bisects between 0 and 5 instead of running the grid, and so assumes that what breaks at a severity is broken at all
    higher ones. Writes stress.csv and stress.json into the suite.
    """
    from rich.console import Console

    from bench.stress.breaking_points import keep
    from bench.stress.search import parse_kinds
    from bench.stress.search import stress as search

    kinds = parse_kinds(options["degradations"])
    made, settings = _planned(options | {"degradations": "clean"})
    console = Console(highlight=False)
    for line in made.absent:
        console.print(f"not here: {line}", style="dim", soft_wrap=True)
    with _tracking(settings.suite, track, no_track, console) as tracking:
        rows = search(made, kinds, tolerance, lambda plan: _settle(plan, settings, tracking, console))
    keep(settings.suite, rows)
    names = [f"{row.scene}/{row.kind}/{row.method}" for row in rows]
    width = max(map(len, names))
    click.echo(f"\n{'':<{width}}  {'breaks at':<16}  cells  saved  severity: successes")
    for name, row in zip(names, rows, strict=True):
        tries = "  ".join(
            f"{trial.severity:g}: {trial.successes}/{trial.cells}"
            + (f" ({trial.undone} failed or timed out)" if trial.undone else "")
            for trial in row.trials
        )
        click.echo(f"{name:<{width}}  {row.verdict:<16}  {row.cells:>5}  {row.saved:>5}  {row.reason or tries}")
    click.echo(f"assumed: what breaks at a severity is broken at all higher ones; {settings.suite}/stress.csv")
    if any(trial.undone for row in rows for trial in row.trials):
        click.echo("some cells failed or timed out, which counts as broken; --retry-failed runs them again", err=True)
        sys.exit(1)


@main.command()
@click.argument("answer", type=click.Path(path_type=Path), metavar="FILE_OR_FOLDER")
@click.option("-s", "--scene", required=True, help="The scene that it answers.")
@click.option("--name", required=True, help="What its row is called: poses[name=NAME].")
@click.option("-d", "--degradation", default="clean", show_default=True)
@click.option("--effort", type=EFFORTS, default="quick", show_default=True, help="That of `data export`.")
@click.option(
    "--renders",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="h000.png, ...: renders at the cameras of heldout.transforms.json.",
)
@click.option("--train", is_flag=True, help="Train the shared field on the poses: a full row, poses+nerf[name=NAME].")
@click.option("--seeds", default="0", show_default=True, metavar="LIST", help="Of the training.")
@data_option
@out_option
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, ...")
@lpips_option
@click.option("--track", metavar="URI", help="MLflow store.  [default: sqlite beside the suite]")
@click.option("--no-track", is_flag=True, help="Files only.")
def submit(
    answer: Path, scene: str, name: str, degradation: str, effort: Any, renders: Path | None, train: bool, seeds: str,
    data: tuple[Path, ...], out: Path | None, device: str, lpips: Path | None, track: str | None, no_track: bool,
) -> None:  # fmt: skip
    """Judge poses found elsewhere, as a row of the suite: transforms.json, a COLMAP model, or TUM text.

    Images are named as `unposed data export` wrote them. Frame and scale are free; views may be missing.
    """
    from bench.poses_io.submit import plan_submission, remarks
    from bench.runner.run import Settings

    made = plan_submission(
        answer, scene=scene, name=name, degradation=degradation, seeds=seeds, effort=effort, renders=renders,
        train=train, roots=data,
    )  # fmt: skip
    suite = _suite(out, effort)
    settings = Settings(suite=suite, device=device, lpips=_backbone(lpips, data), retry_failed=True)

    def after(console: Any, results: Any) -> None:
        for line in remarks(made, suite, results):
            console.print(line, soft_wrap=True, markup=False)

    _run(made, settings, track, no_track, after)


@main.command()
@selection
@click.option("--json", "as_json", is_flag=True, help="One object a cell.")
def plan(as_json: bool, **options: Any) -> None:
    """Show the cells of a run, with what is settled, what is skipped and why, and an estimate of time."""
    from bench.matrix.plan import estimate_seconds
    from bench.record import read_suite
    from bench.runner.run import Runner

    made, settings = _planned(options)
    runner = Runner(settings, lambda *_: None)
    history = [
        (r.cell.method, r.cell.effort, r.cost["fit_seconds"])
        for _, r in (read_suite(settings.suite) if settings.suite.is_dir() else [])
        if "fit_seconds" in r.cost
    ]
    rows, total, unknown = [], 0.0, 0
    for planned in map(runner.resolved, made.cells):
        standing = runner.standing(planned)
        seconds = None if standing or planned.skip else estimate_seconds(planned, history)
        state = f"settled: {standing.status}" if standing else f"skip: {planned.skip}" if planned.skip else "run"
        total += seconds or 0.0
        unknown += state == "run" and seconds is None
        rows.append({"cell": planned.cell.id, "state": state, "seconds": seconds})
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        click.echo(f"{row['cell']:<60} {row['state']}" + (f"  ~{row['seconds']:.0f} s" if row["seconds"] else ""))
    for line in made.absent:
        click.echo(f"not here: {line}")
    work = sum(row["state"] == "run" for row in rows)
    guess = f", about {total / settings.workers / 60:.0f} min of fitting" if total else ""
    guess += f" and {unknown} of unknown length" if unknown else ""
    click.echo(f"\n{len(rows)} cells, {work} to run{guess}; suite {settings.suite}")


@main.group(name="list")
def list_() -> None:
    """What there is: scenes, methods, degradations."""


def _rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        click.echo(f"{row['name']:<{width}}  {row['summary']}" + (f"  [{row['note']}]" if row["note"] else ""))


json_option = click.option("--json", "as_json", is_flag=True, help="For programs.")


@list_.command(name="scenes")
@data_option
@json_option
def list_scenes(data: tuple[Path, ...], as_json: bool) -> None:
    """All known scenes; those that are not here, with how to get them."""
    from bench.matrix.registry import scene_sources

    rows = []
    for source in scene_sources(data).values():
        rows.append({
            "name": source.name, "summary": source.summary, "reference": source.reference,
            "gifts": sorted(source.gifts), "missing": source.missing,
            "note": f"not here: {source.missing}" if source.missing else f"truth: {source.reference}",
        })  # fmt: skip
    _rows(rows, as_json)


@list_.command(name="methods")
@json_option
def list_methods(as_json: bool) -> None:
    """All installed methods, what each needs, and its options."""
    from bench.matrix.registry import find_method, method_refs

    rows = []
    for name in method_refs():
        try:
            found = find_method(name)
        except ValueError as error:
            rows.append({"name": name, "summary": "does not run here", "note": str(error)})
            continue
        traits = found.method.traits
        given = "given " + ", ".join(sorted(traits.needs)) if traits.needs else "given images only"
        row = {"name": name, "summary": found.method.summary, "note": given, "version": found.method.version}
        row |= {"needs": sorted(traits.needs), "uses": sorted(traits.uses), "config": found.config}
        rows.append(row)
    _rows(rows, as_json)


@list_.command(name="degradations")
@json_option
def list_degradations(as_json: bool) -> None:
    """All kinds of degradation; each is used as kind@severity, severity 1 to 5."""
    from bench.degrade import KINDS

    rows = [
        {
            "name": kind.name, "summary": kind.summary, "family": kind.family, "levels": kind.levels,
            "view_consistent": kind.view_consistent, "touches": sorted(kind.touches), "needs": sorted(kind.needs),
            "note": f"{kind.family}; {'alike in all views' if kind.view_consistent else 'each view by itself'}",
        }
        for kind in KINDS.values()
    ]  # fmt: skip
    _rows(rows, as_json)


@main.command()
@out_option
@click.option("--effort", type=EFFORTS, default="quick", show_default=True)
def status(out: Path | None, effort: str) -> None:
    """One line a settled cell of a suite, and the tally."""
    from rich.console import Console

    from bench.runner import progress

    console = Console(highlight=False)
    results = [result for _, result in _read(_suite(out, effort))]
    for result in results:
        mark, style = progress.MARK[result.status]
        console.print(f"{mark} {result.cell.id}  {result.status}", style=style, end="  ", markup=False)
        console.print(progress.headline(result), soft_wrap=True, markup=False)
    console.print(progress.tally(results))


def _read(suite: Path) -> list[Any]:
    from bench.record import read_suite

    found = read_suite(suite) if suite.is_dir() else []
    if not found:
        raise ValueError(f"{suite} holds no results yet: `unposed run --out {suite}` makes some")
    return found


@main.command()
@click.argument("cell")
@data_option
@out_option
@click.option("--effort", type=EFFORTS, default="quick", show_default=True)
@lpips_option
@click.option("-m", "--methods", metavar="PATH", help="The method's file, where CELL's method came from one.")
def why(
    cell: str, data: tuple[Path, ...], out: Path | None, effort: str, lpips: Path | None, methods: str | None
) -> None:
    """Say which part of CELL's fingerprints changed since it was settled (scene/degradation/method/seedK)."""
    from bench.matrix.fingerprint_diff import changes
    from bench.matrix.plan import plan as make_plan
    from bench.runner.run import Runner, Settings

    suite = _suite(out, effort)
    found = {result.cell.id: result for _, result in _read(suite)}
    if cell not in found:
        raise ValueError(f"{suite} has no cell {cell!r}; `unposed status --out {suite}` lists them")
    result = found[cell]
    runner = Runner(Settings(suite=suite, lpips=_backbone(lpips, data)), lambda *_: None)
    now = runner.resolved(make_plan(
        scenes=result.cell.scene, methods=methods or result.cell.method, degradations=result.cell.degradation,
        seeds=str(result.cell.seed), effort=result.cell.effort, roots=data,
    ).cells[0])  # fmt: skip
    made_of = {"fit": runner.ingredients(now), "judgement": runner.judged_by(now)}
    rows = list(changes(result.ingredients, made_of))
    for path, before, after in rows:
        click.echo(f"{path}: {_short(before)} -> {_short(after)}")
    refit = any(path.startswith("fit") for path, *_ in rows)
    verdict = "will be fitted again" if refit else "will be judged again" if rows else "stands: nothing has changed"
    click.echo(f"{cell} {verdict}")


def _short(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text[:12] if len(text) == 64 else text


@main.command()
@out_option
@click.option("--effort", type=EFFORTS, default="quick", show_default=True)
@click.option("--print", "shown", is_flag=True, help="Print its tables, in Markdown, instead of its path.")
@click.option("--paper", is_flag=True, help="Also tables and figures for a paper, published numbers beside ours.")
def report(out: Path | None, effort: str, shown: bool, paper: bool) -> None:
    """Write the report of a suite from its results, and print its path."""
    from reports.build import build

    suite = _suite(out, effort)
    _read(suite)
    page = build(suite).resolve()
    click.echo(page.with_name("report.md").read_text(encoding="utf-8") if shown else page)
    if paper:
        from reports.paper.build import build as build_paper

        click.echo(build_paper(suite).resolve())


@main.command()
@click.argument("cell")
@out_option
@click.option("--effort", type=EFFORTS, default="quick", show_default=True)
@click.option("--path", "kind", type=click.Choice(["orbit", "spiral"]), default="orbit", show_default=True)
@click.option("--frames", type=click.IntRange(2), default=60, show_default=True)
@click.option("--fps", type=click.IntRange(1, 60), default=20, show_default=True)
@click.option("--side", type=click.IntRange(16), default=200, show_default=True, help="Longest side of a frame, px.")
@click.option("--film", type=click.Path(path_type=Path, dir_okay=False), help="A .gif or .mp4.")
@click.option("--device", default="cpu", show_default=True)
def render(
    cell: str, out: Path | None, effort: str, kind: Any, frames: int, fps: int, side: int, film: Path | None,
    device: str,
) -> None:  # fmt: skip
    """Film a path round CELL's field, depth beside it, and print the file's path."""
    from rich.console import Console
    from rich.progress import Progress

    from bench.runner.executors.local import Executor
    from bench.runner.provenance import cpu_count
    from bench.view import camera_path

    folder = _fitted(_suite(out, effort), cell)
    file = film or folder / f"{kind}{camera_path.default_suffix()}"
    camera_path.check_film(file)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f"{cell} {kind}", total=frames)
        seen = camera_path.render(
            folder, kind, frames=frames, side=side, device=device, executor=Executor(threads=cpu_count()),
            told=lambda count: progress.update(task, completed=count),
        )  # fmt: skip
        camera_path.write_film(seen, file, fps)
    click.echo(file.resolve())


def _cell_folder(suite: Path, cell: str) -> tuple[Path, Any]:
    """The folder and the result of a cell."""
    found = {result.cell.id: (folder, result) for folder, result in _read(suite)}
    if cell not in found:
        raise ValueError(f"{suite} has no cell {cell!r}; `unposed status --out {suite}` lists them")
    return found[cell]


def _fitted(suite: Path, cell: str) -> Path:
    """The folder of a cell that has a field."""
    folder, result = _cell_folder(suite, cell)
    if not (folder / "fit" / "field").is_dir():
        raise ValueError(f"{cell} has no field to look at: it is {result.status} ({result.reason or 'poses only'})")
    return folder


@main.command()
@click.argument("cell")
@out_option
@click.option("--effort", type=EFFORTS, default="quick", show_default=True)
@click.option("--port", default=8080, show_default=True)
@click.option("--device", default="cpu", show_default=True)
def view(cell: str, out: Path | None, effort: str, port: int, device: str) -> None:
    """Walk about in CELL: cameras of truth and estimate, and its field, live, on 127.0.0.1 (needs viser)."""
    import threading

    from bench.view.viewer import Viewer

    shown = Viewer(_cell_folder(_suite(out, effort), cell)[0], cell, port=port, device=device)
    click.echo(f"{cell} is at {shown.address}; Ctrl-C ends it")
    with suppress(KeyboardInterrupt):
        threading.Event().wait()


@main.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option("--fail-on-regression", is_flag=True, help="Exit code 1 where B is worse.")
@json_option
def compare(a: str, b: str, fail_on_regression: bool, as_json: bool) -> None:
    """Compare two suites cell by cell (runs/before runs/after), or two methods (runs/x:nerf runs/x:gnerf)."""
    from reports import comparison_text
    from reports.compare import compare as pair
    from reports.compare import side

    compared = pair(side(a), side(b))
    lines = comparison_text.lines(compared)
    click.echo(json.dumps(comparison_text.as_json(compared), indent=1) if as_json else "\n".join(lines))
    if fail_on_regression and compared.regressions:
        sys.exit(1)


@main.command()
@click.argument("cell", required=False)
@click.option("--to", required=True, type=click.Path(path_type=Path), metavar="DIR", help="A new folder.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["transforms", "colmap", "tum", "all"]),
    default="all",
    show_default=True,
    help="transforms.json (nerfstudio), sparse/0 (COLMAP), poses.tum (evo).",
)
@click.option("--aligned", is_flag=True, help="In the truth's frame, by the protocol's similarity.")
@click.option("--truth", is_flag=True, help="The true poses too, below truth/.")
@data_option
@out_option
@click.option("--effort", type=EFFORTS, default="quick", show_default=True)
def export(
    cell: str | None, to: Path, form: str, aligned: bool, truth: bool, data: tuple[Path, ...], out: Path | None,
    effort: str,
) -> None:  # fmt: skip
    """Write the poses of CELL (of every cell) as files that other programs read, in the method's own frame."""
    from bench.poses_io import FORMS
    from bench.poses_io.export import export as write
    from bench.record import read_suite

    suite = _suite(out, effort)
    _read(suite)
    cells = [(folder, result) for folder, result in read_suite(suite) if cell in (None, result.cell.id)]
    if not cells:
        raise ValueError(f"{suite} has no cell {cell!r}; `unposed status --out {suite}` lists them")
    forms = list(FORMS) if form == "all" else [form]
    for line in write(cells, to, forms=forms, aligned=aligned, truth=truth, roots=data):
        click.echo(line)
    click.echo(to)


@main.command()
@out_option
@click.option("--effort", type=EFFORTS, default="quick", show_default=True)
@click.option("--replay", is_flag=True, required=True, help="Bring the store up to date with the files.")
@click.option("--track", metavar="URI", help="MLflow store.  [default: sqlite beside the suite]")
def track(out: Path | None, effort: str, replay: bool, track: str | None) -> None:
    """Send a suite's results to MLflow; nothing is sent twice."""
    suite = _suite(out, effort)
    _read(suite)
    from bench.tracking.tracker import Tracker

    try:
        tracker = Tracker(suite, track)
        sent = tracker.replay()
        tracker.close()
    except Exception as error:
        raise ValueError(f"MLflow at {track}: {' '.join(str(error).split())[:200]}") from error
    click.echo(f"{sent} cells sent to {tracker.uri}")


@main.command()
@out_option
@click.option("--port", default=5000, show_default=True)
def ui(out: Path | None, port: int) -> None:
    """MLflow's own pages over a suite's store, on 127.0.0.1."""
    from bench.tracking.tracker import ui_command

    sys.exit(subprocess.call(ui_command(_suite(out), port)))


@main.group()
def data() -> None:
    """Scenes on disk."""


data.add_command(list_scenes, name="list")


@data.command()
@click.argument("names", default="all")
@data_option
def verify(names: str, data: tuple[Path, ...]) -> None:
    """Decode every image and check every pose of the scenes NAMES."""
    from bench.matrix.plan import select_scenes
    from datasets.verify import verify as examine

    present, _ = select_scenes(names, data)
    bad = 0
    for source in present:
        findings = examine(source)
        bad += bool(findings)
        click.echo(f"{source.name}: " + ("; ".join(findings) if findings else "fine"))
    sys.exit(1 if bad else 0)


@data.command(name="export")
@click.argument("scene")
@click.option("--to", required=True, type=click.Path(path_type=Path), metavar="DIR", help="A new folder.")
@click.option("-d", "--degradation", default="clean", show_default=True)
@click.option("--effort", type=EFFORTS, default="quick", show_default=True)
@data_option
def export_data(scene: str, to: Path, degradation: str, effort: Any, data: tuple[Path, ...]) -> None:
    """Write SCENE as methods are shown it, without its truth, for a pose estimator outside of the suite."""
    from bench.poses_io.capture_export import hand_out

    capture = hand_out(scene, to, degradation=degradation, effort=effort, roots=data)
    click.echo(f"{len(capture.images)} images; how to come back is in {to / 'README.txt'}")


@data.command()
@click.argument("scene")
@click.option("-d", "--degradation", required=True, metavar="KIND", help="As low_texture; no severity: all are shown.")
@click.option("--views", type=click.IntRange(1), default=4, show_default=True, help="Rows of the sheet.")
@click.option("--effort", type=EFFORTS, default="quick", show_default=True)
@data_option
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="[default: SCENE.KIND.png, here]")
def preview(scene: str, degradation: str, views: int, effort: Any, data: tuple[Path, ...], out: Path | None) -> None:
    """Draw what a kind of degradation does to SCENE at severities 0 to 5, with the keypoints that it leaves."""
    from bench.degrade.sheet import contact_sheet
    from bench.matrix.plan import select_scenes
    from bench.scene import SIDE

    (source, *others), _ = select_scenes(scene, data)
    if others:
        raise ValueError(f"{scene!r} names several scenes: a sheet shows one")
    path = out or Path(f"{source.name.replace('/', '-').strip('-')}.{degradation}.png")
    if path.suffix.lower() != ".png" or not path.parent.is_dir():
        raise ValueError(f"preview: {path}: name a .png file in a folder that exists")
    sheet = contact_sheet(source.load(SIDE[effort]), degradation, views)
    draft = path.with_name(f".{path.name}.tmp")
    sheet.save(draft, format="png")
    draft.replace(path)
    click.echo(path.resolve())


@main.command()
@click.argument("method")
def check(method: str) -> None:
    """Contract test of METHOD on a tiny scene, through the real worker: says what its author must mend."""
    from bench.runner.contract import examine

    broken = 0
    for name, fault in examine(method):
        broken += fault is not None
        click.echo(f"{'ok  ' if fault is None else 'FAIL'} {name}" + (f": {fault}" if fault else ""))
    sys.exit(1 if broken else 0)


@main.command()
@data_option
@out_option
@lpips_option
def doctor(data: tuple[Path, ...], out: Path | None, lpips: Path | None) -> None:
    """Check python, torch, devices, LPIPS backbone, name clashes, scenes and disk."""
    from bench.runner.doctor import examine

    problems = 0
    for finding in examine(roots=data, out=_suite(out), lpips=_backbone(lpips, data)):
        problems += finding.level == "problem"
        click.echo(f"{finding.level:<8} {finding.subject:<14} {finding.text}")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
