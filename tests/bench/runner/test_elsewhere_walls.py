"""What a worker under another interpreter sees of scenes, suites and this project, behind each wall."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from scripted_cells import execute
from venvs import ELSEWHERE, cells, environment

from bench.matrix.plan import plan
from bench.matrix.registry import find_scene
from bench.matrix.selection import Selection
from bench.regime import SIDE
from bench.runner import method_probe
from bench.runner.executors import isolation


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


def test_a_folder_with_what_a_worker_needs_in_it_is_not_hidden(tmp_path, each_wall):
    """Photographs beside the environment and the method, and environments that lock themselves as suites do."""
    written_scene(tmp_path / "scene")
    venv = Path(environment(tmp_path / "scene" / "venv"))
    shutil.copy(ELSEWHERE, tmp_path / "scene")
    (tmp_path / "own").symlink_to(tmp_path / "scene" / "venv")
    (tmp_path / "own" / ".lock").touch()
    method = f"{tmp_path / 'scene' / 'elsewhere.py'}[python={venv}]"
    asked = Selection(scenes=str(tmp_path / "scene"), methods=method, effort="smoke")
    (result,), _, _ = execute(tmp_path / "suite", plan(asked), refine=None)
    assert result.status == "done", result.reason
