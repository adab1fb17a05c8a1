"""Every back end that can run here does what plain torch does: values, all gradients, and the steps taken on them."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from methods.nerf.backends import torch_reference
from methods.nerf.backends.base import GridBackend, Priors, Rates
from methods.nerf.backends.numba_cpu import backend as numba_cpu
from methods.nerf.backends.select import select_backend, set_threads
from methods.nerf.config import FieldConfig
from methods.nerf.field.bounds import Bounds
from methods.nerf.field.grid import GridField
from methods.nerf.field.occupancy import refresh
from methods.nerf.rendering.sampling import marching_edges

GPU = torch.cuda.is_available()
BACKENDS: dict[str, GridBackend] = {"torch": torch_reference, "numba": numba_cpu}
if importlib.util.find_spec("triton"):
    if not GPU:
        os.environ["TRITON_INTERPRET"] = "1"  # read where a kernel is defined: without a GPU it is interpreted
    from methods.nerf.backends.triton_cuda import backend as triton_cuda

    BACKENDS["triton"] = triton_cuda
if GPU:
    BACKENDS["torch on the GPU"] = torch_reference
HOME = {name: "cuda" if GPU and name in ("triton", "torch on the GPU") else "cpu" for name in BACKENDS}
"""Where each back end computes. The reference that it is held to is torch on the CPU."""

OTHERS = {name: backend for name, backend in BACKENDS.items() if name != "torch"}
RAYS = 300
KINDS = {"colour": (3, 1, False), "unbounded": (3, 1, True), "silhouette": (1, 0, False)}
"""Channels, degree of the harmonics, contracted space."""


@pytest.fixture(autouse=True)
def _two_threads(monkeypatch):
    set_threads(2)
    if "triton" in BACKENDS and not GPU:  # its interpreter takes seconds for a program, however many rays that has
        monkeypatch.setattr(triton_cuda, "RAYS", 512)
        monkeypatch.setattr(triton_cuda, "VOXELS", 8192)


def a_field(
    *, channels: int = 3, degree: int = 1, contract: bool = False, side: int = 20, at: str = "cpu",
) -> GridField:  # fmt: skip
    """A random grid with a large empty part, so that there is something to skip; on device `at`."""
    generator = torch.Generator().manual_seed(0)
    bounds = Bounds(
        centre=(0.3, 0, 0),
        half_size=2.0,
        near=0.5,
        far=40.0 if contract else 7.0,
        contract=contract,
        camera_distance=3.0,
        shell=0.6 if contract else 1.0,  # the kernels know any: joint training has 1
    )
    config = FieldConfig(density_gain=20.0, min_alpha=1e-4, sh_degree=degree)
    field = GridField.empty(bounds, torch.rand(channels, generator=generator), config, side)
    with torch.no_grad():
        field.density.copy_(2 * torch.randn(field.shape, generator=generator) - 2)
        field.density[: max(0, side // 2 - 1)] = -15
        field.colour.copy_(torch.randn(field.colour.shape, generator=generator))
    refresh(field)
    return field.to(at)


def some_rays(
    count: int = RAYS, *, miss: bool = False, at: str = "cpu"
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Origins, directions and jitter of rays towards the grid, or away from it; on device `at`."""
    generator = torch.Generator().manual_seed(1)
    directions = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    origins = 0.5 * torch.randn(count, 3, generator=generator) - 3 * directions
    if miss:
        origins, directions = origins + 50, torch.nn.functional.normalize(directions.abs(), dim=-1)
    return origins.to(at), directions.to(at), torch.rand(count, generator=generator).to(at)


def some_targets(at: str = "cpu", count: int = RAYS) -> torch.Tensor:
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(5)).to(at)


def gradients_of(backend: GridBackend, field: GridField, rays: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
    """What a random linear loss over colour and opacity is and how it depends on everything, on the CPU."""
    origins, directions = (part.clone().to(field.device).requires_grad_() for part in rays[:2])
    field.zero_grad(set_to_none=True)
    seen = backend.render(field.view(), field.ray_batch(origins, directions, rays[2].to(field.device)), None)
    generator = torch.Generator().manual_seed(3)
    loss = (seen.colour * torch.randn(seen.colour.shape, generator=generator).to(field.device)).sum()
    (loss + (seen.opacity * torch.randn(len(origins), generator=generator).to(field.device)).sum()).backward()
    found = {
        **seen._asdict(), "by origin": origins.grad, "by direction": directions.grad, "by density": field.density.grad,
        "by raw colour": field.colour.grad,
    }  # fmt: skip
    return {name: value.detach().cpu() for name, value in found.items() if value is not None}


def compared(name: str, rays: tuple[torch.Tensor, ...], **like) -> list[dict[str, torch.Tensor]]:
    """`gradients_of` a back end and of the reference, for the same field, which is `like` this."""
    return [
        gradients_of(backend, a_field(**like, at=at), rays)
        for backend, at in ((BACKENDS[name], HOME[name]), (torch_reference, "cpu"))
    ]


def assert_close(found: torch.Tensor, expected: torch.Tensor, name: str = "") -> None:
    """In single precision, after sums of hundreds of terms, up to gain * length = 40 each, that may cancel."""
    scale = float(expected.abs().max()) if expected.numel() else 0.0
    assert torch.allclose(found, expected, rtol=1e-3, atol=2e-4 * scale + 2e-5), name


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("kind", KINDS)
def test_values_and_all_gradients_equal_those_of_the_torch_reference(kind, name):
    channels, degree, contract = KINDS[kind]
    like = {"channels": channels, "degree": degree, "contract": contract}
    assert a_field(**like).clearance.max() > 2  # something is jumped over
    found, reference = compared(name, some_rays(), **like)
    assert found.keys() == reference.keys() and len(found) == 7
    for part, expected in reference.items():
        assert expected.abs().max() > 0
        assert_close(found[part], expected, part)


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize(("side", "rays"), [(20, 1), (2, RAYS), (2, 1)])
def test_one_ray_and_a_grid_of_two_voxels_are_no_special_cases(side, rays, name):
    found, reference = compared(name, some_rays(rays), side=side)
    for part, expected in reference.items():
        assert_close(found[part], expected, part)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("rays", [some_rays(0), some_rays(miss=True)], ids=["no rays", "rays that miss"])
@pytest.mark.parametrize(("contract", "distortion"), [(False, 0.0), (True, 0.0), (True, 0.5)])
def test_a_batch_that_meets_nothing_sees_nothing_and_teaches_nothing(contract, distortion, rays, name):
    backend, field = BACKENDS[name], a_field(contract=contract, at=HOME[name])
    if contract:  # all of space is in the grid: it must be empty for a ray to miss
        with torch.no_grad():
            field.density.fill_(-30.0)
        refresh(field)
    found = gradients_of(backend, field, rays)
    assert found["colour"].shape == (len(rays[0]), 3)
    assert all(not value.any() for value in found.values())
    field.zero_grad(set_to_none=True)
    before = [part.detach().clone() for part in (field.density, field.colour)]
    sink = backend.new_sink(field.view(), 0.9)
    targets = some_targets(HOME[name], len(rays[0]))
    here = field.ray_batch(*(part.to(HOME[name]) for part in rays))
    error = backend.accumulate(field.view(), here, targets, field.background, sink, distortion)
    assert float(error) == pytest.approx(float((field.background - targets).square().mean().nan_to_num()), rel=1e-5)
    backend.step(field.view(), sink, Rates(density=0.1, colour=0.1), Priors())
    assert all(torch.equal(a, b) for a, b in zip(before, (field.density, field.colour), strict=True))


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("contract", [False, True])
@pytest.mark.parametrize("distortion", [0.0, 0.5])
def test_what_is_accumulated_is_the_gradient_of_the_error_and_the_distortion(distortion, contract, name):
    """To the rays: the same numbers. To the voxels: the same first step of Adam, wherever its sign is certain."""
    rates, results = Rates(density=0.1, colour=0.05), []
    sure = torch.ones(())
    for backend, at in ((torch_reference, "cpu"), (OTHERS[name], HOME[name])):
        field, targets = a_field(contract=contract, at=at), some_targets(at)
        origins, directions, jitter = some_rays(at=at)
        origins, directions = origins.requires_grad_(), directions.requires_grad_()
        sink = backend.new_sink(field.view(), 0.9)
        rays = field.ray_batch(origins, directions, jitter)
        error = backend.accumulate(field.view(), rays, targets, field.background, sink, distortion)
        if field.density.grad is not None:
            sure = field.density.grad.abs().cpu() > 1e-6  # far above rounding; the sign is all of a first step
            assert sure.sum() > 500
        backend.step(field.view(), sink, rates, Priors())
        assert origins.grad is not None and directions.grad is not None
        results.append((float(error), origins.grad.cpu(), directions.grad.cpu(), field.density.detach().cpu()))
    (error, *slopes, density), (other, *others, moved) = results
    assert other == pytest.approx(error, rel=1e-4)
    for slope, expected in zip(others, slopes, strict=True):
        assert expected.abs().max() > 0
        assert_close(slope, expected)
    assert torch.allclose(moved[sure], density[sure], atol=1e-3)


@pytest.mark.parametrize("camera_distance", [None, 1.0])
def test_the_distortion_loss_is_that_of_all_pairs_of_samples(camera_distance):
    """Barron et al. 2022, eq. 15, as it stands there."""
    step = 0.4
    edges = torch.from_numpy(marching_edges(0.5, 9.0, step, camera_distance=camera_distance)).double()
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(3, len(edges) - 1, generator=generator, dtype=torch.float64)
    weights /= weights.sum(dim=1, keepdim=True)
    weights[2] = torch.eye(len(edges) - 1)[4]  # all in one place: what is left is the interval itself
    view = a_field(contract=camera_distance is not None).view()._replace(edges=edges, camera_distance=camera_distance)
    middles = (edges[1:] + edges[:-1]) / 2
    place = middles if camera_distance is None else torch.where(middles < 2, middles, 2 + (middles - 1).log())
    within = step / 3 * weights.square().sum(dim=1)
    expected = (weights[:, :, None] * weights[:, None] * (place[:, None] - place).abs()).sum(dim=(1, 2)) + within
    found = torch_reference.spread_of(view, middles.expand(3, -1), weights)
    assert torch.allclose(found, expected, rtol=1e-6)
    assert float(found[2]) == pytest.approx(step / 3)


def test_where_intervals_grow_places_are_counted_as_if_they_did_not():
    step = 0.02
    edges = torch.from_numpy(marching_edges(0.5, 9.0, step, camera_distance=1.0)).double()
    view = a_field(contract=True).view()._replace(edges=edges, camera_distance=1.0)
    count = len(edges) - 1
    ends = torch.eye(count, dtype=torch.float64)[[0, count // 2]] + torch.eye(count, dtype=torch.float64)[-1]
    apart = torch_reference.spread_of(view, (edges[1:] + edges[:-1]).expand(2, -1) / 2, ends) - 2 * step / 3
    assert torch.allclose(apart / 2, step * (count - 1 - torch.tensor([0.0, count // 2])).double(), rtol=step)


@pytest.mark.parametrize("name", BACKENDS)
def test_two_batches_before_a_step_are_one_gradient(name):
    """Twice half the rays, against all of them at once: gradients through autograd and accumulated ones add up."""
    backend, targets, at = BACKENDS[name], some_targets(HOME[name]), HOME[name]
    moved = []
    for cuts in ([slice(0, RAYS)], [slice(0, RAYS // 2), slice(RAYS // 2, RAYS)]):
        field = a_field(side=12, at=at)
        sink = backend.new_sink(field.view(), 0.9)
        for cut in cuts:
            rays = field.ray_batch(*(part[cut] for part in some_rays(at=at)))
            backend.accumulate(field.view(), rays, targets[cut], field.background, sink)
        seen = backend.render(field.view(), field.ray_batch(*some_rays(at=at)), sink)
        seen.opacity.sum().mul(len(cuts) * 1e-3).backward()  # the mean over half the rays weighs each twice
        backend.step(field.view(), sink, Rates(density=0.1, colour=0.1), Priors())
        assert sink.steps == 1
        moved.append(field.density.detach() - a_field(side=12, at=at).density)
    sure = moved[0].abs() > 0.099  # far above epsilon, so that the first step of Adam is the same at any scale
    assert sure.sum() > 300
    assert torch.allclose(moved[1][sure], moved[0][sure], atol=1e-3)


@pytest.mark.parametrize("name", BACKENDS)
def test_ray_gradients_equal_finite_differences(name):
    at = HOME[name]
    field = a_field(at=at)
    with torch.no_grad():  # smooth, dense and in no danger of a threshold: derivatives exist everywhere
        x = torch.linspace(-2, 2, 20, device=at)
        field.density.copy_(torch.sin(x)[:, None, None] + torch.cos(x)[None, :, None] - 3 + 0 * x)
    field.clearance.zero_()
    origins, directions, jitter = some_rays(40, at=at)
    weights = torch.randn(40, 3, generator=torch.Generator().manual_seed(4)).to(at)

    def loss(o: torch.Tensor) -> torch.Tensor:
        seen = BACKENDS[name].render(field.view(), field.ray_batch(o, directions, jitter), None)
        return (seen.colour * weights).sum(dim=1)

    inside = origins.clone().requires_grad_()
    loss(inside).sum().backward()
    assert inside.grad is not None
    h = 2e-3
    for axis in range(3):
        shift = torch.zeros(3, device=at)
        shift[axis] = h
        with torch.no_grad():
            slope = (loss(origins + shift) - loss(origins - shift)) / (2 * h)
        # A trilinear field has kinks at voxel borders and rays enter and leave: hold the typical ray, tightly.
        error = (slope - inside.grad[:, axis]).abs() / (slope.abs() + 0.05)
        assert error.median() < 0.02


@pytest.mark.parametrize("name", BACKENDS)
def test_nothing_is_lost_by_skipping_empty_space(name):
    field, rays = a_field(at=HOME[name]), some_rays(at=HOME[name])
    skipping = BACKENDS[name].render(field.view(), field.ray_batch(*rays), None)
    field.clearance.zero_()
    whole = BACKENDS[name].render(field.view(), field.ray_batch(*rays), None)
    assert torch.allclose(whole.colour, skipping.colour, atol=1e-5)


@pytest.mark.parametrize("name", BACKENDS)
def test_an_optimizer_goes_on_from_its_saved_state(name):
    backend, targets, at = BACKENDS[name], some_targets(HOME[name]), HOME[name]
    set_threads(1)  # torch adds up a gradient in the order of its threads

    def steps(field: GridField, sink, count: int) -> None:
        for _ in range(count):
            backend.accumulate(field.view(), field.ray_batch(*some_rays(at=at)), targets, field.background, sink)
            backend.step(field.view(), sink, Rates(density=0.1, colour=0.1), Priors(sparsity=1e-7, tv_density=1e-6))

    whole, broken = a_field(side=8, at=at), a_field(side=8, at=at)
    steps(whole, backend.new_sink(whole.view(), 0.9), 4)
    sink = backend.new_sink(broken.view(), 0.9)
    steps(broken, sink, 2)
    again = backend.new_sink(broken.view(), 0.9)
    again.restore(sink.state(), sink.steps)
    steps(broken, again, 2)
    if at == "cpu":
        assert torch.equal(whole.density, broken.density)
    else:  # a GPU adds gradients up in any order
        assert ((whole.density - broken.density).abs() < 1e-3).float().mean() > 0.99


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("priors", [Priors(sparsity=1e-3), Priors(tv_density=1e-3), Priors(tv_colour=1e-3)])
def test_priors_pull_as_in_the_reference_wherever_rays_went(priors, name):
    moved = []
    for backend, at in ((torch_reference, "cpu"), (OTHERS[name], HOME[name])):
        field = a_field(side=8, at=at)
        sink, rays = backend.new_sink(field.view(), 0.9), field.ray_batch(*some_rays(50, at=at))
        seen = backend.render(field.view(), rays, sink)
        (0.0 * seen.opacity.sum()).backward()  # so that the priors are all there is
        backend.step(field.view(), sink, Rates(density=1e-3, colour=1e-3), priors)
        before = a_field(side=8)
        moved.append([field.density.detach().cpu() - before.density, field.colour.detach().cpu() - before.colour])
    expected, found = (parts[1 if priors.tv_colour else 0].detach() for parts in moved)
    touched = found != 0
    assert touched.sum() > 50
    assert torch.allclose(found[touched], expected[touched], atol=1e-5)


@pytest.mark.skipif("triton" not in BACKENDS, reason="triton is not installed")
def test_the_gpu_kernels_compile_without_a_gpu():
    """For an H100, to the end; the interpreter takes much that the compiler does not."""
    code = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from methods.nerf.backends.triton_cuda import kernels

def compiled(kernel, **constants):
    integers, bytes_ = {"R", "S", "X", "Y", "Z", "voxels"}, {"clearance", "touched"}
    numbers = {"low_x", "low_y", "low_z", "voxel", "gain", "min_alpha", "min_transmittance", "camera_distance",
               "shell", "distortion"}  # fmt: skip
    kinds = {name: "i32" if name in integers else "*u8" if name in bytes_ else "fp32" if name in numbers else
             "constexpr" if name in constants else "*fp32" for name in kernel.arg_names}
    made = triton.compile(ASTSource(kernel, kinds, constants), target=GPUTarget("cuda", 90, 32))
    assert made.asm["cubin"] and made.metadata.shared < 48 * 1024  # bytes that every card has
    assert not [each.name for each in kernel.params if each.name in integers and not each.do_not_specialize]

shape = dict(C=3, K=4, CP=4, KP=4, UNBOUNDED=True, B=16)
for distorts, unbounded in ((False, True), (True, True), (True, False)):
    kind = shape | dict(DISTORTS=distorts, UNBOUNDED=unbounded)
    compiled(kernels.forward, **kind)
    compiled(kernels.backward, **kind, WANTS_VOXELS=True, WANTS_RAYS=True)
for channels, harmonics, lanes in ((1, 1, 1), (3, 9, 16)):
    kind = shape | dict(C=channels, K=harmonics, CP=channels + channels // 3, KP=lanes, DISTORTS=False)
    compiled(kernels.backward, **kind, WANTS_VOXELS=channels > 1, WANTS_RAYS=channels == 1)
compiled(kernels.add_priors, N=12, NP=16, V=64)
compiled(kernels.adam, RATE=1, N=12, NP=16, V=64)
compiled(kernels.adam, RATE=0, N=1, NP=1, V=64)
"""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_device_and_the_config_choose_the_back_end():
    assert select_backend(torch.device("cpu")) is numba_cpu
    assert select_backend(torch.device("cpu"), "torch") is torch_reference
    assert select_backend(torch.device("meta"), "numba") is torch_reference


def test_a_training_step_is_the_same_for_any_number_of_threads():
    results = []
    targets = some_targets()
    for threads in (1, 2):
        set_threads(threads)
        field = a_field()
        sink = numba_cpu.new_sink(field.view(), 0.9)
        for _ in range(2):
            numba_cpu.accumulate(field.view(), field.ray_batch(*some_rays()), targets, field.background, sink)
            priors = Priors(sparsity=1e-7, tv_density=1e-6, tv_colour=1e-6)
            numba_cpu.step(field.view(), sink, Rates(density=0.1, colour=0.1), priors)
        results.append((field.density.detach().clone(), field.colour.detach().clone()))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_gradients_through_a_field_go_to_the_sink_that_it_is_handed():
    from methods.nerf.images.posed_images import Batch
    from methods.nerf.training.grid_training import GridTraining

    origins, directions, _ = some_rays()
    targets = torch.rand(RAYS, 3, generator=torch.Generator().manual_seed(5))
    direct, chained = GridTraining(a_field()), GridTraining(a_field())
    direct.learn(Batch(origins=origins, directions=directions, colours=targets), torch.full((RAYS,), 0.5))
    moved = origins.clone().requires_grad_()
    torch.nn.functional.mse_loss(chained.field.render_rays(moved, directions), targets).backward()
    assert chained.field.density.grad is None and moved.grad is not None and moved.grad.abs().sum() > 0
    for training in (direct, chained):
        training.step(Rates(density=0.1, colour=0.1))
    assert (direct.field.density - a_field().density).abs().max() > 0.05
    close = (direct.field.density - chained.field.density).abs() < 1e-3
    assert close.float().mean() > 0.999  # where a gradient is all rounding, its sign is free
    assert chained.finish().sink is None


def test_records_of_several_marches_add_up():
    from methods.nerf.backends.numba_cpu import scatter
    from methods.nerf.backends.numba_cpu.sparse_adam import merged
    from methods.nerf.backends.numba_cpu.structs import POSITION, grid_arrays
    from methods.nerf.backends.numba_cpu.threads import parallel_for

    field, targets = a_field(), torch.rand(RAYS, 3, generator=torch.Generator().manual_seed(5))
    grid, pending = grid_arrays(field.view()), []
    for jitter in (0.25, 0.75):
        sink = numba_cpu.new_sink(field.view(), 0.9)
        rays = field.ray_batch(*some_rays()[:2], torch.full((RAYS,), jitter))
        numba_cpu.accumulate(field.view(), rays, targets, field.background, sink)
        pending.append(sink.take())

    def total(records) -> np.ndarray:
        sums = np.zeros_like(grid.density), np.zeros_like(grid.colour)
        parallel_for(scatter.gradients, grid.size[0], 4, scatter.by_layer(records, grid), grid, *sums)
        return sums[1]

    assert np.allclose(total(merged(pending, POSITION + 3)), total(pending[0]) + total(pending[1]), atol=1e-7)
