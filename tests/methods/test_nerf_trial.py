"""The trial of fused kernels, before a GPU's fits are given to them: here of back ends that run on the CPU."""

import importlib.util
import os
from types import SimpleNamespace

import pytest
import torch

from methods.nerf.backends import select, torch_reference, trial
from methods.nerf.backends.base import Rates
from methods.nerf.backends.numba_cpu import backend as numba_cpu

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read where triton's own kernels are defined: there these are interpreted

CPU, GPU = torch.device("cpu"), torch.device("cuda")
TRITON = pytest.mark.skipif(not importlib.util.find_spec("triton"), reason="triton is not installed")


def changed(**calls) -> SimpleNamespace:
    """numba's back end with some of its calls replaced."""
    names = ("new_sink", "render", "accumulate", "step")
    return SimpleNamespace(**{name: calls.get(name) or getattr(numba_cpu, name) for name in names})


def without_distortion(grid, rays, targets, background, sink, distortion=0.0):
    return numba_cpu.accumulate(grid, rays, targets, background, sink)


def dimmer(grid, rays, sink):
    seen = numba_cpu.render(grid, rays, sink)
    return seen._replace(colour=0.99 * seen.colour)


def without_voxels_distortion(grid, rays, targets, background, sink, distortion=0.0):
    """Right to the rays alone."""
    if distortion:
        spare = numba_cpu.new_sink(grid, 0.9)
        error = numba_cpu.accumulate(grid, rays, targets, background, spare, distortion)
        still = rays._replace(
            origins=rays.origins.detach(), directions=rays.directions.detach(), basis=rays.basis.detach()
        )
        numba_cpu.accumulate(grid, still, targets, background, sink)
        return error
    return numba_cpu.accumulate(grid, rays, targets, background, sink)


def without_priors(grid, sink, rates, priors):
    numba_cpu.step(grid, sink, rates, priors._replace(tv_colour=0.0))


def forgetful(grid, sink, rates, priors):
    """Every step is the first one."""
    if sink.steps:
        rates = Rates(rates.density / 2, rates.colour / 2)
    numba_cpu.step(grid, sink, rates, priors)


def pulled(grid, rays, targets, background, sink, distortion=0.0):
    error = numba_cpu.accumulate(grid, rays, targets, background, sink, distortion)
    if rays.origins.grad is not None:
        rays.origins.grad *= 1.01
    return error


def backwards(grid, sink, rates, priors):
    numba_cpu.step(grid, sink, Rates(-rates.density, rates.colour), priors)


def failing(grid, rays, sink):
    raise RuntimeError("out of resource:\n  shared memory")


def unseen(grid, rays, sink):
    seen = numba_cpu.render(grid, rays, sink)
    return seen._replace(opacity=seen.opacity * torch.nan)


@pytest.mark.parametrize("backend", [torch_reference, numba_cpu], ids=["torch", "numba"])
def test_back_ends_that_are_right_pass(backend):
    """Whoever asks: a process that has only rendered so far has gradients switched off."""
    assert trial.fault_of(backend, CPU) == ""
    with torch.no_grad():
        assert trial.fault_of(backend, CPU) == ""
    with torch.inference_mode():
        assert trial.fault_of(backend, CPU) == ""


@TRITON
def test_the_gpu_kernels_pass_in_their_interpreter(monkeypatch):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU: the next test asks it")
    from methods.nerf.backends.triton_cuda import backend

    monkeypatch.setattr(backend, "RAYS", 32)
    monkeypatch.setattr(backend, "VOXELS", 8192)
    monkeypatch.setattr(trial, "RAYS", 8)
    monkeypatch.setattr(trial, "STEP", 1.0)
    monkeypatch.setattr(trial, "KINDS", trial.KINDS[1:3])
    assert trial.fault_of(backend, CPU) == ""


@pytest.mark.skipif("not torch.cuda.is_available()", reason="no GPU")
def test_the_gpu_kernels_pass_on_the_gpu():
    assert trial.fault(GPU) == ""


@pytest.mark.parametrize(
    ("calls", "said"),
    [
        ({"render": dimmer}, "colour is not what plain torch comes to"),
        ({"render": unseen}, "opacity is not"),
        ({"accumulate": without_distortion}, "the accumulated gradient of origins is not"),
        ({"accumulate": without_voxels_distortion}, "the step of density by distortion is not"),
        ({"accumulate": pulled}, "the accumulated gradient of origins is not"),
        ({"step": backwards}, "the step of density by distortion is not"),
        ({"step": forgetful}, "the step of density is not"),
        ({"step": without_priors}, "the step of colour by priors is not"),
        ({"render": failing}, "a trial step failed (RuntimeError: out of resource: shared memory)"),
    ],
)
def test_those_that_are_not_are_told(calls, said):
    found = trial.fault_of(changed(**calls), CPU)
    assert said in found and "\n" not in found


@TRITON
def test_a_verdict_is_kept_beside_what_was_compiled_and_no_refusal_is(monkeypatch, tmp_path):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a card")
    asked = []

    def found(backend, device):
        asked.append(device)
        return "" if len(asked) > 1 else "no compiler"

    monkeypatch.setattr(trial, "fault_of", found)
    ask = trial.fault.__wrapped__  # as each process does once
    with pytest.warns(UserWarning, match="backend=auto is plain torch on cuda, which is slow: no compiler"):
        assert ask(GPU) == "no compiler"
    assert [ask(GPU) for _ in range(3)] == ["", "", ""]
    assert len(asked) == 2
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "another")
    assert ask(GPU) == "" and len(asked) == 3
    monkeypatch.setenv("TRITON_CACHE_DIR", "/proc/none")  # nothing can be kept: it is asked each time, and answered
    assert ask(GPU) == ask(GPU) == "" and len(asked) == 5


@TRITON
def test_what_auto_is_on_a_gpu_is_for_the_trial_to_say(monkeypatch):
    from methods.nerf.backends.triton_cuda import backend as triton_cuda

    monkeypatch.setattr(select, "fault", lambda device: "")
    assert select.select_backend(GPU) is triton_cuda
    monkeypatch.setattr(select, "fault", lambda device: "no compiler")
    assert select.select_backend(GPU) is torch_reference
    assert select.select_backend(GPU, "triton") is triton_cuda  # a person who asks for it sees what fails
    assert select.select_backend(GPU, "torch") is torch_reference
    assert select.select_backend(CPU) is numba_cpu


@TRITON
def test_what_triton_compiles_is_counted(monkeypatch):
    import triton

    from methods.nerf.backends.triton_cuda import compiling

    heard = []
    monkeypatch.setattr(triton.knobs.compilation, "listener", lambda **said: heard.append(said["cache_hit"]))
    listener = compiling.Compiling()
    before = select.compiling_seconds()
    for cache_hit in (False, True):
        listener(src=None, metadata={}, metadata_group={}, times=SimpleNamespace(total=2_500_000), cache_hit=cache_hit)
    assert listener.seconds == pytest.approx(2.5) and heard == [False, True]
    monkeypatch.setattr(compiling.COMPILING, "seconds", compiling.COMPILING.seconds + 2)
    assert select.compiling_seconds() == pytest.approx(before + 2)
