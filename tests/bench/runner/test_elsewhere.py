"""A method under another interpreter: a venv of its own, with another numpy and nothing else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scripted_cells import execute
from venvs import ANOTHER, ELSEWHERE, PLUGINS, SCRIPTED, cells, environment

from bench.cell import split_label
from bench.cli import main
from bench.matrix.again import plan_again
from bench.matrix.code_digest import TREE
from bench.matrix.interpreter import Interpreter, interpreter
from bench.matrix.names import UnknownName
from bench.matrix.registry import find_method
from bench.matrix.selection import under
from bench.runner.contract import examine
from bench.runner.executors.elsewhere import lay_out
from bench.runner.executors.isolation import wall
from bench.view.fitted_field import load_field


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return environment(tmp_path_factory.mktemp("elsewhere") / "venv")


def test_a_cell_is_fitted_and_rendered_there_and_its_row_says_so(tmp_path, python):
    (result,), fitted, _ = execute(tmp_path, cells(ELSEWHERE, python=python), refine=None)
    assert (result.status, result.cell.method) == ("done", "elsewhere")
    assert result.notes["numpy"] == ANOTHER != np.__version__
    assert result.notes["executable"] == result.provenance["method_python"] == python
    assert result.provenance["method_environment"]["numpy"] == ANOTHER
    assert result.ingredients["fit"]["environment"]["numpy"] == ANOTHER
    assert "nvs/aligned/psnr" in result.metrics and fitted
    assert result.notes["found"] == "", "what the suite has installed can be imported there"
    assert [place for place in result.notes["path"].split() if "site-packages" in place] == [
        str(packages) for packages in Path(python).parents[1].glob("lib/python*/site-packages")
    ]
    again = plan_again(result, ())
    assert again.method.ref.python == python and again.method.label == "elsewhere"
    assert not execute(tmp_path, cells(ELSEWHERE, python=python), refine=None)[1], "it is fitted again"
    with pytest.raises(ValueError, match=r"runs under .*unposed render"):
        load_field(tmp_path / result.cell.folder, "cpu")


def test_what_is_not_there_is_said_so(tmp_path, python):
    (result,), _, _ = execute(tmp_path, cells(f"{ELSEWHERE}[imports=methods]", python=python), refine=None)
    assert result.status == "failed"
    assert "`methods` is not in the method's own environment" in result.reason


@pytest.mark.skipif(wall() == "none", reason="no wall can stand here")
def test_the_wall_stands_round_it(tmp_path, python):
    """Neither the suite nor this project, and its own environment read only."""
    secret = tmp_path / "runs" / "secret"
    secret.parent.mkdir()
    secret.write_text("true poses")
    places = [str(secret), str(TREE / "datasets" / "card.py"), str(TREE / "methods" / "nerf" / "train.py"), python]
    method = tmp_path / "method"
    method.mkdir()
    shutil.copy(ELSEWHERE, method)
    (method / "places.txt").write_text("\n".join(places))
    label = f"{method / 'elsewhere.py'}[look=true]"
    (result,), _, _ = execute(tmp_path / "runs", cells(label, python=python), refine=None)
    assert (result.notes["seen"], result.notes["written"]) == (python, "")


def test_neither_a_home_nor_a_way_up_is_a_place_of_an_interpreter(tmp_path, monkeypatch):
    python = environment(tmp_path / "venv")
    (packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (tmp_path / "home").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "home")
    (tmp_path / "home" / "inner").mkdir()
    ways = [tmp_path / "home", tmp_path / "link", tmp_path / "home" / "inner" / "..", "/", "/usr/lib/.."]
    (packages / "more.pth").write_text("import sys; sys.path += " + repr(list(map(str, ways))) + "\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "home")
    found = interpreter("../venv/bin/python")
    assert found.path == python
    assert {place.resolve() for place in found.places}.isdisjoint({tmp_path / "home", tmp_path, Path("/")})
    assert Path("/usr") in found.places, "a way up is a place by its proper name"
    assert not [place for place in found.places if ".." in place.parts]


def test_the_contract_is_tried_there(python):
    assert not {clause: fault for clause, fault in examine(ELSEWHERE, python=python) if fault}


def test_a_method_that_needs_pydantic_is_told_what_to_do(python):
    ((_, fault),) = examine(SCRIPTED, python=python)
    assert f"{python} -m pip install pydantic brings it, or make its Config a frozen dataclass" in fault


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda folder: "/no/such/python", "there is no such interpreter"),
        (lambda folder: str(folder), "it is a folder"),
        (lambda folder: str(PLUGINS / "elsewhere.py"), "no program that can be run"),
        (lambda folder: "/bin/true", "cannot be run as a Python"),
        (lambda folder: environment(folder / "bare", with_numpy=False), "-m pip install numpy"),
    ],
)
@pytest.mark.parametrize("verb", [["check", ELSEWHERE], ["plan", "-m", ELSEWHERE]])
def test_an_interpreter_that_will_not_do_is_one_sentence(tmp_path, make, fault, verb):
    done = CliRunner().invoke(main, [*verb, "--python", make(tmp_path)])
    assert done.exit_code == 2
    assert fault in done.output and len(done.output.strip().splitlines()) == 1


@pytest.mark.parametrize("folder", ["a,b", "a[b]"])
def test_a_path_that_the_grammar_cannot_hold_is_one_sentence(tmp_path, folder, monkeypatch):
    place = tmp_path / folder
    place.mkdir()
    (place / "python").symlink_to(sys.executable)
    done = CliRunner().invoke(main, ["plan", "-m", ELSEWHERE, "--python", str(place / "python")])
    assert done.exit_code == 2 and len(done.output.strip().splitlines()) == 1
    assert f"{place}/python: a path with a comma or a bracket cannot be named here; link to it" in done.output
    monkeypatch.chdir(place)
    with pytest.raises(ValueError, match="cannot be named here"):
        interpreter("./python")
    (place / "model.pt").touch()
    with pytest.raises(ValueError, match="cannot be named here"):
        find_method("feedforward[weights=model.pt]")


def test_an_interpreter_that_hangs_is_one_sentence(tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec sleep 60\n")
    python.chmod(0o755)
    monkeypatch.setattr("bench.matrix.interpreter.LIMIT", 0.2)
    with pytest.raises(ValueError, match=r"^python .*: it did not say within 0 s whether it has torch$"):
        Interpreter(path=str(python), version="3.12.0", places=()).absent(["torch"])
    with pytest.raises(ValueError, match=r"^python .*: it did not answer within 0 s$"):
        interpreter(str(python))


def test_a_suite_file_names_it_by_method_or_for_all_that_are_paths(tmp_path, python):
    suite = tmp_path / "suite.toml"
    for text in (
        f'methods = [{{name = "{ELSEWHERE}", python = "{python}"}}, "poses[name=x]"]',
        f'methods = ["{ELSEWHERE}", "poses[name=x]"]\npython = "{python}"',
    ):
        suite.write_text(f'effort = "smoke"\n{text}\n')
        done = CliRunner().invoke(main, ["plan", str(suite), "--out", str(tmp_path / "runs")])
        assert done.exit_code == 0, done.output
        assert "blocks/clean/elsewhere/seed0" in done.output


def test_it_is_for_methods_that_are_paths(python):
    assert split_label(under(python, ["a.py[b=1]", "nerf"])[0])[1] == {"b": "1", "python": python}
    assert under(python, ["a.py[python=mine]", "nerf"]) == ["a.py[python=mine]", "nerf"]
    with pytest.raises(ValueError, match="no method is given by its path"):
        under(python, ["nerf"])
    with pytest.raises(UnknownName, match="'nerf' has no option 'python'"):
        cells(f"nerf[python={python}]")
    with pytest.raises(ValueError, match=f"two methods are called .* under {python}; rename one"):
        cells(f"{ELSEWHERE},{ELSEWHERE}[python={python}]")


def installed(version):
    """A Python of this version, or None; what a version manager puts on the path may refuse to run."""
    found = [shutil.which(f"python{version}"), *Path.home().glob(f".pyenv/versions/{version}.*/bin/python")]
    for python in filter(None, found):
        if subprocess.run([python, "--version"], capture_output=True, check=False).returncode == 0:
            return python
    return None


@pytest.mark.parametrize("version", ["3.10", "3.12", "3.13"])
def test_its_modules_are_read_by_other_pythons(tmp_path, version):
    """As far as they go without numpy: it is the first thing that they miss."""
    if (other := installed(version)) is None:
        pytest.skip(f"no Python {version} is installed")
    folder = lay_out(tmp_path / "unposed")
    subprocess.run([other, "-m", "compileall", "-q", folder], capture_output=True, check=True)
    alone = "import sys; sys.path.insert(0, sys.argv[1]); import bench.cell, bench.credentials, bench.matrix.names"
    subprocess.run([other, "-I", "-c", alone, folder], capture_output=True, check=True)


def test_another_release_of_numpy(tmp_path):
    """The real thing: another numpy from PyPI, which another Python or release brings."""
    python = environment(tmp_path / "venv", with_numpy=False)
    command = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--timeout", "5",
               "--retries", "0", f"numpy!={np.__version__}"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PIP_USER": "0"})
    if done.returncode:
        pytest.skip(f"needs a network: {done.stderr.strip().splitlines()[-1:]}")
    (result,), _, _ = execute(tmp_path / "runs", cells(ELSEWHERE, python=python), refine=None)
    assert result.status == "done"
    assert result.notes["numpy"] == interpreter(python).packages["numpy"] != np.__version__
