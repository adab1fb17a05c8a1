"""Where time is short, a fit stops in time with what it has, and says how far it came."""

import time
from dataclasses import asdict, replace

import numba
import pytest

from bench.cell import Cell
from bench.degrade import parse
from bench.degrade.initial_poses import generator_of, perturbed
from bench.matrix.method_class import made
from bench.matrix.plan import Planned
from bench.matrix.registry import find_method, find_scene
from bench.poses_io.saved_fit import read_fit
from bench.runner.contract import small
from bench.runner.executors.local import LocalExecutor
from bench.runner.fit_client import request_fit
from bench.task import Job
from methods.nerf.backends.select import compiling_seconds
from methods.nerf.training import deadline as deadlines
from methods.nerf.training.deadline import Deadline

ENDLESS = {
    "nerf": "nerf[backend=torch,steps=1000000]",
    "barf": "barf[grid.radiance.backend=torch,grid.smoke.fine=1000000]",
    "nerfmm": "nerfmm[grid.smoke.fine=1000000]",
    "inerf": "inerf[steps=1000000,registration.steps=1000000]",
    "mlp": "nerf[field=mlp,steps=1000000]",
}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


def steps_until_stopped(deadline, clock, seconds, most=1000):
    for step in range(most):
        if deadline.reached(step, most):
            return step
        clock.now += seconds
    return most


def test_the_last_step_ends_before_the_time_that_saving_takes(clock, tmp_path):
    deadline = Deadline(Job(seed=0, workdir=tmp_path, seconds=100, began=clock.now))
    steps = steps_until_stopped(deadline, clock, 0.7)
    assert 100 + 90 - 2 * 0.7 < clock.now <= 100 + 90  # a tenth is for saving
    assert deadline.notes() == {"stopped_early": True, "share_done": steps / 1000}


def test_a_share_is_of_the_time_that_is_left(clock, tmp_path):
    job = Job(seed=0, workdir=tmp_path, seconds=100, began=clock.now)
    clock.now += 50  # looking for matches, say: more than a quarter of the whole
    steps_until_stopped(Deadline(job, share=0.25), clock, 0.1)
    assert 100 + 50 + 0.25 * 40 - 0.2 < clock.now <= 100 + 50 + 0.25 * 40


def test_time_spent_before_the_loop_counts_and_the_first_step_is_always_taken(clock, tmp_path):
    job = Job(seed=0, workdir=tmp_path, seconds=100, began=clock.now)
    clock.now += 95
    assert steps_until_stopped(Deadline(job), clock, 1.0) == 1


def test_a_loop_with_time_enough_is_not_stopped_and_notes_nothing(clock, tmp_path):
    deadline = Deadline(Job(seed=0, workdir=tmp_path, seconds=1e5))
    assert steps_until_stopped(deadline, clock, 1.0) == 1000
    assert deadline.notes() == {} and not deadline.stopped


def test_kernels_that_had_to_be_compiled_first_leave_less_time_but_do_not_slow_down_what_is_left(
    clock, tmp_path, monkeypatch
):
    spent = [7.0]  # by an earlier fit in this process
    monkeypatch.setattr(deadlines, "compiling_seconds", lambda: spent[0])
    deadline = Deadline(Job(seed=0, workdir=tmp_path, seconds=100, began=clock.now))
    short = Deadline(Job(seed=0, workdir=tmp_path, seconds=60, began=clock.now))
    assert not deadline.reached(0, 100) and not short.reached(0, 100)
    clock.now += 30  # a first step, almost all of it compiling
    spent[0] += 29
    assert not deadline.reached(1, 100) and not short.reached(1, 100)  # another one as long would end too late
    for step in range(2, 21):
        clock.now += 1
        assert not deadline.reached(step, 100)
    assert deadline.leaves_room(2.0) and not deadline.leaves_room(2.1)  # of 20 s, when 49 are over
    assert not deadline.reached(20, 100, ahead=40) and deadline.reached(20, 100, ahead=42)


def test_work_of_known_length_must_leave_the_time_for_what_comes_after_it(clock, tmp_path):
    deadline = Deadline(Job(seed=0, workdir=tmp_path, seconds=100, began=clock.now))
    for step in range(4):
        deadline.reached(step, 50)
        clock.now += 2.0
    assert deadline.leaves(22.0, 29) and not deadline.leaves(25.0, 29)  # of the 90 s, 8 are over, and 58 to come
    assert deadline.leaves(0.0, 40) and not deadline.leaves(0.0, 42)


def test_one_slow_step_is_not_taken_for_the_pace_of_all_that_follow(clock, tmp_path):
    deadline = Deadline(Job(seed=0, workdir=tmp_path, seconds=100, began=clock.now))
    for step, seconds in enumerate((1.0, 1.0, 1.0, 1.0, 5.0)):
        deadline.reached(step, 50)
        clock.now += seconds
    deadline.reached(5, 50)
    assert deadline.leaves(10.0, 45) and not deadline.leaves(40.0, 45)


def test_after_a_kill_steps_are_foreseen_by_the_mean_of_those_before_it(clock, tmp_path):
    deadline = Deadline(Job(seed=0, workdir=tmp_path, seconds=100, began=clock.now - 40))
    assert not deadline.reached(20, 50)
    assert deadline.leaves(0.0, 24) and not deadline.leaves(0.0, 25)  # of 2 s each, when 40 of 90 are over


def test_compiling_is_told_from_running_what_was_compiled():
    import methods.nerf.backends.numba_cpu.jit  # noqa: F401 - whoever has kernels has imported it

    before = compiling_seconds()
    triple = numba.njit(lambda x: 3 * x)
    assert triple(2) == 6
    once = compiling_seconds()
    assert once > before
    assert triple(3) == 9 and compiling_seconds() == once


def test_what_there_was_no_time_for_is_noted(clock, tmp_path):
    deadline = Deadline(Job(seed=0, workdir=tmp_path, seconds=100, began=clock.now))
    assert deadline.notes() == {}
    deadline.leave_out("margins")
    assert deadline.notes() == {"no_time_for": "margins"}


@pytest.fixture(scope="module")
def scene():
    return small(find_scene("blocks", ()).load(40), 8)


def shown(scene, method):
    traits = method.method.traits
    capture = replace(scene.capture, start=scene.truth.poses, exact=frozenset(scene.truth.poses))
    return perturbed(capture, traits.start, generator_of("blocks", 0)).only(traits.needs | traits.uses)


@pytest.mark.parametrize("name", ["nerfmm", "inerf", "mlp"])
def test_every_training_stops_in_time_with_an_answer_for_all_views(name, scene, tmp_path):
    method = find_method(ENDLESS[name])
    job = Job(seed=0, workdir=tmp_path, threads=2, effort="smoke", seconds=5)
    answers = made(asdict(method.ref), method.config)
    fit = answers.fit(shown(scene, method), job)
    assert fit.notes["stopped_early"] is True
    assert 0 < fit.notes["share_done"] < 0.1
    assert fit.poses.keys() == scene.capture.images.keys()
    answers.save(fit, tmp_path)
    assert answers.load(tmp_path, "cpu") is not None


@pytest.mark.parametrize("name", ["nerf", "barf"])
def test_a_tight_limit_is_no_timeout(name, scene, tmp_path):
    """Through the real worker, which is killed at the limit."""
    method = find_method(ENDLESS[name])
    planned = Planned(
        cell=Cell(scene="blocks", degradation="clean", method=method.label, seed=0, effort="smoke"),
        source=find_scene("blocks", ()), degradation=parse("clean"), method=method,
    )  # fmt: skip
    cell = tmp_path / "cell"
    outcome = request_fit(
        planned, shown(scene, method), cell, LocalExecutor(threads=2), fit="x", limit=20.0, device="cpu", retries=0
    )
    assert outcome["status"] == "done", outcome["reason"]
    folder = cell / "fit"
    fit = read_fit(folder)
    assert fit.notes["stopped_early"] is True
    assert fit.poses.keys() == scene.capture.images.keys()
    assert (folder / "field" / "field.safetensors").exists()
