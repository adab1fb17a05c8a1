"""Several runs over one folder settle each cell once, and lose nothing but the cell at which one of them dies."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from scripted_cells import make_plan

from bench.cli.app import main
from bench.record import read_log, read_suite
from bench.runner.machine_times import Timed
from bench.runner.outlook import Prospect
from bench.runner.settings import Settings
from bench.runner.shards import Shard, claimed, longest_job, sbatch, without
from bench.runner.time_left import Durations, longest_first

ROOT = Path(__file__).parents[3]
METHOD = "tests/plugins/scripted.py"


def start(suite: Path, shard: str, behaviour: str = "steps", seeds: str = "0-5") -> subprocess.Popen:
    command = ["run", "-s", "blocks", "-m", f"{METHOD}[behaviour={behaviour}]", "--effort", "smoke", "--seeds", seeds]
    return subprocess.Popen(
        [sys.executable, "-m", "bench.cli", *command, "--shard", shard, "-o", str(suite)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def test_a_shard_begins_with_every_nth_cell_and_goes_on_with_those_of_the_others():
    assert Shard(1, 2).order("abcde") == ["a", "c", "e", "b", "d"]
    assert Shard(2, 2).order("abcde") == ["b", "d", "a", "c", "e"]
    assert Shard(3, 3).order("abcd") == ["c", "a", "d", "b"]
    assert Shard(4, 4).order("ab") == ["a", "b"]
    assert Shard(1, 10**20).order("abc") == Shard(9, 10**20).order("abc") == ["a", "b", "c"]
    assert Shard(2, 10**20).order("abc") == ["b", "c", "a"]


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "1/", "a/b", "-1/2"])
def test_a_shard_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="write I/N, as 3/8"):
        Shard.parse(text)


def test_a_cell_is_claimed_by_one_holder_at_a_time(tmp_path):
    with claimed(tmp_path) as ours:
        (tmp_path / ".result.json.1-2.tmp").touch()
        with claimed(tmp_path) as also_ours:
            assert (ours, also_ours) == (True, False)
        assert (tmp_path / ".result.json.1-2.tmp").exists()  # the holder's: nobody else may sweep it
    with claimed(tmp_path) as ours:
        assert ours
        assert not (tmp_path / ".result.json.1-2.tmp").exists()


def test_two_runs_settle_each_cell_once(tmp_path):
    runs = [start(tmp_path, "1/2"), start(tmp_path, "2/2")]
    said = [each.communicate(timeout=240)[0] for each in runs]
    assert [each.returncode for each in runs] == [0, 0], said
    settled = list(read_suite(tmp_path))
    assert len(settled) == 6
    for folder, result in settled:
        assert result.outcome == "solved"
        steps = [row["step"] for row in read_log(folder) if "psnr" not in row]
        assert steps == list(range(10))  # fitted once
    assert not (tmp_path / "results.csv").exists()  # two at once would write it
    collected = CliRunner().invoke(main, ["collect", "-o", str(tmp_path), "--no-track"])
    assert collected.exit_code == 0
    assert "6 cells: 6 solved" in collected.output
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 7


def test_what_a_dead_run_was_at_is_taken_up_by_another(tmp_path):
    dies = start(tmp_path, "1/2", "slow_steps", "0")
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob("running.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    collected = CliRunner().invoke(main, ["collect", "-o", str(tmp_path), "--no-track"])
    assert collected.exit_code == 2  # nothing has been settled
    other = start(tmp_path, "2/2", "slow_steps", "0")
    other.communicate(timeout=120)
    assert other.returncode == 0
    assert not list(read_suite(tmp_path))  # the cell is the first one's
    os.kill(dies.pid, signal.SIGKILL)
    dies.communicate()
    third = start(tmp_path, "2/2", "slow_steps", "0")
    said = third.communicate(timeout=240)[0]
    assert third.returncode == 0, said
    assert [result.outcome for _, result in read_suite(tmp_path)] == ["solved"]


def test_a_run_that_shares_and_one_that_does_not_exclude_each_other(tmp_path):
    shares = start(tmp_path, "1/2", "slow_steps", "0")
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob("running.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    alone = ["run", "-s", "blocks", "-m", "nerf", "--effort", "smoke", "-o", str(tmp_path), "--no-track"]
    refused = CliRunner().invoke(main, alone)
    shares.kill()
    shares.communicate()
    assert refused.exit_code == 2
    assert "--shard share it" in refused.output


def test_the_sbatch_line_says_the_same_command():
    asked = without(["-s", "a b", "-m", "gnerf", "--slurm", "8"], "--slurm")
    assert asked == without(["-s", "a b", "-m", "gnerf", "--slurm=8"], "--slurm") == ["-s", "a b", "-m", "gnerf"]
    twice = ["--slurm", "2", "-s", "a b", "--slurm=4", "-m", "gnerf", "--slurm", "3"]
    assert without(twice, "--slurm") == asked
    line = sbatch(asked, 8, threads=4, seconds=3_600, gpus=1)
    words = shlex.split(line)
    assert words[:-1] == [
        "sbatch", "--job-name=unposed", "--array=1-8", "--cpus-per-task=4", "--time=150", "--gpus=1",
    ]  # fmt: skip
    wrapped = words[-1].removeprefix("--wrap=").replace("$SLURM_ARRAY_TASK_ID", "3")
    assert shlex.split(wrapped) == ["unposed", "run", *asked, "--shard", "3/8"]


@pytest.mark.parametrize(
    ("lengths", "count", "longest"),
    [
        ([7200.0] * 8, 64, 7200.0), ([7200.0] * 8, 8, 7200.0), ([7200.0] * 9, 8, 14_400.0), ([7200.0] * 8, 1, 57_600.0),
        ([2.0, 9.0, 2.0, 3.0, 2.0], 2, 9.0), ([5.0, 4.0, 3.0, 3.0, 3.0], 2, 10.0), ([], 4, 0.0), ([1.0], 10**30, 1.0),
    ],
)  # fmt: skip
def test_a_job_has_whole_cells_and_time_for_the_longest(lengths, count, longest):
    assert longest_job(lengths, count) == longest


def minutes(text: str) -> int:
    return int(re.findall(r"--time=(\d+)", text)[0])


def test_cells_of_unknown_length_are_given_the_limit_and_it_is_said(tmp_path, monkeypatch):
    """As those of a method that says nothing of its length; a limit of the suite's file is heard."""
    monkeypatch.chdir(tmp_path)
    made: list[tuple[str, float | None]] = [("run", None)] * 3 + [("run", 2000.0), ("finished: solved", None)]

    def outlook(plan, settings):
        limit = settings.fit_limit(plan.cells[0].cell)
        return [Prospect(f"x/seed{k}", state, seconds, 2, limit) for k, (state, seconds) in enumerate(made)]

    monkeypatch.setattr("bench.runner.outlook.outlook", outlook)
    Path("s.toml").write_text("limit = 3600\n")
    for asked, limit, longest in (([], 900, 900), (["s.toml"], 3600, 3600), (["--effort", "full"], 7200, 7200)):
        monkeypatch.setattr(sys, "argv", ["unposed", "plan", *asked, "-m", "nerf", "--slurm", "4"])
        said = CliRunner().invoke(main, sys.argv[1:])
        assert said.exit_code == 0, said.output
        assert minutes(said.stdout) == longest // 30 + 30
        assert said.stderr == f"3 cells of unknown length: {limit} s each, the limit of a fit\n"
        assert said.stdout.endswith("--shard $SLURM_ARRAY_TASK_ID/4'\n") and "--slurm" not in said.stdout
    made[:] = [("run", 600.0)] * 8
    said = CliRunner().invoke(main, ["plan", "-m", "nerf", "--slurm", "4", "--workers", "2"])
    assert (minutes(said.stdout), said.stderr) == (600 // 30 + 30, "")  # both of a job at once


def test_a_job_of_a_cluster_has_what_its_cells_are_granted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = ["plan", "-m", "nerf,barf", "--slurm", "4", "--workers", "2", "--threads", "1"]
    said = CliRunner().invoke(main, asked).stdout
    assert "--cpus-per-task=2 " in said
    assert "--mem" not in said
    said = CliRunner().invoke(main, [*asked, "--grant", "nerf: threads=8, memory=4.5"]).stdout
    assert "--cpus-per-task=9 " in said
    assert "--mem=7G " in said  # and 2 GB for the command
    Path("s.toml").write_text("memory = 3\n")
    assert "--mem=8G " in CliRunner().invoke(main, ["plan", "s.toml", *asked[1:]]).stdout


def test_cells_are_listed_or_a_line_is_printed(monkeypatch):
    said = CliRunner().invoke(main, ["plan", "-m", "nerf", "--json", "--slurm", "8"])
    assert (said.exit_code, said.output.count("\n")) == (2, 1)
    assert "--json lists cells and --slurm prints a command: ask for one of them" in said.output


def test_cells_side_by_side_are_begun_with_the_longest(tmp_path):
    plan = make_plan("answer", "partial", "steps")
    durations = Durations(Settings(suite=tmp_path))
    for behaviour, seconds in (("steps", 0.8), ("answer", 0.2)):
        method = f"scripted[behaviour={behaviour}]"
        durations.suite.add(Timed("blocks", method, "smoke", "cpu", durations.settings.threads, seconds, None))
    by_length = [planned.cell.method for planned in longest_first(plan.cells, durations)]
    assert by_length == [
        "scripted[behaviour=partial]",
        "scripted[behaviour=steps]",
        "scripted[behaviour=answer]",
    ]  # 1 s by its own word
