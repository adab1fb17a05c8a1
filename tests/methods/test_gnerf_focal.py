"""gnerf's focal length from nothing: what moves it, and what does not."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_gnerf_train import QUICK, a_job, shown

from bench.matrix.registry import find_scene
from methods.gnerf import phases, photometric
from methods.gnerf.config import GnerfConfig
from methods.gnerf.fast import Fast, FastBudget
from methods.gnerf.method import Gnerf
from methods.gnerf.model import Model
from methods.gnerf.photometric import across, photometric_step
from methods.gnerf.schedule import Iteration, Plan
from methods.gnerf.train import fit
from methods.nerf.cameras.intrinsics import Intrinsics
from methods.nerf.field.bounds import Bounds
from methods.nerf.images.pyramid import ImagePyramid
from methods.nerf.training import checkpointing
from methods.nerf.training.checkpointing import generator

BUDGET = FastBudget(a=0, ab=0, b=120, batch=4, rays=2000, side=40)


def model_of(scene, camera, focal_lr: float = 1e-9, **changes) -> Model:
    """Of the `fast` preset, at the true poses; a free focal length (`camera` None) begins at the true one."""
    capture = replace(scene.capture, start=None, masks=None, camera=camera, **changes)
    sight = ImagePyramid.of(capture, masked=False, device=torch.device("cpu"))
    grid = Fast(smoke=BUDGET, focal_lr=focal_lr)
    config = GnerfConfig(grid=grid, intrinsics="given" if camera else "unknown", schedule="B")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Intrinsics, "guessed", lambda *_: scene.truth.camera)
        model = Model(capture, sight, config, "smoke", 0)
    poses = torch.from_numpy(np.stack([scene.truth.poses[view] for view in sight.ids])).float()
    model.place(torch.arange(len(poses)), model.family.encode(poses))
    return model


def steps(model: Model, first: int, last: int) -> None:
    plan = Plan.of("B", 0, 0, BUDGET.b)
    for index in range(first, last):
        iteration = Iteration(preset=model.preset, plan=plan, phase="B", index=index, before=0)
        model.generator.advance(iteration)
        photometric_step(model, iteration, generator(0, index))


@pytest.fixture(scope="module")
def blocks():
    """At 64 px."""
    return find_scene("blocks", ()).load(64)


@pytest.fixture(scope="module")
def fitted(blocks) -> Model:
    model = model_of(blocks, None)
    steps(model, 0, BUDGET.b)
    return model


def test_origins_stay_where_they_are_and_have_no_gradient_along_their_rays():
    rng = generator(0, 0)
    origins = torch.randn(50, 3, generator=rng).requires_grad_()
    directions = torch.nn.functional.normalize(torch.randn(50, 3, generator=rng), dim=1)
    pull = torch.randn(50, 3, generator=rng)
    same = across(origins, directions)
    assert torch.equal(same, origins)
    (same * pull).sum().backward()
    along = (pull * directions).sum(dim=1, keepdim=True)
    assert torch.allclose(origins.grad, pull - along * directions, atol=1e-6)


def test_what_pulls_a_focal_length_does_not_depend_on_where_the_samples_fall(fitted, monkeypatch):
    """The same pixels, seen through samples at other places of their intervals."""
    plan = Plan.of("B", 0, 0, BUDGET.b)
    iteration = Iteration(preset=fitted.preset, plan=plan, phase="B", index=BUDGET.b - 1, before=0)
    drawn = photometric._drawn(fitted, iteration, generator(0, 0), None, None)
    monkeypatch.setattr(photometric, "_drawn", lambda *_: drawn)
    monkeypatch.setattr(Fast, "pose_rate", lambda *_: 0.0)
    monkeypatch.setattr(fitted.generator, "step", lambda *_: None)  # nothing moves

    def spread() -> float:
        pulls = []
        for number in range(12):
            photometric_step(fitted, iteration, generator(1, number))
            pulls.append(fitted.intrinsics.log_zoom.grad.item())
        return float(np.std(pulls))

    with_across = spread()
    monkeypatch.setattr(photometric, "across", lambda origins, _: origins)
    assert with_across < spread() / 3


def test_an_effort_has_its_own_pace_of_poses_once_the_field_is_fine_before_a_known_background(fitted, monkeypatch):
    monkeypatch.setattr(fitted.generator, "step", lambda *_: None)
    monkeypatch.setattr(fitted, "step_poses", lambda **_: None)

    def rates() -> list[float]:
        found = []
        for plan, phase in ((Plan.of("B", 0, 0, BUDGET.b), "B"), (Plan.of("A-AB-B", 10, 10, BUDGET.b), "AB")):
            at = Iteration(preset=fitted.preset, plan=plan, phase=phase, index=0, before=0 if phase == "B" else 10)
            photometric_step(fitted, at, generator(1, 0))
            found.append(fitted.move_poses.param_groups[0]["lr"])
        return found

    fine, coarse = rates()
    monkeypatch.setattr(fitted, "budget", fitted.budget.model_copy(update={"pose_pace": 0.25}))
    assert rates() == pytest.approx([fine / 4, coarse])
    monkeypatch.setattr(Bounds, "closed", False)
    assert rates() == pytest.approx([fine, coarse])


def test_a_fine_field_begins_beyond_where_the_focal_length_came_to(blocks):
    model = model_of(blocks, None)
    with torch.no_grad():
        model.intrinsics.log_zoom.fill_(0.2)
    before, variables = model.poses().detach(), model.variables.detach().clone()
    model.lead_focal()
    assert model.intrinsics.log_zoom.item() == pytest.approx(0.3)
    assert torch.equal(model.variables, variables)
    centre = torch.tensor(model.prior.look_at)
    away = [(poses[:, :3, 3] - centre).norm(dim=1) for poses in (before, model.poses().detach())]
    assert torch.allclose(away[1], math.exp(0.1) * away[0])  # the cameras with it


def test_a_focal_length_that_was_right_from_the_start_or_told_by_features_has_no_way_to_go_on(blocks):
    model = model_of(blocks, None)
    model.lead_focal()
    assert model.intrinsics.log_zoom.item() == 0
    with torch.no_grad():
        model.intrinsics.log_zoom.fill_(0.2)
    model.held = torch.zeros(len(model.sight.ids), dtype=torch.bool)
    model.lead_focal()
    assert model.intrinsics.log_zoom.item() == pytest.approx(0.2)


def test_before_a_real_background_too_it_moves_and_stays_finite(blocks):
    """In squeezed space, where samples grow sparser with distance."""
    model = model_of(blocks, None, 2e-2, background=None)
    with torch.no_grad():
        model.intrinsics.log_zoom.fill_(0.1)
    model.lead_focal()
    steps(model, 0, 20)
    assert model.intrinsics.log_zoom.item() != pytest.approx(0.15, abs=1e-4)
    assert torch.isfinite(model.poses()).all() and math.isfinite(model.intrinsics.estimate().fx)


def test_a_camera_that_is_given_is_left_alone(blocks, monkeypatch):
    """To the bit: nothing of this is asked."""

    def never(*_):
        raise AssertionError("asked")

    model = model_of(blocks, blocks.truth.camera)
    monkeypatch.setattr(photometric, "across", never)
    model.lead_focal()
    steps(model, 0, 2)
    assert model.intrinsics.estimate() == blocks.truth.camera


def test_an_unknown_focal_length_is_found_with_the_poses_and_reported(blocks, tmp_path):
    found = fit(shown(blocks, camera=None), GnerfConfig(**QUICK, intrinsics="unknown"), a_job(tmp_path))
    assert found.camera is not None and found.camera.fx != 64.0
    assert found.camera.fx / found.camera.fy == pytest.approx(1)
    assert Gnerf(GnerfConfig(intrinsics="unknown")).traits.lack(frozenset({"prior"})) is None
    assert Gnerf().traits.lack(frozenset({"prior"})) == "needs intrinsics"


def test_a_free_focal_length_leads_once_where_b_begins_and_a_fit_that_was_killed_then_leads_no_more(
    blocks, tmp_path, monkeypatch
):
    led: list[int] = []
    lead = Model.lead_focal
    monkeypatch.setattr(Model, "lead_focal", lambda model: (led.append(1), lead(model)))
    monkeypatch.setattr(checkpointing.Checkpoints, "save_due", lambda self: True)
    config, stepped = GnerfConfig(**QUICK, intrinsics="unknown"), phases.photometric_step

    def killed(model, iteration, *rest):
        if iteration.phase == "B" and iteration.index == 4:
            raise KeyboardInterrupt
        return stepped(model, iteration, *rest)

    with monkeypatch.context() as context:
        context.setattr(phases, "photometric_step", killed)
        with pytest.raises(KeyboardInterrupt):
            fit(shown(blocks, camera=None), config, a_job(tmp_path))
    assert len(led) == 1
    fit(shown(blocks, camera=None), config, a_job(tmp_path))
    assert len(led) == 1
