"""A grid that learns together with the cameras: coarse and then fine, on images that grow with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bench.task import Effort
from methods.nerf.cameras.bundle_adjustment import Bundle
from methods.nerf.cameras.intrinsics import Intrinsics
from methods.nerf.config import Budget
from methods.nerf.field.bounds import Bounds
from methods.nerf.field.grid import GridField
from methods.nerf.field.near_cameras import alone_before_cameras
from methods.nerf.field.occupancy import refresh
from methods.nerf.images.posed_images import Batch
from methods.nerf.images.pyramid import ImagePyramid
from methods.nerf.training.bundled import bundled
from methods.nerf.training.camera_training import CameraTraining
from methods.nerf.training.coarse_to_fine import CoarseToFineGrid
from methods.nerf.training.joint_schedule import Draw, JointGridBudget, JointGridSchedule, in_equal_shares
from methods.nerf.training.lost_views import SMALL, WHOLE, doubtful_views, left_out, placed_anew
from methods.nerf.training.posed_grid import PosedGrid
from methods.nerf.training.rates import decayed, ramped

BUNDLE_SHARE = 0.2
"""Of the time of a course, what adjusting all poses before it takes, at most."""

BAR_EVERY = 50
"""Iterations between two looks at what few cameras see."""


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


class JointGrid:
    """The `JointField` of a `JointGridSchedule`."""

    def __init__(
        self, bounds: Bounds, background: Tensor, schedule: JointGridSchedule, effort: Effort, pyramid: ImagePyramid,
        rng: torch.Generator, begun: CoarseToFineGrid | PosedGrid | None = None,
    ) -> None:  # fmt: skip
        """`begun`: a grid before a real background that has led to the poses; the first field begins anew after it."""
        self.schedule, self.pyramid, self.background = schedule, pyramid, background
        self.budget: JointGridBudget = getattr(schedule, effort)
        self.search = SMALL if effort == "smoke" else WHOLE  # for lost views
        self.leans = bounds.frustum is not None  # cameras and field, seen from one side
        is_open = bounds.contract or (bounds.frustum is not None and pyramid.background is None)
        self.courses = courses(
            schedule, self.budget, contract=bounds.contract, is_open=is_open, begun=begun is not None
        )
        self.lost: tuple[int, ...] = ()  # the views that the field is not shown
        self.held: tuple[int, ...] = ()  # the views whose poses stay as they were adjusted
        self.grid: CoarseToFineGrid | PosedGrid = self._begun(self.courses[0], bounds, rng) if begun is None else begun

    def _begun(self, course: Course, bounds: Bounds, rng: torch.Generator) -> CoarseToFineGrid:
        final = self.budget.sides(closed=bounds.closed)
        return CoarseToFineGrid(bounds, self.background, self.schedule, final, rng, coarse_side=course.sides[0])

    def _begun_posed(self, course: Course, bounds: Bounds, cameras: CameraTraining) -> PosedGrid:
        intrinsics, poses = _seen_from(cameras)
        radiance, steps = self.schedule.radiance, course.end - course.first
        rays = PosedGrid.open_rays(radiance, self.budget.rays)
        budget = Budget(steps=steps, rays=rays, side=self.budget.side)
        return PosedGrid.begun(bounds, self.background, radiance, budget, poses, intrinsics.estimate())

    @property
    def field(self) -> GridField:
        return self.grid.field

    @property
    def iterations(self) -> int:
        return self.courses[-1].end

    def phase(self, index: int) -> str:
        course, _, fine = self._at(index)
        word = "coarse" if fine is None else "fine"
        count = len(self.courses)
        return word if count == 1 else f"{word}, field {self.courses.index(course) + 1} of {count}"

    def ahead(self, index: int) -> int:
        """A whole course, where the field would begin anew: fog is worse than what there was before."""
        course, passed, _ = self._at(index)
        if passed or not course.anew:
            return 1
        return round((1 + BUNDLE_SHARE * self.schedule.bundle_open) * (course.end - course.first))

    def once(self, index: int) -> bool:
        return self.begins_anew(index) or (self.places(index) and len(self.lost) > 0)

    def began(self, index: int) -> int:
        """The iteration with which the field of iteration `index` began."""
        return self._at(index)[0].first

    def begins_anew(self, index: int) -> bool:
        course, passed, _ = self._at(index)
        return course.anew and passed == 0

    def places(self, index: int) -> bool:
        """Whether lost views, if there are any, are placed anew before iteration `index`."""
        course, passed, _ = self._at(index)
        return course.anew and passed == course.rest

    def is_last_fine(self, index: int) -> bool:
        """Whether the field of iteration `index` is the last one, and has become fine."""
        course, _, fine = self._at(index)
        return fine is not None and course == self.courses[-1]

    def draw(self, index: int) -> Draw:
        schedule, side = self.schedule, self.pyramid.side
        course, passed, fine = self._at(index)
        end = min(schedule.side_coarse, side)
        among = tuple(view for view in range(len(self.pyramid.ids)) if view not in self.lost) if self.lost else None
        if isinstance(self.grid, PosedGrid):
            return Draw(side=side, rays=self.grid.budget.rays, among=among)
        if fine is None:
            start = min(schedule.side_start, side)
            side, rays = _between(start, end, passed / course.coarse, 4), self.budget.rays_coarse
            return Draw(side=side, rays=rays, among=among)
        if fine < schedule.sharp_at:
            side = _between(end, side, fine / schedule.sharp_at, 8)
        return Draw(side=side, rays=self.budget.rays, among=among)

    def prepare(self, index: int, cameras: CameraTraining, rng: torch.Generator) -> None:
        course, passed, _ = self._at(index)
        bounds = self.field.bounds
        if course.anew and passed == 0 and bounds.frustum is not None:
            cameras.settle(self.field)
        if self._looks(course, passed):
            bundle = self._bundle(cameras, last=course == self.courses[-1]) if course.anew else None
            if bundle is not None and bounds.frustum is not None:
                bounds = _around(bundle)
            if bundle is None:
                found = doubtful_views(self.field, *_seen_from(cameras), self.pyramid, rng)
                self.lost = left_out(found, self.lost, len(self.pyramid.ids))
        if self.lost and self.places(index):
            unit = cameras.cameras.unit
            poses = placed_anew(
                self.field, *_seen_from(cameras), self.lost, self.pyramid, unit, rng, budget=self.search
            )
            cameras.cameras.place(poses)
            self.lost = ()
        changed = self._grow(index, bounds, cameras, rng)
        if changed:
            cameras.forget_momentum()
        is_barred = bounds.contract and self.schedule.seen_by_open > 0
        if is_barred and (changed or index % BAR_EVERY == 0):
            self._bar(cameras)

    def _grow(self, index: int, bounds: Bounds, cameras: CameraTraining, rng: torch.Generator) -> bool:
        """Whatever the field is due before iteration `index`; True where it has become another one."""
        course, passed, fine = self._at(index)
        if course.anew and passed == 0:
            as_posed = self.schedule.posed_open and bounds.contract and len(self.held) > 0
            self.grid = self._begun_posed(course, bounds, cameras) if as_posed else self._begun(course, bounds, rng)
            return True
        if isinstance(self.grid, PosedGrid):
            return self.grid.prepare(passed)
        is_sharper = passed in course.sides and passed > 0
        if is_sharper:
            self.grid.sharpen(course.sides[passed])
        return (fine is not None and self.grid.refine(passed - course.coarse, course.fine)) or is_sharper

    def _looks(self, course: Course, passed: int) -> bool:
        """Whether it is time to see which views are lost: before fine voxels hide it, and before each field anew."""
        if course.anew:
            return passed == 0
        # a field in a space of its own is not seen from the scene's poses
        return self.field.bounds.contract and len(self.courses) > 1 and passed == course.coarse > 0

    def _bundle(self, cameras: CameraTraining, *, last: bool) -> Bundle | None:
        """Adjust all poses at once (`bundled`), if the schedule has it so and the images say enough.

        The views that then see too little are the lost ones. The others, and the focal length, stay where they are from
        then on, if all hang together, before the `last` field where `posed_open` is so, and where training began in a
        frustum: seen from one side, cameras and field would lean together again.
        """
        if not self.schedule.bundle_open:
            return None
        intrinsics, poses = _seen_from(cameras)
        found = bundled(
            self.field, intrinsics.estimate(), poses.double().cpu().numpy(), self.pyramid.images,
            free_focal=intrinsics.free,
        )  # fmt: skip
        if found is None:
            return None
        intrinsics.take(found.camera)
        cameras.cameras.place(torch.from_numpy(found.poses))
        self.lost = tuple((~found.supported).nonzero()[0].tolist())
        stay = self.leans or (last and self.schedule.posed_open)
        self.held = tuple(found.supported.nonzero()[0].tolist()) if stay and found.is_one else ()
        return found

    def _bar(self, cameras: CameraTraining) -> None:
        """Keep empty what lies before the cameras, where they are by now, and few of them see: nobody else looks where
        views at the end of a row are, and they would build what they show right before themselves."""
        poses, camera = cameras.cameras.poses().detach(), cameras.cameras.intrinsics.estimate()
        self.field.barred = alone_before_cameras(self.field, poses, camera, self.schedule.seen_by_open)
        refresh(self.field)

    def learn(self, batch: Batch, rng: torch.Generator) -> Tensor:
        return self.grid.learn(batch, rng)

    def step(self, index: int, cameras: CameraTraining) -> None:
        schedule = self.schedule
        course, passed, fine = self._at(index)
        if isinstance(self.grid, PosedGrid):
            rate, fade = schedule.pose_lr_fine, decayed(1.0, schedule.pose_decay, passed / (course.end - course.first))
        elif fine is None:
            rate, fade = schedule.pose_lr, decayed(1.0, schedule.pose_decay_coarse, passed / course.coarse)
        else:
            rate, fade = schedule.pose_lr_fine, decayed(1.0, schedule.pose_decay, fine)
        fade *= self._trust(course, passed)
        if self.held:
            cameras.hold(self.held)
            cameras.step(fade * rate)
        else:
            has_own_space = self.field.bounds.frustum is not None
            relief = schedule.relief_lr if has_own_space else 0.0
            cameras.step(fade * rate, fade * schedule.focal_lr, fade * relief)
        if isinstance(self.grid, PosedGrid):
            self.grid.step(passed)
        else:
            self.grid.step(fine)

    def _trust(self, course: Course, passed: int) -> float:
        """0 to 1: how far the field is believed about the cameras after `passed` iterations of its course.

        Adam's first steps are as long as its rate, however little a gradient says: poses that were exact end degrees
        away when a field that is still fog, or has just become another one, moves them.
        """
        schedule = self.schedule
        if not self.field.bounds.contract and not course.anew:  # a field soon says more than its first step costs
            return 1.0
        if isinstance(self.grid, PosedGrid):
            grown = max(start for start in self.grid.starts if start <= passed)
            moves, ramp = max(grown, course.rest), round(schedule.pose_ramp * course.fine)
        elif passed < course.coarse:
            begins = max(start for start in course.sides if start <= passed)
            moves, ramp = max(begins, course.rest), round(schedule.pose_ramp * course.coarse)
        else:
            starts = [course.coarse + round(course.fine * share) for share in schedule.grow_at]
            moves, ramp = max(start for start in starts if start <= passed), round(schedule.pose_ramp * course.fine)
        return ramped(passed - moves, ramp)

    def finish(self) -> GridField:
        return self.grid.finish()

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        state, tensors = self.grid.state()
        is_posed = isinstance(self.grid, PosedGrid)
        return state | {"posed": is_posed, "lost": list(self.lost), "held": list(self.held)}, tensors

    def restore(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        if state.get("posed", False):
            self.grid = PosedGrid.resumed(state, tensors, self.schedule.radiance, self.field.device)
        else:
            assert isinstance(self.grid, CoarseToFineGrid)  # as it begins
            self.grid.restore(state, tensors)
        self.lost, self.held = tuple(state.get("lost", ())), tuple(state.get("held", ()))

    def _at(self, index: int) -> tuple[Course, int, float | None]:
        """The course of iteration `index`, how many of its iterations are over, and the share of its fine ones: None
        before them."""
        course = [each for each in self.courses if each.first <= index][-1]
        passed = index - course.first
        return course, passed, (passed - course.coarse) / course.fine if passed >= course.coarse else None


def _around(bundle: Bundle) -> Bounds:
    """Of a field that begins anew after one in a frustum, which is what the first view sees, and needs no poses: where
    these are known, and points with them, a field is laid around the points."""
    poses = list(bundle.poses[bundle.supported])
    return Bounds.from_points(bundle.points, poses, contract=True, camera=bundle.camera)


def _seen_from(cameras: CameraTraining) -> tuple[Intrinsics, Tensor]:
    return cameras.cameras.intrinsics, cameras.cameras.poses().detach()


def _between(start: int, end: int, share: float, step: int) -> int:
    """A size on the way from `start` to `end` px, in multiples of `step`."""
    return max(start, int(start + (end - start) * share) // step * step)
