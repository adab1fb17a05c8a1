"""What an executor says of a worker's end, what it grants it, and what a longer limit goes on from."""

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from scripted_cells import SCRIPTED, execute, make_plan

from bench.matrix.grants import read_grant
from bench.record import cells_of, read_log
from bench.runner import worker_io
from bench.runner.executors import isolation, local, memory
from bench.runner.executors.base import Code, Request, WorkerEnd
from bench.runner.executors.local import LocalExecutor
from bench.runner.executors.out_of_sight import Held
from bench.task import Camera, Fit


def test_a_groups_limit_and_its_kills_are_read_in_version_2(tmp_path, monkeypatch):
    own, group = tmp_path / "own", tmp_path / "cgroup" / "job" / "step"
    group.mkdir(parents=True)
    own.write_text("0::/job/step\n")
    (group / "memory.max").write_text("max\n")
    (group.parent / "memory.max").write_text(f"{512 * 2**20}\n")
    (group / "memory.events").write_text("low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\noom_group_kill 0\n")
    monkeypatch.setattr(memory, "ROOT", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "OWN", own)
    assert memory.limit_mb() == 512
    assert memory.oom_kills() == 1


def test_a_groups_limit_and_its_kills_are_read_in_version_1(tmp_path, monkeypatch):
    own, group = tmp_path / "own", tmp_path / "cgroup" / "memory" / "job"
    group.mkdir(parents=True)
    own.write_text("5:cpu:/elsewhere\n4:memory:/job\n0::/\n")
    (group / "memory.limit_in_bytes").write_text(f"{256 * 2**20}\n")
    (group / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    monkeypatch.setattr(memory, "ROOT", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "OWN", own)
    assert memory.limit_mb() == 256
    assert memory.oom_kills() == 3


def test_a_worker_that_the_kernel_killed_for_its_groups_limit_ran_out_of_memory(tmp_path, monkeypatch):
    kills = itertools.count()
    monkeypatch.setattr(local, "oom_kills", lambda: next(kills))
    (result,), *_ = execute(tmp_path, make_plan("killed"))
    assert result.status == "out_of_memory"


@pytest.mark.skipif(not os.access("/sys/fs/cgroup/memory/cgroup.procs", os.W_OK), reason="no memory group can be made")
def test_a_real_groups_limit_ends_a_fit_as_out_of_memory(tmp_path):
    """A run of its own in the group: a process of the tests is as full as the files before have left it."""
    group = Path("/sys/fs/cgroup/memory") / f"unposed-test-{os.getpid()}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(1500 * 2**20))
        enter = 'echo $$ > "$0"/cgroup.procs && exec "$@"'
        asked = ("run", "-s", "blocks", "-m", f"{SCRIPTED}[behaviour=swell]", "--effort", "smoke", "--no-track")
        words = (sys.executable, "-m", "bench.cli", *asked, "-o", str(tmp_path / "suite"))
        done = subprocess.run(["sh", "-c", enter, str(group), *words], check=False, capture_output=True, text=True)
    finally:
        group.rmdir()
    ((_, result),) = cells_of(tmp_path / "suite")
    assert result.status == "out_of_memory", done.stdout + done.stderr


def test_a_fit_with_too_little_time_goes_on_from_its_checkpoints_once_it_is_given_more(tmp_path):
    made = make_plan("slow_steps")
    (first,), *_ = execute(tmp_path, made, limit=3.0)
    assert first.status == "timeout"
    folder = tmp_path / first.cell.folder
    done = int((folder / "fit" / "work" / "checkpoints" / "step").read_text())
    assert 0 < done < 10
    (again,), fitted, _ = execute(tmp_path, made, limit=60.0, retry_failed=True)
    assert (again.status, len(fitted)) == ("done", 1)
    assert again.cost["fit_seconds"] > 3.0
    steps = [row["step"] for row in read_log(folder) if "psnr" not in row]
    assert sorted(set(steps)) == list(range(10))
    assert len(steps) <= 11  # one step, at most, was done twice
    assert not (folder / "fit" / "work").exists()


def test_a_fit_with_too_little_time_begins_anew_with_as_little(tmp_path):
    made = make_plan("slow_steps")
    execute(tmp_path, made, limit=3.0)
    (again,), *_ = execute(tmp_path, made, limit=3.0, retry_failed=True)
    assert again.status == "timeout"
    assert again.cost["fit_seconds"] < 5.0


def test_a_worker_of_a_folder_that_names_a_stranger_as_scratch_leaves_it_alone(tmp_path):
    from bench.runner import scratch

    precious = tmp_path / "precious"
    (precious / "in").mkdir(parents=True)
    (precious / "in" / "request.json").write_text("{}")
    scratch.note(tmp_path, precious, "0" * 64)
    scratch.forget(tmp_path)
    assert precious.exists()


def test_what_a_worker_writes_is_read_without_following_links(tmp_path):
    (tmp_path / "out").mkdir()
    worker_io.write_fit(tmp_path, Fit(poses={}, camera=Camera(width=2, height=2, fx=1, fy=1, cx=1, cy=1)))
    (tmp_path / "out" / "poses.json").symlink_to(tmp_path / "poses.json")
    with pytest.raises(worker_io.ForeignFile, match="neither a file nor a folder"):
        worker_io.own(tmp_path / "out")


def test_an_end_is_a_sentence():
    end = WorkerEnd(kind="signal", code=signal.SIGSEGV, seconds=1.0, peak_rss_mb=9.0)
    assert end.reason == "killed by SIGSEGV"


@pytest.mark.parametrize("kind", ["namespaces", "landlock", "none"])
def test_a_worker_of_any_wall_starts_and_ends(tmp_path, monkeypatch, kind):
    if kind != "none" and (fault := isolation.fault_of(kind)):
        pytest.skip(f"this machine has no {kind}: {fault}")
    monkeypatch.setattr(isolation, "wall", lambda: kind)
    (tmp_path / "in").mkdir()
    executor = LocalExecutor(threads=1)
    end = executor.run(Request(verb="fit", folder=tmp_path, code=Code(), limit=60.0))
    assert (end.kind, end.code) == ("exit", 0)
    assert "request.json" in worker_io.read_outcome(tmp_path)["reason"]  # which there is none of
    assert end.peak_rss_mb > 10


def test_a_fit_that_has_more_memory_than_it_may_is_a_row(tmp_path):
    (result,), *_ = execute(tmp_path, make_plan("swell"), memory=1000.0)
    assert (result.status, result.stage) == ("out_of_memory", "fit")
    assert "with 1000 MB allowed" in result.reason
    assert result.cost["peak_rss_mb"] > 1000


def test_a_fit_that_writes_more_than_it_may_is_a_row_and_leaves_nothing(tmp_path):
    (result,), *_ = execute(tmp_path, make_plan("fill"), disk=100.0)
    assert (result.status, result.reason) == ("failed", "killed for having written more than the 100 MB allowed")
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 2**20


def test_memory_that_processes_share_counts_once(tmp_path):
    (result,), *_ = execute(tmp_path, make_plan("fork"))
    (alone,), *_ = execute(tmp_path / "alone", make_plan("answer"))
    assert result.status == "done", result.reason
    assert 350 < result.cost["peak_rss_mb"] - alone.cost["peak_rss_mb"] < 800  # four times 400 MB as resident memory


WALLS = ["namespaces", "landlock", "none"]


def behind(monkeypatch, wall):
    if wall != "none" and (fault := isolation.fault_of(wall)):
        pytest.skip(f"this machine has no {wall}: {fault}")
    monkeypatch.setattr(isolation, "wall", lambda: wall)


@pytest.mark.parametrize(
    ("wall", "behaviour"), [(wall, "memfd") for wall in WALLS] + [("namespaces", "shm"), ("none", "shm")]
)  # landlock lets nobody make a file in /dev/shm
def test_memory_that_no_process_has_mapped_is_memory(tmp_path, monkeypatch, wall, behaviour):
    behind(monkeypatch, wall)
    (result,), *_ = execute(tmp_path, make_plan(behaviour), memory=900.0, disk=200.0)
    assert (result.status, result.stage) == ("out_of_memory", "fit"), result.reason
    assert 900 < result.cost["peak_rss_mb"] < 1500
    assert not Path("/dev/shm/unposed-test").exists()


def test_a_workers_shared_memory_has_room_for_what_it_may_have_and_no_more(tmp_path, monkeypatch):
    """The kernel's limit holds between two looks."""
    behind(monkeypatch, "namespaces")
    monkeypatch.setattr(local.OutOfSight, "look", lambda *_: Held(0.0, 0.0))
    (result,), *_ = execute(tmp_path, make_plan("shm"), memory=900.0)
    assert (result.status, result.stage) == ("out_of_memory", "fit")
    assert "No space left on device" in result.reason


def test_what_a_worker_left_in_shared_memory_is_gone_and_what_others_have_there_stays(tmp_path, monkeypatch):
    behind(monkeypatch, "none")
    other = Path("/dev/shm/unposed-test-of-another")
    other.write_bytes(b"mine")
    try:
        execute(tmp_path, make_plan("shm"), memory=4000.0)
        assert not Path("/dev/shm/unposed-test").exists()
        assert other.read_bytes() == b"mine"
    finally:
        other.unlink()


@pytest.mark.parametrize("wall", WALLS)
def test_a_file_without_a_name_is_written_too(tmp_path, monkeypatch, wall):
    behind(monkeypatch, wall)
    (result,), *_ = execute(tmp_path, make_plan("deleted"), disk=200.0)
    assert (result.status, result.reason) == ("failed", "killed for having written more than the 200 MB allowed")


def test_shared_memory_that_is_mapped_counts_once(tmp_path):
    (result,), *_ = execute(tmp_path, make_plan("mapped"))
    (alone,), *_ = execute(tmp_path / "alone", make_plan("answer"))
    assert result.status == "done", result.reason
    assert 350 < result.cost["peak_rss_mb"] - alone.cost["peak_rss_mb"] < 500


def test_a_process_that_ends_while_it_is_looked_at_holds_nothing_and_stops_no_one(tmp_path):
    """Its files under /proc go at any moment: here, before each of the system's calls that a look makes."""
    hidden = local.OutOfSight(tmp_path)  # another device than /dev/shm: the process's is one of its own
    for before in itertools.count(1):
        with subprocess.Popen(["sleep", "60"]) as process:
            calls = itertools.count(1)

            def end(_, event, called, process=process, calls=calls, before=before):
                if event == "c_call" and called.__module__ == "posix" and next(calls) == before:
                    sys.setprofile(None)
                    process.kill()
                    process.wait()

            sys.setprofile(end)
            try:
                held = hidden.look([psutil.Process(process.pid)])
            finally:
                sys.setprofile(None)
            process.kill()
        assert held.memory_mb >= 0
        assert held.disk_mb == 0
        if next(calls) <= before:  # it looked to the end
            break
    assert before > 5


def test_one_method_has_other_threads_and_limits_than_the_others(tmp_path):
    grants = tuple(
        map(read_grant, ["scripted[behaviour=swell]: memory=1, threads=1", "scripted[behaviour=slow_steps]: limit=1"])
    )
    swollen, slow, other = execute(
        tmp_path, make_plan("swell", "slow_steps", "answer"), threads_asked=2, grants=grants
    )[0]
    assert (swollen.status, swollen.threads) == ("out_of_memory", 1)
    assert "with 1024 MB allowed" in swollen.reason
    assert slow.status == "timeout"
    assert (other.status, other.threads) == ("done", 2)
