"""What joint training on a grid is made of: fields, each from fog to its last voxels, and how poses move with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from bench.task import Camera
from methods.nerf.config import Budget
from methods.nerf.field.bounds import Bounds
from methods.nerf.images.posed_images import Batch
from methods.nerf.training.coarse_to_fine import CoarseToFineGrid
from methods.nerf.training.joint_schedule import JointGridBudget, JointGridSchedule, in_equal_shares
from methods.nerf.training.posed_grid import PosedGrid
from methods.nerf.training.rates import decayed


class Course(NamedTuple):
    """A field from fog to fine voxels."""

    first: int  # iteration of the training with which it begins
    coarse: int  # iterations
    fine: int
    sides: Mapping[int, int]  # voxels to an edge of the coarse grid, from which of these iterations on
    rest: int  # iterations for which poses rest
    anew: bool = False  # whether there was a field before

    @property
    def end(self) -> int:
        return self.first + self.coarse + self.fine


def courses(
    schedule: JointGridSchedule, budget: JointGridBudget, *, contract: bool, is_open: bool, begun: bool = False
) -> tuple[Course, ...]:
    """One, and before a real background (`is_open`) as many more as the `schedule` has fields that begin anew; where
    one has `begun` already, these alone."""
    stages = schedule.stages_open(budget.coarse) if contract else {0: schedule.coarse_side}
    rest = round(schedule.pose_from * budget.coarse) if contract else 0
    anew = schedule.anew_open if is_open else 0
    fine = budget.fine_anew if anew else budget.fine
    found = [] if begun else [Course(0, budget.coarse, fine, stages, rest)]
    sides = in_equal_shares(schedule.sides_anew, budget.coarse_anew)
    rest = max(1, round(schedule.rest_anew * budget.coarse_anew))  # a field must have begun to tell where a view is
    for left in reversed(range(anew)):
        fine = budget.fine_anew if left else budget.fine
        first = found[-1].end if found else 0
        found.append(Course(first, budget.coarse_anew, fine, sides, rest, anew=True))
    return tuple(found)


class Learner(Protocol):
    """The field of a course. Iterations are counted from the first one of the course on: `passed` are over."""

    @property
    def grid(self) -> CoarseToFineGrid | PosedGrid: ...

    @property
    def rest(self) -> int:
        """Iterations for which poses rest, and lost views are not shown."""
        ...

    def prepare(self, passed: int) -> bool:
        """Whatever the field is due before an iteration; True where it has become another one."""
        ...

    def is_fine(self, passed: int) -> bool:
        """Whether its voxels are past the coarse ones."""
        ...

    def draw(self, passed: int, side: int) -> tuple[int, int]:
        """On images of which longest side, of `side` px in the end, and from how many pixels of them it learns."""
        ...

    def learn(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """As `JointField.learn`."""
        ...

    def step(self, passed: int) -> None:
        """Spend the gradients."""
        ...

    def pace(self, passed: int) -> tuple[float, float]:
        """The rate of poses, Adam's, and how much is left of all rates of cameras."""
        ...

    def since(self, passed: int) -> tuple[int, int]:
        """The iteration with which the field last became another one, and how many cameras then take to their rates."""
        ...


class CoarseToFineLearner:
    """A field that learns together with the poses."""

    def __init__(
        self, grid: CoarseToFineGrid, course: Course, schedule: JointGridSchedule, budget: JointGridBudget
    ) -> None:
        self.grid, self._course, self._schedule, self._budget = grid, course, schedule, budget
        self.rest = course.rest

    def _fine(self, passed: int) -> float | None:
        """The share of the fine iterations that is over: None before them."""
        course = self._course
        return (passed - course.coarse) / course.fine if passed >= course.coarse else None

    def prepare(self, passed: int) -> bool:
        course = self._course
        is_sharper = passed in course.sides and passed > 0
        if is_sharper:
            self.grid.sharpen(course.sides[passed])
        is_finer = passed >= course.coarse and self.grid.refine(passed - course.coarse, course.fine)
        return is_sharper or is_finer

    def is_fine(self, passed: int) -> bool:
        return passed >= self._course.coarse

    def draw(self, passed: int, side: int) -> tuple[int, int]:
        schedule, fine = self._schedule, self._fine(passed)
        end = min(schedule.side_coarse, side)
        if fine is None:
            start = min(schedule.side_start, side)
            return _between(start, end, passed / self._course.coarse, 4), self._budget.rays_coarse
        return _between(end, side, fine / schedule.sharp_at, 8) if fine < schedule.sharp_at else side, self._budget.rays

    def learn(self, batch: Batch, rng: torch.Generator) -> Tensor:
        return self.grid.learn(batch, rng)

    def step(self, passed: int) -> None:
        self.grid.step(self._fine(passed))

    def pace(self, passed: int) -> tuple[float, float]:
        schedule, fine = self._schedule, self._fine(passed)
        if fine is None:
            return schedule.pose_lr, decayed(1.0, schedule.pose_decay_coarse, passed / self._course.coarse)
        return schedule.pose_lr_fine, decayed(1.0, schedule.pose_decay, fine)

    def since(self, passed: int) -> tuple[int, int]:
        course, ramp = self._course, self._schedule.pose_ramp
        if passed < course.coarse:
            return max(start for start in course.sides if start <= passed), round(ramp * course.coarse)
        starts = [course.coarse + round(course.fine * share) for share in self._schedule.grow_at]
        return max(start for start in starts if start <= passed), round(ramp * course.fine)


class PosedLearner:
    """A field that learns as where poses are known, for most of them rest; the others move."""

    def __init__(self, grid: PosedGrid, course: Course, schedule: JointGridSchedule) -> None:
        self.grid, self._course, self._schedule = grid, course, schedule
        self.rest = max(course.rest, grid.fog)

    @staticmethod
    def begun(
        course: Course, bounds: Bounds, background: Tensor, schedule: JointGridSchedule, budget: JointGridBudget,
        poses: Tensor, camera: Camera,
    ) -> PosedLearner:  # fmt: skip
        """Before it has seen anything. `poses` (K, 4, 4) are those of the views that it is shown."""
        spent = Budget(steps=course.end - course.first, rays=budget.rays, side=budget.side)
        grid = PosedGrid.begun(bounds, background, schedule.radiance, spent, poses, camera)
        return PosedLearner(grid, course, schedule)

    def prepare(self, passed: int) -> bool:
        return self.grid.prepare(passed)

    def is_fine(self, passed: int) -> bool:
        return passed >= self.grid.fog

    def draw(self, passed: int, side: int) -> tuple[int, int]:
        return side, self.grid.rays

    def learn(self, batch: Batch, rng: torch.Generator) -> Tensor:
        return self.grid.learn(batch, rng)

    def step(self, passed: int) -> None:
        self.grid.step(passed)

    def pace(self, passed: int) -> tuple[float, float]:
        schedule = self._schedule
        return schedule.pose_lr_fine, decayed(1.0, schedule.pose_decay, passed / self.grid.budget.steps)

    def since(self, passed: int) -> tuple[int, int]:
        return self.grid.since(passed), round(self._schedule.pose_ramp * self._course.fine)


def _between(start: int, end: int, share: float, step: int) -> int:
    """A size on the way from `start` to `end` px, in multiples of `step`."""
    return max(start, int(start + (end - start) * share) // step * step)
