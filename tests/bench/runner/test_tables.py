"""How often a suite's tables are written during a run, and what that costs."""

import pytest

from bench.runner import tables
from bench.runner.tables import EVERY, SHARE, Tables


@pytest.fixture
def clock(monkeypatch, tmp_path):
    """Seconds that pass as they are told to; writing tables takes one for a thousand cells."""

    class Clock:
        now, cells, spent = 0.0, 0, 0.0
        written: list[int]

        def run(self, cells: int, seconds: float, cached: int = 0) -> None:
            """So many cells, one after the other."""
            self.cells, self.written = cached, []
            held = Tables(tmp_path, cached)
            for _ in range(cells):
                self.now += seconds
                self.cells += 1
                held.settled(self.cells)

        def rewrite(self, suite) -> None:
            self.written.append(self.cells)
            self.spent += self.cells / 1000
            self.now += self.cells / 1000

    made = Clock()
    monkeypatch.setattr(tables.time, "monotonic", lambda: made.now)
    monkeypatch.setattr(tables, "rewrite", made.rewrite)
    return made


def test_the_first_cells_are_in_the_tables_at_once(clock):
    clock.run(5, seconds=10.0)
    assert clock.written == [1, 2, 4]


@pytest.mark.parametrize("seconds", [0.5, 5.0, 300.0])
def test_tables_of_10000_cells_cost_their_share_of_the_time_and_are_never_much_older_than_a_share_allows(
    clock, seconds
):
    clock.run(10_000, seconds)
    assert clock.spent <= SHARE * clock.now
    oldest = max(EVERY, 10 / SHARE) + seconds  # ten seconds: what the largest takes
    assert max(b - a for a, b in zip(clock.written, [*clock.written[1:], 10_000], strict=True)) * seconds <= oldest


def test_a_run_that_goes_on_with_9000_cells_does_not_write_them_for_each_of_its_own(clock):
    clock.run(100, seconds=1.0, cached=9000)
    assert clock.written == [9060]
