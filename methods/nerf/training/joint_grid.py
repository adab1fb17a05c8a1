"""A grid that learns together with the cameras: coarse and then fine, on images that grow with it, and before a real
background anew, from adjusted poses."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bench.task import Effort
from methods.nerf.cameras.bundle_adjustment import Bundle
from methods.nerf.cameras.intrinsics import Intrinsics
from methods.nerf.field.bounds import Bounds
from methods.nerf.field.grid import GridField
from methods.nerf.field.near_cameras import alone_before_cameras
from methods.nerf.field.occupancy import refresh
from methods.nerf.images.posed_images import Batch
from methods.nerf.images.pyramid import ImagePyramid
from methods.nerf.training.bundled import bundled
from methods.nerf.training.camera_training import CameraTraining
from methods.nerf.training.coarse_to_fine import CoarseToFineGrid
from methods.nerf.training.deadline import Deadline
from methods.nerf.training.exposing import EVERY, expose_by_field
from methods.nerf.training.joint_courses import CoarseToFineLearner, Course, Learner, PosedLearner, courses
from methods.nerf.training.joint_schedule import Draw, JointGridBudget, JointGridSchedule
from methods.nerf.training.lost_views import SMALL, WHOLE, doubtful_views, left_out, placed_anew
from methods.nerf.training.posed_grid import PosedGrid
from methods.nerf.training.rates import ramped

BUNDLE_SHARE = 0.2
"""Of the time of a course, what adjusting all poses before it takes, at most."""

LATE_COST = 3.0
"""Times what adjusting all poses took before the last field, what it takes once more, calibrated, at most: the field
renders pictures of full size for it, and patches are looked for in these as well."""

BAR_EVERY = 50
"""Iterations between two looks at what few cameras see."""


class JointGrid:
    """The `JointField` of a `JointGridSchedule`."""

    def __init__(
        self, bounds: Bounds, background: Tensor, schedule: JointGridSchedule, effort: Effort, pyramid: ImagePyramid,
        rng: torch.Generator, begun: CoarseToFineGrid | None = None, held: Sequence[int] = (),
    ) -> None:  # fmt: skip
        """`begun`: a grid before a real background that has led to the poses; the first field begins anew after it.
        `held`: the numbers of views whose poses were told by something surer than that field, and stay as they are
        until all are adjusted by the first field that begins anew."""
        self.schedule, self.pyramid, self.background = schedule, pyramid, background
        self.budget: JointGridBudget = getattr(schedule, effort)
        self.search = SMALL if effort == "smoke" else WHOLE  # for lost views
        self.leans = bounds.frustum is not None  # cameras and field, seen from one side
        is_open = bounds.contract or (bounds.frustum is not None and pyramid.background is None)
        self.courses = courses(
            schedule, self.budget, contract=bounds.contract, is_open=is_open, begun=begun is not None
        )
        self.lost: tuple[int, ...] = ()  # the views that the field is not shown
        self.told = self.held = tuple(held)  # the views whose poses stay as they are, from the beginning and by now
        self.adjusting = 0.0  # s that it took to adjust all poses, the last time
        self.no_time = False  # for adjusting them once more
        self.course = self.courses[0]  # the present one
        self.learner: Learner = self._coarse_to_fine(self._begun(bounds, rng) if begun is None else begun)

    def _begun(self, bounds: Bounds, rng: torch.Generator) -> CoarseToFineGrid:
        side, final = self.course.sides[0], self.budget.sides(closed=bounds.closed)
        return CoarseToFineGrid(bounds, self.background, self.schedule, final, rng, coarse_side=side)

    def _coarse_to_fine(self, grid: CoarseToFineGrid) -> CoarseToFineLearner:
        return CoarseToFineLearner(grid, self.course, self.schedule, self.budget)

    def _begin_anew(self, bounds: Bounds, cameras: CameraTraining, rng: torch.Generator) -> None:
        """The field of the present course: the last one as where poses are known, if some are held for it."""
        is_last = self.course == self.courses[-1]
        if not (is_last and self.held and self.schedule.posed_open and bounds.contract):
            self.learner = self._coarse_to_fine(self._begun(bounds, rng))
            return
        intrinsics, poses = _seen_from(cameras)
        shown = [view for view in range(len(poses)) if view not in self.lost]
        self.learner = PosedLearner.begun(
            self.course, bounds, self.background, self.schedule, self.budget, poses[shown], intrinsics.estimate()
        )

    @property
    def grid(self) -> CoarseToFineGrid | PosedGrid:
        return self.learner.grid

    @property
    def field(self) -> GridField:
        return self.grid.field

    @property
    def iterations(self) -> int:
        return self.courses[-1].end

    def phase(self, index: int) -> str:
        course, passed = self._at(index)
        word = "fine" if not self.begins_anew(index) and self.learner.is_fine(passed) else "coarse"
        count = len(self.courses)
        return word if count == 1 else f"{word}, field {self.courses.index(course) + 1} of {count}"

    def ahead(self, index: int) -> int:
        """A whole course, where the field would begin anew: fog is worse than what there was before."""
        course, passed = self._at(index)
        if passed or not course.anew:
            return 1
        return round((1 + BUNDLE_SHARE * self.schedule.bundle_open) * (course.end - course.first))

    def once(self, index: int) -> bool:
        return self.begins_anew(index) or (self.places(index) and len(self.lost) > 0)

    def began(self, index: int) -> int:
        """The iteration with which the field of iteration `index` began."""
        return self._at(index)[0].first

    def begins_anew(self, index: int) -> bool:
        course, passed = self._at(index)
        return course.anew and passed == 0

    def places(self, index: int) -> bool:
        """Whether lost views, if there are any, are placed anew before iteration `index`, which begins no field."""
        course, passed = self._at(index)
        return course.anew and passed == self.learner.rest

    def _late(self, course: Course) -> int | None:
        """After how many iterations of a course poses that rest for it are adjusted once more, if they are: not before
        lost views, if there were any, are back in their places."""
        if not (self.schedule.bundle_open and self.schedule.bundle_late and isinstance(self.grid, PosedGrid)):
            return None
        due = round(self.schedule.bundle_late * (course.end - course.first))
        return max(due, self.learner.rest + 1) if self.held else None

    def _looks_at_exposures(self, index: int) -> bool:
        """Every so many iterations and before a field begins anew: once voxels are fine, or from the start on where a
        known background tells the exposures of some views."""
        due = self.begins_anew(index) or (index % EVERY == 0 and index > 0)
        # a field in a space of its own is not seen from the scene's poses
        can = self.schedule.radiance.exposures and self.field.bounds.frustum is None
        return due and can and (self.pyramid.gains_known is not None or self.learner.is_fine(index - self.course.first))

    def is_last_fine(self, index: int) -> bool:
        """Whether the field of iteration `index`, the present one, is the last one, and has become fine."""
        course, passed = self._at(index)
        return course == self.courses[-1] and self.learner.is_fine(passed)

    def draw(self, index: int) -> Draw:
        side, rays = self.learner.draw(self._at(index)[1], self.pyramid.side)
        among = tuple(view for view in range(len(self.pyramid.ids)) if view not in self.lost) if self.lost else None
        return Draw(side=side, rays=rays, among=among)

    def prepare(self, index: int, cameras: CameraTraining, rng: torch.Generator, deadline: Deadline) -> None:
        course, passed = self._at(index)
        bounds = self.field.bounds
        if self._looks_at_exposures(index):
            intrinsics, poses = _seen_from(cameras)
            expose_by_field(self.pyramid, self.field, intrinsics.estimate(), poses)
        if course.anew and passed == 0 and bounds.frustum is not None:
            cameras.settle(self.field)
        if self._looks(course, passed):
            is_told = len(self.told) > 0 and course == self.courses[0]
            adjusts = course.anew and not is_told
            bundle = self._bundle(cameras, last=course == self.courses[-1]) if adjusts else None
            if bundle is not None and bounds.frustum is not None:
                bounds = _around(bundle)
            if bundle is None:
                found = doubtful_views(self.field, *_seen_from(cameras), self.pyramid, rng)
                found = tuple(view for view in found if view not in self.held)
                self.lost = left_out(found, self.lost, len(self.pyramid.ids))
        has_placed = len(self.lost) > 0 and passed > 0 and self.places(index)
        if has_placed:
            unit = cameras.cameras.unit
            poses = placed_anew(
                self.field, *_seen_from(cameras), self.lost, self.pyramid, unit, rng, budget=self.search
            )
            cameras.cameras.place(poses)
            self.lost = ()
        if course.anew and passed == 0:
            self.course, changed = course, True
            self._begin_anew(bounds, cameras, rng)
        else:
            changed = self.learner.prepare(passed)
        if changed:
            cameras.forget_momentum()
        if not isinstance(self.grid, PosedGrid):
            is_barred = bounds.contract and self.schedule.seen_by_open > 0
            if is_barred and (changed or index % BAR_EVERY == 0):
                self._bar(cameras)
        else:
            has_moved = passed == self._late(course) and self._adjust_late(index, cameras, deadline)
            if has_placed or has_moved:
                intrinsics, poses = _seen_from(cameras)
                self.grid.see_from(poses, intrinsics.estimate())

    def _looks(self, course: Course, passed: int) -> bool:
        """Whether it is time to see which views are lost: before fine voxels hide it, and before each field anew."""
        if course.anew:
            return passed == 0
        # a field in a space of its own is not seen from the scene's poses
        return self.field.bounds.contract and len(self.courses) > 1 and passed == course.coarse > 0

    def _bundle(self, cameras: CameraTraining, *, last: bool) -> Bundle | None:
        """Adjust all poses at once (`bundled`), if the schedule has it so and the images say enough.

        The views that then see too little are the lost ones. The others, and the focal length, stay where they are from
        then on (but see `_adjust_late`), if all hang together, before the `last` field where `posed_open` is so, and
        where training began in a frustum: seen from one side, cameras and field would lean together again.
        """
        if not self.schedule.bundle_open:
            return None
        began = time.monotonic()
        found = self._found(cameras)
        self.adjusting = time.monotonic() - began
        if found is None:
            return None
        _take(found, cameras)
        self.lost = tuple((~found.supported).nonzero()[0].tolist())
        stay = self.leans or (last and self.schedule.posed_open)
        self.held = tuple(found.supported.nonzero()[0].tolist()) if stay and found.is_one else ()
        return found

    def _adjust_late(self, index: int, cameras: CameraTraining, deadline: Deadline) -> bool:
        """Adjust the poses that rest for the last field, if all hang together and there is time for it and for all
        iterations from `index` on; whether it was done.

        What sees too little stays as it is, and what has found its place only now rests as well.
        """
        if not deadline.leaves(LATE_COST * self.adjusting, self.iterations - index):
            self.no_time = True
            return False
        found = self._found(cameras, calibrated=True)
        deadline.no_step()
        if found is None or not found.is_one:
            return False
        _take(found, cameras)
        cameras.forget_momentum()
        self.held = tuple(sorted({*self.held, *found.supported.nonzero()[0].tolist()}))
        return True

    def _found(self, cameras: CameraTraining, *, calibrated: bool = False) -> Bundle | None:
        """Where `bundled` puts the cameras, by what the present field has learnt."""
        intrinsics, poses = _seen_from(cameras)
        return bundled(
            self.field, intrinsics.estimate(), poses.double().cpu().numpy(), self.pyramid.images,
            free_focal=intrinsics.free, calibrated=calibrated,
        )  # fmt: skip

    def _bar(self, cameras: CameraTraining) -> None:
        """Keep empty what lies before the cameras, where they are by now, and few of them see: nobody else looks where
        views at the end of a row are, and they would build what they show right before themselves."""
        poses, camera = cameras.cameras.poses().detach(), cameras.cameras.intrinsics.estimate()
        self.field.barred = alone_before_cameras(self.field, poses, camera, self.schedule.seen_by_open)
        refresh(self.field)

    def learn(self, batch: Batch, rng: torch.Generator) -> Tensor:
        return self.learner.learn(batch, rng)

    def step(self, index: int, cameras: CameraTraining) -> None:
        course, passed = self._at(index)
        rate, fade = self.learner.pace(passed)
        fade *= self._trust(course, passed)
        if self.held:
            cameras.hold(self.held)
            cameras.step(fade * rate)
        else:
            has_own_space = self.field.bounds.frustum is not None
            relief = self.schedule.relief_lr if has_own_space else 0.0
            cameras.step(fade * rate, fade * self.schedule.focal_lr, fade * relief)
        self.learner.step(passed)

    def _trust(self, course: Course, passed: int) -> float:
        """0 to 1: how far the field is believed about the cameras after `passed` iterations of its course.

        Adam's first steps are as long as its rate, however little a gradient says: poses that were exact end degrees
        away when a field that is still fog, or has just become another one, moves them. Nor does it say much of a view
        right after all others have moved.
        """
        if not self.field.bounds.contract and not course.anew:  # a field soon says more than its first step costs
            return 1.0
        became, ramp = self.learner.since(passed)
        late = self._late(course)
        if late is not None and passed >= late:
            became = max(became, late)
        return ramped(passed - max(became, self.learner.rest), ramp)

    def tell(self, deadline: Deadline) -> None:
        if self.no_time:
            deadline.leave_out("adjusting all poses once more")

    def finish(self) -> GridField:
        return self.grid.finish()

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        state, tensors = self.grid.state()
        if self.pyramid.gains is not None:
            tensors = dict(tensors) | {"gains": self.pyramid.gains}
        state["course"], state["posed"] = self.courses.index(self.course), isinstance(self.grid, PosedGrid)
        state |= {"lost": list(self.lost), "held": list(self.held)}
        return state | {"adjusting": self.adjusting, "no_time": self.no_time}, tensors

    def restore(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self.course = self.courses[state["course"]]
        if state["posed"]:
            grid = PosedGrid.resumed(state, tensors, self.schedule.radiance, self.field.device)
            self.learner = PosedLearner(grid, self.course, self.schedule)
        else:
            assert isinstance(self.grid, CoarseToFineGrid)  # as it begins
            self.grid.restore(state, tensors)
            self.learner = self._coarse_to_fine(self.grid)
        self.lost, self.held = tuple(state["lost"]), tuple(state["held"])
        self.adjusting, self.no_time = state["adjusting"], state["no_time"]
        self.pyramid.retake(tensors["gains"].to(self.field.device) if "gains" in tensors else None)

    def _at(self, index: int) -> tuple[Course, int]:
        """The course of iteration `index`, and how many of its iterations are over."""
        course = [each for each in self.courses if each.first <= index][-1]
        return course, index - course.first


def _around(bundle: Bundle) -> Bounds:
    """Of a field that begins anew after one in a frustum, which is what the first view sees, and needs no poses: where
    these are known, and points with them, a field is laid around the points."""
    poses = list(bundle.poses[bundle.supported])
    return Bounds.from_points(bundle.points, poses, contract=True, camera=bundle.camera)


def _take(found: Bundle, cameras: CameraTraining) -> None:
    """Put the cameras, and a free focal length, where a bundle has them."""
    cameras.cameras.intrinsics.take(found.camera)
    cameras.cameras.place(torch.from_numpy(found.poses))


def _seen_from(cameras: CameraTraining) -> tuple[Intrinsics, Tensor]:
    return cameras.cameras.intrinsics, cameras.cameras.poses().detach()
