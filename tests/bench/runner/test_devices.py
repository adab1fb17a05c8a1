"""What `--device` asks for, what is refused, and how cells are dealt to the devices. No GPU: torch's word is faked."""

import itertools
import json
import re
import threading
from dataclasses import replace

import pytest
import torch
from scripted_cells import make_plan

from bench.record import kinds_of_suite, read_json, read_result
from bench.runner import device_steps, devices
from bench.runner.devices import Devices, Slots, one_device
from bench.runner.executors.base import Code, Request, WorkerEnd
from bench.runner.executors.gpu import OnDevice, as_seen, sight
from bench.runner.executors.kernels import kernel_folder
from bench.runner.executors.local import LocalExecutor
from bench.runner.outlook import outlook
from bench.runner.run import run
from bench.runner.settings import Settings

CARDS = ("NVIDIA H100 80GB HBM3", "NVIDIA L4")


@pytest.fixture
def gpus(monkeypatch):
    """As on a machine with so many GPUs."""

    def have(count):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.setattr(devices, "may_have_gpu", lambda: True)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda index=0: CARDS[index])

    return have


@pytest.mark.parametrize(
    ("asked", "there", "names", "opening"),
    [
        ("cpu", 2, ("cpu",), ""),
        ("auto", 0, ("cpu",), "--device auto: on the CPU, for torch sees no CUDA device here"),
        ("auto", 2, ("cuda",), "--device auto: on cuda (NVIDIA H100 80GB HBM3)"),
        ("cuda:1", 2, ("cuda:1",), "--device cuda:1: on cuda:1 (NVIDIA L4)"),
        ("all", 1, ("cuda:0",), "--device all: on cuda:0 (NVIDIA H100 80GB HBM3)"),
        ("all", 2, ("cuda:0", "cuda:1"),
         "--device all: on cuda:0 (NVIDIA H100 80GB HBM3), cuda:1 (NVIDIA L4), 3 cells at once on each"),
        ("cuda:1, cuda", 2, ("cuda:1", "cuda:0"),
         "--device cuda:1, cuda: on cuda:1 (NVIDIA L4), cuda:0 (NVIDIA H100 80GB HBM3), 3 cells at once on each"),
    ],
)  # fmt: skip
def test_what_is_asked_for_is_made_out_and_said(gpus, asked, there, names, opening):
    gpus(there)
    devices = Devices.of(asked)
    devices.check()
    assert devices.names == names
    assert devices.opening(3) == opening
    assert devices.kind == names[0].partition(":")[0]


@pytest.mark.parametrize(
    ("asked", "there", "said"),
    [
        ("all", 0, "torch sees no CUDA device here; `unposed doctor` says more, --device cpu runs without"),
        ("cuda:0,cuda:1", 0, "torch sees no CUDA device here; `unposed doctor` says more, --device cpu runs without"),
        ("cuda:2", 2, "torch sees 2 CUDA devices here; `unposed doctor` says more, --device cpu runs without"),
        ("cuda:0,cuda:1", 1,
         "torch sees 1 CUDA device here, and no cuda:1; `unposed doctor` says more, --device cpu runs without"),
        ("cuda:0,cuda:0", 2, "cuda:0 is named twice; --workers says how many cells each has"),
        ("cuda,cuda:0", 2, "cuda:0 is named twice; --workers says how many cells each has"),
        ("cpu,cuda:0", 2, "a list names GPUs alone, as cuda:0,cuda:1, and 'cpu' is none"),
        ("auto,cuda:0", 2, "a list names GPUs alone, as cuda:0,cuda:1, and 'auto' is none"),
        ("cuda:0,", 2, "a list names GPUs alone, as cuda:0,cuda:1, and '' is none"),
        ("warp9", 2, "torch knows no such device; write cpu, cuda, cuda:1, auto or all"),
        ("cuda:0,cuda:x", 2, "torch knows no such device, and no cuda:x; write cpu, cuda, cuda:1, auto or all"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_one_sentence(gpus, asked, there, said):
    gpus(there)
    with pytest.raises(ValueError, match=f"^{re.escape(f'--device {asked}: {said}')}$"):
        Devices.of(asked).check()


def test_a_variable_that_hides_gpus_is_named(gpus, monkeypatch):
    gpus(0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert Devices.of("auto").opening().endswith("torch sees no CUDA device here (CUDA_VISIBLE_DEVICES is '')")
    with pytest.raises(ValueError, match=r"no CUDA device here \(CUDA_VISIBLE_DEVICES is ''\); "):
        Devices.of("cuda").check()


def test_what_works_on_one_device_takes_no_list(gpus, tmp_path):
    gpus(2)
    asked = {"auto": "cuda", "cuda:1": "cuda:1", "cpu": "cpu", None: "cpu"}
    assert {word: one_device(word, tmp_path).first for word in asked} == asked
    for asked in ("all", "cuda:0,cuda:1"):
        with pytest.raises(ValueError, match="this works on one device"):
            one_device(asked, tmp_path)
    with pytest.raises(ValueError, match="torch sees 2 CUDA devices"):
        one_device("cuda:2", tmp_path)


def test_threads_are_shared_by_the_cells_of_all_devices(gpus, monkeypatch, tmp_path):
    gpus(2)
    monkeypatch.setattr("bench.runner.settings.cpu_count", lambda: 16)
    settings = Settings(suite=tmp_path, devices=Devices.of("all"), workers=2)
    assert (settings.slots, settings.threads) == (4, 4)
    assert replace(settings, threads_asked=1).threads == 1
    assert Settings(suite=tmp_path, workers=2).threads == 8


@pytest.mark.parametrize("asked", ["all", "cuda:1", "cuda:0,cuda:1"])
def test_on_a_cluster_ray_chooses_the_gpu(gpus, tmp_path, asked):
    gpus(2)
    settings = Settings(suite=tmp_path, devices=Devices.of(asked), executor="ray")
    with pytest.raises(ValueError, match="with --executor ray, Ray chooses each fit's GPU: write cpu or cuda"):
        settings.check_devices()


def test_on_a_cluster_auto_is_the_cpu_and_says_how_to_have_gpus(gpus, tmp_path):
    gpus(2)
    settings = Settings(suite=tmp_path, devices=Devices.of("auto"), executor="ray").tried()
    settings.check_devices()
    assert settings.devices.names == ("cpu",)
    assert settings.opening.startswith("--device auto: on the CPU, for no node of Ray's is asked") and (
        "--device cuda has Ray choose" in settings.opening
    )


def a_suite(folder, device):
    """One with a result, said to be of this device."""
    (result,) = run(make_plan("answer"), Settings(suite=folder), print)
    assert result.provenance["device"] == "cpu"
    (path,) = folder.rglob("result.json")
    path.write_text(path.read_text().replace('"device": "cpu"', f'"device": "{device}"'))
    return folder


def test_auto_is_what_the_suite_is_of_already(gpus, tmp_path):
    """Else all of it would be fitted again, because a GPU was put in or a folder carried elsewhere."""
    cpu, cuda = (a_suite(tmp_path / kind, device) for kind, device in (("c", "cpu"), ("g", "cuda:1")))
    gpus(1)
    kept = Devices.of("auto", cpu)
    assert (kept.names, kept.opening()) == (("cpu",), "--device auto: on the CPU, as its results so far")
    assert Devices.of("auto", cuda).names == Devices.of("auto", tmp_path / "new").names == ("cuda",)
    assert Devices.of("cuda", cpu).names == ("cuda",)  # a person may have it otherwise
    gpus(0)
    assert Devices.of("auto", cpu).names == Devices.of("auto", tmp_path / "new").names == ("cpu",)
    for asked in ("auto", None):
        there = Settings(suite=cuda, devices=Devices.of(asked, cuda))  # `plan` shows what is finished
        for refuses in (there.check_devices, there.tried):
            with pytest.raises(
                ValueError, match="the suite's results are of a GPU, and torch sees no CUDA device here"
            ):
                refuses()
        assert replace(there, executor="ray").tried().devices.names == ("cuda",)  # it has GPUs of its own


def test_a_suite_of_a_gpu_is_not_begun_anew_on_the_cpu_because_the_gpu_is_busy(gpus, monkeypatch, tmp_path):
    cuda = a_suite(tmp_path / "g", "cuda")
    gpus(1)
    monkeypatch.setattr(device_steps, "step_on", lambda device: "out of GPU memory")
    said = (
        "the suite's results are of a GPU, and cuda took no step: out of GPU memory; --device cpu fits every cell again"
    )
    with pytest.raises(ValueError, match=said):
        Settings(suite=cuda, devices=Devices.of(None, cuda)).tried()


def test_of_two_kinds_the_commoner_one_is_the_suites(gpus, tmp_path):
    for name in "abc":
        a_suite(tmp_path / name, "cuda" if name == "a" else "cpu")
    a_suite(tmp_path / "d", "tpu")
    (tmp_path / "e" / "seed0").mkdir(parents=True)
    (tmp_path / "e" / "seed0" / "result.json").write_text("{")
    assert kinds_of_suite(tmp_path) == {"cpu": 2, "cuda": 1}
    gpus(1)
    assert Devices.of(None, tmp_path).opening() == "--device auto: on the CPU, as 2 of its 3 results so far"


def test_fits_are_shown_and_judged_on_what_they_are_of_if_it_is_here(gpus, tmp_path):
    cpu, cuda = (a_suite(tmp_path / kind, device) for kind, device in (("c", "cpu"), ("g", "cuda:1")))
    for count in (0, 1):
        gpus(count)
        names = [Devices.of_fits(None, suite).names for suite in (cpu, cuda, tmp_path / "new")]
        assert names == [("cpu",), ("cuda",) if count else ("cpu",), ("cpu",)]
    assert Devices.of_fits("auto", cpu).names == ("cuda",)  # whoever asks has what there is


def test_where_there_is_no_driver_torch_is_not_asked(monkeypatch):
    monkeypatch.setattr(devices, "may_have_gpu", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: pytest.fail("asked"))
    said = "--device auto: on the CPU, for torch sees no CUDA device here"
    assert (Devices.of("auto").names, Devices.of("auto").opening()) == (("cpu",), said)
    assert (Devices.of(None).names, Devices.of(None).opening()) == (("cpu",), "")  # nobody asked, and all is as always


STEP = {"backend": "triton_cuda", "first_seconds": 1.0, "seconds": 0.01}


@pytest.mark.parametrize(
    ("asked", "said", "names", "opening"),
    [
        ("cpu", {}, ("cpu",), ""),
        ("auto", STEP, ("cuda",), "--device auto: on cuda (NVIDIA H100 80GB HBM3)"),
        ("auto", "killed by SIGSEGV", ("cpu",),
         "--device auto: on the CPU, for cuda took no step: killed by SIGSEGV; `unposed doctor` says more"),
        ("all", {**STEP, "instead": "no compiler"}, ("cuda:0", "cuda:1"),
         "--device all: on cuda:0 (NVIDIA H100 80GB HBM3), cuda:1 (NVIDIA L4); cuda:0 computes by plain torch, which "
         "is slow: no compiler; cuda:1 computes by plain torch, which is slow: no compiler"),
    ],
)  # fmt: skip
def test_a_gpu_takes_a_step_before_it_is_given_cells(gpus, monkeypatch, tmp_path, asked, said, names, opening):
    gpus(2)
    monkeypatch.setattr(device_steps, "step_on", lambda device: said)
    settings = Settings(suite=tmp_path, devices=Devices.of(asked)).tried()
    assert (settings.devices.names, settings.opening) == (names, opening)
    settings.check_devices()


def test_a_gpu_that_was_asked_for_and_takes_no_step_is_one_sentence(gpus, monkeypatch, tmp_path):
    gpus(2)
    monkeypatch.setattr(device_steps, "step_on", lambda device: "out of GPU memory" if device == "cuda:1" else STEP)
    Settings(suite=tmp_path, devices=Devices.of("cuda")).tried()
    with pytest.raises(
        ValueError, match=r"--device all: cuda:1 took no step: out of GPU memory; `unposed doctor` says"
    ):
        Settings(suite=tmp_path, devices=Devices.of("all")).tried()


def test_the_cards_of_a_clusters_nodes_are_not_those_of_this_machine(gpus, tmp_path):
    gpus(1)
    here = Settings(suite=tmp_path, devices=Devices.of("cuda"))
    assert (here.card("cuda"), here.opening) == (CARDS[0], f"--device cuda: on cuda ({CARDS[0]})")
    there = replace(here, executor="ray")
    assert (there.card("cuda"), there.opening) == ("", "--device cuda: on cuda")


@pytest.mark.parametrize(
    ("device", "shown", "sees"),
    [
        ("cpu", None, None), ("cuda", None, None), ("cuda", "3", None),
        ("cuda:1", None, "1"), ("cuda:1", "2,5", "5"), ("cuda:0", "GPU-8d0f, MIG-1c2a", "GPU-8d0f"),
    ],
)  # fmt: skip
def test_a_worker_sees_its_own_gpu_alone_among_those_that_we_see(device, shown, sees):
    environ = {} if shown is None else {"CUDA_VISIBLE_DEVICES": shown}
    assert sight(device, environ).get("CUDA_VISIBLE_DEVICES") == sees
    assert as_seen(device) == device.partition(":")[0]


def test_the_local_executor_hands_it_to_the_worker(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7,8")
    request = Request(verb="fit", folder=tmp_path, code=Code(), limit=1.0, device="cuda:1")
    assert LocalExecutor(threads=1)._order(request)["env"]["CUDA_VISIBLE_DEVICES"] == "8"


def test_compiled_kernels_are_kept_between_the_workers_of_our_methods_and_copied_for_others(tmp_path, monkeypatch):
    """Triton's too: else each cell on a GPU would compile them anew."""
    for name in ("NUMBA_CACHE_DIR", "TRITON_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    kept = kernel_folder()
    (kept / "triton").mkdir()
    (kept / "triton" / "a_kernel").write_text("compiled")
    (kept / "triton" / "tmp.pid_7_x").mkdir()  # another worker is writing there

    def order(name, code):
        (tmp_path / name).mkdir()
        request = Request(verb="fit", folder=tmp_path / name, code=code, limit=1.0)
        return LocalExecutor(threads=1)._order(request)

    ours, other, plain = (
        order("ours", Code(shipped=True, kernels=True)), order("other", Code(kernels=True)), order("plain", Code())
    )  # fmt: skip
    assert ours["env"]["NUMBA_CACHE_DIR"] == str(kept) and ours["env"]["TRITON_CACHE_DIR"] == str(kept / "triton")
    assert (str(kept), str(kept), True) in ours["shown"]
    copied = tmp_path / "other" / "home" / ".cache"
    assert not any(part[0] == str(kept) for part in other["shown"])
    assert (copied / "triton" / "a_kernel").read_text() == "compiled"
    if LocalExecutor(threads=1).isolation == "namespaces":  # whole paths that Triton has written stay true
        assert (str(copied), str(kept), True) in other["shown"]
        assert other["env"]["TRITON_CACHE_DIR"] == str(kept / "triton")
    else:
        assert other["env"]["TRITON_CACHE_DIR"] == str(copied / "triton")
    assert "TRITON_CACHE_DIR" not in plain["env"]
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "named"))
    assert order("again", Code(shipped=True))["env"]["TRITON_CACHE_DIR"] == str(tmp_path / "named")


class Recording:
    """An executor without processes: every worker ends with an outcome. The first `together` of them wait for one
    another; one that is told to hang waits for `all_begun` workers."""

    threads, isolation = 1, "none"

    def __init__(self, together=0, all_begun=0):
        self.changed, self.begun, self.now, self.most = threading.Condition(), [], {}, {}
        self.together, self.all_begun = together, all_begun

    def run(self, request):
        asked = read_json(request.folder / "in" / "request.json")
        behaviour, device = asked["config"]["behaviour"], request.device
        with self.changed:
            self.begun.append((asked["job"]["seed"], device, asked["job"]["device"]))
            self.now[device] = self.now.get(device, 0) + 1
            self.most[device] = max(self.most.get(device, 0), self.now[device])
            self.changed.notify_all()
            awaited = self.all_begun if behaviour == "hang" else self.together
            assert self.changed.wait_for(lambda: len(self.begun) >= awaited, timeout=60)
            self.now[device] -= 1
        outcome = {"status": "out_of_memory" if behaviour == "memory" else "failed", "reason": f"on {device}"}
        (request.folder / "out" / "outcome.json").write_text(json.dumps(outcome))
        return WorkerEnd(kind="exit", code=0, seconds=0.1, peak_rss_mb=1.0)

    def stop(self):
        pass


@pytest.fixture
def dealt(gpus, monkeypatch, tmp_path):
    """Results of a plan on two GPUs, two cells at once on each, and what its executor saw."""
    gpus(2)

    def execute(made, workers=2, **waiting):
        executor = Recording(**waiting)
        monkeypatch.setattr(Settings, "make_executor", lambda self, hidden, shares: executor)
        settings = Settings(suite=tmp_path / "suite", devices=Devices.of("all"), workers=workers)
        return run(made, settings, lambda *_: None), executor

    return execute


def test_each_device_has_two_cells_at_once_and_each_cell_its_own(dealt, tmp_path):
    results, executor = dealt(make_plan("raise", seeds="0-9"), together=4)
    assert sorted(device for _, device, _ in executor.begun[:4]) == ["cuda:0", "cuda:0", "cuda:1", "cuda:1"]
    assert executor.most == {"cuda:0": 2, "cuda:1": 2}
    assert {told for *_, told in executor.begun} == {"cuda"}  # each worker sees one GPU, and it is the first
    devices = {seed: device for seed, device, _ in executor.begun}
    for result in results:
        device = devices[result.cell.seed]
        made = read_result(tmp_path / "suite" / result.cell.folder)
        assert made.provenance["device"] == device and made.reason == f"on {device}"
        assert made.provenance["card"] == CARDS[int(device[-1])]
        assert made.ingredients["fit"]["device"] == "cuda"
    assert len(results) == 10


def test_no_slot_is_idle_while_cells_wait(dealt):
    """One cell takes as long as all others together: these go to the other device, as that gets free."""
    long, short = make_plan("hang", seeds="0"), make_plan("raise", seeds="1-8")
    results, executor = dealt(replace(long, cells=(*long.cells, *short.cells)), workers=1, all_begun=9)
    assert len(results) == 9
    ((own, _),) = [(device, told) for seed, device, told in executor.begun if seed == 0]
    assert {device for seed, device, _ in executor.begun if seed != 0} == {"cuda:0", "cuda:1"} - {own}
    assert executor.most == {"cuda:0": 1, "cuda:1": 1}


def test_a_full_gpu_leaves_the_other_cells_alone(dealt):
    results, _ = dealt(make_plan("memory", "raise", seeds="0-1"), workers=1)
    assert sorted(result.status for result in results) == ["failed", "failed", "out_of_memory", "out_of_memory"]
    assert {result.provenance["device"] for result in results} == {"cuda:0", "cuda:1"}


def test_a_device_that_is_taken_least_is_next():
    slots = Slots(["a", "b"])
    with slots.one() as first, slots.one() as second:
        assert (first, second) == ("a", "b")
        with slots.one() as third:
            assert third == "a"
            with slots.one() as fourth:
                assert fourth == "b"
    with slots.one() as again:
        assert again == "a"


def test_a_device_is_free_again_where_its_work_raised():
    slots = Slots(["a", "b"])

    def fail(what, device):
        raise RuntimeError(device)

    for _ in itertools.repeat(None, 3):
        with pytest.raises(RuntimeError, match=r"^a$"):
            slots.deal(fail, None)


def test_a_plan_may_be_made_where_the_gpus_are_not(gpus, tmp_path):
    gpus(0)
    settings = Settings(suite=tmp_path / "suite", devices=Devices.of("cuda:0,cuda:1"))
    (row,) = outlook(make_plan("answer"), settings)
    assert row.state == "run"
    assert settings.opening == "--device cuda:0,cuda:1: on cuda:0, cuda:1"
    with pytest.raises(ValueError, match="torch sees no CUDA device here"):
        run(make_plan("answer"), settings, lambda *_: None)
    assert not settings.suite.exists()


def test_an_executor_on_a_device_gives_it_to_every_worker(tmp_path):
    executor = Recording()
    on = OnDevice(executor, "cuda:1")
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    asked = {"config": {"behaviour": "raise", "seconds": 0}, "job": {"seed": 3, "device": "cuda"}}
    (tmp_path / "in" / "request.json").write_text(json.dumps(asked))
    on.run(Request(verb="fit", folder=tmp_path, code=Code(), limit=1.0))
    assert executor.begun == [(3, "cuda:1", "cuda")]
    assert (on.threads, on.isolation) == (1, "none")
