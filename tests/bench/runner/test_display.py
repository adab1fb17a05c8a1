"""What a person sees while cells run, and where the words come from: fits that say how far they are."""

import io
import json
import os
import re
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.console import Console
from scripted_cells import make_plan

from bench.cell import Cell
from bench.record import ROTATION, Result, write_json
from bench.runner import display as displays
from bench.runner import time_left
from bench.runner.display import LiveTable, PlainLines, span
from bench.runner.fit_progress import read_progress
from bench.runner.run import run
from bench.runner.scratch import make, note
from bench.runner.settings import Settings
from bench.runner.time_left import Pace, fit_left
from bench.runner.watch import Watch

GREEN, RED = "\x1b[32m", "\x1b[31m"


def ended(rotation=None, *, status="done", flags=(), **facts):
    cell = Cell(scene="blocks", degradation="clean", method="nerf", seed=0, effort="smoke")
    metrics = {} if rotation is None else {ROTATION: rotation}
    return Result(
        cell=cell, config={}, status=status, protocol="posefree/2", metrics=metrics, flags=tuple(flags), **facts
    )


def line_of(result, tmp_path):
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=200)
    planned = SimpleNamespace(cell=result.cell, skip=None)
    PlainLines(console, Watch([planned], Settings(suite=tmp_path)))(planned, "ended", result)
    return text.getvalue()


def test_an_answer_far_from_the_truth_is_neither_done_nor_green(tmp_path):
    line = line_of(ended(rotation=151.0), tmp_path)
    assert "answered, not solved" in line
    assert "done" not in line
    assert GREEN not in line
    assert GREEN in line_of(ended(rotation=4.99), tmp_path)
    assert GREEN not in line_of(ended(rotation=5.0), tmp_path)  # below 5 is solved, 5 is not


def test_what_could_not_converge_is_neither_solved_nor_failed(tmp_path):
    short = ended(rotation=105.0, flags=["too short to converge: 240 iterations of 3000"])
    line = line_of(short, tmp_path)
    assert "too short to converge" in line
    assert GREEN not in line
    assert RED not in line
    assert ended(rotation=1.0, flags=["too short to converge: yet it did"]).outcome == "solved"


def test_a_log_has_a_line_twice_a_minute_with_step_loss_and_time_left(tmp_path, monkeypatch):
    """Through the real worker: what the method told is what is read, while it is at work."""
    monkeypatch.setattr(displays, "LOOK", 0.2)
    monkeypatch.setattr(PlainLines, "every", 0.6)
    monkeypatch.setattr(time_left, "LEAST", 0.5)
    made, settings = make_plan("slow_steps"), Settings(suite=tmp_path / "suite")
    text = io.StringIO()
    console = Console(file=text, width=100)
    with PlainLines(console, Watch(made.cells, settings)) as show:
        run(made, settings, show)
    lines = text.getvalue().splitlines()
    assert re.fullmatch(r"\[1/1\] ● blocks/clean/scripted\[behaviour=slow_steps\]/seed0  solved  .*", lines[-1])
    fitting = [line for line in lines if "stepping" in line]
    assert fitting
    for line in fitting:
        assert re.match(r"\[0/1\] … blocks/clean/scripted\[behaviour=slow_steps\]/seed0  fitting for \d+ s", line)
        assert re.search(rf"; stepping; step \d of 10; (loss [\d.]+; )?on {settings.threads} threads?", line)
    steps = [int(re.search(r"step (\d)", line)[1]) for line in fitting]
    assert steps == sorted(steps) and steps[-1] >= 7
    losses = [float(found[1]) for line in fitting if (found := re.search(r"loss ([\d.]+);", line))]
    assert max(losses) <= 1 and min(losses) < 0.2  # 1 / (1 + step)
    assert any(re.search(r"about \d+ s left;.* left for all", line) for line in fitting)


@pytest.fixture
def at_work(tmp_path):
    """A cell's folder, and the `out` of the worker that is at it."""
    cell = tmp_path / "suite" / "cell"
    cell.mkdir(parents=True)
    scratch = make(tmp_path / "suite")
    write_json(scratch / "in" / "request.json", {})
    note(cell, scratch, "fit")
    return cell, scratch / "out"


def test_of_a_method_that_says_nothing_the_last_point_of_its_curves_is_shown(at_work):
    cell, out = at_work
    assert read_progress(cell.parent) is None
    assert read_progress(cell).step == 0
    rows = [{"step": 40, "seconds": 1, "loss/a": 3, "loss/b": 2, "loss/c": 1, "psnr": 20.5}, {"step": 41, "seconds": 2}]
    (out / "log.jsonl").write_text("\n".join(map(json.dumps, rows)) + '\n{"step": 42, "los')
    (out / "previews").mkdir()
    seen = read_progress(cell)
    assert (seen.step, seen.steps, seen.share, seen.psnr) == (41, 0, None, 20.5)
    assert (dict(seen.losses), seen.previews) == ({"loss/a": 3, "loss/b": 2}, out / "previews")


def test_what_a_worker_leaves_for_its_judge_to_stumble_on_is_not_followed(at_work, tmp_path):
    cell, out = at_work
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps({"phase": "the truth", "step": 7}))
    (out / "progress.json").symlink_to(secret)
    os.mkfifo(out / "log.jsonl")  # who opens it waits for ever
    (out / "previews").symlink_to(tmp_path)
    answers = []
    threading.Thread(target=lambda: answers.append(read_progress(cell)), daemon=True).start()
    limit = time.monotonic() + 20
    while not answers and time.monotonic() < limit:
        time.sleep(0.01)
    assert (answers[0].phase, answers[0].step, answers[0].previews) == ("", 0, None)


@pytest.mark.parametrize("said", [
    '{"phase": "\\u001b[2J' + "x" * 99 + '", "step": -3, "steps": 1e999}', "[" * 100_000, '{"step": "many"}', "\xff",
])  # fmt: skip
def test_no_word_of_a_worker_reaches_the_terminal_as_it_is(at_work, said):
    cell, out = at_work
    (out / "progress.json").write_text(said)
    (out / "log.jsonl").write_text('{"loss/\\u001b[31m": 1, "psnr": NaN}\n')
    seen = read_progress(cell)
    assert (seen.step, seen.steps) == (0, 0)
    assert "\x1b" not in seen.phase + "".join(seen.losses) and len(seen.phase) <= 40
    assert seen.psnr is None


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def watch(tmp_path):
    made = make_plan("answer", seeds="0-3")
    clock = Clock()
    return Watch(made.cells, Settings(suite=tmp_path / "suite", workers=2), clock), made.cells, clock


def test_the_time_left_for_all_is_that_of_the_waiting_and_the_working_shared_by_the_workers(watch):
    watch, cells, clock = watch
    method = cells[0].method.method
    assert method.traits.seconds == {"smoke": 1.0}  # its own word, until something was timed
    assert watch.all_left() == (2.0, 0)
    cost = {"fit_seconds": 10.0, "judge_seconds": 4.0, "threads": watch.settings.threads}
    watch.heard(cells[0], "fit", None)
    watch.heard(cells[0], "ended", replace(ended(1.0, cost=cost), cell=cells[0].cell))
    assert watch.all_left() == (3 * 14 / 2, 0)
    watch.heard(cells[1], "fit", None)
    clock.now += 6
    assert watch.left(watch.working()[0]) == 8  # 4 of the fit, and the judgement
    watch.heard(cells[1], "judge", None)
    clock.now += 1
    assert watch.left(watch.working()[0]) == 3
    assert watch.all_left() == ((3 + 14 + 14) / 2, 0)
    clock.now += 3
    assert watch.left(watch.working()[0]) is None  # over its time: nobody knows
    assert watch.all_left() == ((14 + 14) / 2, 1)
    assert displays.doing(watch, watch.working()[0]) == "judging for 4 s"


def test_a_fit_that_goes_on_after_a_kill_has_spent_what_its_clock_says(watch, at_work):
    watch, cells, clock = watch
    cell, out = at_work
    watch.settings = replace(watch.settings, suite=cell.parent)
    folder = cell.parent / cells[1].cell.folder
    folder.parent.mkdir(parents=True)
    cell.rename(folder)
    cost = {"fit_seconds": 100.0, "judge_seconds": 4.0, "threads": watch.settings.threads}
    watch.heard(cells[0], "fit", None)
    watch.heard(cells[0], "ended", replace(ended(1.0, cost=cost), cell=cells[0].cell))
    watch.heard(cells[1], "fit", None)
    clock.now += 10
    watch.look()
    assert watch.left(watch.working()[0]) == 90 + 4
    write_json(out / "clock.json", {"seconds": 70.0, "before": 61.0, "sessions": 2})
    watch.look()
    assert watch.left(watch.working()[0]) == 30 + 4


def test_seconds_of_other_threads_tell_nothing_of_ours(watch):
    watch, cells, _ = watch
    watch.heard(cells[0], "fit", None)
    cost = {"fit_seconds": 100.0, "threads": watch.settings.threads + 1}
    watch.heard(cells[0], "ended", replace(ended(1.0, cost=cost), cell=cells[0].cell))
    assert watch.all_left() == (1.5, 0)


def test_a_fit_is_believed_first_by_what_others_took_and_then_by_its_own_pace():
    assert fit_left(elapsed=10, expected=70, share=None, paced=None) == 60
    assert fit_left(elapsed=80, expected=70, share=None, paced=None) is None
    assert fit_left(elapsed=0, expected=70, share=0.0, paced=500) == 70
    assert fit_left(elapsed=70, expected=70, share=0.1, paced=500) == 500
    assert fit_left(elapsed=9, expected=None, share=0.1, paced=80) == 80
    assert 60 < fit_left(elapsed=7, expected=70, share=0.1, paced=500) < 500


def test_a_pace_is_of_one_phase_and_of_its_last_minute():
    pace = Pace()
    for now, step in [(0, 0), (10, 0), (20, 50), (90, 400)]:
        pace.saw(now, "A", step)
    assert pace.seconds(100) is None  # of the last minute there is one look
    pace.saw(100, "A", 450)
    assert pace.seconds(100) == 20
    pace.saw(101, "B", 451)
    assert pace.seconds(100) is None
    pace.saw(111, "B", 461)
    assert pace.seconds(5) == 5
    pace.saw(112, "B", 0)  # it began anew
    assert pace.seconds(5) is None


@pytest.mark.parametrize("width", [80, 120])
def test_nothing_of_the_live_table_is_cut_on_a_narrow_terminal(width, watch, at_work):
    watch, cells, clock = watch
    cell, out = at_work
    watch.settings = replace(watch.settings, suite=cell.parent)
    text = io.StringIO()
    table = LiveTable(
        Console(file=text, force_terminal=True, width=width, height=24), watch, later="then at most 3 cells"
    )
    planned = replace(cells[0], cell=replace(cells[0].cell, method="gnerf[grid.quick.b=2000,preset=published]"))
    folder = cell.parent / planned.cell.folder
    folder.parent.mkdir(parents=True)
    cell.rename(folder)
    table(planned, "fit", None)
    clock.now += 10
    write_json(out / "progress.json", {"phase": "phase AB", "step": 900, "steps": 1700})
    (out / "log.jsonl").write_text('{"step": 900, "seconds": 9, "loss": 0.0123, "psnr": 19.1}\n')
    (out / "previews").mkdir()
    watch.look()
    table.console.print(table.table())
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text.getvalue()).splitlines()
    assert max(map(len, lines)) <= width
    shown = re.sub(r"\s+", " ", " ".join(lines))
    for part in (planned.cell.id, "fitting for 10 s", "phase AB, step 900 of 1700, loss 0.0123, PSNR 19.1 dB",
                 "0 of 4 cells", "then at most 3 cells"):  # fmt: skip
        assert part in shown
    assert str(out / "previews").replace(" ", "") in "".join(lines).replace(" ", "")


def test_times_are_written_as_one_says_them():
    assert [span(s) for s in (0.4, 99, 100, 3599, 3600, 4800, 40000)] == [
        "0 s", "99 s", "2 min", "1 h", "1 h", "1 h 20 min", "11 h",
    ]  # fmt: skip
