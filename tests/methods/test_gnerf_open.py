"""GNeRF before a real background: AB on fields that begin anew and grow finer, and the best of several beginnings."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_gnerf_features import elsewhere, matched
from test_gnerf_train import a_job, answers

from bench.matrix.registry import find_scene
from bench.task import Collapsed
from methods.gnerf import beginnings, phases, train, training_run
from methods.gnerf.anew import FieldsAnew
from methods.gnerf.collapse import USELESS
from methods.gnerf.config import GnerfConfig
from methods.gnerf.fast import Fast, FastBudget
from methods.gnerf.train import fit
from methods.gnerf.training_run import Died, TrainingRun
from methods.nerf.cameras.bundle_adjustment import Bundle
from methods.nerf.training import checkpointing, joint_grid
from methods.nerf.training.deadline import Deadline
from methods.nerf.training.grid_training import GridTraining
from methods.nerf.training.posed_grid import PosedGrid

pytestmark = pytest.mark.usefixtures("never_collapses")

BUDGET = FastBudget(a=6, ab=6, ab_open=12, beginnings=3, b=10, batch=4, rays=512, side=24, inversion_render=16)
OPEN = GnerfConfig(
    grid=Fast(smoke=BUDGET, coarse_sides_open=(4, 6, 4, 6, 8, 10), coarse_side=12, pose_ramp=0.17, anew_open=0),
    reseed_every=3, candidates=60, restarts=0,
)  # fmt: skip
FIRST = 4
"""Iterations of the first field of AB."""


@pytest.fixture
def followed(monkeypatch):
    """(phase, index, voxels to an edge, trust) of each iteration that is logged."""
    rows = []
    plain = TrainingRun.log

    def log(self, iteration, losses, reseeded=None, side=None):
        plain(self, iteration, losses, reseeded, side)
        field, trust = self.model.generator.field, self.model.generator.trust(iteration)
        rows.append((iteration.phase, iteration.index, max(field.shape), trust))

    monkeypatch.setattr(TrainingRun, "log", log)
    return rows


def test_ab_begins_on_a_field_anew_which_becomes_finer_and_is_believed_step_by_step(open_town, tmp_path, followed):
    found = fit(open_town, OPEN, a_job(tmp_path))
    assert [row[:3] for row in followed if row[0] == "A"][:6] == [("A", index, 12) for index in range(6)]
    first = [row[2:] for row in followed if row[0] == "AB" and row[1] < FIRST]
    assert first == 3 * [(4, 0.5), (4, 1.0), (6, 0.5), (6, 1.0)]  # a ramp of two iterations
    rest = [row for row in followed if row[0] == "AB" and row[1] >= FIRST]
    assert [row[2] for row in rest] == [4, 4, 6, 6, 8, 8, 10, 10]
    assert [row[3] for row in rest] == 4 * [0.5, 1.0]
    assert sum(row[0] == "B" for row in followed) == 10
    assert found.notes["iterations/A"] == 6 and found.notes["iterations/AB"] == 12
    misfits = [float(word) for word in found.notes["beginnings"].split()]
    assert len(misfits) == 3 and found.notes["beginning"] == np.argmin(misfits)
    assert not any("there was time" in flag for flag in found.flags)


@pytest.mark.parametrize(("few", "tried"), [(12, 1), (13, 3)])
def test_before_a_known_background_ab_is_the_published_one_and_few_views_have_several_beginnings(
    open_town, tmp_path, followed, few, tried
):
    config = OPEN.model_copy(update={"grid": OPEN.grid.model_copy(update={"few_views": few})})
    found = fit(replace(open_town, background=(1.0, 1.0, 1.0)), config, a_job(tmp_path))
    assert {row[2:] for row in followed if row[0] == "AB"} == {(12, 1.0)}
    assert len(found.notes.get("beginnings", "").split()) == (tried if tried > 1 else 0)
    assert sum(row[:2] == ("A", 0) for row in followed) == tried
    assert sum(row[:2] == ("AB", 0) for row in followed) == tried


@pytest.mark.parametrize(
    ("choices", "ran"),
    [
        ({"schedule": "A-B"}, {"A": 6, "B": 22}), ({"schedule": "AB"}, {"AB": 28}), ({"schedule": "B"}, {"B": 28}),
        ({"photometric": False}, {"A": 6, "AB": 16}), ({"reseed": False}, {"A": 6, "AB": 12, "B": 10}),
        ({"inversion": False}, {"A": 6, "AB": 12, "B": 10}),
    ],
    ids=str,
)  # fmt: skip
def test_ablations_run_through_before_a_real_background(open_town, tmp_path, choices, ran):
    found = fit(open_town, GnerfConfig.model_validate({**OPEN.model_dump(), **choices}), a_job(tmp_path))
    assert {name: found.notes[f"iterations/{name}"] for name in ran} == ran


def wanting(monkeypatch, best):
    """Beginning number `best` explains the images best, by decree."""
    monkeypatch.setattr(beginnings, "misfit", lambda model: abs(asked.pop(0) - best) + 1.0)
    asked = list(range(9))


@pytest.mark.parametrize("best", range(3))
def test_the_beginning_that_explains_the_images_best_goes_on(open_town, tmp_path, monkeypatch, best):
    wanting(monkeypatch, best)
    seeds, poses = [], {}
    plain = training_run.TrainingRun.begin
    open_first = phases.phase_ab_open

    def begin(self, number, model, seed):
        seeds.append(seed)
        plain(self, number, model, seed)

    def first(run, *, first):
        open_first(run, first=first)
        poses[run.progress.beginning] = run.model.poses().detach().clone()

    monkeypatch.setattr(training_run.TrainingRun, "begin", begin)
    monkeypatch.setattr(beginnings, "phase_ab_open", first)
    stands = []
    monkeypatch.setattr(train, "phase_ab", lambda run: stands.append(run.model.poses().detach().clone()))
    found = fit(open_town, OPEN, a_job(tmp_path))
    assert found.notes["beginning"] == best
    assert torch.equal(stands[0], poses[best])
    assert len(set(seeds[:2])) == 2
    assert all(not torch.equal(poses[0], poses[other]) for other in (1, 2))


@pytest.mark.parametrize(
    ("best", "phase", "index", "of"),
    [(2, "A", 4, 0), (2, "AB", 2, 1), (0, "AB", 2, 2), (0, "AB", 6, 0), (1, "AB", 6, 1), (0, "B", 4, 0)],
)
@pytest.mark.parametrize("background", [None, (1.0, 1.0, 1.0)], ids=["open", "few views"])
def test_a_fit_killed_in_any_beginning_ends_as_an_unbroken_one(
    open_town, tmp_path, monkeypatch, background, best, phase, index, of
):
    open_town = replace(open_town, background=background)
    config = OPEN.model_copy(update={"ab_at_least": 1.0})  # that no phase ends before it is killed
    errors = {}

    def misfit(model):  # of a beginning, and not in which order it is asked for
        key = model.poses().detach().sum().item()
        errors.setdefault(key, float(len(errors) != best))
        return errors[key]

    monkeypatch.setattr(beginnings, "misfit", misfit)
    monkeypatch.setattr(phases, "reseed", lambda *_: 3)  # views moved, which the notes count
    whole = fit(open_town, config, a_job(tmp_path / "whole"))
    assert whole.notes["beginning"] == best
    monkeypatch.setattr(checkpointing.Checkpoints, "save_due", lambda _: True)
    plain = TrainingRun.log

    def dying(self, iteration, losses, reseeded=None, side=None):
        plain(self, iteration, losses, reseeded, side)
        if (iteration.phase, iteration.index, self.progress.beginning) == (phase, index, of):
            raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(TrainingRun, "log", dying)
        with pytest.raises(KeyboardInterrupt):
            fit(open_town, config, a_job(tmp_path / "killed"))
    again = fit(open_town, config, a_job(tmp_path / "killed"))
    assert np.array_equal(answers(whole), answers(again))
    assert again.notes == whole.notes


def test_where_the_time_is_over_after_a_kill_the_best_beginning_so_far_is_the_answer(open_town, tmp_path, monkeypatch):
    wanting(monkeypatch, 0)
    monkeypatch.setattr(checkpointing.Checkpoints, "save_due", lambda _: True)
    plain, poses = TrainingRun.log, []

    def dying(self, iteration, losses, reseeded=None, side=None):
        plain(self, iteration, losses, reseeded, side)
        if (iteration.phase, iteration.index, self.progress.beginning) == ("AB", FIRST - 1, 0):
            poses.append(self.model.poses().detach().double().numpy())
        if (iteration.phase, iteration.index, self.progress.beginning) == ("AB", 1, 1):
            raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(TrainingRun, "log", dying)
        with pytest.raises(KeyboardInterrupt):
            fit(open_town, OPEN, a_job(tmp_path))

    def over(self, step, steps, phase="", ahead=1):
        self.share_done = 0.4
        return True

    monkeypatch.setattr(Deadline, "reached", over)
    found = fit(open_town, OPEN, a_job(tmp_path))
    assert found.notes["stopped_early"] is True and found.notes["beginning"] == 0
    assert "there was time for 1 of 3 beginnings" in found.flags and found.notes["no_time_for"] == "margins"
    assert found.notes["iterations/A"] == 6 and found.notes["iterations/AB"] == FIRST
    assert np.array_equal(answers(found), poses[0])


@pytest.mark.parametrize("ab_open", [9, 12, 500])
def test_a_field_is_looked_at_before_it_begins_anew_and_not_just_after(open_town, tmp_path, monkeypatch, ab_open):
    looked = []

    def symptom(model, _, iterations, fitted):
        if fitted:
            looked.append((max(model.generator.field.shape), iterations))

    monkeypatch.setattr(training_run, "symptom", symptom)
    budget = BUDGET.model_copy(update={"ab_open": ab_open, "beginnings": 1})
    fit(open_town, OPEN.model_copy(update={"grid": OPEN.grid.model_copy(update={"smoke": budget})}), a_job(tmp_path))
    sixth = ab_open / 6
    expected = [(4, sixth), (6, 2 * sixth), (4, sixth), (6, 2 * sixth), (8, 3 * sixth), (10, ab_open)]
    assert [side for side, _ in looked[:6]] == [side for side, _ in expected]
    assert [age for _, age in looked[:6]] == pytest.approx([age for _, age in expected], abs=1)


def dying_in(monkeypatch, *numbers):
    """A dies in these beginnings."""
    plain = phases.phase_a

    def phase_a(run):
        if run.progress.beginning in numbers:
            raise Died(f"beginning {run.progress.beginning} died")
        plain(run)

    monkeypatch.setattr(beginnings, "phase_a", phase_a)


def test_a_beginning_that_dies_costs_its_time_and_not_the_fit(open_town, tmp_path, monkeypatch):
    dying_in(monkeypatch, 0, 2)
    found = fit(open_town, OPEN, a_job(tmp_path))
    assert found.notes["beginning"] == 1 and found.notes["restarts"] == 0
    assert found.notes["collapses"] == "beginning 0 died; beginning 2 died"
    errors = [float(word) for word in found.notes["beginnings"].split()]
    assert [math.isinf(error) for error in errors] == [True, False, True]


def test_where_all_beginnings_die_the_attempt_is_over(open_town, tmp_path, monkeypatch):
    dying_in(monkeypatch, 0, 1, 2)
    with pytest.raises(Collapsed, match="each of 3 beginnings collapsed; the last one: beginning 2 died"):
        fit(open_town, OPEN, a_job(tmp_path))


def test_where_the_time_is_short_there_are_fewer_beginnings(open_town, tmp_path, monkeypatch):
    shares = []
    monkeypatch.setattr(Deadline, "leaves_room", lambda _, share=0.1: shares.append(share) or len(shares) < 2)
    found = fit(open_town, OPEN, a_job(tmp_path))
    assert len(found.notes["beginnings"].split()) == 2
    assert "there was time for 2 of 3 beginnings" in found.flags
    assert shares[0] == pytest.approx(1 + 1.5 * (28 - 10) / 10)  # one more, and all that comes after
    assert shares[1] == pytest.approx(shares[0] / 2)


@pytest.mark.parametrize(
    ("background", "total"), [(None, 2 * 10 + 28), ((1.0, 1.0, 1.0), 2 * 12 + 22)], ids=["open", "few views"]
)
@pytest.mark.parametrize("at_least", [0.5, 1.0])
def test_whoever_waits_is_told_of_all_beginnings(open_town, tmp_path, background, total, at_least):
    told = []
    config = OPEN.model_copy(update={"ab_at_least": at_least})
    job = replace(a_job(tmp_path), place=lambda *row: told.append(row))
    fit(replace(open_town, background=background), config, job)
    steps = [(done, of) for _, done, of in told if of]
    assert {of for _, of in steps} == {total}
    done = [each for each, _ in steps]
    assert done == sorted(done) and done[-1] == total - 1


SIFT = OPEN.model_copy(
    update={
        "features": "sift",
        "grid": OPEN.grid.model_copy(
            update={"smoke": BUDGET.model_copy(update={"coarse_anew": 4, "fine_anew": 5}), "sides_anew": (5, 7)}
        ),
    }
)


def test_without_matches_it_is_gnerf_to_the_last_bit_here_too(open_town, tmp_path, monkeypatch):
    matched(monkeypatch)
    plain, found = fit(open_town, OPEN, a_job(tmp_path / "plain")), fit(open_town, SIFT, a_job(tmp_path / "sift"))
    assert np.array_equal(answers(plain), answers(found))
    assert found.notes["beginnings"] == plain.notes["beginnings"]


@pytest.mark.parametrize("believed", [True, False])
def test_with_a_sound_group_there_is_one_other_beginning_and_the_two_are_compared_on_as_coarse_a_field(
    open_town, tmp_path, monkeypatch, followed, believed
):
    truth = find_scene("blocks", ()).load(64).truth.poses
    matched(monkeypatch, elsewhere({view: truth[view] for view in list(open_town.images)[:8]}))
    monkeypatch.setattr(train, "decibels_over_mean", lambda _: USELESS)
    compared = []

    def misfit(model):
        compared.append(max(model.generator.field.shape))
        return 1.0 if (model.held is not None) == believed else 2.0

    monkeypatch.setattr(train, "misfit", misfit)
    found = fit(open_town, SIFT, a_job(tmp_path))
    assert found.notes["began_from"] == ("groups" if believed else "nothing")
    assert found.notes["iterations/AB"] == (FIRST if believed else 12)
    assert "beginnings" not in found.notes and set(compared) == {12, 6}
    ab = [index for phase, index, *_ in followed if phase == "AB"]
    assert ab == list(range(FIRST if believed else 12))
    assert sum(phase == "B" for phase, *_ in followed) == (23 if believed else 10)


@pytest.fixture
def led(open_town, monkeypatch):
    """Matched features gave the poses of eight of twelve views, and are believed."""
    truth = find_scene("blocks", ()).load(64).truth.poses
    matched(monkeypatch, elsewhere({view: truth[view] for view in list(open_town.images)[:8]}))
    monkeypatch.setattr(train, "decibels_over_mean", lambda _: USELESS)
    monkeypatch.setattr(train, "misfit", lambda model: 1.0 if model.held is not None else 2.0)


@pytest.mark.parametrize("adjusts", [False, True])
@pytest.mark.usefixtures("led")
def test_b_of_a_sound_group_has_a_field_to_adjust_all_poses_by_and_one_as_where_they_are_known(
    open_town, tmp_path, followed, monkeypatch, adjusts
):
    taught, weights, seen, asked = [], [], [], []
    inversion, learn, step = phases.inversion_step, GridTraining.learn, FieldsAnew.step

    def inverted(model, iteration, rng):
        taught.append((iteration.phase, iteration.index))
        return inversion(model, iteration, rng)

    def learned(self, batch, jitter, distortion=0.0):
        weights.append(distortion)
        return learn(self, batch, jitter, distortion)

    def stepped(self, index, *others):
        found = step(self, index, *others)
        seen.append(self.moving.cameras.poses().detach().double().numpy())
        return found

    def bundled(field, camera, poses, images, *, free_focal, calibrated=False):
        asked.append(len(seen))
        moved = poses.copy()
        moved[:, :3, 3] += 0.01
        none = np.zeros((0, 3))
        return Bundle(poses=moved, supported=np.arange(12) != 9, camera=camera, is_one=True, points=none)

    monkeypatch.setattr(phases, "inversion_step", inverted)
    monkeypatch.setattr(GridTraining, "learn", learned)
    monkeypatch.setattr(FieldsAnew, "step", stepped)
    monkeypatch.setattr(joint_grid, "bundled", bundled if adjusts else lambda *_, **__: asked.append(len(seen)))
    monkeypatch.setattr(joint_grid, "doubtful_views", lambda *_: (2, 9))
    monkeypatch.setattr(joint_grid, "placed_anew", lambda field, intrinsics, poses, *_, **__: poses)
    choices = {"inversion_every": 1, "bundle_late": 0.5}
    found = fit(open_town, SIFT.model_copy(update={"grid": SIFT.grid.model_copy(update=choices)}), a_job(tmp_path))
    assert asked == [9, 16]  # before the last of two fields, and half way through it
    assert [row[2] for row in followed if row[0] == "B"][9:] == 2 * [10] + 4 * [18] + 8 * [24]
    assert weights[-14:] == 14 * [0.01] and not any(weights[:-14])
    assert [index for phase, index in taught if phase == "B"] == list(range(11, 23))  # not from the first voxels
    told, others = list(range(8)), [8, 9, 10, 11]
    first, last = np.abs(seen[8] - seen[0]).max(axis=(1, 2)), np.abs(seen[22] - seen[9]).max(axis=(1, 2))
    assert first[told].max() < 1e-6 and first[others].min() > 1e-6
    rest = np.arange(12) != 9 if adjusts else np.arange(12) < 8
    half = np.abs(seen[15] - seen[9]).max(axis=(1, 2)), np.abs(seen[22] - seen[16]).max(axis=(1, 2))
    assert all(part[rest].max() < 1e-6 and part[~rest].min() > 1e-6 for part in half)
    assert last[rest] == pytest.approx(0.01 * adjusts, abs=1e-5)
    assert np.abs(seen[9] - seen[8])[told, :3, 3] == pytest.approx(0.01 * adjusts, abs=1e-5)
    assert found.notes["fields_anew"] == 2 and found.field.field.barred is None and found.field.known is not None


@pytest.mark.usefixtures("led")
def test_poses_that_matches_told_are_not_adjusted_where_the_preset_has_it_so(open_town, tmp_path, monkeypatch):
    posed, asked, learn = [], [], PosedGrid.learn
    monkeypatch.setattr(joint_grid, "bundled", lambda *_, **__: asked.append(len(posed)))
    monkeypatch.setattr(PosedGrid, "learn", lambda self, *where: posed.append(0) or learn(self, *where))
    fit(
        open_town,
        SIFT.model_copy(update={"grid": SIFT.grid.model_copy(update={"bundle_open": False})}),
        a_job(tmp_path),
    )
    assert len(posed) == 14 and not asked


def killed_in(monkeypatch, capture, config, folder, index):
    """A fit that was killed in an iteration of B, and has its checkpoint before it."""
    plain = TrainingRun.log

    def dying(self, iteration, losses, reseeded=None, side=None):
        plain(self, iteration, losses, reseeded, side)
        if (iteration.phase, iteration.index) == ("B", index):
            raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(checkpointing.Checkpoints, "save_due", lambda _: True)
        context.setattr(TrainingRun, "log", dying)
        with pytest.raises(KeyboardInterrupt):
            fit(capture, config, a_job(folder))


@pytest.mark.usefixtures("led")
def test_b_of_a_sound_group_goes_on_after_a_kill(open_town, tmp_path, monkeypatch):
    whole = fit(open_town, SIFT, a_job(tmp_path / "whole"))
    for killed in (0, 5, 10, 18):
        killed_in(monkeypatch, open_town, SIFT, tmp_path / str(killed), killed)
        again = fit(open_town, SIFT, a_job(tmp_path / str(killed)))
        assert np.array_equal(answers(whole), answers(again)) and again.notes == whole.notes
        assert torch.equal(again.field.field.density, whole.field.field.density)


@pytest.mark.usefixtures("led")
def test_b_of_a_sound_group_that_is_stopped_as_fog_leaves_the_field_before_it(open_town, tmp_path, monkeypatch):
    def reached(self, step, steps, phase="", ahead=1):
        if phase == "phase B" and step == steps - 13:
            self.share_done = step / steps
        return self.stopped

    said = iter((1.0, 0.5))
    monkeypatch.setattr(Deadline, "reached", reached)
    monkeypatch.setattr(phases, "misfit", lambda _: next(said))
    found = fit(open_town, SIFT, a_job(tmp_path))
    assert found.notes["stopped_early"] and found.notes["iterations/B"] == 10
    assert max(found.field.field.shape) == 24
