"""A method under another interpreter: a venv of its own, with another numpy and nothing else."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image as Picture
from scripted_cells import execute

from bench.cell import split_label
from bench.cli import main
from bench.matrix.again import plan_again
from bench.matrix.code_digest import TREE
from bench.matrix.interpreter import Interpreter, interpreter
from bench.matrix.method_config import config_of, restored, whole
from bench.matrix.names import UnknownName
from bench.matrix.option_docs import options
from bench.matrix.plan import plan
from bench.matrix.registry import find_scene
from bench.matrix.selection import Selection, under
from bench.regime import SIDE
from bench.runner import method_probe
from bench.runner.contract import examine
from bench.runner.executors import isolation
from bench.runner.executors.elsewhere import lay_out
from bench.runner.executors.isolation import wall
from bench.view.fitted_field import load_field

PLUGINS = Path(__file__).parents[2] / "plugins"
ELSEWHERE, SCRIPTED, SPY = (str(PLUGINS / f"{name}.py") for name in ("elsewhere", "scripted", "spy"))
ANOTHER = "0.0.7"


def environment(folder: Path, with_numpy: bool = True) -> str:
    """The python of a fresh venv; its numpy is a copy of ours that says another version."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    if with_numpy:
        home = Path(np.__file__).parent
        (packages,) = folder.glob("lib/python*/site-packages")
        shutil.copytree(home, packages / "numpy", ignore=shutil.ignore_patterns("tests", "__pycache__", "*.pyi", "*.a"))
        if (libraries := home.with_name("numpy.libs")).is_dir():
            shutil.copytree(libraries, packages / "numpy.libs")
        (packages / "numpy" / "version.py").write_text(
            f'version = __version__ = full_version = "{ANOTHER}"\ngit_revision = short_version = ""\nrelease = True\n'
        )
    return str(python)


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return environment(tmp_path_factory.mktemp("elsewhere") / "venv")


def cells(method, **options):
    return plan(Selection(scenes="blocks", methods=method, effort="smoke", **options))


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


def install(packages):
    """Enough of this project, at a home of packages, to have the truth in it."""
    places = [packages / name for name in ("bench/judge/align.py", "datasets/procedural/blocks.py", "datasets/card.py")]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("truth = 1\n")
    return places


@pytest.fixture(params=["namespaces", "landlock"])
def each_wall(request, monkeypatch):
    if fault := isolation.fault_of(request.param):
        pytest.skip(f"this machine has no {request.param}: {fault}")
    monkeypatch.setattr(isolation, "wall", lambda: request.param)
    method_probe._executor.cache_clear()
    yield request.param
    method_probe._executor.cache_clear()


def test_the_suite_is_installed_there_too_and_what_it_knows_is_hidden(tmp_path, each_wall):
    """Through the venv's own name, through a link to it, and through a link within it."""
    python = environment(tmp_path / "real" / "venv")
    (packages,) = (tmp_path / "real" / "venv").glob("lib/python*/site-packages")
    secrets = install(packages)
    (tmp_path / "venv").symlink_to(tmp_path / "real" / "venv")
    named = [Path(str(place).replace("/real/", "/")) for place in secrets]
    within = [Path(str(place).replace("/lib/python", "/lib64/python")) for place in secrets]
    seen = packages / "numpy" / "version.py"
    method = tmp_path / "method"
    method.mkdir()
    shutil.copy(ELSEWHERE, method)
    (method / "places.txt").write_text("\n".join(map(str, [*secrets, *named, *within, seen])))
    assert all(place.exists() for place in (*secrets, *named, *within))
    for name, place in (("a", python), ("b", str(tmp_path / "venv" / "bin" / "python"))):
        label = f"{method / 'elsewhere.py'}[look=true]"
        (result,), _, _ = execute(tmp_path / name, cells(label, python=place), refine=None)
        assert (result.notes["seen"], result.notes["written"]) == (str(seen), ""), name
    (result,), _, _ = execute(
        tmp_path / "c", cells(f"{method / 'elsewhere.py'}[imports=datasets]", python=python), refine=None
    )
    assert "a method may not import `datasets`" in result.reason


def test_a_method_beside_a_copy_of_the_suite_does_not_see_its_scenes(tmp_path, each_wall):
    clone = tmp_path / "clone"
    secrets = install(clone)
    shutil.copy(ELSEWHERE, clone / "elsewhere.py")
    (clone / "places.txt").write_text("\n".join(map(str, secrets)))
    (result,), _, _ = execute(tmp_path / "runs", cells(f"{clone / 'elsewhere.py'}[look=true]"), refine=None)
    assert (result.status, result.notes["seen"]) == ("done", "")


def written_scene(folder):
    """The embedded scene as a folder of the Blender layout, true poses included."""
    scene = find_scene("blocks", ()).load(SIDE["smoke"])
    (folder / "images").mkdir(parents=True)
    for view, image in scene.capture.images.items():
        Picture.fromarray(image).save(folder / "images" / f"{view}.png")
    frames = [
        {"file_path": f"images/{view}.png", "transform_matrix": (pose @ np.diag([1.0, -1, -1, 1])).tolist()}
        for view, pose in scene.truth.poses.items()
        if view in scene.capture.images
    ]
    (folder / "transforms.json").write_text(json.dumps({"fl_x": scene.truth.camera.fx, "frames": frames}))
    return folder / "transforms.json"


def test_a_scene_and_earlier_suites_in_a_folder_that_the_interpreter_names_are_hidden(tmp_path, each_wall):
    """As where a person's own project is installed where it is edited, with scenes and runs beside its modules."""
    project, method = tmp_path / "project", tmp_path / "method"
    venv = Path(environment(tmp_path / "venv"))
    (packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (packages / "project.pth").write_text(f"{project}\n")
    secrets = [written_scene(project / "scene"), project / "runs" / "earlier" / "poses.json"]
    secrets[1].parent.mkdir(parents=True)
    secrets[1].write_text("an oracle's")
    secrets[1].with_name(".lock").touch()
    (project / "module.py").write_text("")
    method.mkdir()
    shutil.copy(ELSEWHERE, method)
    (method / "places.txt").write_text("\n".join(map(str, [*secrets, project / "module.py"])))
    asked = Selection(
        scenes=str(project / "scene"), methods=f"{method / 'elsewhere.py'}[look=true,python={venv}]", effort="smoke"
    )
    (result,), _, _ = execute(project / "runs" / "now", plan(asked), refine=None)
    assert (result.status, result.notes.get("seen")) == ("done", str(project / "module.py")), result.reason


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


@dataclass(frozen=True)
class Plain:
    steps: int = 3  # of Adam
    rate: float | None = None
    mode: Literal["a", "b"] = "a"
    fast: bool = False
    sizes: tuple[int, ...] = field(default=(1, 2))


class Kind:
    Config = Plain


def test_a_dataclass_is_a_config():
    made = config_of(Kind, "kind", {"steps": "5", "rate": "0.5", "mode": "b", "fast": "true"})
    assert made == Plain(steps=5, rate=0.5, mode="b", fast=True)
    assert restored(Kind, whole(made)) == made
    assert config_of(Kind, "kind", {"rate": "none"}) == Plain()
    found = {option.name: option for option in options(Plain, Plain())}
    assert (found["steps"].type, found["steps"].default, found["steps"].text) == ("int", 3, "of Adam")
    assert found["mode"].type == "a | b"
    for wrong in ({"steps": "many"}, {"mode": "c"}, {"fast": "perhaps"}, {"sizes": "1"}):
        with pytest.raises(ValueError, match=f"method 'kind': {next(iter(wrong))}="):
            config_of(Kind, "kind", wrong)
    with pytest.raises(UnknownName, match="did you mean steps"):
        config_of(Kind, "kind", {"step": "1"})


def test_a_method_without_options_needs_no_config():
    assert config_of(object, "bare", {}) is None and whole(None) == {} and not list(options(None, None))
    with pytest.raises(UnknownName, match="method 'bare' has no option 'a'"):
        config_of(object, "bare", {"a": "1"})
