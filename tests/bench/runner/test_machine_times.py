"""What cells took on this machine is remembered, whichever suite they were of, and new ones are planned by it."""

import json
import os
import time

import pytest
from scripted_cells import execute, make_plan

from bench.matrix.grants import read_grant
from bench.runner import machine_times
from bench.runner.settings import Settings
from bench.runner.time_left import Durations
from bench.runner.watch import Watch


@pytest.fixture
def times(tmp_path, monkeypatch):
    path = tmp_path / "cache" / "times.jsonl"
    monkeypatch.setenv("UNPOSED_TIMES", str(path))
    return path


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_new_suite_is_planned_by_what_another_took(times, tmp_path):
    made = make_plan("answer", "raise", "steps")
    results, *_ = execute(tmp_path / "first", made)
    took = {row["method"]: row for row in rows(times)}
    assert took.keys() == {"scripted[behaviour=answer]", "scripted[behaviour=steps]"}  # one failed
    assert took["scripted[behaviour=answer]"]["fit_seconds"] == results[0].cost["fit_seconds"]
    durations = Durations(Settings(suite=tmp_path / "second"))
    assert durations.fit(made.cells[0]) == results[0].cost["fit_seconds"]
    assert durations.judgement(made.cells[0]) == results[0].cost["judge_seconds"]
    assert durations.fit(made.cells[1]) == 1.0  # its own word
    execute(tmp_path / "first", made)
    assert len(rows(times)) == 2  # what was taken from before took no time


def test_times_of_other_machines_threads_and_devices_are_left_out(times, tmp_path):
    made = make_plan("answer")
    execute(tmp_path / "first", made, threads_asked=1)
    (row,) = rows(times)
    others = [{"hardware": "Another x 64"}, {"threads": 7}, {"device": "cuda"}, {"effort": "full"}, {"method": "nerf"}]
    times.write_text("".join(json.dumps(row | other | {"fit_seconds": 99.0}) + "\n" for other in others))
    assert Durations(Settings(suite=tmp_path / "second", threads_asked=1)).fit(made.cells[0]) == 1.0
    granted = Settings(suite=tmp_path / "second", threads_asked=1, grants=(read_grant("scripted: threads=7"),))
    assert Durations(granted).fit(made.cells[0]) == 99.0


def test_the_same_scene_tells_more_than_the_same_suite(times, tmp_path):
    made = make_plan("answer")
    execute(tmp_path / "first", made)
    (row,) = rows(times)
    times.write_text(json.dumps(row | {"fit_seconds": 40.0}) + "\n")
    durations = Durations(Settings(suite=tmp_path / "second"))
    here = machine_times.remembered()[0]
    durations.suite.add(here._replace(scene="blocks-plain", fit_seconds=7.0))
    assert durations.fit(made.cells[0]) == 40.0
    durations.suite.add(here._replace(fit_seconds=8.0))
    assert durations.fit(made.cells[0]) == 8.0
    times.unlink()
    other = Durations(Settings(suite=tmp_path / "second"))
    other.suite.add(here._replace(scene="blocks-plain", fit_seconds=7.0))
    assert other.fit(made.cells[0]) == 7.0


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"hardware": 1}', b"\xff", b"null", b"[" * 10**5, b'"x"'])
def test_lines_that_say_nothing_are_passed_over(times, tmp_path, line):
    execute(tmp_path / "first", make_plan("answer"))
    good = times.read_bytes()
    bad = json.dumps(rows(times)[0] | {"fit_seconds": "long"}).encode()
    nan = json.dumps(rows(times)[0] | {"fit_seconds": float("nan")}).encode()
    times.write_bytes(b"\n".join([line, bad, nan, good, good[:30]]))
    assert len(machine_times.remembered()) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"method": 5}, {"method": ["x"]}, {"method": "a[b"}, {"method": "a[b]"}, {"scene": None}, {"scene": {}},
        {"effort": "vast"}, {"effort": 3}, {"device": []}, {"fit_seconds": 10**400}, {"judge_seconds": 1e300},
        {"fit_seconds": -1.0}, {"fit_seconds": True},
    ],
    ids=str,
)  # fmt: skip
def test_rows_of_strange_types_and_amounts_stop_no_plan(times, tmp_path, other):
    made = make_plan("answer")
    execute(tmp_path / "first", made)
    row = rows(times)[0]
    row["fit_seconds"] = row["judge_seconds"] = 5.0
    times.write_text(json.dumps(row | other) + "\n" + json.dumps(row) + "\n")
    grants = (read_grant("scr*@smoke: memory=4"),)
    durations = Durations(Settings(suite=tmp_path / "second", grants=grants))
    assert (durations.fit(made.cells[0]), durations.judgement(made.cells[0])) == (5.0, 5.0)


def test_a_crash_tells_nothing_of_how_long_a_method_takes_and_a_time_limit_does(tmp_path):
    made = make_plan("raise", "slow_steps")
    crashed, slow = execute(tmp_path / "suite", made, limit=2.0)[0]
    assert (crashed.status, slow.status) == ("failed", "timeout")
    durations = Durations(Settings(suite=tmp_path / "suite"))
    assert durations.fit(made.cells[0]) == 1.0  # its own word
    assert durations.fit(made.cells[1]) == slow.cost["fit_seconds"]


def test_a_method_that_was_changed_is_soon_believed(times, tmp_path):
    made = make_plan("answer")
    execute(tmp_path / "first", made)
    row = rows(times)[0]
    times.write_text("".join(json.dumps(row | {"fit_seconds": s}) + "\n" for s in [50.0] * 40 + [10.0] * 3))
    assert Durations(Settings(suite=tmp_path / "second")).fit(made.cells[0]) == 10.0


def test_all_that_wait_are_estimated_at_once_however_much_is_remembered(times, tmp_path):
    """It is done several times a second while fits are timed."""
    made = make_plan("answer", "partial", seeds="0-499")
    execute(tmp_path / "first", make_plan("answer"))
    times.write_text((json.dumps(rows(times)[0]) + "\n") * 4000)
    watch = Watch(made.cells, Settings(suite=tmp_path / "second"))
    assert watch.all_left().unknown == 0
    start = time.perf_counter()
    watch.all_left()
    assert time.perf_counter() - start < 0.1  # 5 ms; looking through all rows for each took 1 s


def test_the_file_does_not_grow_for_ever(times, tmp_path, monkeypatch):
    monkeypatch.setattr(machine_times, "MOST", 500)
    (result,), *_ = execute(tmp_path / "first", make_plan("answer"))
    for _ in range(50):
        machine_times.remember(result)
    sizes = [path.stat().st_size for path in times.parent.iterdir()]
    assert len(sizes) == 2
    assert max(sizes) < 1000
    assert machine_times.remembered()


@pytest.mark.parametrize("made", ["folder", "pipe", "unwritable"])
def test_what_cannot_be_written_or_read_is_no_fault(times, tmp_path, made):
    if made == "unwritable":
        times.parent.write_text("a file where a folder should be")
    else:
        times.parent.mkdir()
        times.mkdir() if made == "folder" else os.mkfifo(times)
    (result,), *_ = execute(tmp_path / "first", make_plan("answer"))
    assert result.status == "done"
    assert machine_times.remembered() == []


@pytest.mark.parametrize("name", ["~nobody-of-that-name/times.jsonl", "/", ".", "..", "/dev/null", "/dev/full", ""])
def test_a_name_that_can_be_no_file_is_no_fault(tmp_path, monkeypatch, name):
    monkeypatch.setenv("UNPOSED_TIMES", name)
    (result,), *_ = execute(tmp_path / "first", make_plan("answer"))
    assert (result.status, result.stage) == ("done", None)
    assert machine_times.remembered() == []
