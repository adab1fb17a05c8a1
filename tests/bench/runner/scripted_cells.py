"""Cells of a method that does as it is told (`tests/plugins/scripted.py`), run through the real worker."""

from pathlib import Path

from bench.matrix.plan import plan
from bench.matrix.selection import Selection
from bench.runner.run import run
from bench.runner.settings import Settings

SCRIPTED = Path(__file__).parents[2] / "plugins" / "scripted.py"


def make_plan(*behaviours, seeds="0", degradations="clean", source=SCRIPTED):
    methods = ",".join(f"{source}[behaviour={behaviour}]" for behaviour in behaviours)
    return plan(Selection(scenes="blocks", methods=methods, degradations=degradations, seeds=seeds, effort="smoke"))


def execute(suite, made, **settings):
    """Results, and which cells were fitted and which were taken from before."""
    heard = []
    results = run(
        made, Settings(suite=suite, **settings), lambda planned, stage, _: heard.append((planned.cell.id, stage))
    )
    fitted = [cell for cell, stage in heard if stage == "fit"]
    return results, fitted, [cell for cell, stage in heard if stage == "cached"]
