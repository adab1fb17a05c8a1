"""How fast a device trains and judges: `python tests/benchmarks/speed.py --device cpu`, on a machine that is idle.

One table, whose lines have the same names on every device, and a CSV of it (`--out`) that a later run is held against
(`--against`): the parts of a training step for each back end that can run there, with the share of the memory's
bandwidth that they reach; then cells, run as `unposed run` runs them: seconds a step by phase, seconds of fit and
judgement, memory. A cell that ends otherwise than `done` is a line that says so.
"""

import csv
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click
from grid_steps import bandwidth, steps

from bench.matrix.plan import plan
from bench.matrix.selection import Selection
from bench.runner.devices import Devices, card_of
from bench.runner.provenance import cpu_count, processor, versions
from bench.runner.run import run
from bench.runner.settings import Settings
from methods.gnerf.published import Published

METHODS = "nerf,gnerf,barf,inerf,nerfmm,colmap_nerf"
SIDES = {"smoke": 48, "quick": 160, "full": 256}
"""Voxels along an edge of the grids whose steps are timed, by effort."""

FEW = 3
"""Iterations of each phase of the published preset: what all of them take is arithmetic."""

PUBLISHED = f"gnerf[field=mlp,mlp.full.a={FEW},mlp.full.ab={FEW},mlp.full.b={FEW},margins=false]"
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


def cells(methods: str, effort: str, scene: str, seeds: int, device: str, threads: int | None) -> list[Figure]:
    """Of each method: seconds of fit and judgement, ms a step by phase, memory."""
    selection = Selection(scenes=scene, methods=methods, degradations="clean", seeds=f"0-{seeds - 1}", effort=effort)
    held: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as suite:
        settings = Settings(suite=Path(suite), devices=Devices.of(device), threads_asked=threads)
        for result in run(plan(selection), settings, lambda planned, stage, _: None):
            name = f"cell/{effort}/{'published' if result.cell.method == PUBLISHED else result.cell.method}"
            if result.status != "done":
                sys.stdout.write(f"# {name} seed {result.cell.seed}: {result.status}: {result.reason}\n")
                continue
            known = {("fit", "s"): "fit_seconds", ("judge", "s"): "judge_seconds", ("peak_rss", "MB"): "peak_rss_mb",
                     ("peak_vram", "MB"): "peak_vram_mb"}  # fmt: skip
            figures = {head: result.cost.get(column) for head, column in known.items()}
            for phase, took in result.notes.get("phases", {}).items():
                if took["steps"]:
                    figures[f"phase/{phase.removeprefix('phase ').replace(' ', '_')}", "ms/step"] = (
                        1e3 * took["seconds"] / took["steps"]
                    )
            for (figure, unit), value in figures.items():
                if value is not None:
                    held.setdefault((f"{name}/{figure}", unit), []).append(value)
    return [Figure(name, unit, tuple(values)) for (name, unit), values in held.items()]


def all_of_published(figures: list[Figure]) -> list[Figure]:
    """Hours of the published schedule, by what an iteration of each phase took."""
    budget, phases = Published().full, {figure.name.rpartition("/")[2]: figure for figure in figures}
    lengths = {"A": budget.a, "AB": budget.ab, "B": budget.b}
    if not lengths.keys() <= phases.keys():
        return []
    hours = sum(length * statistics.median(phases[phase].values) for phase, length in lengths.items()) / 3.6e6
    return [Figure(f"cell/full/published/all_{sum(lengths.values())}", "h", (hours,))]


def earlier(path: Path) -> dict[str, float]:
    """Medians of a table that `--out` wrote."""
    with path.open(newline="") as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        return {row["figure"]: float(row["median"]) for row in rows}


@click.command(help=__doc__)
@click.option("--device", default="cpu", show_default=True)
@click.option("--methods", default=METHODS, show_default=True, help="'' for none")
@click.option("--efforts", default="quick", show_default=True, help="of smoke, quick, full, with commas")
@click.option("--scene", default="blocks", show_default=True)
@click.option("--seeds", default=1, show_default=True, help="how many")
@click.option("--threads", type=int, help="CPU threads of a cell; all, where it is not given")
@click.option("--published", is_flag=True, help=f"gnerf's published preset too: {FEW} iterations of each phase")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--against", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(
    device: str, methods: str, efforts: str, scene: str, seeds: int, threads: int | None, published: bool,
    out: Path | None, against: Path | None,
) -> None:  # fmt: skip
    devices = Devices.of(device)
    devices.check()
    device, before = devices.first, earlier(against) if against else {}
    head = (
        f"# device {device} ({card_of(device) or processor()}), {threads or cpu_count()} CPU threads, "
        f"torch {versions(('torch',))['torch']}, scene {scene}"
    )
    lines: list[dict[str, str]] = []

    def tell(figures: list[Figure]) -> None:
        for row in (figure.row for figure in figures):
            lines.append(row)
            was = before.get(row["figure"])
            ratio = f"  x {float(row['median']) / was:.2f}" if was else ""
            spread = f"[{row['lowest']}, {row['highest']}]"
            sys.stdout.write(f"{row['figure']:52} {row['median']:>9} {row['unit']:8} {spread:22} n={row['n']}{ratio}\n")
        sys.stdout.flush()

    sys.stdout.write(head + "\n")
    speed = bandwidth(device)
    tell([Figure("memory/copy", "GB/s", tuple(value / 1e9 for value in speed))])
    for effort in efforts.split(","):
        found = steps(device, SIDES[effort], threads or cpu_count(), statistics.median(speed))
        tell([Figure(f"grid/{effort}/{name}", unit, values) for name, unit, values in found])
        if methods:
            tell(cells(methods, effort, scene, seeds, device, threads))
    if published:
        figures = cells(PUBLISHED, "full", scene, 1, device, threads)
        tell(figures + all_of_published(figures))
    if out:
        with out.open("w", newline="") as file:
            file.write(head + "\n")
            writer = csv.DictWriter(file, FIELDS)
            writer.writeheader()
            writer.writerows(lines)


if __name__ == "__main__":
    main()
