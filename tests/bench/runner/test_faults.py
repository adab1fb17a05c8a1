"""What went wrong once: a fault of one cell costs that cell at most, and no second is charged twice."""

import errno
import json
import os
import shutil
import stat
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from scripted_cells import SCRIPTED, execute, make_plan

from bench.cli import main
from bench.matrix.names import BrokenMethod
from bench.record import read_json, read_log, read_result, read_suite, write_json
from bench.runner import method_probe
from bench.runner.executors.base import WorkerEnd
from bench.runner.fit_clock import wind_back
from bench.runner.worker import fit


def unposed(*arguments):
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def test_a_kill_after_the_field_was_saved_leaves_a_fit_that_is_made_again(tmp_path):
    (result,), *_ = execute(tmp_path, make_plan("die_with_field"))
    assert result.status == "done", result.reason
    assert result.notes["attempts"] == 2


def test_a_worker_that_is_killed_after_its_last_word_has_answered(tmp_path):
    (result,), *_ = execute(tmp_path, make_plan("die_after_outcome"), retries=0)
    assert result.status == "done", result.reason
    assert result.notes["attempts"] == 1


def test_an_exception_whose_text_cannot_be_encoded_is_a_row_and_the_others_run(tmp_path):
    methods = f"{SCRIPTED}[behaviour=unspeakable],{SCRIPTED}"
    code, text = unposed("run", "-m", methods, "--effort", "smoke", "-o", tmp_path / "s", "--no-track")
    assert code == 1
    assert "letters that are none: \\udcff" in text
    assert "2 cells: 1 solved · 1 failed" in text
    text.encode()
    assert unposed("status", "-o", tmp_path / "s")[0] == 0


def test_a_method_that_exits_without_a_word_is_a_row(tmp_path):
    (result,), *_ = execute(tmp_path, make_plan("exit"))
    assert (result.status, result.reason) == ("failed", "the worker exited with code 0 and wrote no outcome")


def test_a_module_that_exits_when_it_is_imported_is_refused_in_a_sentence(tmp_path):
    source = tmp_path / "mine.py"
    source.write_text("import sys\nsys.exit(0)\n")
    code, text = unposed("run", "-m", f"{source},nerf", "--effort", "smoke", "-o", tmp_path / "s", "--no-track")
    assert code == 2
    assert text.startswith("unposed: method ") and "cannot be imported" in text
    assert not (tmp_path / "s").exists()


def test_a_worker_that_is_killed_while_it_describes_a_method_is_asked_again(monkeypatch):
    ref = make_plan("answer").cells[0].method.ref
    asked, real = [], method_probe._executor().run

    def mortal(request):
        asked.append(request.verb)
        if len(asked) < method_probe.TRIES:
            return WorkerEnd(kind="signal", code=9, seconds=0.0, peak_rss_mb=0.0)
        return real(request)

    monkeypatch.setattr(method_probe._executor(), "run", mortal)
    assert method_probe._asked(ref, "scripted", "scripted")["name"] == "scripted"
    assert asked == ["describe"] * method_probe.TRIES
    monkeypatch.setattr(method_probe, "TRIES", 1)
    killed = WorkerEnd(kind="signal", code=9, seconds=0.0, peak_rss_mb=0.0)
    monkeypatch.setattr(method_probe._executor(), "run", lambda _: killed)
    with pytest.raises(BrokenMethod, match="killed by SIGKILL"):
        method_probe._asked(ref, "scripted", "scripted")


def test_a_truncated_or_foreign_result_is_kept_aside_and_its_cell_settled_again(tmp_path):
    made = make_plan("answer")
    (first,), *_ = execute(tmp_path, made)
    path = tmp_path / first.cell.folder / "result.json"
    whole = path.read_text()
    for text in (whole[: len(whole) // 2], "[]", '{"cell": 3}', "", "\x00" * 50, "[" * 100_000):
        path.write_text(text)
        (result,), fitted, _ = execute(tmp_path, made)
        assert (result.status, fitted) == ("done", [])
        assert (path.parent / "previous" / "unreadable.json").read_text() == text


@pytest.mark.parametrize(
    "change",
    [
        {"metrics": []}, {"metrics": {"pose/rotation_deg_median": "low"}}, {"status": "fine"}, {"flags": 3},
        {"cost": None}, {"fingerprints": {}}, {"cell": {"scene": 1, "degradation": "x@y"}}, {"given": [None]},
        {"config": "none"}, {"provenance": 1}, {"ingredients": [1]}, {"per_view": {"h000": 3}}, {"reason": {"a": 1}},
    ],
)  # fmt: skip
def test_a_result_of_the_wrong_shape_is_left_out_or_read_and_never_a_traceback(tmp_path, change, caplog):
    (first, _), *_ = execute(tmp_path, make_plan("answer", "collapse"))
    path = tmp_path / first.cell.folder / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert unposed("status", "-o", tmp_path)[0] == 0
    assert unposed("plan", "-m", SCRIPTED, "--effort", "smoke", "-o", tmp_path)[0] == 0
    assert unposed("why", "blocks/clean/scripted[behaviour=collapse]/seed0", "-o", tmp_path)[0] == 0
    (result,), *_ = execute(tmp_path, make_plan("answer"))
    assert result.solved


def a_folder(path):
    path.mkdir()
    (path / "kept").touch()


def a_vast_file(path):
    path.touch()
    os.truncate(path, 65 * 2**20)


UNREADABLE = {
    "a folder": (a_folder, "is a folder, not a file"),
    "a loop": (lambda path: path.symlink_to(path), "cannot be read (Too many levels of symbolic links)"),
    "a pipe": (os.mkfifo, "is a pipe, not a file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "is a device, not a file"),
    "vast": (a_vast_file, "has more than 64 MB"),
}


@pytest.mark.timeout(120)  # a pipe is waited for without an end by who is careless
@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_result_that_cannot_be_read_stops_no_verb_and_its_cell_is_settled_again(tmp_path, kind, caplog):
    make, said = UNREADABLE[kind]
    made = make_plan("answer")
    (first, _), *_ = execute(tmp_path, make_plan("answer", "collapse"))
    path = tmp_path / first.cell.folder / "result.json"
    place = ("-o", tmp_path)
    reading = [("status", *place), ("collect", *place, "--no-track"), ("compare", tmp_path, tmp_path)]
    reading += [("report", *place), ("plan", "-m", SCRIPTED, "--effort", "smoke", *place)]
    for verbs in (reading, []):  # the second is set aside where the first was
        path.unlink()
        make(path)
        assert [(words[0], *unposed(*words))[:2] for words in verbs] == [(words[0], 0) for words in verbs]
        (result,), fitted, _ = execute(tmp_path, made)
        assert result.solved and fitted == []
        assert os.path.lexists(path.parent / "previous" / "unreadable.json")
    assert any(said in record.getMessage() for record in caplog.records)


def test_a_folder_in_the_place_of_a_result_gives_way_to_that_of_a_cell_that_is_skipped(tmp_path):
    made = make_plan("answer")
    skipped = replace(made, cells=(replace(made.cells[0], skip="told to"),))
    path = tmp_path / made.cells[0].cell.folder / "result.json"
    path.parent.mkdir(parents=True)
    a_folder(path)
    (result,), *_ = execute(tmp_path, skipped)
    assert result.status == read_result(path.parent).status == "skipped"
    assert (path.parent / "previous" / "unreadable.json" / "kept").exists()


def test_a_disk_that_answers_with_an_error_costs_one_cell_and_a_lack_of_this_process_none(tmp_path, monkeypatch):
    results, *_ = execute(tmp_path, make_plan("answer", "collapse"))
    real, broken = os.open, str(tmp_path / results[0].cell.folder / "result.json")
    number = errno.EIO

    def failing(path, *others, **named):
        if os.fspath(path) == broken:
            raise OSError(number, os.strerror(number))
        return real(path, *others, **named)

    monkeypatch.setattr(os, "open", failing)
    assert [result.cell for _, result in read_suite(tmp_path)] == [results[1].cell]
    number = errno.EMFILE  # else a good result would be set aside
    with pytest.raises(OSError, match="Too many open files"):
        read_suite(tmp_path)


@pytest.mark.timeout(120)  # a pipe is waited for without an end by who is careless
def test_what_a_method_leaves_beside_its_answer_harms_no_row(tmp_path):
    behaviours = ("litter", "own_result", "litter_log", "litter_field")
    (answer, *others), *_ = execute(tmp_path, make_plan("answer", *behaviours))
    rows = {result.config["behaviour"]: result for result in others}
    for name in ("litter", "own_result"):
        assert (rows[name].status, rows[name].metrics) == ("done", answer.metrics), rows[name].reason
    for name, left in (("litter_log", "log.jsonl"), ("litter_field", "pipe")):
        assert rows[name].status == "failed"
        assert f"the worker left {left}, which is neither a file nor a folder" in rows[name].reason
    for result in others:
        cell = tmp_path / result.cell.folder
        assert read_result(cell).status == result.status
        kinds = {stat.S_IFMT(path.lstat().st_mode) for path in cell.rglob("*")}
        assert kinds <= {stat.S_IFREG, stat.S_IFDIR}
        assert not (cell / "seed0").exists()
    assert {path.name for path in (tmp_path / rows["own_result"].cell.folder / "fit" / "field").iterdir()} == {
        "colour.npy", "result.json", "seed0",
    }  # fmt: skip
    assert len(read_suite(tmp_path)) == 5
    code, text = unposed("status", "-o", tmp_path)
    assert (code, text.splitlines()[-1]) == (0, "5 cells: 3 solved · 2 failed")
    _, fitted, cached = execute(tmp_path, make_plan("answer", *behaviours))
    assert (fitted, len(cached)) == ([], 5)


def test_lines_of_a_log_that_are_no_points_of_a_curve_are_left_out(tmp_path):
    rows = ['{"step": 1, "seconds": 0.5, "loss": 2.0}', "5", "[]", '"x"', '{"loss": 1}', '{"step": "a", "seconds": 1}']
    (tmp_path / "log.jsonl").write_text(
        "\n".join([*rows, '{"step": 2, "seconds": 1, "loss": 1.0}', "\ud7ff", "[" * 9**5])
    )
    assert [row["step"] for row in read_log(tmp_path)] == [1, 2]


def at_work(folder, *, seconds, before, checkpoint):
    """A fit's `out` folder as a kill leaves it: its clock says `seconds`, `checkpoint` was written at that second."""
    (folder / "work").mkdir(parents=True)
    if checkpoint is not None:
        (folder / "work" / "step").write_text("3")
    write_json(folder / "clock.json", {"seconds": seconds, "before": before, "sessions": 1})
    now = time.time()
    os.utime(folder / "clock.json", (now, now))
    if checkpoint is not None:
        os.utime(folder / "work" / "step", (now - seconds + checkpoint,) * 2)
    rows = [json.dumps({"step": k, "seconds": float(k)}) for k in range(int(seconds) + 1)]
    (folder / "log.jsonl").write_text("\n".join(rows) + '\n{"step": 9')
    return folder


@pytest.mark.parametrize(
    ("before", "checkpoint", "kept"),
    [
        (0.0, None, 0.0),  # nothing to go on from: the fit begins anew
        (0.0, 4.0, 4.0),
        (3.0, 6.0, 6.0),
        (3.0, -500.0, 3.0),  # of the session before the last, an hour ago
        (0.0, 9.0, 9.0),  # written after the clock was
    ],
)
def test_the_clock_of_a_killed_fit_is_set_back_to_its_last_checkpoint(tmp_path, before, checkpoint, kept):
    out = at_work(tmp_path / "out", seconds=8.0, before=before, checkpoint=checkpoint)
    for _ in range(2):  # the run that wound it back may be killed before a worker is up
        wind_back(out)
    assert read_json(out / "clock.json")["seconds"] == pytest.approx(kept, abs=0.01)
    steps = [row["step"] for row in read_log(out)]
    assert steps == list(range(min(8, int(kept)) + 1))


def test_a_heartbeat_that_has_to_wait_before_it_writes_sets_no_fit_back_behind_its_checkpoint(tmp_path, monkeypatch):
    """As on a machine with more to do than cores: between looking at the clock and writing it a second passes."""
    now = [50.0]
    monkeypatch.setattr(fit.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(fit.threading.Thread, "start", lambda _: None)
    clock = fit._Clock(tmp_path / "clock.json", lambda _: None)
    write_text, waits = Path.write_text, [1.0]

    def late(path, text, **more):
        now[0] += waits.pop() if waits else 0.0
        return write_text(path, text, **more)

    now[0] += 4.0
    (tmp_path / "log.jsonl").write_text(json.dumps({"step": 1, "seconds": clock.seconds}) + "\n")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "step").write_text("1")
    moment = (tmp_path / "work" / "step").stat().st_mtime
    with monkeypatch.context() as slow:
        slow.setattr(Path, "write_text", late)
        clock._write()
    assert not waits
    os.utime(tmp_path / "clock.json", (moment + 1.0,) * 2)
    wind_back(tmp_path)
    assert read_json(tmp_path / "clock.json")["seconds"] == pytest.approx(4.0)
    assert [row["step"] for row in read_log(tmp_path)] == [1]


def test_a_fit_that_had_ended_keeps_its_time(tmp_path):
    out = at_work(tmp_path / "out", seconds=8.0, before=0.0, checkpoint=None)
    write_json(out / "outcome.json", {"status": "done"})
    wind_back(out)
    assert read_json(out / "clock.json")["seconds"] == 8.0


def test_a_suite_whose_folder_is_deleted_under_a_plan_is_settled_anew(tmp_path):
    made = make_plan("answer")
    execute(tmp_path / "s", made)
    shutil.rmtree(tmp_path / "s")
    (result,), fitted, _ = execute(tmp_path / "s", made)
    assert result.solved and len(fitted) == 1
    assert Path(tmp_path / "s" / "results.csv").exists()


def test_a_full_disk_ends_in_a_sentence_and_the_run_goes_on_once_there_is_room(tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "none", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    command = [
        "run",
        "-s",
        "blocks",
        "-m",
        str(SCRIPTED),
        "--effort",
        "smoke",
        "--no-track",
        "-o",
        str(place / "suite"),
    ]
    try:
        code, output = unposed(*command)
        assert (code, "No space left" in output) == (2, True), output
        subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)
        code, output = unposed(*command)
        assert (code, "1 solved" in output) == (0, True), output
        assert not list(place.rglob("*.tmp"))
    finally:
        subprocess.run(["umount", str(place)], check=True)
