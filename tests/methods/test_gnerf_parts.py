"""The parts of GNeRF, each against something that does not share its code."""

import numpy as np
import pytest
import torch

from bench.task import PosePrior
from methods.gnerf import patches
from methods.gnerf.config import GnerfConfig
from methods.gnerf.discriminator import Discriminator, augment, discriminator_loss
from methods.gnerf.fast import Fast, FastBudget
from methods.gnerf.generator import GridGenerator
from methods.gnerf.inversion import Cnn, Vit
from methods.gnerf.poses import Family, gram_schmidt
from methods.gnerf.published import Published
from methods.gnerf.schedule import SIDE, Iteration, Plan
from methods.nerf.field.bounds import Bounds
from methods.nerf.field.mlp import MlpField


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


PRIORS = {
    "sphere": PosePrior(radius=(2.0, 3.0), look_at=(0.1, -0.2, 0.3), elevation=(-60.0, 80.0)),
    "sphere+jitter": PosePrior(
        family="sphere+jitter", radius=(3.0, 3.0), look_at=(0.1, -0.2, 0.3), look_at_std=0.05, roll_std=4.0, up="y",
        elevation=(-60.0, 80.0),
    ),
    "full": PosePrior(family="full", look_at_std=0.3, roll_std=30.0, up="x"),
}  # fmt: skip


@pytest.mark.parametrize("family", PRIORS)
def test_pose_variables_say_all_that_the_prior_varies(family):
    prior = PRIORS[family]
    poses = torch.from_numpy(prior.sample(np.random.default_rng(0), 200))
    variables = Family.of(prior).encode(poses)
    assert variables.shape == (200, Family.of(prior).size)
    assert torch.allclose(Family.of(prior).decode(variables), poses, atol=1e-9)


@pytest.mark.parametrize("family", PRIORS)
def test_poses_are_rigid_whatever_the_variables_and_carry_gradients(family):
    kind = Family.of(PRIORS[family])
    variables = torch.randn(50, kind.size, dtype=torch.float64, generator=rng()).requires_grad_()
    poses = kind.decode(variables)
    rotation = poses[:, :3, :3]
    assert torch.allclose(rotation @ rotation.transpose(1, 2), torch.eye(3, dtype=torch.float64).expand(50, 3, 3))
    assert torch.allclose(torch.linalg.det(rotation), torch.ones(50, dtype=torch.float64))
    assert torch.autograd.gradcheck(kind.decode, variables[:2].detach().requires_grad_())


@pytest.mark.parametrize("family", PRIORS)
def test_a_longer_focal_length_takes_the_cameras_back_and_what_they_look_at_keeps_its_size(family):
    """A dolly zoom: the same variables, half as far again."""
    prior = PRIORS[family]
    poses = torch.from_numpy(prior.sample(np.random.default_rng(0), 50))
    kind = Family.of(prior, log_stretch=torch.tensor(1.5, dtype=torch.float64).log())
    back = kind.stretched(poses)
    assert torch.allclose(kind.encode(back), Family.of(prior).encode(poses), atol=1e-9)
    assert torch.allclose(kind.decode(kind.encode(back)), back, atol=1e-9)
    beside = torch.tensor(prior.look_at, dtype=torch.float64) + 1e-3 * back[:, :3, 0]

    def width(cameras):  # of a step to the right at the look-at point, in pixels of a focal length of 1
        seen = torch.einsum("nij,nkj->nki", cameras[:, :3, :3].transpose(1, 2), torch.stack([
            torch.tensor(prior.look_at, dtype=torch.float64).expand(50, 3), beside
        ], dim=1) - cameras[:, None, :3, 3])  # fmt: skip
        points = seen[..., 0] / seen[..., 2]
        return points[:, 1] - points[:, 0]

    assert torch.allclose(1.5 * width(back), width(poses), rtol=1e-5)


def test_distances_stay_within_the_prior():
    kind = Family.of(PRIORS["sphere"])
    far = kind.decode(torch.tensor([[0.0, 50.0, 1.0], [0.0, 0.001, 0.0]]))[:, :3, 3] - torch.tensor(kind.look_at)
    assert far.norm(dim=1).tolist() == pytest.approx([3.0, 2.0], rel=1e-5)


def test_gram_schmidt_is_the_qr_decomposition():
    first, second = torch.randn(2, 20, 3, dtype=torch.float64, generator=rng())
    q = np.linalg.qr(torch.stack([first, second], dim=2).numpy())[0]
    found = gram_schmidt(first, second).numpy()
    for k in range(2):  # QR leaves the signs open
        assert np.abs(np.einsum("ni,ni->n", q[:, :, k], found[:, :, k])) == pytest.approx(np.ones(20))


def test_a_patch_of_the_whole_image_is_the_image():
    images = torch.rand(3, 3, SIDE, SIDE, generator=rng())
    whole = patches.draw(3, SIDE, 1.0, rng())
    assert torch.allclose(patches.cut(images, whole), images, atol=1e-5)


def test_patches_stay_inside_the_image_and_know_their_scale():
    drawn = patches.draw(500, SIDE, 0.2, rng())
    assert 0.2 <= drawn.scale.min() < 0.25 and 0.95 < drawn.scale.max() <= 1
    assert drawn.points.abs().max() <= 1
    width = drawn.points[:, 0, -1, 0] - drawn.points[:, 0, 0, 0]
    assert torch.allclose(width, 2 * drawn.scale[:, 0] * (1 - 1 / SIDE), atol=1e-5)


def parameters(module):
    return sum(part.numel() for part in module.parameters())


def test_the_published_networks_have_the_published_sizes():
    preset = GnerfConfig(preset="published").mlp
    bounds = Bounds(centre=(0.0, 0.0, 0.0), half_size=2.0, near=2.0, far=6.0)
    field = MlpField(bounds, torch.ones(3), preset.radiance, rng())
    assert parameters(field) == 1_156_144
    as_in_the_code = preset.radiance.model_copy(update={"direction_frequencies": 10})
    assert parameters(MlpField(bounds, torch.ones(3), as_in_the_code, rng())) == 1_162_624
    assert parameters(Discriminator(3, preset.discriminator, rng())) == 2_642_560
    assert parameters(Vit(3, preset.inversion_side, 3, rng())) == 7_168_515


def test_the_published_schedule_is_the_default_of_the_published_preset():
    preset = GnerfConfig(preset="published").mlp
    assert (preset.quick.a, preset.quick.a + preset.quick.ab, preset.quick.b) == (12_000, 20_000, 20_000)
    assert preset.quick.batch == 12
    assert (preset.radiance.samples, preset.radiance.fine_samples) == (64, 64)
    assert (preset.radiance.position_frequencies, preset.radiance.direction_frequencies) == (10, 4)
    assert (preset.side_start, preset.side_a, preset.side_ab) == (16, 128, 400)
    assert (preset.field_lr, preset.discriminator_lr, preset.field_halving) == (5e-4, 1e-4, 8000)
    assert (preset.pose_lr, preset.inversion_lr, preset.pose_halving) == (5e-3, 1e-4, 4000)
    assert (preset.photometric, preset.pull, preset.r1, preset.augmented) == (50.0, 0.1, 10.0, 0.5)

    def at(phase, index, before):
        return Iteration(
            preset=preset, plan=GnerfConfig(preset="published").plan("quick"), phase=phase, index=index, before=before
        )  # fmt: skip

    start, end_a = at("A", 0, 0), at("A", 11_999, 0)
    end_ab = at("AB", 7_999, 12_000)
    assert (start.side(400), end_a.side(400), end_ab.side(400)) == (16, 127, 399)
    assert at("AB", 0, 12_000).side(400), at("B", 0, 20_000).side(400) == (128, 400)
    assert start.smallest_scale(400) == 0.8
    assert at("A", 5_000, 0).smallest_scale(400) == pytest.approx(np.exp(-2e-4 * 5_000))
    assert end_ab.smallest_scale(400) == at("B", 0, 20_000).smallest_scale(400) == 16 / 400
    assert (start.noise, at("A", 2_500, 0).noise, at("A", 5_000, 0).noise) == (1.0, 0.5, 2e-4)
    assert end_ab.halved(preset.field_lr, preset.field_halving) == pytest.approx(5e-4 / 4)


def test_the_fast_preset_runs_the_same_phases():
    config = GnerfConfig()
    assert isinstance(config.numbers, Fast)
    for published in (GnerfConfig(preset="published"), GnerfConfig(field="mlp")):  # two names of one preset
        assert isinstance(published.numbers, Published)
        assert config.reseeds and not published.reseeds
    for contradiction in ({"preset": "published", "field": "grid"}, {"preset": "fast", "field": "mlp"}):
        with pytest.raises(ValueError, match="leave one out"):
            GnerfConfig(**contradiction)
    assert GnerfConfig.model_validate(GnerfConfig(field="mlp").model_dump()) == GnerfConfig(field="mlp")
    assert list(config.plan("quick").phases) == ["A", "AB", "B"]
    assert list(GnerfConfig(schedule="A-B").plan("quick").phases) == ["A", "B"]
    assert list(GnerfConfig(schedule="B").plan("quick").phases) == ["B"]
    assert list(GnerfConfig(photometric=False).plan("quick").phases) == ["A", "AB"]


def test_a_fit_that_would_train_nothing_is_refused():
    with pytest.raises(ValueError, match="nothing is trained"):
        GnerfConfig(schedule="B", photometric=False)


ABLATIONS = (
    {}, {"schedule": "A-B"}, {"schedule": "AB"}, {"schedule": "B"}, {"adversarial": False}, {"inversion": False},
    {"photometric": False}, {"reseed": False},
)  # fmt: skip


def walk(config, effort, ab=None):
    """All iterations of a fit in order, AB ending after `ab` where that is given."""
    plan, before = config.plan(effort), 0
    for phase in plan.phases:
        length = ab if ab is not None and phase == "AB" and "B" in plan.phases else plan.length(phase, before)
        for index in range(length):
            yield Iteration(preset=config.numbers, plan=plan, phase=phase, index=index, before=before)
        before += length


@pytest.mark.parametrize("preset", ["fast", "published"])
def test_every_ablation_has_the_same_iterations_and_looks_at_the_same_images(preset):
    rows = [list(walk(GnerfConfig(preset=preset, **choices), "smoke")) for choices in ABLATIONS]
    for row in rows:
        assert [each.number for each in row] == list(range(len(rows[0])))
        assert [each.side(200) for each in row] == [each.side(200) for each in rows[0]]
        assert [each.fine for each in row] == [each.fine for each in rows[0]]
    assert rows[0][-1].side(200) == 200


@pytest.mark.parametrize("ab", [None, 2, 6])
@pytest.mark.parametrize("choices", ABLATIONS, ids=str)
def test_every_ablation_ends_on_the_same_grid(choices, ab):
    """However long AB was: B has what it left."""
    budget = FastBudget(a=4, ab=4, b=12, batch=4, side=24)
    config = GnerfConfig(grid=Fast(smoke=budget, coarse_side=8), **choices)
    bounds = Bounds(centre=(0.0, 0.0, 0.0), half_size=1.0, near=2.0, far=6.0)
    generator = GridGenerator(bounds, torch.ones(3), config.grid, budget, rng())
    shapes = []
    for iteration in walk(config, "smoke", ab):
        generator.advance(iteration)
        shapes.append(generator.field.shape)
    assert len(shapes) == 20
    assert shapes[0] == (8, 8, 8) and shapes[-1] == (24, 24, 24)


def test_the_plan_of_a_schedule_deals_out_what_an_effort_has():
    assert Plan.of("A-AB-B", 12, 8, 20).phases == {"A": 12, "AB": 8, "B": 20}
    assert Plan.of("A-B", 12, 8, 20).phases == {"A": 12, "B": 28}
    assert Plan.of("AB", 12, 8, 20).phases == {"AB": 40}
    assert Plan.of("B", 12, 8, 20).phases == {"B": 40}
    assert Plan.of("A-AB-B", 12, 8, 20, photometric=False).phases == {"A": 12, "AB": 28}
    assert Plan.of("A-AB-B", 12, 8, 20).length("B", before=12 + 5) == 23


def test_spectral_normalisation_has_settled_before_the_first_step():
    network = Discriminator(3, (64, 128, 32), rng())
    for layer in (network.look[0], network.judge[1]):
        network(torch.zeros(2, 3, SIDE, SIDE), torch.ones(2, 1))
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1.0, abs=0.02)


def test_the_penalty_is_the_squared_slope_of_the_logits_on_real_patches():
    network = Discriminator(3, (16, 32, 16), rng()).double().eval()
    real, fake = torch.rand(2, 4, 3, SIDE, SIDE, dtype=torch.float64, generator=rng())
    scale = torch.rand(4, 1, dtype=torch.float64, generator=rng())
    with_it, without = (
        discriminator_loss(network, real, scale, fake, scale, r1, lambda patches: patches).item() for r1 in (1.0, 0.0)
    )  # fmt: skip
    direction = torch.randn(real.shape, dtype=torch.float64, generator=rng(1))
    real.requires_grad_()
    (slope,) = torch.autograd.grad(network(real, scale).sum(), real)
    step = 1e-5 * direction
    with torch.no_grad():
        rise = (network(real + step, scale) - network(real - step, scale)).sum() / 2
    assert rise.item() == pytest.approx((slope * step).sum().item(), rel=1e-3)
    assert with_it - without == pytest.approx(slope.square().sum().item() / 4, rel=1e-6)


def test_the_penalty_is_on_patches_before_they_are_augmented():
    """Doubling an image doubles the slope at the image itself, and leaves that at its double."""
    network = Discriminator(3, (16, 32, 16), rng()).double().eval()
    real, fake = torch.rand(2, 4, 3, SIDE, SIDE, dtype=torch.float64, generator=rng())
    scale = torch.rand(4, 1, dtype=torch.float64, generator=rng())

    def penalty(real, augmented):
        losses = [discriminator_loss(network, real, scale, fake, scale, r1, augmented).item() for r1 in (1.0, 0.0)]
        return losses[0] - losses[1]

    assert penalty(real, lambda patches: 2 * patches) == pytest.approx(4 * penalty(2 * real, lambda p: p), rel=1e-6)


def test_augmentation_is_differentiable_and_cuts_holes_of_half_the_side():
    images = torch.rand(400, 3, SIDE, SIDE, generator=rng()).requires_grad_()
    changed = augment(images, rng())
    changed.sum().backward()
    assert images.grad.abs().sum() > 0
    holes = (changed == 0).all(dim=1)  # (B, SIDE, SIDE)
    heights, widths = holes.any(dim=2).sum(dim=1), holes.any(dim=1).sum(dim=1)
    assert (heights * widths == holes.flatten(1).sum(dim=1)).all()  # rectangles
    for sizes in (heights, widths):  # whole where the middle is 4 px from the border: 9 of 17 places
        assert sizes.min() == 4 and sizes.max() == 8
        assert (sizes == 8).float().mean() == pytest.approx(9 / 17, abs=0.08)


@pytest.mark.parametrize("channels", [1, 3])
def test_inversion_networks_take_one_channel_or_three(channels):
    images = torch.rand(2, channels, 32, 32, generator=rng())
    assert Cnn(channels, 32, 32, 7, rng())(images).shape == (2, 7)
    assert Vit(channels, 32, 9, rng(), depth=1)(images).shape == (2, 9)
