"""`unposed doctor` has each device take a step, in a process that may fail: really on the CPU, faked on GPUs."""

import pytest

from bench.runner import device_steps
from bench.runner.device_steps import gpus, look, step_on
from bench.runner.doctor import examine
from bench.runner.executors import isolation
from methods.nerf.training import one_step

CPU = {"backend": "numba_cpu", "first_seconds": 21.0, "seconds": 0.004}
H100 = {
    "backend": "triton_cuda", "first_seconds": 0.85, "seconds": 0.012, "card": "NVIDIA H100 80GB HBM3",
    "free_gb": 78.51, "total_gb": 79.1,
}  # fmt: skip


def test_the_cpu_takes_its_step_in_a_worker():
    said = step_on("cpu")
    assert not isinstance(said, str), said
    assert said["backend"] == "numba_cpu"
    assert 0 < said["seconds"] < 1


def test_torch_says_in_a_process_of_its_own_how_many_gpus_there_are(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus() == 0


@pytest.mark.parametrize(
    ("code", "said"),
    [("import os; os.abort()", "that process ended with code -6"), ("raise OSError('no driver')", "OSError: no driver"),
     ("import time; time.sleep(60)", "no answer after 1 s")],
)  # fmt: skip
def test_a_driver_that_crashes_or_hangs_when_asked_is_told(monkeypatch, code, said):
    monkeypatch.setattr(device_steps, "COUNTING", code)
    monkeypatch.setattr(device_steps, "COUNT_LIMIT", 1.0 if "sleep" in code else 60.0)
    *_, seen = look(ask=lambda device: CPU)
    assert (seen.device, seen.fine) == ("cuda", False)
    assert seen.text.startswith(f"torch cannot say which GPUs there are: {said}; see `nvidia-smi`")


@pytest.mark.parametrize(
    ("step", "limit", "said"),
    [("time:sleep_forever", 60.0, "AttributeError: module 'time' has no attribute 'sleep_forever'"),
     ("breakpoints:hang", 2.0, "killed at the time limit, after 2 s"),
     ("breakpoints:crash", 60.0, "killed by SIGSEGV")],
)  # fmt: skip
def test_a_step_that_fails_hangs_or_crashes_ends_its_own_process(monkeypatch, tmp_path, step, limit, said):
    (tmp_path / "breakpoints.py").write_text(
        "import os, time\ndef hang(device): time.sleep(3600)\ndef crash(device): os.kill(os.getpid(), 11)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    isolation.installed.cache_clear()  # what workers are shown is looked up once a process
    try:
        assert step_on("cpu", step=step, limit=limit) == said
    finally:
        isolation.installed.cache_clear()


def test_each_device_is_told_with_its_card_and_its_memory(monkeypatch):
    monkeypatch.setattr(device_steps, "processor", lambda: "AMD EPYC x 2")
    failing = "out of GPU memory: 2.00 MiB asked for, 0 bytes of 24.00 GiB free"
    answers = {"cpu": CPU, "cuda:0": H100, "cuda:1": failing}
    cpu, first, second = look(lambda: 2, answers.__getitem__)
    assert cpu == ("cpu", True, "AMD EPYC x 2: a step of a small grid by numba_cpu took 4 ms (the first, 21.0 s)")
    assert first == (
        "cuda:0", True,
        "NVIDIA H100 80GB HBM3, 78.5 of 79.1 GB free: a step of a small grid by triton_cuda took 12 ms (the first, "
        "850 ms)",
    )  # fmt: skip
    assert (second.device, second.fine) == ("cuda:1", False)
    assert second.text == f"took no step: {failing}; {device_steps._remedy('cuda:1')}"
    assert "CUDA_VISIBLE_DEVICES=" in second.text


def test_why_a_gpu_has_plain_torch_is_told():
    why = "a trial step failed (RuntimeError: Failed to find C compiler)"
    said = {**H100, "backend": "torch_reference", "instead": why}
    *_, seen = look(lambda: 1, {"cpu": CPU, "cuda:0": said}.__getitem__)
    assert seen.fine
    assert seen.text.endswith(f"; it is slow, but the fused kernels do not run here: {why}")


def test_a_step_says_why_the_fused_kernels_are_not_taken(monkeypatch):
    monkeypatch.setattr(one_step, "_steps", lambda device, config: (0.5, 0.1, 0.1, "torch_reference"))
    monkeypatch.setattr(one_step, "fault", lambda device: "no compiler")
    assert one_step.one_step("cuda")["instead"] == "no compiler"
    assert "instead" not in one_step.one_step("cpu")


@pytest.mark.parametrize(("hidden", "told"), [(None, "none"), ("", "none (CUDA_VISIBLE_DEVICES is '')")])
def test_without_a_gpu_all_goes_on_on_the_cpu(monkeypatch, hidden, told):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    *_, seen = look(lambda: 0, lambda device: CPU)
    assert seen == ("cuda", True, f"{told}: cells run on the CPU")


def test_a_device_that_fails_is_a_problem_of_the_doctor(monkeypatch, tmp_path):
    seen = [device_steps.Seen("cpu", True, "fine"), device_steps.Seen("cuda:0", False, "took no step: told to")]
    monkeypatch.setattr(device_steps, "look", lambda: iter(seen))
    found = {each.subject: each.level for each in examine(roots=(), out=tmp_path, lpips=None)}
    assert (found["cpu"], found["cuda:0"], found["torch"]) == ("ok", "problem", "ok")


def test_a_step_that_comes_to_another_result_than_plain_torch_is_a_failure(monkeypatch):
    steps = iter([(0.5, 0.1, 0.1, "triton_cuda"), (0.4, 0.1, 0.1, "torch_reference")])
    monkeypatch.setattr(one_step, "_steps", lambda device, config: next(steps))
    with pytest.raises(RuntimeError, match=r"triton_cuda came to an error of 0\.5, that of torch .* 0\.4"):
        one_step.one_step("cpu")
