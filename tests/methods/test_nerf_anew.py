"""Joint training whose field begins anew before a real background, without the views that are lost."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_nerf_joint import BRIEF, trained

from methods.barf.config import BarfConfig
from methods.nerf.cameras.bundle_adjustment import Bundle
from methods.nerf.cameras.pose_variables import Cameras
from methods.nerf.training import checkpointing, joint_grid, lost_views
from methods.nerf.training.deadline import Deadline
from methods.nerf.training.grid_training import NO_PRIORS, GridTraining
from methods.nerf.training.joint_grid import JointGrid, courses
from methods.nerf.training.lost_views import left_out
from methods.nerf.training.posed_grid import PosedGrid

NOWHERE = np.zeros((0, 3))


def anew(monkeypatch):
    """A plan whose field begins anew twice, in whose eyes some views are always lost."""
    monkeypatch.setattr(lost_views, "DOUBT", 1.03)
    monkeypatch.setattr(joint_grid, "SMALL", lost_views.Search(closer=(), hypotheses=3, first=1, last=1))
    budget = BRIEF.smoke.model_copy(update={"coarse_anew": 5, "fine_anew": 4})
    return BRIEF.model_copy(update={"anew_open": 2, "sides_anew": (6, 8), "rest_anew": 0.6, "smoke": budget})


def test_before_a_real_background_a_field_begins_anew_without_the_views_that_are_lost(town, tmp_path, monkeypatch):
    plan = anew(monkeypatch)
    told, hidden, placed = [], [], []
    draw, place = JointGrid.draw, Cameras.place

    def drawn(self, index):
        found = draw(self, index)
        hidden.append((self.lost, found.among, self.field.shape[0]))
        return found

    def noted(self, poses):
        placed.append((len(hidden), (poses - self.poses()).abs().amax(dim=(1, 2)) > 0))
        place(self, poses)

    monkeypatch.setattr(JointGrid, "draw", drawn)
    monkeypatch.setattr(Cameras, "place", noted)
    trained(town, plan, tmp_path, contract=True, place=lambda *where: told.append(where))
    phases = [phase for phase, _, _ in told]
    assert [phases.count(phase) for phase in dict.fromkeys(phases)] == [6, 4, 5, 4, 5, 8]  # coarse and fine, in turn
    assert list(dict.fromkeys(phases))[2] == "coarse, field 2 of 3"
    count = len(town.capture.images)
    for lost, among, _ in hidden:
        assert (among is None and not lost) or sorted({*lost, *(among or ())}) == list(range(count))
    assert not hidden[5][0] and hidden[6][0]  # from the end of the coarse iterations on ...
    assert hidden[12][0] and not hidden[13][0] and not hidden[18][0] and hidden[19][0] and not hidden[22][0]
    assert [when for when, _ in placed] == [13, 22]  # ... until the next field has seen enough of the others
    for (_, moved), before in zip(placed, (12, 21), strict=True):
        assert moved.any() and set(moved.nonzero()[:, 0].tolist()) <= set(hidden[before][0])
    assert [hidden[k][2] for k in (10, 11, 12, 19)] == [6, 6, 8, 6]  # it begins coarse again


def resting(monkeypatch, count, *, is_one=True, late=None):
    """A plan whose last field is trained as where poses are known, and the poses that were adjusted before each field
    and once more by the last, which are what they were, unless `late` says otherwise. All views but the fourth see
    enough."""

    def adjusted(field, camera, poses, images, *, free_focal, calibrated=False):
        given.append(poses.copy())
        if calibrated and late is not None:
            return late(field, camera, poses)
        return Bundle(poses=poses, supported=np.arange(count) != 3, camera=camera, is_one=is_one, points=NOWHERE)

    given = []
    monkeypatch.setattr(joint_grid, "bundled", adjusted)
    return anew(monkeypatch).model_copy(update={"bundle_open": True, "posed_open": True, "bundle_late": 0.5}), given


@pytest.mark.parametrize("is_one", [True, False])
def test_the_last_field_is_trained_as_posed_and_poses_that_hang_together_rest_for_it(
    town, tmp_path, monkeypatch, is_one
):
    plan, given = resting(monkeypatch, len(town.capture.images), is_one=is_one)
    seen, smooth, learn, step = [], [], GridTraining.learn, GridTraining.step

    def learned(self, batch, jitter, distortion=0.0):
        seen.append((distortion, len(jitter)))
        return learn(self, batch, jitter, distortion)

    def stepped(self, rates, priors=NO_PRIORS):
        smooth.append(priors.tv_density)
        step(self, rates, priors)

    monkeypatch.setattr(GridTraining, "learn", learned)
    monkeypatch.setattr(GridTraining, "step", stepped)
    monkeypatch.setattr(joint_grid, "placed_anew", lambda field, intrinsics, poses, *_, **__: poses)
    _, _, found = trained(town, plan, tmp_path, contract=True)
    # of 32 iterations those of the last field
    assert [weight for weight, _ in seen] == [0.0] * 19 + [0.01 if is_one else 0.0] * 13
    assert smooth == [0.0] * 19 + [3e-8 if is_one else 0.0] * 13
    assert not is_one or all(count <= plan.smoke.rays / 2 for _, count in seen[-13:])
    moved = np.stack([np.abs(pose - before).max() for pose, before in zip(found.values(), given[1], strict=True)])
    assert moved[3] > 1e-4  # it is placed where it was, and goes on
    assert np.delete(moved, 3).max() < 1e-5 if is_one else np.delete(moved, 3).min() > 1e-5


def test_before_the_last_field_poses_move_that_were_adjusted(town, tmp_path, monkeypatch):
    plan, given = resting(monkeypatch, len(town.capture.images))
    trained(town, plan, tmp_path, contract=True)
    assert len(given) == 3 and (np.abs(given[1] - given[0]).max(axis=(1, 2)) > 1e-5).all()


MIDWAY = 25
"""The iteration of 32 before which poses that rest are adjusted once more: half of the last field's 13 are over."""


def shifted(count, *, is_one=True):
    """How a last field adjusts poses: by what it has learnt, all but the eighth, which sees too little."""

    def adjusted(field, camera, poses):
        found = poses.copy()
        seeing = np.arange(count) != 7
        found[seeing, :3, 3] += 0.05 + float(field.density.detach().mean().sigmoid())
        return Bundle(poses=found, supported=seeing, camera=camera, is_one=is_one, points=NOWHERE)

    return adjusted


@pytest.mark.parametrize("is_one", [True, False])
def test_poses_that_rest_are_adjusted_once_more_by_the_last_field_and_rest_again(town, tmp_path, monkeypatch, is_one):
    count = len(town.capture.images)
    plan, given = resting(monkeypatch, count, late=shifted(count, is_one=is_one))
    monkeypatch.setattr(joint_grid, "placed_anew", lambda field, intrinsics, poses, *_, **__: poses)
    seen_from, placed, draw, see_from = [], [], JointGrid.draw, PosedGrid.see_from

    def drawn(self, index):
        seen_from.append((index, isinstance(self.grid, PosedGrid)))
        return draw(self, index)

    def looked(self, poses, camera):
        placed.append(len(seen_from))
        see_from(self, poses, camera)

    monkeypatch.setattr(JointGrid, "draw", drawn)
    monkeypatch.setattr(PosedGrid, "see_from", looked)
    _, _, found = trained(town, plan, tmp_path, contract=True)
    assert seen_from[MIDWAY] == (MIDWAY, True)
    assert placed[-1] == MIDWAY if is_one else MIDWAY not in placed
    moved = np.stack([np.abs(pose - before).max() for pose, before in zip(found.values(), given[2], strict=True)])
    if is_one:
        others = np.delete(moved, 7)  # the fourth, which has moved until then, among them
        assert others.min() > 0.04 and np.ptp(others) < 1e-5  # all by the same, and no further
        assert moved[7] < 1e-5
    else:
        assert np.delete(moved, 3).max() < 1e-5 < moved[3]


def test_it_is_not_before_lost_views_are_back_in_their_places(town, tmp_path, monkeypatch):
    count = len(town.capture.images)
    plan, given = resting(monkeypatch, count, late=shifted(count))
    lost = []
    monkeypatch.setattr(
        joint_grid, "placed_anew", lambda field, intrinsics, poses, *_, **__: lost.append(len(given)) or poses
    )
    trained(town, plan.model_copy(update={"bundle_late": 0.01}), tmp_path, contract=True)
    assert lost == [1, 2] and len(given) == 3


@pytest.mark.parametrize(("option", "adjusted"), [({"bundle_late": 0.0}, 2), ({"bundle_open": False}, 0)])
def test_poses_that_rest_are_not_adjusted_where_the_plan_has_it_so(town, tmp_path, monkeypatch, option, adjusted):
    count = len(town.capture.images)
    plan, given = resting(monkeypatch, count, late=shifted(count))
    trained(town, plan.model_copy(update=option), tmp_path, contract=True)
    assert len(given) == adjusted


def test_a_kill_around_the_last_adjustment_changes_no_bit(town, tmp_path, monkeypatch):
    count = len(town.capture.images)
    plan, _ = resting(monkeypatch, count, late=shifted(count))
    assert_same_bits_after_kills(town, plan, tmp_path, monkeypatch, (MIDWAY, MIDWAY + 1))


def test_a_last_field_whose_poses_rest_goes_on_after_a_kill(town, tmp_path, monkeypatch):
    plan, _ = resting(monkeypatch, len(town.capture.images))
    assert_same_bits_after_kills(town, plan, tmp_path, monkeypatch, (22, 27))


def assert_same_bits_after_kills(town, plan, folder, monkeypatch, steps):
    """A training that is killed after each of these steps, and goes on, ends as one that is not."""
    whole, _, poses = trained(town, plan, folder / "whole", contract=True)
    save_checkpoint = checkpointing.Checkpoints.save
    with monkeypatch.context() as context:
        context.setattr(checkpointing, "CHECKPOINT_SECONDS", 0.0)
        for last in steps:

            def stop(self, step, state, tensors, last=last):
                save_checkpoint(self, step, state, tensors)
                self.writing = 0.0  # however long it took
                if step == last:
                    raise KeyboardInterrupt

            context.setattr(checkpointing.Checkpoints, "save", stop)
            with pytest.raises(KeyboardInterrupt):
                trained(town, plan, folder / "broken", contract=True)
    again, _, found = trained(town, plan, folder / "broken", contract=True)
    assert all(np.array_equal(poses[view], found[view]) for view in poses)
    assert torch.equal(again.density, whole.density) and torch.equal(again.colour, whole.colour)


def test_a_field_begins_anew_after_a_kill_too(town, tmp_path, monkeypatch):
    plan = anew(monkeypatch)
    # views are lost, the field is young, and views have been placed
    assert_same_bits_after_kills(town, plan, tmp_path, monkeypatch, (8, 11, 16))


def test_before_it_begins_anew_all_poses_are_adjusted_and_views_that_see_too_little_are_the_lost_ones(
    town, tmp_path, monkeypatch
):
    plan = anew(monkeypatch).model_copy(update={"bundle_open": True})
    count, asked, hidden, after = len(town.capture.images), [], {}, {}
    draw = JointGrid.draw

    def drawn(self, index):
        hidden[index] = self.lost
        return draw(self, index)

    def adjusted(field, camera, poses, images, *, free_focal, calibrated=False):
        asked.append((field.shape[0], camera, images.shape))
        if len(asked) > 1:
            return None  # the second time the images do not say enough
        moved = poses.copy()
        moved[:, :3, 3] += 0.25
        return Bundle(poses=moved, supported=np.arange(count) != 3, camera=camera, is_one=True, points=NOWHERE)

    def placed(self, poses):
        after[len(hidden)] = poses[:, :3, 3] - self.poses()[:, :3, 3]
        place(self, poses)

    place = Cameras.place
    monkeypatch.setattr(JointGrid, "draw", drawn)
    monkeypatch.setattr(Cameras, "place", placed)
    monkeypatch.setattr(joint_grid, "bundled", adjusted)
    trained(town, plan, tmp_path, contract=True)
    assert [shape for shape, *_ in asked] == [24, 24]  # of the fine field that is over
    assert all(shape[2:] == (64, 64) and camera.width == 64 for _, camera, shape in asked)
    assert torch.allclose(after[10], torch.full((count, 3), 0.25, dtype=torch.float64), atol=1e-4)
    assert hidden[9] != (3,) and all(hidden[index] == (3,) for index in (10, 11, 12)) and not hidden[13]
    assert hidden[19] and hidden[19] != (3,)  # then by how badly views are explained, as without


def test_a_kill_around_an_adjustment_changes_no_bit(town, tmp_path, monkeypatch):
    plan = anew(monkeypatch).model_copy(update={"bundle_open": True})
    count = len(town.capture.images)

    def adjusted(field, camera, poses, images, *, free_focal, calibrated=False):
        moved = poses.copy()
        moved[:, :3, 3] += 0.1 * float(field.density.detach().mean().sigmoid())
        return Bundle(poses=moved, supported=np.arange(count) != 3, camera=camera, is_one=True, points=NOWHERE)

    monkeypatch.setattr(joint_grid, "bundled", adjusted)
    # before it, after it, and before the next
    assert_same_bits_after_kills(town, plan, tmp_path, monkeypatch, (10, 11, 19))


def test_whoever_is_left_out_stays_so_until_placed_and_most_are_never():
    assert left_out((1, 5), (3,), 10) == (1, 3, 5)
    assert left_out((), (3,), 10) == (3,)
    assert left_out((1, 5), (2, 3, 4), 10) == (1, 5)  # of five in all there would be no more than five others
    assert left_out((0, 1), (2,), 4) == ()


def ends_by_limit(town, plan, folder, monkeypatch, limits, adjusting=0.0):
    """How many iterations are begun within each of these limits, by a clock on which each takes a second, and adjusting
    all poses `adjusting`; what they end with is a fine field."""
    clock, learn = [0.0], JointGrid.learn
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    def slow(self, batch, rng):
        clock[0] += 1.0
        return learn(self, batch, rng)

    def adjusted(*_, **__):
        clock[0] += adjusting

    monkeypatch.setattr(JointGrid, "learn", slow)
    monkeypatch.setattr(joint_grid, "bundled", adjusted)
    ends = {}
    for seconds in limits:
        clock[0] = 0.0
        reached = []
        field, *_ = trained(
            town, plan, folder / str(seconds), contract=True, seconds=seconds, began=0.0,
            place=lambda *where, reached=reached: reached.append(where[1]),
        )  # fmt: skip
        assert field.config.min_alpha == plan.radiance.min_alpha
        ends[seconds] = len(reached)
    return ends


def test_a_field_does_not_begin_anew_where_the_time_would_end_it_as_fog(town, tmp_path, monkeypatch):
    """Of 32 iterations, 21 are left when the second field would begin, and 13 when the third one would, in no more time
    than its iterations."""
    ends = ends_by_limit(town, anew(monkeypatch), tmp_path, monkeypatch, (20.0, 28.0, 60.0))
    assert ends == {20.0: 11, 28.0: 20, 60.0: 32}


def test_what_adjusting_takes_neither_ends_a_field_as_fog_nor_counts_as_a_step(town, tmp_path, monkeypatch):
    """Two seconds before each of the two fields that begin anew."""
    plan = anew(monkeypatch).model_copy(update={"bundle_open": True})
    ends = ends_by_limit(town, plan, tmp_path, monkeypatch, (22.0, 24.0, 34.0, 50.0), adjusting=2.0)
    assert ends == {22.0: 11, 24.0: 20, 34.0: 20, 50.0: 32}


def by_the_clock(town, monkeypatch, *, adjusting, late):
    """A training, and what was adjusted: each iteration takes a second, adjusting all poses before the two fields that
    begin anew `adjusting` each, and once more, before the 26th iteration of 32, `late`."""
    clock, learn, count = [0.0], JointGrid.learn, len(town.capture.images)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(joint_grid, "placed_anew", lambda field, intrinsics, poses, *_, **__: poses)

    def slow(self, batch, rng):
        clock[0] += 1.0
        return learn(self, batch, rng)

    def once_more(field, camera, poses):
        clock[0] += late - adjusting
        return shifted(count)(field, camera, poses)

    monkeypatch.setattr(JointGrid, "learn", slow)
    plan, given = resting(monkeypatch, count, late=once_more)
    at_once = joint_grid.bundled

    def adjusted(*args, **options):
        clock[0] += adjusting
        return at_once(*args, **options)

    monkeypatch.setattr(joint_grid, "bundled", adjusted)

    def train(folder, seconds):
        began, reached = clock[0], []
        found = trained(
            town, plan, folder, contract=True, seconds=seconds, began=began,
            place=lambda *where: reached.append(where[1]),
        )  # fmt: skip
        return found, reached, clock[0] - began

    return train, given


@pytest.mark.parametrize(("seconds", "adjusted"), [(60.0, 3), (48.0, 3), (45.0, 2)])
def test_poses_are_adjusted_once_more_where_there_is_time_for_it_and_for_what_is_left(
    town, tmp_path, monkeypatch, seconds, adjusted
):
    """32 iterations and two adjustments are over after 36 s, with a third, of up to three times as long, after 42; a
    tenth of the limit is kept free."""
    train, given = by_the_clock(town, monkeypatch, adjusting=2.0, late=6.0)
    left_out = []
    monkeypatch.setattr(Deadline, "leave_out", lambda self, work: left_out.append(work))
    _, reached, took = train(tmp_path, seconds)
    assert len(given) == adjusted and bool(left_out) == (adjusted < 3)
    assert len(reached) == 32 and took < 0.9 * seconds


def test_however_long_it_takes_the_limit_is_kept(town, tmp_path, monkeypatch):
    """Where many views are adjusted it takes longer than most of the training."""
    train, given = by_the_clock(town, monkeypatch, adjusting=10.0, late=30.0)
    _, reached, took = train(tmp_path, 65.0)
    assert len(given) == 2 and len(reached) == 32 and took < 0.9 * 65


def test_that_there_was_no_time_for_it_is_said_after_a_kill_too(town, tmp_path, monkeypatch):
    train, _ = by_the_clock(town, monkeypatch, adjusting=2.0, late=6.0)
    said, save_checkpoint = [], checkpointing.Checkpoints.save
    monkeypatch.setattr(checkpointing, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(Deadline, "leave_out", lambda self, work: said.append(work))

    def stop(self, step, state, tensors):
        save_checkpoint(self, step, state, tensors)
        if step == MIDWAY + 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(checkpointing.Checkpoints, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, 45.0)
    assert not said
    train(tmp_path, 45.0)
    assert said == ["adjusting all poses once more"]


def test_how_long_adjusting_takes_is_known_after_a_kill_too(town, tmp_path, monkeypatch):
    train, given = by_the_clock(town, monkeypatch, adjusting=10.0, late=30.0)
    save_checkpoint = checkpointing.Checkpoints.save
    monkeypatch.setattr(checkpointing, "CHECKPOINT_SECONDS", 0.0)

    def stop(self, step, state, tensors):
        save_checkpoint(self, step, state, tensors)
        if step == MIDWAY - 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(checkpointing.Checkpoints, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, 90.0)
    _, reached, took = train(tmp_path, 30.0)
    assert len(given) == 2 and reached[-1] == 31 and took < 0.9 * 30


def test_views_that_move_take_up_their_pace_again_after_it(town, tmp_path, monkeypatch):
    """Adam's first steps are as long as its rate, and its moments were forgotten."""
    count = len(town.capture.images)
    plan, _ = resting(monkeypatch, count, late=shifted(count))
    plan = plan.model_copy(update={"pose_ramp": 0.5})  # four iterations
    trust, said = JointGrid._trust, {}

    def trusted(self, course, passed):
        said[course.first + passed] = trust(self, course, passed)
        return said[course.first + passed]

    monkeypatch.setattr(JointGrid, "_trust", trusted)
    trained(town, plan, tmp_path, contract=True)
    assert said[MIDWAY] < said[MIDWAY + 1] < said[MIDWAY + 2] and said[MIDWAY] < 0.5


def test_the_last_field_is_kept_empty_before_cameras_where_they_then_are(town, tmp_path, monkeypatch):
    """With the focal length that was adjusted along with them."""
    count, seen, at_first = len(town.capture.images), [], {}
    usual = shifted(count)

    def zoomed(field, camera, poses):
        at_first["fx"] = camera.fx
        return replace(usual(field, camera, poses), camera=replace(camera, fx=1.1 * camera.fx, fy=1.1 * camera.fy))

    plan, given = resting(monkeypatch, count, late=zoomed)
    draw = JointGrid.draw

    def drawn(self, index):
        if isinstance(self.grid, PosedGrid):
            seen.append((index, self.grid._poses.clone(), self.grid._camera))
        return draw(self, index)

    monkeypatch.setattr(JointGrid, "draw", drawn)
    trained(town, plan, tmp_path, contract=True, free=True)
    index, poses, camera = seen[-1]
    assert index == 31 and len(given) == 3
    assert np.abs(poses[0, :3, 3].numpy() - given[2][0, :3, 3]).min() > 0.04
    assert camera.fx == pytest.approx(1.1 * at_first["fx"], rel=1e-4)


def test_around_an_object_there_is_one_field(town):
    for is_open, count in ((False, 1), (True, 4)):
        found = courses(BarfConfig().grid, BarfConfig().grid.quick, contract=is_open, is_open=is_open)
        assert len(found) == count and found[-1].fine == BarfConfig().grid.quick.fine
        assert [each.first for each in found[1:]] == [each.end for each in found[:-1]]
