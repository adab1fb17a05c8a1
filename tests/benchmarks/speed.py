"""How fast a device trains and judges: `python tests/benchmarks/speed.py --device cpu`, on a machine that is idle.

One table, whose lines have the same names on every device but for the back ends', and a CSV of it (`--out`) that a
later run is held against (`--against`): the parts of a training step for each back end that can run there, with the
share of the memory's bandwidth that they reach; then cells, run as `unposed run` runs them: seconds a step by phase,
seconds of fit and judgement, memory. A cell that ends otherwise than `done` is a line that says so.
"""

import contextlib
import csv
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click
from grid_steps import bandwidth, steps
from published_steps import published_steps

from bench.matrix.plan import Plan, plan
from bench.matrix.selection import Selection
from bench.runner.devices import Devices, card_of
from bench.runner.provenance import cpu_count, processor, versions
from bench.runner.run import run
from bench.runner.settings import Settings
from methods.gnerf.published import Published

METHODS = "nerf,gnerf,barf,inerf,nerfmm,colmap_nerf"
SIDES = {"smoke": 48, "quick": 160, "full": 256}
"""Voxels along an edge of the grids whose steps are timed, by effort."""

FIELDS: tuple[str, ...] = ("figure", "median", "lowest", "highest", "n", "unit")


@dataclass(frozen=True)
class Figure:
    name: str
    unit: str
    values: tuple[float, ...]

    @property
    def row(self) -> dict[str, str]:
        found = (statistics.median(self.values), min(self.values), max(self.values))
        return dict(zip(FIELDS, (self.name, *(f"{value:.4g}" for value in found), str(len(self.values)), self.unit),
                        strict=True))  # fmt: skip


def cells(planned: Plan, device: str, threads: int | None) -> list[Figure]:
    """Of each method: seconds of fit and judgement, ms a step by phase, memory."""
    held: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as suite:
        settings = Settings(suite=Path(suite), devices=Devices.of(device), threads_asked=threads)
        for result in run(planned, settings, lambda planned, stage, _: None):
            name = f"cell/{result.cell.effort}/{result.cell.method}"
            if result.status != "done":
                sys.stdout.write(f"# {name} seed {result.cell.seed}: {result.status}: {result.reason}\n")
                continue
            known = {("fit", "s"): "fit_seconds", ("judge", "s"): "judge_seconds", ("peak_rss", "MB"): "peak_rss_mb",
                     ("peak_vram", "MB"): "peak_vram_mb"}  # fmt: skip
            figures = {head: result.cost.get(column) for head, column in known.items()}
            if result.stage == "judge":  # rendering failed
                sys.stdout.write(f"# {name} seed {result.cell.seed}: {result.reason}\n")
                del figures["judge", "s"]
            for phase, took in result.notes.get("phases", {}).items():
                if took["steps"]:
                    figures[f"phase/{phase.removeprefix('phase ').replace(' ', '_')}", "ms/step"] = (
                        1e3 * took["seconds"] / took["steps"]
                    )
            for (figure, unit), value in figures.items():
                if value is not None:
                    held.setdefault((f"{name}/{figure}", unit), []).append(value)
    return [Figure(name, unit, tuple(values)) for (name, unit), values in held.items()]


def all_of_published(device: str, scene: str) -> list[Figure]:
    """Milliseconds an iteration of each phase of the published preset, and hours of its whole schedule by them."""
    took, budget = published_steps(device, scene), Published().full
    lengths = {"A": budget.a, "AB": budget.ab, "B": budget.b}
    hours = sum(length * statistics.median(took[phase]) for phase, length in lengths.items()) / 3600
    found = [Figure(f"published/{phase}", "ms", tuple(1e3 * value for value in took[phase])) for phase in lengths]
    return [*found, Figure(f"published/all_{sum(lengths.values())}", "h", (hours,))]


def earlier(path: Path) -> dict[str, float]:
    """Medians of a table that `--out` wrote."""
    with path.open(newline="") as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        return {row["figure"]: float(row["median"]) for row in rows}


@click.command(help=__doc__)
@click.option("--device", default="auto", show_default=True)
@click.option("--methods", default=METHODS, show_default=True, help="'' for none")
@click.option("--efforts", default="quick", show_default=True, help="of smoke, quick, full, with commas")
@click.option("--scene", default="blocks", show_default=True)
@click.option("--seeds", default=1, show_default=True, help="how many")
@click.option("--threads", type=int, help="CPU threads of a cell; all, where it is not given")
@click.option("--published", is_flag=True, help="iterations of gnerf's published preset, too: minutes each on a CPU")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--against", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(
    device: str, methods: str, efforts: str, scene: str, seeds: int, threads: int | None, published: bool,
    out: Path | None, against: Path | None,
) -> None:  # fmt: skip
    devices = Devices.of(device)
    devices.check()
    device, before = devices.first, earlier(against) if against else {}
    asked = [effort.strip() for effort in efforts.split(",")]
    if unknown := sorted({*asked} - SIDES.keys()):
        raise click.BadParameter(f"{unknown[0]!r}: it must be of {', '.join(SIDES)}", param_hint="--efforts")
    matrices: dict[str, Plan | None] = dict.fromkeys(asked)
    for effort in asked if methods else ():
        matrices[effort] = plan(Selection(scenes=scene, methods=methods, seeds=f"0-{seeds - 1}", effort=effort))
    head = (
        f"# device {device} ({card_of(device) or processor()}), {threads or cpu_count()} CPU threads, "
        f"torch {versions(('torch',))['torch']}, scene {scene}"
    )
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(out.open("w", newline="")) if out else None
        if file:
            file.write(head + "\n" + ",".join(FIELDS) + "\n")

        def tell(figures: list[Figure]) -> None:
            for row in (figure.row for figure in figures):
                was, spread = before.get(row["figure"]), f"[{row['lowest']}, {row['highest']}]"
                ratio = f"x {float(row['median']) / was:.2f}" if was else ""
                said = (
                    f"{row['figure']:44}",
                    f"{row['median']:>9}",
                    f"{row['unit']:8}",
                    f"{spread:22}",
                    f"n={row['n']}",
                )
                sys.stdout.write(" ".join((*said, ratio)).rstrip() + "\n")
                if file:
                    csv.DictWriter(file, FIELDS).writerow(row)
                    file.flush()
            sys.stdout.flush()

        sys.stdout.write(head + "\n")
        speed = bandwidth(device, threads or cpu_count())
        tell([Figure("memory/copy", "GB/s", tuple(value / 1e9 for value in speed))])
        for effort, planned in matrices.items():
            found = steps(device, SIDES[effort], statistics.median(speed))
            tell([Figure(f"grid/{effort}/{name}", unit, values) for name, unit, values in found])
            if planned:
                tell(cells(planned, device, threads))
        if published:
            tell(all_of_published(device, scene))


if __name__ == "__main__":
    main()
