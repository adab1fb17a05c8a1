"""What a person reads while a run goes on and at its end: an answer is not a solution."""

import pytest

from bench.cell import Cell
from bench.record import ROTATION, Result
from bench.results_table import table
from bench.runner.progress import MARK, closing, fit_cost, tally


def ended(status="done", rotation=None, *, method="nerf", seed=0, flags=(), **cost):
    cell = Cell(scene="blocks", degradation="clean", method=method, seed=seed, effort="smoke")
    metrics = {} if rotation is None else {ROTATION: rotation}
    return Result(
        cell=cell, config={}, status=status, protocol="posefree/2", metrics=metrics, flags=tuple(flags), cost=cost
    )


def test_the_tally_counts_the_solved_and_the_answered_apart():
    results = [ended(rotation=0.5), ended(rotation=151.0), ended(rotation=30.0), ended("timeout"), ended("done")]
    assert tally(results) == "5 cells: 1 solved · 2 answered, not solved · 1 answered · 1 timeout"


def test_every_way_to_end_has_a_mark_and_only_the_solved_are_green():
    assert [outcome for outcome, (_, style) in MARK.items() if style == "green"] == ["solved"]
    assert {result.outcome for result in map(ended, ("collapsed", "skipped", "timeout", "out_of_memory", "failed"))} < {
        *MARK
    }


def test_several_methods_have_a_line_each_at_the_end():
    rows = closing([ended(rotation=1.0, fit_seconds=3.0, threads=2), ended(rotation=40.0, method="barf")])
    assert rows == [
        "nerf  1 solved  3 s on 2 threads a fit", "barf  1 answered, not solved",
        "2 cells: 1 solved · 1 answered, not solved",
    ]  # fmt: skip
    assert closing([ended(rotation=1.0)]) == ["1 cell: 1 solved"]


@pytest.mark.parametrize(
    ("costs", "text"),
    [
        ([(4.0, 2), (6.0, 2), (8.0, 2)], "6 s on 2 threads"),
        ([(4.0, 2), (10.0, 1), (20.0, 1)], "15 s on 1 thread, 4 s on 2 threads"),
        ([], None),
    ],
)
def test_seconds_of_other_numbers_of_threads_are_never_averaged(costs, text):
    assert fit_cost([ended(fit_seconds=seconds, threads=threads) for seconds, threads in costs]) == text


def test_the_suites_table_has_the_outcome_beside_the_status():
    row = table([ended(rotation=151.0)]).iloc[0]
    assert (row["status"], row["outcome"]) == ("done", "answered")
