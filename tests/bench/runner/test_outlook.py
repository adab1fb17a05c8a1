"""What `plan` says of all cells together."""

import pytest

from bench.runner.outlook import Prospect, summary
from bench.runner.settings import Settings


@pytest.mark.parametrize(
    ("seconds", "workers", "text"),
    [
        ((None, None), 1, "3 cells, 2 to run, of them 2 of unknown length"),
        ((20.0, 16.0), 1, "3 cells, 2 to run, about 36 s of fitting on 2 threads"),
        ((400.0, 20.0), 2, "3 cells, 2 to run, about 4 min of fitting on 2 threads"),
        ((8000.0, None), 1, "3 cells, 2 to run, of them 1 of unknown length, the others about 2 h 13 min of fitting on "
         "2 threads"),
        ((), 1, "1 cell, 0 to run"),
    ],
)  # fmt: skip
def test_the_sum_says_how_many_are_of_unknown_length_and_how_long_the_others_take(tmp_path, seconds, workers, text):
    rows = [Prospect("blocks/clean/nerf/seed0", "finished: solved", None)]
    rows += [Prospect(f"blocks/clean/gnerf/seed{k}", "run", length) for k, length in enumerate(seconds)]
    assert summary(rows, Settings(suite=tmp_path, workers=workers, threads_asked=2)) == text
