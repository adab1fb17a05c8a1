"""Training Gaussians: they learn, repeat, go on after a kill, and begin where something is."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from bench.task import Camera, Capture, Job, PosePrior, ViewId
from methods.nerf.config import PosedFieldConfig
from methods.nerf.field.bounds import Bounds
from methods.nerf.images.posed_images import PosedImages
from methods.nerf.method import Nerf, NerfConfig
from methods.nerf.train import train
from methods.nerf.training import checkpointing
from methods.nerf.training.gaussian_training import GaussianTraining
from methods.nerf.training.initial_gaussians import drawn_points, initial_gaussians, seen_colours

pytestmark = pytest.mark.usefixtures("one_thread")

SIDE = 24
CAMERA = Camera(width=SIDE, height=SIDE, fx=33.0, fy=33.0, cx=12.0, cy=12.0)
POSES = {ViewId(f"v{i:03d}"): pose for i, pose in enumerate(PosePrior().sample(np.random.default_rng(0), 16))}
BOUNDS = Bounds.from_prior(PosePrior())
WHITE = (1.0, 1.0, 1.0)
FEW = {"steps": 80, "start": 200, "most": 260, "pace": 10.0}


@pytest.fixture(scope="module")
def images() -> dict[ViewId, np.ndarray]:
    """A ball of radius 1 on white, red above and blue below."""
    directions = CAMERA.directions()
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    found = {}
    for view, pose in POSES.items():
        rays, centre = directions @ pose[:3, :3].T, pose[:3, 3]
        along = -(rays @ centre)
        inside = along**2 - centre @ centre + 1
        height = centre[2] + (along - np.sqrt(np.maximum(inside, 0))) * rays[..., 2]
        colour = np.where(height[..., None] > 0, [0.8, 0.2, 0.1], [0.1, 0.3, 0.9])
        found[view] = (255 * np.where(inside[..., None] > 0, colour, 1.0)).astype(np.uint8)
    return found


def a_job(folder, log: list | None = None, **changes) -> Job:
    job = Job(
        seed=3, workdir=folder, threads=1, effort="smoke",
        sink=lambda *row: (log if log is not None else []).append(row),
    )  # fmt: skip
    return replace(job, **changes)


def a_config(**choices) -> PosedFieldConfig:
    gaussians = {"backend": "torch", "smoke": FEW, "move_every": 10, "start_scale": 0.5, **choices}
    return PosedFieldConfig.model_validate({"field": "gaussians", "gaussians": gaussians})


def fit(images, job, points=None, background=WHITE, bounds=BOUNDS, **choices):
    return train(images, POSES, CAMERA, bounds, background, a_config(**choices), job, points=points)


def error(field, images, views) -> float:
    rgb = field.render(np.stack([POSES[view] for view in views]), CAMERA).rgb
    return float(np.mean((rgb - np.stack([images[view] for view in views]) / 255) ** 2))


def test_gaussians_learn_views_that_they_were_not_shown(images, tmp_path):
    log: list = []
    hidden, shown = list(images)[:3], dict(list(images.items())[3:])
    field = fit(shown, a_job(tmp_path, log))
    mean = np.stack(list(shown.values())).mean(axis=(0, 1, 2)) / 255
    level = np.mean((mean - np.stack([images[view] for view in hidden]) / 255) ** 2)
    assert checkpointing.psnr(error(field, images, hidden)) > checkpointing.psnr(float(level)) + 6
    curves = [values for _, values, _ in log if "loss" in values]
    assert {"loss", "psnr", "seconds", "gaussians"} <= curves[-1].keys()
    assert curves[-1]["gaussians"] == len(field) == 260  # it has grown
    assert any("preview" in pictures for *_, pictures in log)
    assert not any(value.requires_grad for value in field.parameters())


def test_a_seed_repeats_a_fit_and_another_one_does_not(images, tmp_path):
    few = FEW | {"steps": 12}
    one, again, other = (
        fit(images, a_job(tmp_path / str(k), seed=seed), smoke=few).state_dict() for k, seed in enumerate((3, 3, 4))
    )
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["means"], other["means"])


def test_a_killed_fit_goes_on_and_ends_the_same(images, tmp_path, monkeypatch):
    class KilledError(Exception):
        pass

    whole = fit(images, a_job(tmp_path / "whole"))
    monkeypatch.setattr(checkpointing, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(checkpointing, "LOG_SECONDS", 0.0)

    def kill(step, values, pictures):
        if step == 45:
            raise KilledError

    with pytest.raises(KilledError):
        fit(images, a_job(tmp_path / "broken", sink=kill))
    log: list = []
    again = fit(images, a_job(tmp_path / "broken", log)).state_dict()
    assert 10 < log[0][0] <= 45  # a checkpoint was used, after Gaussians were moved and added
    assert all(torch.equal(again[name], value) for name, value in whole.state_dict().items())


def test_silhouettes_and_real_backgrounds_are_learned_too(images, tmp_path):
    few = FEW | {"steps": 25}
    masks = {view: (255 * (image.min(axis=2, keepdims=True) < 250)).astype(np.uint8) for view, image in images.items()}
    field = fit(masks, a_job(tmp_path / "masks"), background=(0.0, 0.0, 0.0), smoke=few)
    rgb = field.render(POSES[ViewId("v000")][None], CAMERA).rgb[0]
    assert rgb.shape == (SIDE, SIDE, 1) and rgb[12, 12, 0] > 0.5 > rgb[0, 0, 0]
    bounds = Bounds.around(list(POSES.values()), None, contract=True, camera=CAMERA)
    opened = fit(images, a_job(tmp_path / "open"), background=None, bounds=bounds, smoke=few)
    # nothing is behind: without Gaussians out there, the corners would keep the colours that were drawn for them
    assert opened.render(POSES[ViewId("v000")][None], CAMERA).opacity[0].mean() > 0.3
    assert opened.means.norm(dim=-1).max() * opened.unit > 2 * bounds.half_size


def test_points_that_are_known_are_where_gaussians_begin(images):
    views = PosedImages.of(images, POSES, CAMERA, WHITE, torch.device("cpu"))
    rng = np.random.default_rng(0)
    points = rng.standard_normal((400, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    begin = {"start": 90, "most": 1000, "generator": torch.Generator().manual_seed(0)}
    field = initial_gaussians(views, BOUNDS, a_config(), points, **begin)
    at = field.centre + field.unit * field.means
    assert np.allclose(at.detach().numpy(), points, atol=1e-5)
    assert torch.allclose(field.opacities.sigmoid(), torch.tensor(0.5))
    assert float(field.unit * field.scales.detach().exp().median()) == pytest.approx(
        0.5 * 0.09, rel=0.5
    )  # half of their distance
    assert len(initial_gaussians(views, BOUNDS, a_config(), points, **begin | {"most": 70})) == 70
    for few in (None, points[:9], np.full((400, 3), np.nan)):
        assert len(initial_gaussians(views, BOUNDS, a_config(), few, **begin)) == 90


def test_gaussians_begin_in_the_colours_that_are_seen_there(images):
    views = PosedImages.of(images, POSES, CAMERA, WHITE, torch.device("cpu"))
    top, behind = seen_colours(torch.tensor([[0.0, 0.0, 0.9], [0.0, 0.0, 1000.0]]), views)
    assert torch.allclose(top, torch.tensor([0.8, 0.2, 0.1]), atol=0.01)
    assert torch.equal(behind, torch.full((3,), 0.5))


def test_points_are_drawn_in_the_cube_and_before_a_real_background_around_it():
    rng = torch.Generator().manual_seed(0)
    inside = (drawn_points(BOUNDS, 500, rng) - torch.tensor(BOUNDS.centre)).abs().amax(dim=1) / BOUNDS.half_size
    assert inside.max() <= 1 and inside.median() > 0.6
    opened = Bounds.around(list(POSES.values()), None, contract=True, camera=CAMERA)
    far = (drawn_points(opened, 500, rng) - torch.tensor(opened.centre)).abs().amax(dim=1) / opened.half_size
    assert 0.4 < (far > 1).float().mean() < 0.6 and 5 < far.max() <= 10.001


def test_a_fit_that_has_no_time_stops_with_what_it_has(images, tmp_path):
    answer = Nerf(NerfConfig.model_validate(a_config().model_dump())).fit(
        Capture(images=images, camera=CAMERA, prior=PosePrior(), start=POSES, background=WHITE),
        a_job(tmp_path, seconds=0.001),
    )
    assert answer.notes["stopped_early"] and answer.field is not None
    assert np.isfinite(answer.field.render(POSES[ViewId("v000")][None], CAMERA).rgb).all()


@pytest.mark.parametrize("background", [WHITE, None])
def test_a_fit_raises_degrees_lets_rates_fall_and_draws_colours_behind_what_is_real(
    background, images, tmp_path, monkeypatch
):
    behind, degrees, rates = [], [], []
    learn, step = GaussianTraining.learn, GaussianTraining.step

    def learning(self, target, pose, camera, background, degree):
        behind.append(background)
        degrees.append(degree)
        return learn(self, target, pose, camera, background, degree)

    def stepping(self, share):
        step(self, share)
        rates.append(self.adam.param_groups[0]["lr"])

    monkeypatch.setattr(GaussianTraining, "learn", learning)
    monkeypatch.setattr(GaussianTraining, "step", stepping)
    bounds = BOUNDS if background else Bounds.around(list(POSES.values()), None, contract=True, camera=CAMERA)
    choices = {"smoke": FEW | {"steps": 12}, "sh_every": 0.25, "mean_lr_decay": 0.01}
    fit(images, a_job(tmp_path), background=background, bounds=bounds, **choices)
    assert degrees == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert all(after < before for before, after in pairwise(rates))
    assert rates[-1] / rates[0] == pytest.approx(0.01 ** (11 / 12))
    colours = torch.stack(behind)
    if background:
        assert (colours == 1).all()
    else:  # a colour of its own for each step, all over the cube of colours
        assert len(colours.unique(dim=0)) == 12 and colours.min() < 0.25 < 0.75 < colours.max()
