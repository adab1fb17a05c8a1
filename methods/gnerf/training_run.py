"""One attempt at a fit while it runs: where it is in its schedule, its iterations, its curves and checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bench.task import Job
from methods.gnerf.collapse import inversion_spread, opacity, symptom
from methods.gnerf.generator import begun_anew
from methods.gnerf.model import Model
from methods.gnerf.schedule import Iteration, Phase, Plan
from methods.nerf.field.render_and_compare import render_views
from methods.nerf.training.checkpointing import Checkpoints, generator, psnr
from methods.nerf.training.deadline import Deadline
from methods.nerf.training.exposing import logged_spread
from methods.nerf.training.optimizer_state import with_prefix


class Died(Exception):  # noqa: N818 - an outcome of an attempt
    """The symptom of a collapse: the attempt is over, and another one may begin."""


@dataclass
class Progress:
    """Where in its schedule a fit is; with a model's state, all that a checkpoint needs."""

    attempt: int = 0
    phase: int = 0  # of the schedule's phases
    index: int = 0  # within the phase
    beginning: int = 0  # which of several, see `beginnings.py`
    misfits_begun: list[float] = field(default_factory=list)  # of those that were tried
    chosen: bool = False  # which of them goes on
    planned_beginnings: int = 1  # how many were to be tried ...
    whole_beginnings: int = 1  # ... and how many there was time for
    ran: dict[str, int] = field(default_factory=dict)  # iterations of the phases before, as they ran
    left_out: int = 0  # iterations of AB that count as run, but another beginning made needless
    settled: int = 0  # re-seedings in a row that moved hardly a view
    unsettled: bool = False  # AB ended while re-seeding still moved views
    reseeded: int = 0  # views moved so far
    decided: bool = False  # which beginning goes on to phase B
    freed: bool = False  # the model that goes on has poses free of the prior's family: see `Model`
    groups: list[int] = field(default_factory=list)  # views of each rigid group, what has joined one counted with it
    misfits: list[float] = field(default_factory=list)  # of the beginning from them, and of that from nothing
    turned: list[int] = field(default_factory=list)  # views, in each round of majority.py
    round_seconds: float = 0.0  # that the last of these took ...
    seconds_after: float = 0.0  # ... and that phase B after them is foreseen to take
    restarts: list[str] = field(default_factory=list)  # why
    lost_seconds: float = 0.0  # in attempts that collapsed


OF_A_BEGINNING = ("beginning", "ran", "phase", "index", "settled", "unsettled", "reseeded")
"""What of a fit's progress is that of one of several beginnings."""

BEST = "best"
"""Of the names in a checkpoint under which the best beginning so far is kept."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A beginning that is over: all of its model, and its progress."""

    state: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    progress: Mapping[str, Any]

    @staticmethod
    def of(model: Model, progress: Progress) -> Standing:
        state, tensors = model.state()
        return Standing(
            state=state,
            tensors={name: value.detach().clone() for name, value in tensors.items()},
            progress={name: copy(getattr(progress, name)) for name in OF_A_BEGINNING},
        )

    @staticmethod
    def kept(state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Standing | None:
        """The one that a checkpoint holds."""
        return Standing(**state[BEST], tensors=with_prefix(f"{BEST}/", tensors)) if BEST in state else None

    def in_checkpoint(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        named = {f"{BEST}/{name}": value for name, value in self.tensors.items()}
        return {BEST: {"state": self.state, "progress": self.progress}}, named

    def restore(self, model: Model, progress: Progress) -> None:
        model.restore(self.state, self.tensors)
        for name, value in self.progress.items():
            setattr(progress, name, value)


@dataclass
class TrainingRun:
    """What the phases share. `iterations` counts them and keeps checkpoints between them."""

    model: Model
    progress: Progress
    checkpoints: Checkpoints
    job: Job
    deadline: Deadline  # of all attempts together
    seed: int  # of this attempt
    best: Standing | None = None  # of several beginnings, while they are tried

    def __post_init__(self) -> None:
        self.beginnings = 1  # how many are to be tried

    @property
    def plan(self) -> Plan:
        return self.model.plan

    def iterations(
        self, phase: Phase, over: Callable[[Iteration], bool] | None = None
    ) -> Iterator[tuple[Iteration, torch.Generator]]:
        """The iterations of a phase that are still to be run, each with its own randomness.

        The phase ends after its length, where `over` says so, or at the deadline. Nothing comes of a phase that the
        schedule does not have, that ended before a kill, or that comes after the deadline.
        """
        if phase not in self.plan.phases or phase in self.progress.ran or self.deadline.stopped:
            return
        while not self._over(iteration := self._next(phase), over):
            if self.deadline.reached(*self._steps(iteration), f"phase {phase}"):
                return
            yield iteration, generator(self.seed, iteration.number)
            self.progress.index += 1
            self.save_where_due(phase)

    def save_where_due(self, phase: Phase) -> None:
        """Keep a checkpoint, to go on from with the next iteration of the `phase`, where it is time for one."""
        if self.checkpoints.save_due():
            self._save(phase)

    def save_where_worth(self, phase: Phase, seconds: float) -> None:
        """The same, or where the last piece of work took so many `seconds` that it is worth one by itself."""
        if self.checkpoints.save_due() or self.checkpoints.is_worth(seconds):
            self._save(phase)

    def _save(self, phase: Phase) -> None:
        state, tensors = self.model.state()
        best, best_tensors = self.best.in_checkpoint() if self.best else ({}, {})
        state = {**state, **best, "progress": vars(self.progress)}
        self.checkpoints.save(self._next(phase).number, state, tensors | best_tensors)

    def tell(self, phase: Phase, work: str) -> None:
        """Tell whoever waits of `work` before the next iteration of the `phase`."""
        self.deadline.tell(*self._steps(self._next(phase)), work)

    def _steps(self, iteration: Iteration) -> tuple[int, int]:
        """How many iterations are over and how many there will be, those of other beginnings included.

        Each of several counts as one that ends neither early nor late.
        """
        each, number = self.beginning_length, iteration.number
        tried, chosen = len(self.progress.misfits_begun), self.progress.chosen
        if chosen:
            return each * (tried - 1) + max(each, number), each * (tried - 1) + self.plan.total
        if self.beginnings == 1:
            return number, self.plan.total
        return each * tried + min(each, number), each * (self.beginnings - 1) + self.plan.total

    @property
    def first_of_ab(self) -> int:
        """Iterations of AB before a real background, until its field begins anew the second time, if it does."""
        anew = begun_anew(self.model.generator.stages(self.plan))
        return anew[1] if len(anew) > 1 else self.plan.coarse_ab

    @property
    def beginning_length(self) -> int:
        """Iterations of one of several beginnings, where AB does not end early or late."""
        return self.plan.a + self.first_of_ab if self.model.open else self.plan.early

    def begin(self, number: int, model: Model, seed: int) -> None:
        """Beginning `number`, from its first iteration on, with a fresh `model`."""
        self.model, self.seed = model, seed
        self.progress.beginning = number
        progress = self.progress
        progress.ran, progress.phase, progress.index = {}, 0, 0
        progress.settled, progress.unsettled, progress.reseeded = 0, False, 0

    def begins(self, phase: Phase) -> bool:
        """Whether this phase has been run, as far as it went, and has not been left yet."""
        reached = self.progress.index > 0 or not self.deadline.stopped
        return phase in self.plan.phases and phase not in self.progress.ran and reached

    def leave(self, phase: Phase, then: Callable[[], None] | None = None) -> None:
        """The end of a phase: a last look for a collapse, `then` whatever is due, a picture. Raises Died.

        At the deadline the answer stands as it is: there is no time for another attempt.
        """
        iteration = self._next(phase)
        if not self.deadline.stopped:
            self.check(iteration, generator(self.seed, 2**30 + self.progress.phase), iterations=iteration.index + 1)
        if then is not None:
            then()
        if not self.deadline.stopped:
            self.job.log(iteration.number, {}, {f"phase_{phase}": _sheet(self.model)})
        progress = self.progress
        progress.ran[phase], progress.index, progress.settled = progress.index, 0, 0
        progress.phase += 1

    def take(self, model: Model, because: str | None = None) -> None:
        """Go on to phase B with this `model` instead, the phases before it being over, `because` they died or not."""
        with torch.no_grad():  # it learnt from poses all over the prior, and the rival's from next to nothing
            model.inversion.load_state_dict(self.model.inversion.state_dict())
        self.model, self.progress.decided, self.progress.unsettled = model, True, False
        self.progress.freed = model.freed
        if because is not None:
            self.progress.restarts.append(because)
        if because is not None or (model.open and not self.deadline.stopped):  # AB died, or was to go on
            progress, length = self.progress, self.plan.phases["AB"]
            progress.left_out = length - progress.index if because is None else 0
            progress.ran = {"A": self.plan.phases["A"], **progress.ran, "AB": length}
            progress.phase, progress.index, progress.settled = 2, 0, 0

    def check(self, iteration: Iteration, rng: torch.Generator, *, iterations: int) -> None:
        """Raises Died where the fit has collapsed."""
        if fault := symptom(self.model, rng, iterations=iterations, fitted=iteration.phase != "A"):
            raise Died(fault)

    def log(
        self, iteration: Iteration, losses: Mapping[str, Tensor], reseeded: int | None = None, side: int | None = None
    ) -> None:
        """Curves: losses, how far poses are spread (radii of the prior), opacity, image side (px; as the schedule says,
        if not `side`) and, where they are apart, how far exposures of views are (stops).

        Losses are read only for a point that is due: on a GPU, a step that reads one waits for all steps before it.
        """
        model = self.model
        self.progress.reseeded += reseeded or 0
        if self.checkpoints.log_due(force=reseeded is not None):
            values = {name: float(loss) for name, loss in losses.items()}
            if "loss/photometric" in values:
                values["psnr"] = psnr(values["loss/photometric"])
            if reseeded is not None:
                values["reseeded"] = float(reseeded)
            values |= {
                "side": float(side or iteration.side(model.sight.side)), "pose_spread": _pose_spread(model),
                "opacity": opacity(model), "phase": float(["A", "AB", "B"].index(iteration.phase)),
                "attempt": float(self.progress.attempt), **logged_spread(model.sight.gains),
            }  # fmt: skip
            if model.intrinsics.free:
                values["focal"] = model.intrinsics.estimate().fx  # px of the images as they were given
            if self.beginnings > 1:
                values["beginning"] = float(self.progress.beginning)
            if iteration.phase != "B" and model.config.inversion:
                values["inversion_spread"] = inversion_spread(model)
            self.checkpoints.log(iteration.number + 1, values)

    def _next(self, phase: Phase) -> Iteration:
        return Iteration(
            preset=self.model.preset, plan=self.plan, phase=phase, index=self.progress.index,
            before=sum(self.progress.ran.values()),
        )  # fmt: skip

    def _over(self, iteration: Iteration, over: Callable[[Iteration], bool] | None) -> bool:
        return over(iteration) if over is not None else iteration.index >= iteration.length


@torch.no_grad()
def _pose_spread(model: Model) -> float:
    """Mean distance of the camera centres from their mean, in radii of the prior."""
    centres = model.poses()[:, :3, 3] / model.family.radius
    return float((centres - centres.mean(dim=0)).norm(dim=1).mean())


@torch.no_grad()
def _sheet(model: Model) -> Any:
    """The first views, and below each how it is rendered: (2 side, 6 side, C) uint8."""
    side = min(64, model.sight.side)
    seen = render_views(model.generator.field, model.intrinsics, model.poses()[:6], side)
    rows = torch.stack([model.sight.square(side)[:6], seen]).clamp(-1, 1)  # (2, 6, C, side, side)
    sheet = rows.permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
    return ((sheet + 1) * 127.5 + 0.5).to(torch.uint8).cpu().numpy()
