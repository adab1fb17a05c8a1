"""GNeRF as one loop: A -> AB -> B, with restarts after a collapse, and a checkpoint to go on from at any time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from bench.task import Capture, Collapsed, Fit, Job
from methods.gnerf.adversarial import adversarial_step, inversion_step, pull_step
from methods.gnerf.collapse import opacity, spread, symptom
from methods.gnerf.config import GnerfConfig
from methods.gnerf.model import Model
from methods.gnerf.photometric import photometric_step, side_of
from methods.gnerf.reseed import reconsider, reseed
from methods.gnerf.scene import Scene
from methods.gnerf.schedule import Moment
from methods.nerf.backends.select import set_threads
from methods.nerf.field.render_and_compare import render_views
from methods.nerf.images.pyramid import ImagePyramid
from methods.nerf.training.checkpointing import Checkpoints, generator, psnr

CHECK_EVERY = 50  # iterations of A between two looks for a collapse
SETTLED = 3  # re-seedings in a row that hardly moved anything, after which AB may end


@dataclass
class Course:
    """Where in its schedule a fit is; with a model's state, all that a checkpoint needs."""

    attempt: int = 0
    phase: int = 0  # of the schedule's phases
    index: int = 0  # within the phase
    ran: dict[str, int] = field(default_factory=dict)  # iterations of the phases before, as they ran
    calm: int = 0  # re-seedings in a row that moved hardly a view
    moved: int = 0  # views re-seeded so far
    restarts: list[str] = field(default_factory=list)  # why
    lost_seconds: float = 0.0  # in attempts that collapsed

    def state(self) -> dict[str, Any]:
        return {"course": vars(self)}


def fit(capture: Capture, config: GnerfConfig, job: Job) -> Fit:
    """Poses and field. Raises Collapsed when every attempt did."""
    set_threads(job.threads)
    sight = ImagePyramid.of(capture, masked=config.masks, device=torch.device(job.device))
    asked = {"config": config.model_dump(mode="json"), "seed": job.seed, "effort": job.effort, "views": list(sight.ids)}
    checkpoints = Checkpoints(job, "gnerf", asked)
    course, found = Course(), checkpoints.resume()
    if found is not None:
        course = Course(**found[0]["course"])
    while True:
        seed = int(np.random.SeedSequence([job.seed, course.attempt]).generate_state(1)[0])
        model = Model(capture, sight, config, job.effort, seed)
        if found is not None:
            model.restore(*found)
            found = None
        started = time.monotonic()
        fault = _run(model, course, checkpoints, job, seed)
        if fault is None:
            break
        course.restarts.append(fault)
        course.lost_seconds += time.monotonic() - started
        if course.attempt == config.restarts:
            raise Collapsed(f"{fault}, after {course.attempt} restarts")
        course = Course(
            attempt=course.attempt + 1, restarts=course.restarts, lost_seconds=course.lost_seconds
        )  # fmt: skip
    checkpoints.clear()
    model.generator.field.requires_grad_(False)
    return _answer(model, course)


def _run(model: Model, course: Course, checkpoints: Checkpoints, job: Job, seed: int) -> str | None:
    """One attempt, from where `course` stands to the end of its schedule; returns the symptom if it collapses."""
    phases = model.config.phases(job.effort)
    names = list(phases)
    early = sum(length for name, length in phases.items() if name != "B")
    while course.phase < len(names):
        phase = names[course.phase]
        moment = Moment(
            preset=model.preset, phase=phase, index=course.index, length=phases[phase],
            before=sum(course.ran.values()), early=early,
        )  # fmt: skip
        if _over(model, course, moment):
            if fault := _leave(model, moment, generator(seed, 2**30 + course.phase)):
                return fault
            _show(model, job, moment)
            course.ran[phase], course.index, course.phase, course.calm = course.index, 0, course.phase + 1, 0
            continue
        rng = generator(seed, moment.iteration)
        moved = _before(model, course, moment, rng)
        losses = {"A": _a, "AB": _ab, "B": _b}[phase](model, moment, rng)
        course.index += 1
        if phase == "A" and course.index % CHECK_EVERY == 0 and (fault := _symptom(model, moment, rng)):
            return fault
        _log(model, course, moment, losses, moved, checkpoints)
        if checkpoints.save_due():
            state, tensors = model.state()
            checkpoints.save(moment.iteration + 1, state | course.state(), tensors)
    return None


def _a(model: Model, moment: Moment, rng: torch.Generator) -> dict[str, float]:
    """One iteration of phase A (GNeRF sec. 3.4): random poses, no image has one yet."""
    losses = {}
    if model.config.adversarial:
        losses |= adversarial_step(model, moment, rng)
    if model.config.inversion:
        losses |= inversion_step(model, moment, rng)
        if model.preset.pull:
            losses |= pull_step(model, moment, rng)
    return losses


def _ab(model: Model, moment: Moment, rng: torch.Generator) -> dict[str, float]:
    """One iteration of phase AB: both objectives."""
    losses = _a(model, moment, rng) if moment.index % model.preset.adversarial_every == 0 else {}
    return losses | (photometric_step(model, moment, rng) if model.config.photometric else {})


def _b(model: Model, moment: Moment, rng: torch.Generator) -> dict[str, float]:
    """One iteration of phase B: the images alone. The inversion network may go on learning, for `register`."""
    losses = photometric_step(model, moment, rng)
    every = model.preset.inversion_every
    if every and model.config.inversion and moment.index % every == 0:
        losses |= inversion_step(model, moment, rng)
    return losses


def _symptom(model: Model, moment: Moment, rng: torch.Generator) -> str | None:
    return symptom(model, rng, iterations=moment.index + 1, fitted=moment.phase != "A")


def _before(model: Model, course: Course, moment: Moment, rng: torch.Generator) -> int | None:
    """What is due before an iteration: a finer grid, views moved elsewhere. Returns how many views were moved."""
    config, moved = model.config, None
    if moment.phase == "AB" and moment.index % config.reseed_every == 0 and config.reseed:
        moved = reseed(model, rng)
        course.calm = course.calm + 1 if moved <= 0.01 * len(model.sight.ids) else 0
    if moment.phase == "B":
        if moment.index == 0:
            model.settle()
        due = moment.index in [round(moment.length * share) for share in config.reseed_at]
        if due and moment.index == 0 and config.reseed:
            moved = reseed(model, rng)
        if model.generator.advance(moment):
            model.move_poses.state.clear()
        if due and moment.index > 0 and config.reseed:
            moved = reconsider(model, rng)
    course.moved += moved or 0
    return moved


def _over(model: Model, course: Course, moment: Moment) -> bool:
    """A and B end after their iterations; AB when re-seeding has nothing left to do, within its bounds."""
    config = model.config
    if moment.phase != "AB" or not config.reseed or "B" not in config.schedule.split("-"):
        return moment.index >= moment.length
    if moment.index >= config.ab_at_most * moment.length:
        return True
    return moment.index >= config.ab_at_least * moment.length and course.calm >= SETTLED


def _leave(model: Model, moment: Moment, rng: torch.Generator) -> str | None:
    """What happens between two phases; returns a symptom of collapse."""
    if fault := _symptom(model, moment, rng):
        return fault
    if moment.phase == "A" and model.config.inversion and not model.preset.pull:
        model.place(torch.arange(len(model.sight.ids), device=model.device), model.inverted())
    if moment.phase == "A" and model.config.prior == "learned":
        model.learn_prior()
    if not model.config.photometric and model.config.inversion:
        model.place(torch.arange(len(model.sight.ids), device=model.device), model.inverted())
    return None


def _log(
    model: Model,
    course: Course,
    moment: Moment,
    losses: Mapping[str, float],
    moved: int | None,
    checkpoints: Checkpoints,
) -> None:
    """Curves: losses, how far poses are spread, opacity, image side."""
    values = dict(losses)
    if "loss/photometric" in values:
        values["psnr"] = psnr(values["loss/photometric"])
    if moved is not None:
        values["reseeded"] = float(moved)
    if checkpoints.log_due(force=moved is not None):
        values |= {"side": float(side_of(model, moment)), "pose_spread": _pose_spread(model)}
        values |= {
            "opacity": opacity(model),
            "phase": {"A": 0.0, "AB": 1.0, "B": 2.0}[moment.phase],
            "attempt": float(course.attempt),
        }
        if moment.phase != "B" and model.config.inversion:
            values["inversion_spread"] = spread(model)
        checkpoints.log(moment.iteration + 1, values)


@torch.no_grad()
def _pose_spread(model: Model) -> float:
    """Mean distance of the camera centres from their mean, in radii of the prior."""
    centres = model.poses()[:, :3, 3] / model.family.radius
    return float((centres - centres.mean(dim=0)).norm(dim=1).mean())


def _show(model: Model, job: Job, moment: Moment) -> None:
    """At the end of a phase: the first views, and below each how it is rendered."""
    side = min(64, model.sight.side)
    with torch.no_grad():
        seen = render_views(model.generator.field, model.intrinsics, model.poses()[:6], side)
    rows = torch.stack([model.sight.square(side)[:6], seen]).clamp(-1, 1)  # (2, 6, C, side, side)
    sheet = rows.permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
    job.log(
        moment.iteration, {}, {f"phase_{moment.phase}": ((sheet + 1) * 127.5 + 0.5).to(torch.uint8).cpu().numpy()}
    )  # fmt: skip


def _answer(model: Model, course: Course) -> Fit:
    poses = model.poses().detach().double().cpu().numpy()
    notes: dict[str, str | float | int | bool] = {f"iterations/{name}": count for name, count in course.ran.items()}
    notes |= {"restarts": len(course.restarts), "restart_seconds": round(course.lost_seconds, 1)}
    notes |= {"reseeded_views": course.moved, "pose_family": model.family.name}
    if course.restarts:
        notes["collapses"] = "; ".join(course.restarts)
    config = model.config
    scene = Scene(
        field=model.generator.field, prior=model.prior, family=model.family.name,
        inversion=model.inversion.requires_grad_(False) if config.inversion else None,
        inversion_kind=model.preset.inversion, candidates=config.candidates, hypotheses=config.hypotheses,
        side=config.reseed_side,
    )  # fmt: skip
    return Fit(
        poses=dict(zip(model.sight.ids, poses, strict=True)), field=scene,
        camera=model.intrinsics.estimate() if model.intrinsics.free else None, notes=notes,
    )  # fmt: skip
