"""What a training of Gaussians does in a step: they are moved, grow in number, are shaken and taught."""

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from bench.task import Camera, PosePrior
from methods.nerf.config import PosedFieldConfig
from methods.nerf.field.bounds import Bounds
from methods.nerf.field.gaussians import GaussianField
from methods.nerf.gaussians.splats import rotation_matrices
from methods.nerf.training.gaussian_training import GaussianTraining
from methods.nerf.training.image_loss import image_loss, similarity

pytestmark = pytest.mark.usefixtures("one_thread")

SIDE = 24
CAMERA = Camera(width=SIDE, height=SIDE, fx=33.0, fy=33.0, cx=12.0, cy=12.0)
POSE = PosePrior().sample(np.random.default_rng(0), 1)


def a_training(count=30) -> GaussianTraining:
    config = PosedFieldConfig.model_validate({"field": "gaussians", "gaussians": {"backend": "torch"}})
    field = GaussianField(Bounds.from_prior(PosePrior()), torch.ones(3), config, count=count, unit=1.0)
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        field.means.copy_(torch.randn(count, 3, generator=rng) * 0.4)
        field.scales.fill_(-1.6)
        field.opacities.fill_(-1.0)
        field.opacities[::3] = -9.0  # dead
        field.colours.copy_(torch.randn(count, 1, 3, generator=rng))
    training = GaussianTraining(field, 4.0, 1.0)
    target = torch.rand(SIDE, SIDE, 3, generator=rng)
    training.learn(target, torch.from_numpy(POSE).float(), CAMERA, torch.ones(3), 3)
    training.adam.step()
    return training


def remembering(training: GaussianTraining) -> None:
    """Give Adam moments of every Gaussian, those too that no image taught."""
    for state in training.adam.state.values():
        for name in ("exp_avg", "exp_avg_sq"):
            state[name].fill_(1.0)


def forgotten(training: GaussianTraining, places: torch.Tensor) -> bool:
    """Whether Adam has no moments of the Gaussians of a mask, and has kept all others."""
    kept = [
        (training.adam.state[group["params"][0]][name] == 1).reshape(len(training.field), -1).float().mean(dim=1)
        for group in training.adam.param_groups
        for name in ("exp_avg", "exp_avg_sq")
    ]
    return all(torch.equal(share, (~places).float()) for share in kept)


def test_moving_the_dead_changes_hardly_what_is_seen():
    training = a_training()
    pose = POSE
    before = training.field.render(pose, CAMERA).rgb
    remembering(training)
    assert training.move_dead(torch.Generator().manual_seed(0)) == 10
    after = training.field.render(pose, CAMERA).rgb
    assert np.abs(before - after).mean() < 0.01 < before.std()
    assert (training.field.opacities.sigmoid() > training.choices.dead).all()
    assert len(training.field.means.unique(dim=0)) == 20  # each of the dead lies on one of the living
    places = training.field.means.detach()
    sources = (places[:, None] == places[::3]).all(dim=-1).any(dim=1)  # and the dead, which lie there now
    assert sources[::3].all() and 10 < sources.sum() < 30
    assert forgotten(training, sources)
    assert training.move_dead(torch.Generator()) == 0


def test_growing_changes_hardly_what_is_seen_and_adam_goes_on():
    training = a_training()
    pose = POSE
    before = training.field.render(pose, CAMERA).rgb
    remembering(training)
    old = training.field.means.detach().clone()
    assert training.grow(31, torch.Generator().manual_seed(0)) == 1
    new = training.field.means.detach()
    assert torch.equal(new[:-1], old) and forgotten(training, (new == new[-1]).all(dim=1))  # a source, and what is new
    assert training.grow(31, torch.Generator().manual_seed(0)) == 0
    assert np.abs(before - training.field.render(pose, CAMERA).rgb).mean() < 0.01
    for group in training.adam.param_groups:
        (value,) = group["params"]
        assert value is getattr(training.field, group["name"]) and len(value) == 31
        assert training.adam.state[value]["exp_avg"].shape == value.shape
    old = training.field.means.detach().clone()
    pose_tensor = torch.from_numpy(pose).float()
    training.learn(torch.zeros(SIDE, SIDE, 3), pose_tensor, CAMERA, torch.ones(3), 0)
    training.step(0.5)
    assert (training.field.means - old).abs().max() > 0


def test_noise_moves_what_is_nearly_transparent_and_nothing_else():
    training = a_training()
    before = training.field.means.detach().clone()
    training.shake(0.0, torch.Generator().manual_seed(0))
    moved = (training.field.means - before).norm(dim=-1)
    assert moved[::3].min() > 1e-3
    assert torch.cat([moved[1::3], moved[2::3]]).max() < 1e-6


def test_similarity_is_that_of_skimage_away_from_the_border():
    rng = np.random.default_rng(0)
    one, other = rng.random((2, 40, 40, 3))
    _, whole = structural_similarity(
        one, other, data_range=1.0, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        full=True,
    )  # fmt: skip
    found = similarity(torch.from_numpy(one), torch.from_numpy(other)).permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found[5:-5, 5:-5], whole[5:-5, 5:-5], atol=1e-6)
    assert float(similarity(torch.from_numpy(one), torch.from_numpy(one)).mean()) == pytest.approx(1)
    assert 0.1 < float(image_loss(torch.ones(20, 20, 3), torch.zeros(20, 20, 3), 0.2)) == pytest.approx(1, abs=0.01)


def test_noise_follows_the_covariance():
    """As eq. 8 of Kheradmand et al. 2024 has it: as the square of the spread along each axis, wherever that points."""
    training = a_training(4000)
    field, spread = training.field, torch.tensor([0.5, 0.2, 0.001])
    with torch.no_grad():
        field.rotations.copy_(torch.randn(4000, 4, generator=torch.Generator().manual_seed(1)))
        field.scales.copy_(spread.log().expand(4000, 3))
        field.opacities.fill_(-9.0)
    before = field.means.detach().clone()
    training.shake(0.5, torch.Generator().manual_seed(0))
    moved = (field.means.detach() - before)[:, None] @ rotation_matrices(field.rotations.detach())  # along their axes
    along = moved[:, 0].std(dim=0)
    torch.testing.assert_close((along / along[0])[:2], (spread / spread[0]).square()[:2], rtol=0.05, atol=0)
    assert along[2] < 1e-4 * along[0]  # flat ones stay in their plane, but for rounding
    shaken = field.means.detach().clone()
    training.shake(1.0, torch.Generator().manual_seed(0))
    later = (field.means.detach() - shaken).norm(dim=-1).mean() / (shaken - before).norm(dim=-1).mean()
    assert later == pytest.approx(training.choices.mean_lr_decay**0.5, rel=0.05)  # with the learning rate


def test_the_rate_of_the_means_falls_and_that_of_others_stays():
    training = a_training()
    rates = []
    for share in (0.0, 0.5, 1.0):
        training.step(share)
        rates.append([group["lr"] for group in training.adam.param_groups])
    first, middle, last = rates
    assert (middle[0] / first[0], last[0] / first[0]) == pytest.approx((0.1, 0.01))
    assert first[1:] == middle[1:] == last[1:]


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_an_image_teaches_the_harmonics_up_to_a_degree_and_no_others(degree):
    training = a_training()
    training.learn(torch.zeros(SIDE, SIDE, 3), torch.from_numpy(POSE).float(), CAMERA, torch.ones(3), degree)
    taught = training.field.shine.grad
    terms = 0 if taught is None else int((taught != 0).any(dim=2).any(dim=0).sum())
    assert terms == (degree + 1) ** 2 - 1
