"""The three phases of GNeRF (sec. 3.4, fig. 3), each from top to bottom: A, then AB, then B."""

from __future__ import annotations

import torch
from torch import Tensor

from methods.gnerf.adversarial import adversarial_step, inversion_step, pull_step
from methods.gnerf.generator import begun_anew
from methods.gnerf.grouped import misfit
from methods.gnerf.majority import agree, looks_alike
from methods.gnerf.model import Model
from methods.gnerf.patches import RealPatches
from methods.gnerf.photometric import photometric_step
from methods.gnerf.reseed import reconsider, reseed
from methods.gnerf.schedule import Iteration
from methods.gnerf.training_run import TrainingRun
from methods.nerf.training.checkpointing import generator
from methods.nerf.training.exposing import EVERY

CHECK_EVERY = 50  # iterations of A between two looks for a collapse ...
CHECK_LATER = 500  # ... and of AB and B, which seldom do
LOOKS = 2**28
"""Whose randomness comes after that of all iterations."""

SETTLED = 3  # re-seedings in a row that hardly moved anything, after which AB may end
HARDLY = 0.01  # share of the views


def phase_a(run: TrainingRun) -> None:
    """No image has a pose yet: the field learns to look right from random poses, and a network to invert it.

    Afterwards every image takes the pose that the inversion network answers. Raises Died.
    """
    for iteration, rng in run.iterations("A"):
        losses, _ = _adversarial(run.model, iteration, rng)
        if (iteration.index + 1) % CHECK_EVERY == 0:
            run.check(iteration, rng, iterations=iteration.index + 1)
        run.log(iteration, losses)

    def answered() -> None:
        if run.model.config.inversion and not run.model.pulled:  # with it, they were pulled there all along
            _place_as_inverted(run.model)
        if run.model.config.prior == "learned":
            run.model.learn_prior()
        _without_photometric(run.model)

    if run.begins("A"):
        run.leave("A", answered)


def phase_ab(run: TrainingRun) -> None:
    """Both objectives in turn; views that found the wrong side are re-seeded by render and compare (not published).

    With re-seeding it ends when that has nothing left to do, within the config's bounds; B has what is left of the
    iterations, at least half of its own. Before a real background it is another one: `phase_ab_open`. Raises Died.
    """
    model, config = run.model, run.model.config
    if model.open:
        phase_ab_open(run)
        return

    def over(iteration: Iteration) -> bool:
        length, b = iteration.length, iteration.plan.phases.get("B", 0)
        if not config.reseeds or not b:
            return iteration.index >= length
        if iteration.index >= min(config.ab_at_most * length, length + b / 2):
            return True
        return iteration.index >= config.ab_at_least * length and run.progress.settled >= SETTLED

    for iteration, rng in run.iterations("AB", over):
        moved = None
        _refine_field(model, iteration)
        if iteration.index % config.reseed_every == 0:
            model.expose(early=True)
        if config.reseeds and iteration.index % config.reseed_every == 0:
            moved = reseed(model, rng)
            run.progress.settled = run.progress.settled + 1 if moved <= HARDLY * len(model.sight.ids) else 0
        due = iteration.index % model.preset.adversarial_every == 0 or not config.photometric
        losses, shown = _adversarial(model, iteration, rng) if due else ({}, None)
        if config.photometric:
            losses |= photometric_step(model, iteration, rng, shown)  # eq. 7
        if (iteration.index + 1) % CHECK_LATER == 0:
            run.check(iteration, rng, iterations=iteration.index + 1)
        run.log(iteration, losses, moved)
    if run.begins("AB"):
        run.progress.unsettled = config.reseeds and run.progress.settled < SETTLED
        run.leave("AB", lambda: _without_photometric(model))


def phase_ab_open(run: TrainingRun, *, first: bool = False) -> None:
    """AB before a real background (not published): photometric alone, on fields that begin anew and grow finer.

    What A has learnt of the background is in the way there, and so are large voxels: poses come to where they explain
    the images best, some ten degrees off. Views are re-seeded before each step. With `first`, only as far as the first
    of these fields goes; the phase may go on from there. Raises Died.
    """
    model, config = run.model, run.model.config

    def over(iteration: Iteration) -> bool:
        return iteration.index >= (run.first_of_ab if first else iteration.length)

    for iteration, rng in run.iterations("AB", over):
        steps = model.generator.stages(iteration.plan)
        due = iteration.index in steps and iteration.index > 0
        if due:  # not later: a field that has just begun anew is fog
            since = max(start for start in begun_anew(steps) if start < iteration.index)
            look = generator(run.seed, LOOKS + iteration.index)
            run.check(iteration, look, iterations=iteration.index - since)
        moved = reseed(model, rng) if config.reseeds and due else None
        _refine_field(model, iteration)
        losses = photometric_step(model, iteration, rng, trust=model.generator.trust(iteration))
        run.log(iteration, losses, moved)
    if not first and run.begins("AB"):
        run.leave("AB")


def phase_b(run: TrainingRun) -> None:
    """The images alone: field, poses and focal length are refined together, on a field that grows finer.

    The inversion network may go on learning, for `register`. Before a real background it is another one:
    `phase_b_open`. Raises Died.
    """
    model, config, every = run.model, run.model.config, run.model.preset.inversion_every
    if model.fields_anew:
        phase_b_open(run)
        return
    for iteration, rng in run.iterations("B"):
        moved = None
        first = iteration.index == 0
        due = config.reseeds and iteration.index in [round(iteration.length * share) for share in config.reseed_at]
        if first:
            _bring_to_one_side(run, iteration.length)
        if due and first and not run.progress.turned:
            moved = reseed(model, rng)
        if first:
            model.lead_focal()
        if iteration.index % EVERY == 0:
            model.expose()
        _refine_field(model, iteration)
        if due and not first:
            moved = reconsider(model, rng)
        losses = photometric_step(model, iteration, rng)  # eq. 7
        if every and config.inversion and iteration.index % every == 0:
            losses |= inversion_step(model, iteration, rng)
        if (iteration.index + 1) % CHECK_LATER == 0:
            run.check(iteration, rng, iterations=iteration.index + 1)
        run.log(iteration, losses, moved)
    if run.begins("B"):
        run.leave("B", lambda: _without_photometric(model))


def phase_b_open(run: TrainingRun) -> None:
    """B before a real background (not published): on fields that begin anew, without the views that look lost.

    The inversion network goes on learning once the last of them is fine. Where the time is over before a field is done,
    the last one is the answer if it explains the images better. Raises Died.
    """
    model, every = run.model, run.model.preset.inversion_every
    if run.deadline.stopped or "B" in run.progress.ran:
        return
    anew = model.begin_anew()
    joint = anew.joint
    for iteration, rng in run.iterations("B"):
        index = iteration.index
        if joint.begins_anew(index) and index > 0:
            since = index - joint.began(index - 1)
            run.check(iteration, generator(run.seed, LOOKS + iteration.number), iterations=since)
        error, draw, placed = anew.step(index, model.sight, rng, run.deadline)
        losses = {"loss/photometric": error}
        if every and model.config.inversion and index % every == 0 and joint.is_last_fine(index):
            losses |= inversion_step(model, iteration, rng)
        run.log(iteration, losses, placed, side=draw.side)
    if run.deadline.stopped:
        anew.stop(lambda: misfit(model))
    if run.begins("B"):
        run.leave("B")


def _bring_to_one_side(run: TrainingRun, after: int) -> None:
    """Where views were placed by what they look like alone, are now to be placed as well as can be, and look much the
    same from several sides. After a kill, whatever is left of it."""
    model, progress = run.model, run.progress
    apt = model.effort != "smoke" and not model.open and model.held is None
    asked = apt and model.config.majority and model.config.reseeds and "AB" in progress.ran
    if asked and (progress.turned or looks_alike(model, run.seed)):
        agree(run, after)


def _refine_field(model: Model, iteration: Iteration) -> None:
    """Whatever the field is due before an iteration; on a finer one the poses begin anew."""
    if model.generator.advance(iteration):
        model.begin_refinement()


def _adversarial(
    model: Model, iteration: Iteration, rng: torch.Generator
) -> tuple[dict[str, Tensor], RealPatches | None]:
    """Generator and discriminator (sec. 3.2, eq. 4 and 5), the inversion network (sec. 3.3, eq. 6), and the pull of
    the poses towards its answers (sec. 3.4, eq. 8). Returns losses, and what the discriminator was shown."""
    losses: dict[str, Tensor] = {}
    shown = None
    if model.config.adversarial:
        losses, shown = adversarial_step(model, iteration, rng)
    if model.config.inversion:
        losses |= inversion_step(model, iteration, rng)
        if model.pulled:
            losses |= pull_step(model, iteration, rng, None if shown is None else shown.views)
    return losses, shown


def _place_as_inverted(model: Model) -> None:
    found = model.answer_family.recoded(model.inverted(), model.family)
    model.place(torch.arange(len(model.sight.ids), device=model.device), found)


def _without_photometric(model: Model) -> None:
    """The ablation without photometric steps has no other poses than the inversion network's, after every phase."""
    if not model.config.photometric and model.config.inversion:
        _place_as_inverted(model)
