"""Nothing is lost: kill the judge at any moment, run again, and it goes on."""

import contextlib
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bench.record import read_json, read_log, read_suite

ROOT = Path(__file__).parent.parent
COMMAND = [
    sys.executable, "-m", "bench.cli", "run", "-s", "blocks", "-m", "tests/plugins/scripted.py[behaviour=steps]",
    "--effort", "smoke", "--no-track",
]  # fmt: skip


def start(suite: Path, seeds: str = "0-3", *more: str) -> subprocess.Popen:
    command = [*COMMAND, "--seeds", seeds, "-o", str(suite), *more]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )  # fmt: skip


def workers_of(judge: subprocess.Popen) -> list[psutil.Process]:
    """Its workers that run Python code by now, behind whatever stands between them and it."""
    below = psutil.Process(judge.pid).children(recursive=True)
    return [process for process in below if "bench.runner.worker" in process.cmdline()]


def first_worker(judge: subprocess.Popen) -> psutil.Process:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            return workers_of(judge)[0]
        except (IndexError, psutil.NoSuchProcess):
            time.sleep(0.05)
    raise AssertionError("no worker was started")


def is_gone(process: psutil.Process) -> bool:
    deadline = time.monotonic() + 10
    while process.is_running() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not process.is_running()


def finished(suite: Path) -> dict[str, tuple[float, str]]:
    """Settled cells: when each was written, and its fit fingerprint. Fails where a file is half written."""
    return {
        result.cell.id: ((folder / "result.json").stat().st_mtime, result.fingerprints["fit"])
        for folder, result in read_suite(suite)
    }


def test_ten_kills_at_random_moments_lose_no_finished_cell(tmp_path):
    moments = random.Random(0)
    kept: dict[str, tuple[float, str]] = {}
    for _ in range(10):
        process = start(tmp_path)
        time.sleep(moments.uniform(0.3, 2.5))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        now = finished(tmp_path)
        assert kept.items() <= now.items()
        kept = now
    last = start(tmp_path)
    output = last.communicate(timeout=120)[0].decode()
    assert last.returncode == 0, output
    assert kept.items() <= finished(tmp_path).items()
    assert len(finished(tmp_path)) == 4
    assert output.count("(cached)") == len(kept)
    assert not list(tmp_path.rglob("*.tmp"))
    for folder, result in read_suite(tmp_path):
        assert result.status == "done"
        steps = [row["step"] for row in read_log(folder) if row["step"] < 10 and "psnr" not in row]
        assert set(steps) == set(range(10))
        assert (
            len(steps) <= 10 + read_json(folder / "fit" / "outcome.json")["sessions"]
        )  # no more than one step anew a kill


def test_what_a_kill_left_half_written_is_swept_away_by_the_next_run(tmp_path):
    draft = tmp_path / "blocks" / "clean" / "scripted+behaviour=steps" / "seed0" / ".result.json.1-2.tmp"
    draft.parent.mkdir(parents=True)
    draft.write_text('{"half')
    process = start(tmp_path, seeds="0")
    output = process.communicate(timeout=120)[0].decode()
    assert process.returncode == 0, output
    assert not draft.exists()


def test_tables_are_there_after_a_kill_and_what_they_lack_is_said(tmp_path):
    judge = start(tmp_path, "0-99")
    while judge.poll() is None and len(finished(tmp_path)) < 3:
        time.sleep(0.1)
    judge.kill()
    judge.communicate()
    rows, held = len((tmp_path / "results.csv").read_text().splitlines()) - 1, len(finished(tmp_path))
    assert 1 <= rows < held
    words = [sys.executable, "-m", "bench.cli", "status", "-o", str(tmp_path)]
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stderr
    assert said.startswith(f"results.csv is older than {held - rows} of these results: `unposed collect ")
    subprocess.run([*words[:3], *shlex.split(said.split("`")[1])[1:]], cwd=ROOT, check=True, capture_output=True)
    assert len((tmp_path / "results.csv").read_text().splitlines()) - 1 == held
    assert not subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stderr


def test_a_fit_that_is_killed_twice_is_charged_what_it_took_once(tmp_path):
    """Four seconds of work that keeps nothing, within eight: with what two kills undid it would be more."""
    method = "tests/plugins/scripted.py[behaviour=answer,seconds=4]"
    asked = ("0", "-m", method, "--limit", "8")
    for _ in range(2):
        judge = start(tmp_path, *asked)
        while judge.poll() is None and seconds_of(tmp_path) < 2.0:
            time.sleep(0.02)
        judge.kill()
        judge.communicate()
        assert not finished(tmp_path)
    last = start(tmp_path, *asked)
    output = last.communicate(timeout=120)[0].decode()
    ((_, result),) = read_suite(tmp_path)
    assert (last.returncode, result.status) == (0, "done"), output
    assert 4.0 <= result.cost["fit_seconds"] < 6.0


def seconds_of(suite: Path) -> float:
    """What the clock of the fit says that is at work there, in this session of it."""
    for note in suite.rglob("running.json"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            said = read_json(Path(read_json(note)["folder"]) / "out" / "clock.json")
            return said["seconds"] - said["before"]
    return 0.0


def test_workers_are_gone_once_their_judge_is(tmp_path):
    judge = start(tmp_path, seeds="0-99")
    worker = first_worker(judge)
    os.kill(judge.pid, signal.SIGKILL)
    judge.communicate()
    assert is_gone(worker)


def test_a_suite_that_is_deleted_under_its_run_ends_it_in_a_sentence_and_is_settled_anew(tmp_path):
    suite = tmp_path / "s"
    judge = start(suite, seeds="0-99")
    while not list(suite.rglob("running.json")) and judge.poll() is None:
        time.sleep(0.02)
    while suite.exists():  # a run may be writing into it
        shutil.rmtree(suite, ignore_errors=True)
    output = judge.communicate(timeout=120)[0].decode()
    assert judge.returncode == 2, output
    assert "Traceback" not in output
    assert (
        output.strip().splitlines()[-1] == f"unposed: {suite} was deleted under this run: the same command begins anew"
    )
    again = start(suite, seeds="0")
    assert again.communicate(timeout=120) and again.returncode == 0


def test_a_cell_that_is_deleted_under_its_run_is_a_row_and_the_next_goes_on(tmp_path):
    judge = start(tmp_path, seeds="0-1")
    while not (notes := list(tmp_path.rglob("running.json"))) and judge.poll() is None:
        time.sleep(0.02)
    while notes[0].parent.exists():
        shutil.rmtree(notes[0].parent, ignore_errors=True)
    output = judge.communicate(timeout=120)[0].decode()
    assert judge.returncode == 1, output
    assert sorted(result.status for _, result in read_suite(tmp_path)) == ["done", "failed"]


def test_an_interrupt_says_how_to_go_on(tmp_path):
    judge = start(tmp_path, seeds="0-99")  # so many that it cannot end before it is interrupted
    worker = first_worker(judge)
    judge.send_signal(signal.SIGINT)
    output = judge.communicate(timeout=60)[0].decode()
    assert judge.returncode == 130
    assert "goes on from here" in output
    assert "Traceback" not in output
    assert is_gone(worker)


@pytest.fixture(autouse=True)
def warm():
    """The scene is in its cache, so that a kill meets the run and not the first rendering."""
    from bench.matrix.registry import find_scene

    find_scene("blocks", ()).load(64)
