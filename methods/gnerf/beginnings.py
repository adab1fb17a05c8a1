"""Before a real background, and of few views, A is a gamble: the best of several beginnings goes on.

It is the one whose renders explain all images best. Of six on DTU scan24, three come to within 4 degrees on the first
field of AB, with an error of 0.022 to 0.023, and three are mirrored or torn, 9 to 14 degrees off, with one of 0.028. Of
six with 12 views of `blocks`, AB ends 1, 3, 4, 9, 10 and 23 degrees off, and that is the order of their errors, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from methods.gnerf.fast import Fast, FastBudget
from methods.gnerf.grouped import misfit
from methods.gnerf.model import Model
from methods.gnerf.phases import phase_a, phase_ab, phase_ab_open
from methods.gnerf.schedule import Plan
from methods.gnerf.training_run import Died, Standing, TrainingRun

SLOWER = 1.5
"""How many times longer an iteration of what comes after takes than one of a beginning."""


def beginnings_of(model: Model, plan: Plan) -> int:
    """How many a fit of its own is to have: one of many views of an object, and of schedules without A, AB and B."""
    preset, budget = model.preset, model.budget
    if not (isinstance(preset, Fast) and isinstance(budget, FastBudget) and {"A", "AB", "B"} <= plan.phases.keys()):
        return 1
    return budget.beginnings if model.open or len(model.sight.ids) < preset.few_views else 1


def choose_beginning(run: TrainingRun, count: int, made: Callable[[int], tuple[Model, int]]) -> None:
    """Try `count` beginnings, fewer where the time is short, and leave `run` where the best one of them stands.

    That is at the end of AB, before a real background after its first field. `made` answers a fresh model for beginning
    k, and its seed. The best one so far is in every checkpoint. Raises Died where all did.
    """
    if count == 1:
        _begin(run)
    elif not run.progress.chosen:
        _choose(run, count, made)


def _begin(run: TrainingRun) -> None:
    phase_a(run)
    if run.model.open:
        phase_ab_open(run, first=True)
    else:
        phase_ab(run)


def _choose(run: TrainingRun, count: int, made: Callable[[int], tuple[Model, int]]) -> None:
    progress = run.progress
    run.beginnings = count
    while True:
        error = _tried(run)
        if run.deadline.stopped and run.best is not None:
            error = math.inf  # it was cut short
        if error < min(progress.misfits_begun, default=math.inf):
            run.best = Standing.of(run.model, progress)
        progress.misfits_begun.append(error)
        tried = len(progress.misfits_begun)
        if tried == count or run.deadline.stopped or not _time_for_another(run, tried):
            break
        run.begin(tried, *made(tried))
    if run.best is None:
        raise Died(f"each of {tried} beginnings collapsed; the last one: {progress.restarts[-1]}")
    progress.chosen = True
    progress.planned_beginnings = count
    progress.whole_beginnings = tried - run.deadline.stopped  # the last one was cut short
    if (best := run.best.progress["beginning"]) != progress.beginning:
        run.begin(best, *made(best))
        run.best.restore(run.model, progress)
    run.best = None


def _tried(run: TrainingRun) -> float:
    """Infinite where it died."""
    try:
        _begin(run)
    except Died as death:
        run.progress.restarts.append(str(death))
        return math.inf
    with run.model.sight.as_first():  # the same images for all
        error = misfit(run.model)
    return error if math.isfinite(error) else math.inf


def _time_for_another(run: TrainingRun, tried: int) -> bool:
    each = run.beginning_length
    return run.deadline.leaves_room((1 + SLOWER * (run.plan.total - each) / each) / tried)
