"""A stranger's method, from its own wheel to a row: the three steps of CONTRIBUTING.md, taken for once."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.matrix.registry import method_refs
from bench.record import read_suite
from bench.runner.contract import examine

HERE = Path(__file__).parent
ROOT = HERE.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Where the wheel of tests/plugins/wheel was installed, without a network."""
    source, target = tmp_path_factory.mktemp("source") / "wheel", tmp_path_factory.mktemp("site")
    shutil.copytree(HERE / "plugins" / "wheel", source)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--no-index", "--target", target, source], check=True)
    return target


def unposed(site, *arguments):
    """Exit code and output of `unposed ...`, the wheel's folder on its path."""
    path = os.pathsep.join([str(site), str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "bench.cli", *map(str, arguments)],
        capture_output=True, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": path}, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_a_wheel_adds_a_row(site, tmp_path):
    code, text = unposed(site, "list", "methods")
    assert code == 0, text
    assert "guess" in text
    assert "the level of chance  [given pose prior]" in text
    code, text = unposed(site, "check", "guess")
    assert code == 0, text
    assert "FAIL" not in text
    code, text = unposed(site, "run", "-m", "guess[draws=2]", "--effort", "smoke", "-o", tmp_path / "s", "--no-track")
    assert code == 0, text
    ((_, result),) = read_suite(tmp_path / "s")
    assert (result.cell.method, result.status, result.given) == ("guess[draws=2]", "collapsed", ("prior",))
    assert result.config == {"draws": 2}
    assert "noise around one point" in result.reason
    assert result.metrics.keys() == {"nvs/mean_colour/psnr"}


def test_an_entry_point_that_calls_a_method_by_another_name_is_found_out(tmp_path, monkeypatch):
    (tmp_path / "stranger.py").write_text((HERE / "plugins" / "scripted.py").read_text())
    info = tmp_path / "stranger-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[unposed.methods]\nstranger = stranger:Scripted\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)  # of the process that describes the method
    method_refs.cache_clear()
    try:
        fault = next(fault for _, fault in examine("stranger") if fault)
    finally:
        method_refs.cache_clear()
    assert fault == "its entry point calls it 'stranger', and it calls itself 'scripted'"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Where the suite's own wheel was installed, built from a copy of what it is made of."""
    source, target = tmp_path_factory.mktemp("source") / "unposed", tmp_path_factory.mktemp("site")
    source.mkdir()
    for room in ("bench", "methods", "datasets", "reports"):
        shutil.copytree(ROOT / room, source / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("unposed.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--no-index", "--target", target, source], check=True)
    return target


def test_the_wheel_has_every_file_that_is_no_code(installed):
    """A card, a template or a script that stays behind is missed far from here."""
    rooms = ("bench", "methods", "datasets", "reports")
    kept = {path.relative_to(ROOT) for room in rooms for path in (ROOT / room).rglob("*") if path.is_file()}
    wanted = {path for path in kept if path.suffix not in (".py", ".pyc", ".md", ".nbi", ".nbc")}
    assert {path.suffix for path in wanted} >= {".toml", ".j2", ".js", ".css"}
    assert not {str(path) for path in wanted if not (installed / path).is_file()}


def test_the_command_of_the_wheel_lists_methods_and_scenes_anywhere(installed, tmp_path):
    env = os.environ | {"PYTHONPATH": str(installed), "UNPOSED_DATA": ""}  # scenes that are there are told apart
    for what, name in (("methods", "colmap_nerf"), ("scenes", "nerf_synthetic/{chair,")):
        done = subprocess.run(
            [sys.executable, installed / "bin" / "unposed", "list", what],
            capture_output=True, text=True, cwd=tmp_path, env=env, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert name in done.stdout


def test_the_suites_own_wheel_runs_and_reports_outside_of_a_checkout(installed, tmp_path):
    program = (
        "import sys, unposed, bench, datasets.card, reports.build\n"
        "from bench.matrix.registry import scene_sources\n"
        "assert 'nerf_synthetic/chair' in scene_sources(()), 'no cards'\n"
        "suite = unposed.run(methods='nerf[steps=20]', effort='smoke', out='s', data=())\n"
        "print(suite.report(), *(module.__file__ for module in (unposed, bench, datasets.card, reports.build)))\n"
        "print(suite.cells[0].result.status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(installed)}, check=True,
    )  # fmt: skip
    (page, *files), (status,) = (line.split() for line in done.stdout.splitlines())
    assert status == "done"
    assert all(Path(file).is_relative_to(installed) for file in files)
    assert "<table" in (tmp_path / page).read_text()
