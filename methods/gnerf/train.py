"""GNeRF: phases A, AB, B, with restarts after a collapse, and a checkpoint to go on from at any time."""

from __future__ import annotations

import math
import time
from collections import Counter

import numpy as np
import torch

from bench.task import Capture, Collapsed, Fit, Job, Pose, ViewId
from methods.gnerf.beginnings import beginnings_of, choose_beginning
from methods.gnerf.collapse import USELESS, decibels_over_mean
from methods.gnerf.config import GnerfConfig
from methods.gnerf.field import GnerfField
from methods.gnerf.grouped import begin_from_groups, beyond_family, group_iterations, misfit
from methods.gnerf.groups import rigid_groups
from methods.gnerf.last_look import moved_at_last
from methods.gnerf.majority import agreed
from methods.gnerf.model import Model
from methods.gnerf.phases import phase_ab, phase_b
from methods.gnerf.reseed import candidates
from methods.gnerf.training_run import Died, Progress, Standing, TrainingRun
from methods.nerf.backends.select import set_threads
from methods.nerf.images.pyramid import ImagePyramid
from methods.nerf.training.checkpointing import Checkpoints, generator
from methods.nerf.training.deadline import Deadline
from methods.nerf.training.exposing import expose_before_background
from methods.nerf.training.lost_views import SMALL, WHOLE
from methods.nerf.training.pose_margins import pose_margins, pose_rivals

FORM = 4
"""Of a checkpoint: what an older one says of its fields and its progress is not enough to go on from."""

FITTED = 4.0
"""dB over their mean colour below which a short training has not fitted the views."""

DOUBTING, LOOKING = 2**30, 2**30 + 1
"""Whose randomness comes after that of all iterations."""

ENOUGH = 0.5
"""Share of its iterations, those of fields that begin anew left out, after which a fit that is stopped has found poses,
as a rule."""


def fit(capture: Capture, config: GnerfConfig, job: Job) -> Fit:
    """Poses and field, those found so far where the time is over. Raises Collapsed when every attempt did."""
    set_threads(job.threads)
    sight = ImagePyramid.of(capture, masked=config.masks, device=torch.device(job.device))
    if config.preset == "fast" and config.grid.radiance.exposures:
        expose_before_background(sight)
    asked = {"config": config.model_dump(mode="json"), "seed": job.seed, "effort": job.effort, "views": list(sight.ids)}
    asked["form"] = FORM
    checkpoints = Checkpoints(job, "gnerf", asked)
    plan = config.plan(job.effort)
    deadline = Deadline(job, before=group_iterations(plan) if config.features != "none" else 0)
    progress, found, best = Progress(), checkpoints.resume(), None
    if found is not None:
        progress, best = Progress(**found[0]["progress"]), Standing.kept(*found)
    rival: Model | None = None
    while True:
        seed = _seed(job, progress.attempt, progress.beginning)
        sight.retake(sight.first_gains)  # without what an attempt that died has made of them
        model = Model(capture, sight, config, job.effort, seed, freed=progress.freed)
        if found is not None:
            model.restore(*found)
            found = None
        started = time.monotonic()
        run = TrainingRun(model, progress, checkpoints, job, deadline, seed, best)
        best = None
        try:
            if not progress.decided:
                if rival is None and config.features != "none":
                    with sight.as_first():
                        rival = _from_groups(capture, sight, config, job, progress)
                _find_poses(run, rival)
                rival = None  # whichever goes on, phase B changes it
            phase_ab(run)  # where only a part of it was to be compared
            phase_b(run)
            break
        except Died as death:
            progress.restarts.append(str(death))
        if progress.attempt == config.restarts:
            raise Collapsed(f"{progress.restarts[-1]}, after {progress.attempt} restarts")
        lost = progress.lost_seconds + time.monotonic() - started
        kept = {"restarts": progress.restarts, "groups": progress.groups}
        progress = Progress(attempt=progress.attempt + 1, lost_seconds=lost, **kept)
    if progress.restarts and not progress.ran:
        checkpoints.clear()
        raise Collapsed(f"{progress.restarts[-1]}, and there was no time to begin again")
    run.model.generator.finish()
    answer = _answer(run.model, progress, deadline, job)
    checkpoints.clear()
    return answer


def _from_groups(
    capture: Capture, sight: ImagePyramid, config: GnerfConfig, job: Job, progress: Progress
) -> Model | None:
    """A model that began from the rigid groups, the same for every attempt; None where features matched in none, or
    where there is no time for it."""
    groups = rigid_groups(capture, config, job)
    if not groups:
        progress.groups = []
        return None
    sizes = [(len(group.views), group.joined) for group in groups]
    progress.groups = [sum(size for size, joined in sizes[1:] if joined) + sizes[0][0]]
    progress.groups += [size for size, joined in sizes[1:] if not joined]
    seed = _seed(job)
    assert capture.prior is not None
    freed = beyond_family(groups, capture.prior, config)
    model = Model(capture, sight, config, job.effort, seed, freed=freed)
    after = config.plan(job.effort, open=model.open).total
    return model if begin_from_groups(model, groups, config.plan(job.effort), job, seed, after) else None


def _seed(job: Job, attempt: int = 0, beginning: int = 0) -> int:
    words = [job.seed, attempt, beginning] if beginning else [job.seed, attempt]
    return int(np.random.SeedSequence(words).generate_state(1)[0])


def _find_poses(run: TrainingRun, rival: Model | None) -> None:
    """The phases A and AB; with a `rival` that began from groups, whichever explains all images better goes on.

    Before a real background only the first field of AB, which is as coarse as the rival's. Raises Died where A and AB
    do and another attempt is left, or no sound rival.
    """
    progress, first, sight = run.progress, run.model, run.model.sight
    with sight.as_first():
        sound = rival is not None and math.isfinite(misfit(rival)) and decibels_over_mean(rival) >= USELESS

    def made(beginning: int) -> tuple[Model, int]:
        seed = _seed(run.job, progress.attempt, beginning)
        sight.retake(sight.first_gains)
        return Model(first.capture, first.sight, first.config, run.job.effort, seed), seed

    try:
        choose_beginning(run, 1 if sound else beginnings_of(first, run.plan), made)
    except Died as death:
        if rival is None or not sound or progress.attempt < run.model.config.restarts:
            raise
        sight.retake(sight.first_gains)
        run.take(rival, because=str(death))
        return
    progress.decided = True
    if rival is not None:
        with sight.as_first():  # the same images for both
            progress.misfits = [misfit(rival), misfit(run.model)]
        if sound and progress.misfits[0] < progress.misfits[1]:
            sight.retake(sight.first_gains)
            run.take(rival)


def _answer(model: Model, progress: Progress, deadline: Deadline, job: Job) -> Fit:
    config = model.config
    margins, moved = _last_look(model, deadline, job)
    ran = {**progress.ran, **({"AB": progress.ran["AB"] - progress.left_out} if progress.left_out else {})}
    notes: dict[str, str | float | int | bool] = {f"iterations/{name}": count for name, count in ran.items()}
    notes |= {"restarts": progress.attempt, "restart_seconds": round(progress.lost_seconds, 1)}
    notes |= {"reseeded_views": progress.reseeded, "pose_family": model.family.name}
    if model.anew is not None:
        notes["fields_anew"] = model.anew.done(ran.get("B", 0))
        model.anew.joint.tell(deadline)
    if len(progress.misfits_begun) > 1:
        notes["beginnings"] = " ".join(f"{error:.4g}" for error in progress.misfits_begun)
        notes["beginning"] = progress.beginning
    if config.features != "none":
        notes |= {"groups": len(progress.groups), "grouped_views": sum(progress.groups)}
        hurried = bool(progress.groups) and not progress.misfits
        otherwise = "nothing, for there was no time for the groups" if hurried else "nothing"
        notes["began_from"] = "groups" if model.held is not None else otherwise
        notes |= dict(zip(("misfit/groups", "misfit/nothing"), progress.misfits, strict=False))
    if moved:
        notes["moved_at_last"] = moved
    if progress.turned:
        notes["looks_alike"] = f"from several sides: views turned by majority {' '.join(map(str, progress.turned))}"
    if progress.restarts:
        times = Counter(progress.restarts)
        notes["collapses"] = "; ".join(why if n == 1 else f"{why} ({n} times)" for why, n in times.items())
    gain = decibels_over_mean(model)
    notes["training_gain_db"] = round(gain, 2)
    flags: tuple[str, ...] = ()
    if deadline.share_done < ENOUGH * config.plan(job.effort, open=model.open).total / model.plan.total:
        flags = (f"too short to converge: stopped after {deadline.share_done:.0%} of its iterations",)
    elif job.effort == "smoke" and progress.unsettled:
        flags = ("too short to converge: phase AB ended while re-seeding still moved views",)
    elif job.effort == "smoke" and gain < FITTED:
        flags = (f"too short to converge: training views are {gain:.1f} dB better than their mean colour",)
    if progress.turned and not agreed(progress.turned, len(model.sight.ids)):
        flags += ("it looks alike from several sides, and views still turned from one to another",)
    if (whole := progress.whole_beginnings) < (planned := progress.planned_beginnings):
        flags += (f"there was time for {whole} of {planned} beginnings",)
    field = GnerfField(
        field=model.generator.field, prior=model.found_prior, family=model.family.name,
        answer_family=model.answer_family.name,
        inversion=model.inversion.requires_grad_(False) if config.inversion else None,
        inversion_kind=model.preset.inversion, candidates=config.candidates, hypotheses=config.hypotheses,
        side=config.reseed_side,
        known=model.known, views=model.poses().detach() if model.open else None,
        search=SMALL if job.effort == "smoke" else WHOLE,
    )  # fmt: skip
    notes |= deadline.notes()
    camera = model.intrinsics.estimate() if model.intrinsics.free else None
    return Fit(poses=_poses(model), field=field, camera=camera, notes=notes, flags=flags, margins=margins)


def _last_look(model: Model, deadline: Deadline, job: Job) -> tuple[dict[ViewId, float], int]:
    """The margins of all views, and how many were moved to where another pose explains them better.

    Before a real background none is: views at the edge of what others see look better from elsewhere there.
    """
    elsewhere = candidates(model, generator(job.seed, DOUBTING))
    asked = model.generator.field, model.intrinsics, model.sight
    rivals = pose_rivals(*asked, _poses(model), job, deadline, elsewhere=elsewhere)
    margins = {view: rival.margin for view, rival in rivals.items()}
    apt = job.effort != "smoke" and model.config.reseeds and model.config.photometric and not model.open
    moved = moved_at_last(model, rivals, generator(job.seed, LOOKING), deadline) if apt else []
    if moved:
        margins = {view: margin for view, margin in margins.items() if view not in moved}  # of where they stood
        margins |= pose_margins(*asked, _poses(model), job, deadline, elsewhere=elsewhere, views=moved)
    return margins, len(moved)


def _poses(model: Model) -> dict[ViewId, Pose]:
    return dict(zip(model.sight.ids, model.poses().detach().double().cpu().numpy(), strict=True))
