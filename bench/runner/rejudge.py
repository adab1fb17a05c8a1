"""Judge fits again that are there already: with other weights of LPIPS, without refinement, or with more time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.cell import Cell
from bench.matrix.again import plan_again
from bench.matrix.plan import Planned
from bench.record import Result, read_result
from bench.runner.fit_client import finished_fit, spoilt_fit
from bench.runner.refusals import make_suite
from bench.runner.run import Listener, Runner
from bench.runner.settings import Settings
from bench.runner.suite_lock import hold
from bench.runner.tables import rewrite


def rejudge(cells: Sequence[Planned], settings: Settings, listen: Listener) -> list[Result]:
    """Judge the fits of these cells anew, whatever stands, and rewrite the suite's tables. Nothing is fitted.

    Of the settings `lpips`, `refine`, `render_limit`, `devices` and `workers` count; `bench.matrix.again.plan_again`
    makes the plan of a recorded cell. Raises ValueError before anything is judged where a cell has no fit, or one that
    was made by other code, another configuration or on another device than it would be now; SceneError, SuiteBusy.
    """
    runner = Runner(replace(settings, retry_failed=False), listen, cells)
    cells = [runner.resolved(planned) for planned in cells]
    for planned in cells:
        if refusal := why_not(runner, planned):
            raise ValueError(f"{planned.cell.id} cannot be judged again: {refusal}")
    settings.check_devices()
    runner.read_scenes(cells)
    make_suite(settings.suite)
    results: dict[Cell, Result] = {}
    with hold(settings.suite):
        try:
            runner.run_cells(list(cells), results)
        finally:
            rewrite(settings.suite)
    return [results[planned.cell] for planned in cells]


def judgeable(
    suite: Sequence[tuple[Path, Result]], settings: Settings, roots: Sequence[Path], method: str | None = None
) -> tuple[list[Planned], list[str]]:
    """The cells of a suite whose fits can be judged as they lie, and a line for each that cannot: why.

    Cells that were skipped have nothing to judge, and are in neither. `method`: see `bench.matrix.again.plan_again`.
    """
    runner = Runner(settings, lambda *_: None)
    cells, left_out = [], []
    for _, result in suite:
        if result.status == "skipped":
            continue
        try:
            planned = runner.resolved(plan_again(result, roots, method))
            refusal = why_not(runner, planned)
        except ValueError as error:
            refusal = str(error)
        else:
            cells += [] if refusal else [planned]
        left_out += [f"{result.cell.id}: {refusal}"] if refusal else []
    return cells, left_out


def why_not(runner: Runner, planned: Planned) -> str | None:
    """Why a cell's fit cannot be judged as it lies, or None."""
    folder = runner.folder(planned)
    try:
        earlier = read_result(folder)
    except FileNotFoundError:
        return "it was never run"
    except ValueError as error:
        return f"{error}; `unposed run` keeps it aside"
    if not runner.fingerprints.is_same_fit(planned, earlier):
        return "what decides its fit has changed (`unposed why`), so `unposed run` fits it again"
    if spoilt := spoilt_fit(folder, earlier.fingerprints["fit"]):
        return f"{spoilt}, so `unposed run` fits it again"
    if finished_fit(folder, earlier.fingerprints["fit"]) is None:
        return f"it has no fit: it is {earlier.status} ({earlier.reason or 'no reason was recorded'})"
    return None
