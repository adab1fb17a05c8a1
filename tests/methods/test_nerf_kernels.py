"""The fused kernels do what the plain torch march does, gradients included."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from methods.nerf.backends.numba_cpu.fused import Grid, Records
from methods.nerf.backends.numba_cpu.sparse_adam import SparseAdam, merged
from methods.nerf.backends.numba_cpu.threads import set_threads, spread
from methods.nerf.config import FieldConfig
from methods.nerf.field.bounds import Bounds
from methods.nerf.field.grid import GridField
from methods.nerf.field.occupancy import refresh
from methods.nerf.images.posed_images import Batch
from methods.nerf.training.grid_training import DenseAdam, Priors, Rate

RAYS = 300


@pytest.fixture(autouse=True)
def _two_threads():
    set_threads(2)


def a_field(*, channels: int = 3, contract: bool = False, side: int = 20, **choices) -> GridField:
    """A random grid with a large empty part, so that there is something to skip."""
    generator = torch.Generator().manual_seed(0)
    bounds = Bounds(
        centre=(0.3, 0, 0), half_size=2.0, near=0.5, far=40.0 if contract else 7.0, contract=contract, away=3.0
    )
    config = FieldConfig(**{"density_gain": 20.0, "min_alpha": 1e-4, **choices})
    field = GridField.empty(bounds, torch.rand(channels, generator=generator), config, side)
    with torch.no_grad():
        field.density.copy_(2 * torch.randn(field.shape, generator=generator) - 2)
        field.density[: side // 2 - 1] = -15
        field.colour.copy_(torch.randn(field.colour.shape, generator=generator))
    refresh(field)
    return field


def in_torch(field: GridField) -> GridField:
    """The same field, rendered by the reference."""
    config = field.config.model_copy(update={"backend": "torch"})
    other = GridField(field.bounds, field.background, config, field.shape, field.low, field.voxel)
    other.load_state_dict(field.state_dict())
    return other


def some_rays(count: int = RAYS) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    directions = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    return 0.5 * torch.randn(count, 3, generator=generator) - 3 * directions, directions


def gradients_of(field: GridField) -> dict[str, torch.Tensor]:
    """What a random linear loss over colour and opacity is and how it depends on everything."""
    origins, directions = (part.clone().requires_grad_() for part in some_rays())
    shade = field.shade(origins, directions, torch.Generator().manual_seed(2))
    generator = torch.Generator().manual_seed(3)
    loss = (shade.colour * torch.randn(shade.colour.shape, generator=generator)).sum()
    (loss + (shade.opacity * torch.randn(RAYS, generator=generator)).sum()).backward()
    found = {
        "colour": shade.colour, "opacity": shade.opacity, "depth": shade.depth, "by origin": origins.grad,
        "by direction": directions.grad, "by density": field.density.grad, "by raw colour": field.colour.grad,
    }  # fmt: skip
    return {name: value.detach() for name, value in found.items() if value is not None}


@pytest.mark.parametrize(
    ("channels", "degree", "contract"), [(3, 1, False), (3, 1, True), (1, 0, False)],
    ids=["colour", "unbounded", "silhouette"],
)  # fmt: skip
def test_values_and_all_gradients_equal_those_of_the_torch_reference(channels, degree, contract):
    field = a_field(channels=channels, sh_degree=degree, contract=contract)
    assert field.clearance.max() > 2  # something is jumped over
    fused, reference = gradients_of(field), gradients_of(in_torch(field))
    assert fused.keys() == reference.keys() and len(fused) == 7
    for name, expected in reference.items():
        # single precision, sums of up to a hundred terms
        tolerance = 2e-4 * expected.abs().max()
        assert torch.allclose(fused[name], expected, rtol=1e-3, atol=float(tolerance)), name


def test_ray_gradients_equal_finite_differences():
    field = a_field()
    with torch.no_grad():  # smooth, dense and in no danger of a threshold: derivatives exist everywhere
        x = torch.linspace(-2, 2, 20)
        field.density.copy_(torch.sin(x)[:, None, None] + torch.cos(x)[None, :, None] - 3 + 0 * x)
    field.clearance.zero_()
    origins, directions = (part[:40] for part in some_rays())
    weights = torch.randn(40, 3, generator=torch.Generator().manual_seed(4))

    def loss(o: torch.Tensor) -> torch.Tensor:
        return (field.shade(o, directions).colour * weights).sum(dim=1)

    inside = origins.clone().requires_grad_()
    loss(inside).sum().backward()
    assert inside.grad is not None
    h = 2e-3
    for axis in range(3):
        shift = torch.zeros(3)
        shift[axis] = h
        with torch.no_grad():
            slope = (loss(origins + shift) - loss(origins - shift)) / (2 * h)
        # A trilinear field has kinks at voxel borders and rays enter and leave: hold the typical ray, tightly.
        error = (slope - inside.grad[:, axis]).abs() / (slope.abs() + 0.05)
        assert error.median() < 0.02


def test_nothing_is_lost_by_skipping_empty_space():
    field = a_field()
    origins, directions = some_rays()
    skipping = field.shade(origins, directions).over(field.background)
    field.clearance.zero_()
    assert torch.allclose(field.shade(origins, directions).over(field.background), skipping, atol=1e-5)


def a_batch(count: int = RAYS) -> Batch:
    origins, directions = some_rays(count)
    colours = torch.rand(count, 3, generator=torch.Generator().manual_seed(5))
    return Batch(origins=origins, directions=directions, colours=colours)


def test_a_fused_training_step_is_the_step_of_adam():
    field = a_field()
    reference, jitter = in_torch(field), torch.full((RAYS,), 0.25)
    sparse, dense = SparseAdam(field), DenseAdam(reference)
    rate = Rate(density=0.1, colour=0.05)
    losses = [learner.learn(a_batch(), jitter) for learner in (sparse, dense)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert reference.density.grad is not None
    grad = reference.density.grad.clone()
    sparse.step(rate)
    dense.step(rate)
    sure = grad.abs() > 1e-6  # far above rounding, so that the sign, which is all of a first step, is certain
    assert sure.sum() > 500
    assert torch.allclose(field.density[sure], reference.density[sure], atol=1e-3)


def test_gradients_through_autograd_are_spent_by_the_same_optimiser():
    direct, chained = a_field(), a_field()
    jitter = torch.full((RAYS,), 0.5)
    one, other = SparseAdam(direct), SparseAdam(chained)
    one.learn(a_batch(), jitter)
    batch = a_batch()
    origins = batch.origins.clone().requires_grad_()
    torch.nn.functional.mse_loss(chained.render_rays(origins, batch.directions), batch.colours).backward()
    assert chained.density.grad is None and origins.grad is not None and origins.grad.abs().sum() > 0
    for learner in (one, other):
        learner.step(Rate(density=0.1, colour=0.1))
    assert (direct.density - a_field().density).abs().max() > 0.05
    close = (direct.density - chained.density).abs() < 1e-3
    assert close.float().mean() > 0.999  # where a gradient is all rounding, its sign is free


def test_two_backward_passes_are_one_gradient():
    field = a_field()
    learner, grid, pending = SparseAdam(field), Grid(field), []
    for jitter in (0.25, 0.75):
        learner.learn(a_batch(), torch.full((RAYS,), jitter))
        last = learner._pending[-1]
        copies = {name: getattr(last, name).copy() for name in ("values", "owners", "counts")}
        pending.append(replace(last, **copies))

    def total(records: Records) -> np.ndarray:
        from methods.nerf.backends.numba_cpu import scatter

        sums = np.zeros_like(grid.density), np.zeros_like(grid.colour)
        spread(scatter.gradients, grid.size[0], 4, *grid.scatter(records), *sums)
        return sums[1]

    assert np.allclose(total(merged(pending, grid)), total(pending[0]) + total(pending[1]), atol=1e-7)


def test_a_training_step_is_the_same_for_any_number_of_threads():
    results = []
    for threads in (1, 2):
        set_threads(threads)
        field = a_field()
        learner = SparseAdam(field)
        for jitter in (0.2, 0.6):
            learner.learn(a_batch(), torch.full((RAYS,), jitter))
            learner.step(Rate(density=0.1, colour=0.1), Priors(sparsity=1e-7, tv_density=1e-6, tv_colour=1e-6))
        results.append((field.density.detach().clone(), field.colour.detach().clone()))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("contract", [False, True])
def test_learning_reaches_the_rays_as_in_the_torch_reference(contract):
    field = a_field(contract=contract)
    jitter = torch.rand(RAYS, generator=torch.Generator().manual_seed(6))
    found = []
    for one, learner in ((field, SparseAdam), (in_torch(field), DenseAdam)):
        batch = a_batch()
        origins, directions = batch.origins.clone().requires_grad_(), batch.directions.clone().requires_grad_()
        error = learner(one).learn(replace(batch, origins=origins, directions=directions), jitter)
        found.append((error, origins.grad, directions.grad))
    (fused, *slopes), (reference, *expected) = found
    assert fused == pytest.approx(reference, rel=1e-4)
    for slope, other in zip(slopes, expected, strict=True):
        assert other.abs().max() > 0
        assert torch.allclose(slope, other, rtol=1e-3, atol=2e-4 * float(other.abs().max()))
