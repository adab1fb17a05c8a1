"""GNeRF's phase B before a real background: fields that begin anew, and lost views that are placed anew."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_gnerf_open import BUDGET, OPEN, killed_in
from test_gnerf_train import a_job, answers

from bench.degrade import degrade, parse
from methods.barf.config import BarfConfig
from methods.gnerf import phases
from methods.gnerf.anew import joint_schedule
from methods.gnerf.config import GnerfConfig
from methods.gnerf.fast import Fast
from methods.gnerf.model import Model
from methods.gnerf.train import fit
from methods.gnerf.training_run import TrainingRun
from methods.nerf.cameras.bundle_adjustment import Bundle
from methods.nerf.images import exposures
from methods.nerf.images.pyramid import ImagePyramid
from methods.nerf.training import exposing, joint_grid
from methods.nerf.training.deadline import Deadline
from methods.nerf.training.joint_schedule import CoarseToFine

pytestmark = pytest.mark.usefixtures("never_collapses")

LENGTH = 3 * 4 + 2 * 5 + 10
"""Iterations of B."""

ANEW = OPEN.model_copy(
    update={
        "grid": OPEN.grid.model_copy(
            update={
                "smoke": BUDGET.model_copy(update={"beginnings": 1, "coarse_anew": 4, "fine_anew": 5}),
                "anew_open": 3, "sides_anew": (5, 7), "rest_anew": 0.75,
            }
        )
    }
)  # fmt: skip


@pytest.fixture
def followed(monkeypatch):
    """(index, voxels to an edge) of each iteration of B, its poses, and how many views were placed."""
    rows = []
    plain = TrainingRun.log

    def log(self, iteration, losses, reseeded=None, side=None):
        plain(self, iteration, losses, reseeded, side)
        if iteration.phase == "B":
            field, poses = self.model.generator.field, self.model.poses().detach().clone()
            rows.append((iteration.index, max(field.shape), poses, reseeded))

    monkeypatch.setattr(TrainingRun, "log", log)
    return rows


def test_three_fields_begin_anew_from_where_ab_has_led(open_town, tmp_path, followed):
    found = fit(open_town, ANEW, a_job(tmp_path))
    assert [row[0] for row in followed] == list(range(LENGTH))
    assert found.notes["iterations/B"] == LENGTH and found.notes["fields_anew"] == 3
    voxels = [row[1] for row in followed]
    for first in (0, 9, 18):
        assert voxels[first : first + 4] == [5, 5, 7, 7]
    assert voxels[-1] == 24 and voxels[8] == voxels[17] == 24
    poses = [row[2] for row in followed]
    assert all(torch.equal(poses[0], each) for each in poses[:3])  # they rest until a field says something
    assert not torch.equal(poses[3], poses[2]) and not torch.equal(poses[-1], poses[4])
    last = np.stack([found.poses[view] for view in open_town.images])
    assert np.allclose(last, poses[-1].double().numpy())


def test_lost_views_are_not_shown_to_a_field_until_it_places_them(open_town, tmp_path, followed, monkeypatch):
    seen, placed = [], []
    draw = joint_grid.JointGrid.draw

    def drawn(self, index):
        seen.append((index, draw(self, index).among))
        return draw(self, index)

    def place(field, intrinsics, poses, lost, *others, **more):
        placed.append(lost)
        moved = poses.clone()
        moved[list(lost), :3, 3] += 0.5
        return moved

    monkeypatch.setattr(joint_grid.JointGrid, "draw", drawn)
    monkeypatch.setattr(joint_grid, "doubtful_views", lambda *_: (2, 7))
    monkeypatch.setattr(joint_grid, "placed_anew", place)
    found = fit(open_town, ANEW, a_job(tmp_path))
    others = tuple(view for view in range(12) if view not in (2, 7))
    assert dict(seen) == {index: others if index % 9 < 3 and index < 27 else None for index in range(LENGTH)}
    assert placed == 3 * [(2, 7)]
    assert [row[3] for row in followed if row[3] is not None] == [2, 2, 2]
    assert found.notes["reseeded_views"] >= 6
    before, after = followed[2][2], followed[3][2]
    moved = (after - before)[:, :3, 3].norm(dim=1)
    assert moved[[2, 7]].min() > 0.4 and moved[list(others)].max() < 0.4


@pytest.mark.parametrize(("killed", "exposed"), [*((at, False) for at in (0, 1, 3, 9, 12, 24)), (12, True)])
def test_a_fit_killed_in_any_field_ends_as_an_unbroken_one(open_town, tmp_path, monkeypatch, killed, exposed):
    if exposed:  # whatever fog says of them
        open_town = degrade(open_town, parse("exposure@3"), "blocks")
        monkeypatch.setattr(exposing, "differ", lambda *_, **__: True)
        monkeypatch.setattr(exposures, "AGREE", torch.inf)
        monkeypatch.setattr(joint_grid, "EVERY", 2)
    monkeypatch.setattr(joint_grid, "doubtful_views", lambda *_: (2, 7))
    whole = fit(open_town, ANEW, a_job(tmp_path / "whole"))
    killed_in(monkeypatch, open_town, ANEW, tmp_path / "broken", killed)
    again = fit(open_town, ANEW, a_job(tmp_path / "broken"))
    assert np.array_equal(answers(whole), answers(again))
    assert again.notes == whole.notes


def adjusted(field, camera, poses, images, *, free_focal, calibrated=False):
    """All views but one support each other where they are."""
    return Bundle(poses=poses, supported=np.arange(12) != 3, camera=camera, is_one=True, points=np.zeros((0, 3)))


@pytest.mark.parametrize("killed", [None, 18, 20, 26])
def test_the_last_field_is_trained_as_where_poses_are_known_and_goes_on_after_a_kill(
    open_town, tmp_path, monkeypatch, followed, killed
):
    def adjusted(field, camera, poses, images, *, free_focal, calibrated=False):
        return Bundle(poses=poses, supported=np.arange(12) != 3, camera=camera, is_one=True, points=np.zeros((0, 3)))

    monkeypatch.setattr(joint_grid, "bundled", adjusted)
    monkeypatch.setattr(joint_grid, "placed_anew", lambda field, intrinsics, poses, *_, **__: poses)
    whole = fit(open_town, ANEW, a_job(tmp_path / "whole"))
    assert [row[1] for row in followed[18:]] == 2 * [10] + 4 * [18] + 8 * [24]
    moved = (followed[31][2] - followed[18][2]).abs().amax(dim=(1, 2))
    assert moved[3] > 1e-4 and moved[torch.arange(12) != 3].max() < 1e-6
    if killed is not None:
        killed_in(monkeypatch, open_town, ANEW, tmp_path / "broken", killed)
        again = fit(open_town, ANEW, a_job(tmp_path / "broken"))
        assert np.array_equal(answers(whole), answers(again)) and again.notes == whole.notes
        assert torch.equal(again.field.field.density, whole.field.field.density)


@pytest.mark.parametrize(("stops", "errors", "answer", "voxels"), [
    (11, (1.0, 0.5), 8, 24),  # as fog: the last field that was done
    (14, (0.5, 1.0), 13, 10),  # half done, and better
    (5, (1.0, 0.5), 2, 10),  # the first one: AB's, from whose poses it began
    (0, (), None, 10),
])  # fmt: skip
def test_where_the_time_is_over_the_field_that_explains_the_images_is_the_answer(
    open_town, tmp_path, monkeypatch, followed, stops, errors, answer, voxels
):
    def reached(self, step, steps, phase="", ahead=1):
        if phase == "phase B" and step == 18 + stops:
            self.share_done = step / steps
            return True
        return False

    said = iter(errors)
    monkeypatch.setattr(Deadline, "reached", reached)
    monkeypatch.setattr(phases, "misfit", lambda _: next(said))
    found = fit(open_town, ANEW, a_job(tmp_path))
    assert [row[0] for row in followed] == list(range(stops)) and not list(said)
    poses = np.stack([found.poses[view] for view in open_town.images])
    if answer is not None:
        assert np.array_equal(poses, followed[answer][2].double().numpy())
    assert max(found.field.field.shape) == voxels
    assert found.notes["stopped_early"] and found.notes["fields_anew"] == (stops >= 9)
    assert "of its iterations" not in " ".join(found.flags) and found.field.field.barred is None


@pytest.mark.parametrize("is_posed", [False, True])
def test_a_fit_that_went_on_after_a_kill_has_the_last_field_to_go_back_to(
    open_town, tmp_path, monkeypatch, followed, is_posed
):
    if is_posed:
        monkeypatch.setattr(joint_grid, "bundled", adjusted)
    killed_in(monkeypatch, open_town, ANEW, tmp_path / "broken", 21)
    before = followed[17][2]
    found = []
    for name in ("broken", "whole"):
        said = iter((1.0, 0.5))

        def reached(self, step, *_):
            return step == 18 + 23 and setattr(self, "share_done", 0.5) is None

        monkeypatch.setattr(Deadline, "reached", reached)
        monkeypatch.setattr(phases, "misfit", lambda _, said=said: next(said))
        found.append(fit(open_town, ANEW, a_job(tmp_path / name)))
    poses = np.stack([found[0].poses[view] for view in open_town.images])
    assert np.array_equal(poses, before.double().numpy()) and max(found[0].field.field.shape) == 24
    assert torch.equal(found[0].field.field.clearance, found[1].field.field.clearance)


@pytest.mark.parametrize(
    "change",
    [
        {"background": (1.0, 1.0, 1.0)},
        {"camera": None, "intrinsics": "unknown"},
        {"reseed": False},
        {"anew_open": 0},
        {"schedule": "A-B"},
        {"schedule": "B"},
    ],
)
def test_elsewhere_b_is_one_field_that_goes_on(open_town, tmp_path, followed, change):
    given = {name: value for name, value in change.items() if name in ("background", "camera")}
    options = {name: value for name, value in change.items() if name in ("intrinsics", "reseed", "schedule")}
    grid = {name: value for name, value in change.items() if name == "anew_open"}
    config = ANEW.model_copy(update={**options, "grid": ANEW.grid.model_copy(update=grid)})
    found = fit(replace(open_town, **given), config, a_job(tmp_path))
    assert "fields_anew" not in found.notes
    assert len(followed) == found.notes["iterations/B"] <= 28  # of A, AB and B together, where B is alone
    assert {row[1] for row in followed} <= {10, 12, 17, 24}


@pytest.mark.parametrize("effort", ["quick", "full"])
def test_its_fields_are_those_of_barf_but_for_the_length_of_the_first(effort):
    ours = joint_schedule(Fast(), getattr(Fast(), effort), effort)
    theirs = BarfConfig().grid
    first = {"coarse_sides_open"}
    for name in (set(CoarseToFine.model_fields) - first) | {"side_start", "side_coarse", "pose_lr", "pose_lr_fine"}:
        assert getattr(ours, name) == getattr(theirs, name), name
    assert getattr(ours, effort) == getattr(theirs, effort).model_copy(update={"coarse": 0})


def test_plan_counts_all_fields():
    plan = GnerfConfig().plan("quick", open=True, anew=3)
    assert plan.phases["B"] == 3 * 220 + 2 * 400 + 1000
    assert plan.total == 150 + 1350 + plan.phases["B"]
    assert GnerfConfig().plan("quick", open=True).phases["B"] == 1000


def test_few_views_of_which_none_can_be_lost_go_through_it_too(open_town, tmp_path, followed):
    few = dict(list(open_town.images.items())[:3])
    fit(replace(open_town, images=few), ANEW, a_job(tmp_path))
    assert len(followed) == LENGTH and not any(row[3] for row in followed)


def test_a_budget_without_b_has_none_and_poses_of_matched_features_lead_it_elsewhere(open_town):
    def model(**budget):
        grid = ANEW.grid.model_copy(update={"smoke": ANEW.grid.smoke.model_copy(update=budget)})
        config = ANEW.model_copy(update={"grid": grid})
        return Model(
            open_town, ImagePyramid.of(open_town, masked=False, device=torch.device("cpu")), config, "smoke", 0
        )

    assert model(b=0).fields_anew == 0 and "B" not in model(b=0).plan.phases
    led = model()
    assert led.fields_anew == 3 and led.plan.phases["B"] == LENGTH
    led.held = torch.zeros(12, dtype=torch.bool)
    assert led.fields_anew == 0 and led.plan.phases["B"] == 10
