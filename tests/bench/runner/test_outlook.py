"""What `plan` says of all cells together."""

import pytest
from scripted_cells import execute, make_plan

from bench.runner.outlook import COMMAND, Prospect, outlook, summary, wanted_at_once
from bench.runner.settings import Settings


@pytest.mark.parametrize("name", ["limit", "render_limit", "memory", "disk"])
@pytest.mark.parametrize("amount", [float("nan"), float("inf"), -1.0, 0.0])
def test_what_bounds_nothing_is_no_bound(tmp_path, name, amount):
    with pytest.raises(ValueError, match=f"^{name} {amount:g}: it must be a number above 0, and finite"):
        Settings(suite=tmp_path, **{name: amount})


@pytest.mark.parametrize(
    ("seconds", "workers", "text"),
    [
        ((None, None), 1, "3 cells, 2 to run, of them 2 of unknown length"),
        ((20.0, 16.0), 1, "3 cells, 2 to run, about 36 s of fitting on 2 threads"),
        ((400.0, 400.0, 400.0), 2, "4 cells, 3 to run, about 13 min of fitting on 2 threads"),
        ((90.0, 90.0), 8, "3 cells, 2 to run, about 90 s of fitting on 2 threads"),
        ((99999.0,), 1, "2 cells, 1 to run, about 2 h 30 min of fitting on 2 threads"),
        ((400.0, 20.0), 2, "3 cells, 2 to run, about 7 min of fitting on 2 threads"),
        ((8000.0, None), 1, "3 cells, 2 to run, of them 1 of unknown length, the others about 2 h 13 min of fitting on "
         "2 threads"),
        ((), 1, "1 cell, 0 to run"),
    ],
)  # fmt: skip
def test_the_sum_says_how_many_are_of_unknown_length_and_how_long_the_others_take(tmp_path, seconds, workers, text):
    rows = [Prospect("blocks/clean/nerf/seed0", "finished: solved", None, 9, 900)]
    rows += [Prospect(f"blocks/clean/gnerf/seed{k}", "run", length, 2, 9000) for k, length in enumerate(seconds)]
    assert summary(rows, Settings(suite=tmp_path, workers=workers, threads_asked=2)) == text


def test_a_job_has_the_threads_and_the_memory_of_the_cells_that_want_most(tmp_path):
    def rows(*wanted):
        done = Prospect("blocks/clean/nerf/seed0", "finished: solved", None, 99, 900, 99.0)
        return [done, *(Prospect(f"seed{k}", "run", 20.0, *each) for k, each in enumerate(wanted))]

    settings = Settings(suite=tmp_path, workers=2, threads_asked=3)
    assert wanted_at_once(rows(), settings) == (6, None)
    assert wanted_at_once(rows((1, 900), (1, 900), (1, 900)), settings) == (2, None)
    assert wanted_at_once(rows((1, 900), (8, 900, 4.0), (4, 900, 2.5), (2, 900, 1.0)), settings) == (12, 6.5 + COMMAND)


def test_the_sum_says_of_several_grants_the_least_and_the_most(tmp_path):
    rows = [Prospect(f"blocks/clean/gnerf/seed{k}", "run", 20.0, threads, 900) for k, threads in enumerate((1, 8, 4))]
    said = summary(rows, Settings(suite=tmp_path, threads_asked=2))
    assert said == "3 cells, 3 to run, about 60 s of fitting on 1 to 8 threads"


def test_after_a_first_run_a_plan_is_within_a_factor_of_two_of_what_the_next_one_takes(tmp_path):
    """Whatever the method's own word is: here a second, for a fit of five."""
    execute(tmp_path, make_plan("slow_steps"))
    made = make_plan("slow_steps", seeds="0-1")
    rows = outlook(made, Settings(suite=tmp_path))
    assert [row.state for row in rows] == ["finished: solved", "run"]
    results, fitted, _ = execute(tmp_path, made)
    taken = sum(result.cost["fit_seconds"] for result in results if result.cell.id in fitted)
    assert len(fitted) == 1 and taken > 4
    assert 0.5 < sum(row.seconds or 0.0 for row in rows) / taken < 2
