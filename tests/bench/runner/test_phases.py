"""What each phase of a fit took: counted by the worker, read by nobody who trusts it, kept in the result's notes."""

import math

import pytest

from bench.runner import fit_progress, worker_io
from bench.runner.worker import fit
from tests.bench.runner.scripted_cells import execute, make_plan


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

    monkeypatch.setattr(fit.time, "monotonic", lambda: Clock.now)
    return Clock


def told(place, clock, *words):
    for seconds, phase, step in words:
        clock.now += seconds
        place(phase, step, 10)
    return place.phases


def test_what_passes_until_the_next_word_belongs_to_the_phase_before_it(tmp_path, clock):
    words = [(5, "A", 0), (1, "A", 1), (1, "A", 2), (3, "B", 2), (0.5, "B", 3)]
    assert told(fit._Place(tmp_path / "p.json"), clock, *words) == {
        "A": {"steps": 3, "seconds": 5.0}, "B": {"steps": 1, "seconds": 0.5},
    }  # fmt: skip


def test_a_place_that_jumps_is_one_step_and_none_is_taken_back(tmp_path, clock):
    words = [(0, "A", 0), (2, "A", 300), (1, "A", 0), (1, "A", 1)]
    assert told(fit._Place(tmp_path / "p.json"), clock, *words) == {"A": {"steps": 3, "seconds": 4.0}}


def test_phases_are_not_kept_without_end(tmp_path, clock):
    words = [(1, f"step {step}", step) for step in range(100)]
    assert len(told(fit._Place(tmp_path / "p.json"), clock, *words)) == worker_io.PHASES


@pytest.mark.parametrize(
    "said", [None, "A", [1], {"A": 3}, {"A": {"steps": "1", "seconds": 1}}, {"A": {"steps": 1, "seconds": math.nan}},
             {"A": {"steps": -1, "seconds": 1}}, {"A": {"seconds": 1}}, {"A": {"steps": 10**400, "seconds": 1}},
             {"A": {"steps": 1e308, "seconds": 1}}, {"\n": {"steps": 1, "seconds": 1}}, {"A": [{"steps": 1}]}],
)  # fmt: skip
def test_what_a_worker_says_of_them_is_not_trusted(said):
    assert fit_progress.phases(said) == {}


def test_nor_how_many_it_says_or_how_they_are_called():
    took = {"steps": 1, "seconds": 1.0}
    assert list(fit_progress.phases({"\x1b[31m" + "x" * 100: took})) == ["[31m" + "x" * 35]
    assert fit_progress.phases({"x" * 40 + "1": took, "x" * 40 + "2": took}) == {"x" * 40: {"steps": 2, "seconds": 2.0}}
    assert len(fit_progress.phases({str(number): took for number in range(100)})) == 12


def test_a_result_has_them(tmp_path):
    (result,), _, _ = execute(tmp_path, make_plan("steps"))
    assert result.notes["phases"]["stepping"]["steps"] == 9
    assert result.notes["phases"]["stepping"]["seconds"] > 0
